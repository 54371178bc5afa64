//! Links of ours in what is typed. A file that a client handed over, and one that was shown, is said as the file
//! itself; the words around its link go along with it.

use std::ops::Range;

use wxgate_contract::{Attachment, AttachmentKind, MediaId, MediaState};

use super::session::Session;

/// How addresses begin.
const SCHEMES: [&str; 2] = ["http://", "https://"];
/// What ends a sentence or a bracket, and no address.
const MARKS: [char; 13] = ['.', ',', ';', ':', '!', '?', ')', ']', '}', '>', '\'', '"', '*'];
/// What people write around an address.
const BRACKETS: [(char, char); 4] = [('<', '>'), ('(', ')'), ('[', ']'), ('"', '"')];

/// The web addresses in a text, each as the bytes it takes, without the marks behind it.
fn addresses(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..)?;
        let start = from + SCHEMES.iter().filter_map(|scheme| rest.find(scheme)).min()?;
        let run = text.get(start..)?.split(|c: char| !c.is_ascii_graphic()).next()?;
        from = start + run.len();
        Some(start..start + run.trim_end_matches(MARKS).len())
    })
}

/// A text without the address at `range` and the brackets around that, with what stood between the words.
fn around(text: &str, range: &Range<usize>) -> String {
    let mut before = text.get(..range.start).unwrap_or_default();
    let mut after = text.get(range.end..).unwrap_or_default();
    for (open, close) in BRACKETS {
        if let (Some(outside), Some(behind)) = (before.strip_suffix(open), after.strip_prefix(close)) {
            (before, after) = (outside, behind);
            break;
        }
    }
    let (head, tail) = (before.trim_end(), after.trim_start());
    let between =
        [before.get(head.len()..), after.get(..after.len() - tail.len())].map(Option::unwrap_or_default);
    let between = match () {
        () if head.is_empty() || tail.is_empty() => "",
        () if between.iter().any(|white| white.contains('\n')) => "\n",
        () if between.iter().any(|white| !white.is_empty()) => " ",
        () => "",
    };
    format!("{head}{between}{tail}").trim().to_owned()
}

/// Cuts a text so that each piece has one of the addresses; they stand in their order.
fn cut<'a>(text: &'a str, addresses: &[Range<usize>]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for (one, next) in addresses.iter().zip(addresses.iter().skip(1)) {
        // What stands directly before an address belongs to it.
        let between = text.get(one.end..next.start).unwrap_or_default();
        let border = between.rfind(char::is_whitespace).map_or(next.start, |at| one.end + at);
        pieces.push(text.get(from..border).unwrap_or_default().trim_end());
        from = border;
    }
    pieces.push(text.get(from..).unwrap_or_default());
    pieces.iter_mut().skip(1).for_each(|piece| *piece = piece.trim_start());
    pieces
}

impl Session {
    /// True when a text has a link of ours in it.
    pub(super) fn has_file(&self, text: &str) -> bool {
        self.files(text).next().is_some()
    }

    /// A text as pieces with one link of ours each; one without or with one of them stays whole.
    pub(super) fn cut_at_files<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let files: Vec<Range<usize>> = self.files(text).map(|(range, _)| range).collect();
        cut(text, &files)
    }

    /// The file that the first link of ours in a text leads to, if it is still there, with the words around the link
    /// as its caption.
    pub(super) async fn file_with_words(&self, text: &str) -> Option<Attachment> {
        let (range, media) = self.files(text).next()?;
        let link = text.get(range.clone())?;
        let info = self.shared.media.info(media).await.ok()??;
        if info.state != MediaState::Ready {
            return None;
        }
        let caption = around(text, &range);
        if let Some((_, shown)) = self.links.iter().find(|(shown, _)| shown == link) {
            return Some(Attachment { caption, ..shown.clone() });
        }
        let kind = match info.mime.split('/').next() {
            Some("image") => AttachmentKind::Image,
            Some("video") => AttachmentKind::Video,
            _ => AttachmentKind::File,
        };
        Some(Attachment {
            media,
            kind,
            name: info.name,
            mime: info.mime,
            size_bytes: info.size_bytes,
            width_px: 0,
            height_px: 0,
            duration_ms: 0,
            caption,
            poster: None,
        })
    }

    /// The links of ours in a text, and where they lead.
    fn files<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Range<usize>, MediaId)> + 'a {
        addresses(text).filter_map(move |range| Some((range.clone(), self.media_of(text.get(range)?)?)))
    }

    /// Where a link leads, if it is one of ours.
    fn media_of(&self, link: &str) -> Option<MediaId> {
        let shown = self.links.iter().find(|(shown, _)| shown == link).map(|(_, file)| file.media);
        shown.or_else(|| (self.shared.config.filehost.as_ref()?.follow)(link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        addresses(text).map(|range| text.get(range).unwrap()).collect()
    }

    #[test]
    fn addresses_are_found_in_sentences() {
        for (text, wanted) in [
            ("", vec![]),
            ("http and https:/x", vec![]),
            ("https://h/media/T/a.jpg", vec!["https://h/media/T/a.jpg"]),
            ("这张https://h/media/T/a.jpg是谁？", vec!["https://h/media/T/a.jpg"]),
            ("(see <http://[::1]:8/T/a.jpg>, please).", vec!["http://[::1]:8/T/a.jpg"]),
            ("https://h/T/a.jpg?\nhttp://h/T/b.jpg!", vec!["https://h/T/a.jpg", "http://h/T/b.jpg"]),
            // An address in another one is a part of that.
            ("https://o/?u=https://h/T/a.jpg", vec!["https://o/?u=https://h/T/a.jpg"]),
            ("https://h/T/a.jpg?x=1", vec!["https://h/T/a.jpg?x=1"]),
        ] {
            assert_eq!(found(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_words_around_a_link_are_whole() {
        for (text, words) in [
            ("http://h/a", ""),
            (" http://h/a \n", ""),
            ("http://h/a 这张是谁拍的？", "这张是谁拍的？"),
            ("look: http://h/a", "look:"),
            ("look at <http://h/a> and tell", "look at and tell"),
            ("看http://h/a，好", "看，好"),
            ("(http://h/a)", ""),
            ("http://h/a\nfirst\n\nthird", "first\n\nthird"),
            ("one\nhttp://h/a\nthree", "one\nthree"),
        ] {
            let range = addresses(text).next().unwrap();
            assert_eq!(around(text, &range), words, "{text}");
        }
    }

    #[test]
    fn several_links_are_cut_apart() {
        for (text, pieces) in [
            ("none", vec!["none"]),
            ("a http://h/a b", vec!["a http://h/a b"]),
            ("a http://h/a b <http://h/b> c", vec!["a http://h/a b", "<http://h/b> c"]),
            ("http://h/a\nhttp://h/b", vec!["http://h/a", "http://h/b"]),
            ("http://h/a和http://h/b", vec!["http://h/a和", "http://h/b"]),
        ] {
            let ranges: Vec<_> = addresses(text).collect();
            assert_eq!(cut(text, &ranges), pieces, "{text}");
        }
    }
}
