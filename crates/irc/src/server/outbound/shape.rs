//! A text as the lines that carry it. `\0` marks the borders of a link that must stay whole.

use crate::wire::split;

/// How a text becomes lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As many lines as it takes.
    Lines,
    /// As many, each an ACTION.
    Actions,
    /// One line: what stands before the link is shortened.
    OneLine,
    /// `what\0link\0measures\0preview\0caption`: one line with all of it, or the caption on lines below. The preview is
    /// left out where the line has no room for it.
    Captioned,
}

/// The lines of a text, with at most `budget` bytes each.
pub(super) fn pieces(text: &str, budget: usize, shape: Shape) -> Vec<String> {
    match shape {
        Shape::Lines => lines(text, budget),
        // Nine bytes less: \x01ACTION … \x01
        Shape::Actions => split::split(text, budget.saturating_sub(9))
            .into_iter()
            .map(|piece| format!("\x01ACTION {piece}\x01"))
            .collect(),
        Shape::OneLine => vec![one_line(text, budget)],
        Shape::Captioned => captioned(text, budget),
    }
}

fn lines(text: &str, budget: usize) -> Vec<String> {
    split::split(text, budget).into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// Shortens what stands around the link, never the link.
fn one_line(text: &str, budget: usize) -> String {
    let mut parts = text.splitn(3, '\0');
    let (head, link, tail) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let flat = |text: &str| text.replace('\n', " ");
    let whole = format!("{}{link}{}", flat(head), flat(tail));
    if whole.len() <= budget {
        return whole;
    }
    let room = budget.saturating_sub(link.len());
    let head_room = room.saturating_sub(tail.len().min(room / 2));
    let cut = |text: &str, room: usize| -> String {
        let text = flat(text);
        if text.len() <= room {
            return text;
        }
        // The cut text ends with `… `, four bytes.
        let first = split::split(&text, room.max(split::MIN_BUDGET_BYTES)).first().map(|p| p.to_string());
        let kept = first.unwrap_or_default();
        let end = (0..=room.saturating_sub(4)).rev().find(|at| kept.is_char_boundary(*at)).unwrap_or(0);
        format!("{}… ", kept.get(..end).unwrap_or(""))
    };
    let head = cut(head, head_room);
    let tail_room = room.saturating_sub(head.len());
    let tail = if tail.len() <= tail_room { flat(tail) } else { String::new() };
    format!("{head}{link}{tail}")
}

/// Somebody wrote the caption: nothing of it is left out.
fn captioned(text: &str, budget: usize) -> Vec<String> {
    let mut parts = text.splitn(5, '\0').map(str::to_owned);
    let [what, link, mut measures, preview, caption] = [(); 5].map(|()| parts.next().unwrap_or_default());
    let with = |caption: &str, measures: &str| {
        let words = [&what, caption, &link].into_iter().filter(|word| !word.is_empty());
        format!("{}{measures}", words.collect::<Vec<_>>().join(" "))
    };
    let shown = format!("{measures}{preview}");
    if with("", &shown).len() <= budget {
        measures = shown;
    }
    let whole = with(&caption, &measures);
    if !caption.contains('\n') && whole.len() <= budget {
        return vec![whole];
    }
    let space = if link.is_empty() { "" } else { " " };
    let mut pieces = vec![one_line(&format!("{what}{space}\0{link}\0{measures}"), budget)];
    if !caption.is_empty() {
        pieces.extend(lines(&caption, budget));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_never_cut() {
        let link = format!("https://example.org/media/{}", "a".repeat(80));
        let text = format!("[file] {} \0{link}\0 (1.2 MB)", "长".repeat(200));
        let line = one_line(&text, 300);
        assert!(line.len() <= 300, "{}", line.len());
        assert!(line.contains(&link) && line.ends_with(" (1.2 MB)"), "{line}");
        assert_eq!(one_line("[image] \0http://a/b\0 (3 B)", 300), "[image] http://a/b (3 B)");
    }

    #[test]
    fn a_caption_is_whole() {
        let shown = |text: &str| pieces(text, 100, Shape::Captioned);
        assert_eq!(shown("[image]\0http://a/b\0 (3 B)\0\0"), ["[image] http://a/b (3 B)"]);
        assert_eq!(shown("[image]\0http://a/b\0 (3 B)\0\0who?"), ["[image] who? http://a/b (3 B)"]);
        assert_eq!(shown("[image]\0\0 (3 B)\0\0who?"), ["[image] who? (3 B)"]);
        assert_eq!(shown("[image]\0http://a/b\0\0\0one\ntwo"), ["[image] http://a/b", "one", "two"]);
        let long = "字".repeat(60);
        let lines = shown(&format!("[image]\0http://a/b\0 (3 B)\0\0{long}"));
        assert_eq!((lines[0].as_str(), lines[1..].concat()), ("[image] http://a/b (3 B)", long));
        let film = |room: usize| {
            pieces("[video]\0http://a/b\0 (3 B)\0 preview: http://c/d\0", room, Shape::Captioned)
        };
        assert_eq!(film(100), ["[video] http://a/b (3 B) preview: http://c/d"]);
        assert_eq!(film(40), ["[video] http://a/b (3 B)"], "a link is never cut");
    }
}
