//! Cutting a text into pieces that fit a line.
//!
//! Never inside a grapheme cluster, never inside a URL that fits on a line of its own; within the
//! last quarter of the budget behind a sentence mark, else behind a comma mark, else at a space,
//! else at any cluster border. Cutting at spaces only is the classic bug: Chinese text is one
//! long "word".

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use super::format::Open;

/// Below this a budget cannot hold a family emoji with its open codes; less is raised to it.
pub const MIN_BUDGET_BYTES: usize = 64;
/// Open codes beyond this many bytes are not repeated on the next piece.
const MAX_REPEATED_CODES_BYTES: usize = 24;

/// The bytes left for a text when all recipients see `:prefix VERB target :text CRLF`.
/// `overhead` is the bytes of `nick!user@host`, verb and target together.
pub fn budget(prefix: &str, verb: &str, target: &str) -> usize {
    // ':' + ' ' + ' ' + ' :' + CRLF
    512usize.saturating_sub(prefix.len() + verb.len() + target.len() + 7)
}

/// Cuts `text` into pieces of at most `budget` bytes, one or more per line of the text. An empty
/// line becomes one space, because an empty message is an error (412). Open formatting codes are
/// repeated on the next piece.
pub fn split(text: &str, budget: usize) -> Vec<Cow<'_, str>> {
    let budget = budget.max(MIN_BUDGET_BYTES);
    let mut pieces = Vec::new();
    for line in text.split('\n') {
        if line.is_empty() {
            pieces.push(Cow::Borrowed(" "));
        } else if line.len() <= budget {
            pieces.push(Cow::Borrowed(line));
        } else {
            split_line(line, budget, &mut pieces);
        }
    }
    pieces
}

fn split_line<'a>(line: &'a str, budget: usize, pieces: &mut Vec<Cow<'a, str>>) {
    let mut rest = line;
    let mut open = Open::default();
    loop {
        let mut codes = open.codes();
        if codes.len() > MAX_REPEATED_CODES_BYTES {
            codes.clear();
        }
        let room = budget - codes.len();
        let end = if rest.len() <= room { rest.len() } else { break_at(rest, room) };
        let (piece, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        open.read(piece);
        let shown = if tail.is_empty() { piece } else { piece.strip_suffix(' ').unwrap_or(piece) };
        if !shown.is_empty() {
            pieces.push(if codes.is_empty() {
                Cow::Borrowed(shown)
            } else {
                codes.push_str(shown);
                Cow::Owned(codes)
            });
        }
        rest = tail.strip_prefix(' ').unwrap_or(tail);
        if rest.is_empty() {
            return;
        }
    }
}

/// Cuts one line into pieces of at most `budget` bytes that make the line again when they are put
/// behind each other. An empty line is one empty piece.
pub fn cuts(line: &str, budget: usize) -> Vec<&str> {
    let budget = budget.max(MIN_BUDGET_BYTES);
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > budget {
        let (piece, tail) = rest.split_at_checked(break_at(rest, budget)).unwrap_or((rest, ""));
        pieces.push(piece);
        rest = tail;
    }
    if pieces.is_empty() || !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Where to cut a text that is longer than `room`: above 0, at most `room`.
fn break_at(text: &str, room: usize) -> usize {
    let border = last_border(text, room);
    // A URL across the border goes to the next line whole, if that helps.
    if let Some((start, end)) = url_across(text, border)
        && start > 0
        && end - start <= room
    {
        return start;
    }
    let from = room - room / 4;
    let (mut sentence, mut comma, mut space) = (0, 0, 0);
    for (at, cluster) in text.grapheme_indices(true) {
        let end = at + cluster.len();
        if end > border {
            break;
        }
        if end < from {
            continue;
        }
        let before_space = text.get(end..).is_some_and(|rest| rest.starts_with(' '));
        match cluster {
            "。" | "！" | "？" => sentence = end,
            "." | "!" | "?" if before_space => sentence = end,
            "，" | "、" | "；" => comma = end,
            "," | ";" if before_space => comma = end,
            " " => space = end,
            _ => {}
        }
    }
    [sentence, comma, space]
        .into_iter()
        .find(|at| {
            *at > 0 && url_across(text, *at).is_none_or(|(start, end)| start == 0 || end - start > room)
        })
        .unwrap_or(border)
}

/// The last cluster border within `room`; a cluster that alone is larger is cut between characters.
fn last_border(text: &str, room: usize) -> usize {
    let mut border = 0;
    for (at, cluster) in text.grapheme_indices(true) {
        if at + cluster.len() > room {
            break;
        }
        border = at + cluster.len();
    }
    if border == 0 {
        border = (1..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    }
    border
}

/// The URL that has bytes on both sides of `at`.
fn url_across(text: &str, at: usize) -> Option<(usize, usize)> {
    let head = text.get(..at)?;
    let word = head.rfind(is_url_end).map_or(0, |space| {
        space + head.get(space..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    let found = text.get(word..)?;
    let scheme = ["https://", "http://"].into_iter().filter_map(|scheme| found.find(scheme)).min()?;
    let start = word + scheme;
    let end = text.get(start..)?.find(is_url_end).map_or(text.len(), |length| start + length);
    (start < at && at < end).then_some((start, end))
}

/// Source: RFC 3986 has ASCII only; what stands behind a URL in Chinese text is no part of it.
fn is_url_end(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_whitespace() || c.is_ascii_control() || matches!(c, '<' | '>' | '"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::format::strip;
    use proptest::prelude::*;

    #[test]
    fn short_texts_are_borrowed() {
        assert!(matches!(split("hi", 400).as_slice(), [Cow::Borrowed("hi")]));
        assert_eq!(split("a\n\nb", 400), ["a", " ", "b"]);
    }

    #[test]
    fn han_text_is_cut_at_marks() {
        let text = format!("{}。{}", "字".repeat(30), "天".repeat(30));
        assert_eq!(split(&text, 100), [format!("{}。", "字".repeat(30)), "天".repeat(30)]);
        let text = "字".repeat(100);
        assert_eq!(split(&text, 100).iter().map(|p| p.len()).collect::<Vec<_>>(), [99, 99, 99, 3]);
    }

    #[test]
    fn a_url_that_fits_is_whole() {
        let url = "https://example.org/a,b.c/?q=1";
        let text = format!("{}{url} tail", "字".repeat(25));
        assert_eq!(split(&text, 80), ["字".repeat(25), format!("{url} tail")]);
        let text = format!("{}，见{url}，好", "字".repeat(25));
        assert!(split(&text, 90).iter().any(|piece| piece.contains(url)), "{:?}", split(&text, 90));
    }

    #[test]
    fn families_and_flags_stay_together() {
        let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
        let pieces = split(&family.repeat(5), 64).iter().map(|p| p.to_string()).collect::<Vec<_>>();
        assert!(pieces.iter().all(|piece| piece.len() % family.len() == 0), "{pieces:?}");
    }

    #[test]
    fn open_codes_are_repeated() {
        let text = format!("\x02{}", "b".repeat(100));
        let pieces = split(&text, 64);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[1].starts_with("\x02b"));
    }

    #[test]
    fn the_budget_of_the_worked_example() {
        assert_eq!(budget("张三!u7f3a@wechat", "PRIVMSG", "#测试群"), 469);
    }

    /// Text made of what breaks naive cutters.
    fn nasty() -> impl Strategy<Value = String> {
        let atom = prop_oneof![
            "[a-z]{1,12}",
            "[\u{4e00}-\u{4e40}]{1,9}",
            Just("🇨🇳🇩🇪".to_owned()),
            Just("👨\u{200d}👩\u{200d}👧".to_owned()),
            Just("e\u{301}\u{302}".to_owned()),
            Just("❤\u{fe0f}".to_owned()),
            Just("。".to_owned()),
            Just(", ".to_owned()),
            Just(" ".to_owned()),
            Just("https://x.y/abc.def,ghi?j=1".to_owned()),
            Just("\n".to_owned()),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(atom, 0..80).prop_map(|atoms| atoms.concat())
    }

    proptest! {
        #[test]
        fn pieces_fit_and_join_back(text in nasty(), budget in 64usize..200) {
            let text = strip(&text).into_owned();
            let pieces = split(&text, budget);
            for piece in &pieces {
                prop_assert!(piece.len() <= budget);
                prop_assert!(!piece.is_empty());
                prop_assert!(!piece.contains('\n'));
            }
            let bare = |t: &str| t.chars().filter(|c| !matches!(c, ' ' | '\n')).collect::<String>();
            prop_assert_eq!(bare(&pieces.concat()), bare(&text));
        }

        #[test]
        fn cuts_lose_nothing(text in nasty(), budget in 64usize..200) {
            let line = text.replace('\n', "");
            let pieces = cuts(&line, budget);
            prop_assert!(pieces.iter().all(|piece| piece.len() <= budget));
            prop_assert_eq!(pieces.concat(), line);
        }

        #[test]
        fn clusters_are_whole(text in nasty(), budget in 64usize..200) {
            let text: String = strip(&text).chars().filter(|c| !matches!(c, ' ' | '\n')).collect();
            let whole: Vec<&str> = text.graphemes(true).collect();
            prop_assume!(whole.iter().all(|cluster| cluster.len() <= 64));
            let pieces = split(&text, budget);
            prop_assume!(!text.is_empty());
            let mut borders: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
            borders.push(text.len());
            let mut at = 0;
            for piece in &pieces {
                at += piece.len();
                prop_assert!(borders.contains(&at));
            }
        }
    }
}
