//! Files and cards in plain words, for networks that show neither.

use crate::body::{Attachment, AttachmentKind, Card, CardKind};

/// What the still picture of a video is called in a link to it.
pub const POSTER_NAME: &str = "preview.jpg";

impl AttachmentKind {
    /// What it is called.
    fn label(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::File => "file",
        }
    }
}

impl Attachment {
    /// How long it plays and how large it is, as far as that is known: `0:04, 1.2 MB`.
    #[must_use]
    pub fn measures(&self) -> String {
        let mut measures = Vec::new();
        if self.duration_ms > 0 {
            let seconds = self.duration_ms.div_ceil(1000);
            measures.push(format!("{}:{:02}", seconds / 60, seconds % 60));
        }
        if self.size_bytes > 0 {
            measures.push(size(self.size_bytes));
        }
        measures.join(", ")
    }

    /// One line of plain words for networks that carry no files, the caption in front: `caption [file] name link (1.2
    /// MB) preview: link`, the latter where there is a still picture of it. Only a file is known by its name.
    #[must_use]
    pub fn summary(&self, link: &str, poster: Option<&str>) -> String {
        let label = format!("[{}]", self.kind.label());
        let name = if self.kind == AttachmentKind::File { self.name.as_str() } else { "" };
        let measures = self.measures();
        let measures = if measures.is_empty() { measures } else { format!("({measures})") };
        let poster = poster.map(|link| format!("preview: {link}")).unwrap_or_default();
        let parts = [self.caption.as_str(), &label, name, link, &measures, &poster];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// `1.2 MB`, with one decimal from a megabyte on.
fn size(bytes: u64) -> String {
    let tenths = |unit: u64| (bytes.saturating_mul(10) + unit / 2) / unit;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KB", bytes.div_ceil(1024)),
        1_048_576..1_073_741_824 => {
            let tenths = tenths(1_048_576);
            format!("{}.{} MB", tenths / 10, tenths % 10)
        }
        _ => {
            let tenths = tenths(1_073_741_824);
            format!("{}.{} GB", tenths / 10, tenths % 10)
        }
    }
}

impl CardKind {
    /// What it is called; empty for a link, which speaks for itself.
    fn label(self) -> &'static str {
        match self {
            Self::Link => "",
            Self::Music => "music",
            Self::Location => "location",
            Self::NameCard => "name card",
            Self::MiniProgram => "mini program",
            Self::RedPacket => "red packet",
            Self::Transfer => "transfer",
            Self::MergedHistory => "chat history",
            Self::Call => "call",
        }
    }
}

/// A map of a place, by latitude and longitude in degrees (WGS 84). Source: the OpenStreetMap wiki, "Browsing".
#[must_use]
pub fn map_of((latitude, longitude): (f64, f64)) -> String {
    format!("https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}#map=16/{latitude}/{longitude}")
}

impl Card {
    /// True for what opens only on the phone, unless an address stands for it.
    #[must_use]
    pub fn is_for_the_phone(&self) -> bool {
        use CardKind::{Call, MergedHistory, MiniProgram, RedPacket, Transfer};
        self.url.is_empty() && matches!(self.kind, MiniProgram | RedPacket | Transfer | MergedHistory | Call)
    }

    /// Where it leads: of a place without an address of its own a map.
    #[must_use]
    pub fn link(&self) -> String {
        match self.place.filter(|_| self.url.is_empty() && self.kind == CardKind::Location) {
            Some(place) => map_of(place),
            None => self.url.clone(),
        }
    }

    /// One line of plain words for networks that show no cards and no authors: what it is stands in front, so that
    /// nobody takes a transfer of money for a typed amount.
    #[must_use]
    pub fn summary(&self) -> String {
        let label = self.kind.label();
        let label = if label.is_empty() { String::new() } else { format!("[{label}]") };
        let detail = if self.detail == self.title { "" } else { &self.detail };
        let source = if self.source.is_empty() { String::new() } else { format!("({})", self.source) };
        let hint = if self.is_for_the_phone() { "(open on the phone)" } else { "" };
        let link = self.link();
        let parts = [&label, &self.title, detail, &source, hint, &link];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MediaId;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [(5, "5 B"), (2000, "2 KB"), (1_258_291, "1.2 MB"), (5_368_709_120, "5.0 GB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_file_in_words_says_what_it_is() {
        let file = |kind, name: &str, caption: &str, size_bytes, duration_ms| Attachment {
            media: MediaId([1; 16]),
            kind,
            name: name.to_owned(),
            mime: String::new(),
            size_bytes,
            width_px: 0,
            height_px: 0,
            duration_ms,
            caption: caption.to_owned(),
            poster: None,
        };
        for (file, words) in [
            (file(AttachmentKind::Image, "a.jpg", "", 0, 0), "[image] http://l"),
            (file(AttachmentKind::Voice, "v.mp3", "", 4000, 3400), "[voice] http://l (0:04, 4 KB)"),
            (file(AttachmentKind::File, "b.pdf", "read it", 10, 0), "read it [file] b.pdf http://l (10 B)"),
        ] {
            assert_eq!(file.summary("http://l", None), words);
        }
        let film = file(AttachmentKind::Video, "v.mp4", "look", 0, 3400);
        assert_eq!(
            film.summary("http://l", Some("http://p")),
            "look [video] http://l (0:04) preview: http://p"
        );
    }

    #[test]
    fn a_card_in_words_says_what_it_is() {
        let card = |kind, title: &str, detail: &str, url: &str| Card {
            kind,
            title: title.to_owned(),
            detail: detail.to_owned(),
            url: url.to_owned(),
            place: None,
            source: String::new(),
        };
        let palace = Card { place: Some((39.9, 116.25)), ..card(CardKind::Location, "Palace", "", "") };
        let song = Card { source: "radio".to_owned(), ..card(CardKind::Music, "song", "song", "http://m") };
        for (card, words) in [
            (card(CardKind::Link, "News", "of today", "https://x.org/"), "News of today https://x.org/"),
            (card(CardKind::Transfer, "¥5.00", "lunch", ""), "[transfer] ¥5.00 lunch (open on the phone)"),
            (card(CardKind::RedPacket, "Luck", "", ""), "[red packet] Luck (open on the phone)"),
            (card(CardKind::MiniProgram, "taxi", "", "https://t"), "[mini program] taxi https://t"),
            (
                palace,
                "[location] Palace https://www.openstreetmap.org/?mlat=39.9&mlon=116.25#map=16/39.9/116.25",
            ),
            (song, "[music] song (radio) http://m"),
        ] {
            assert_eq!(card.summary(), words);
        }
    }
}
