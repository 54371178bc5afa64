//! Signed links to attachments: who holds one may fetch that one attachment until it expires.
//!
//! A token is the attachment's id (16 bytes), the hour of its end (4 bytes) and 128 bits of an
//! HMAC-SHA-256 over both, in URL-safe base64. The end is rounded up to an hour so that a line
//! that is shown again within the hour has the same link.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use url::Url;
use wxgate_contract::{Clock, MediaId};

const ID_BYTES: usize = 16;
const END_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
const HOUR_S: u64 = 3600;
/// Longest cleaned name; the whole link must leave room for a line of IRC. Chosen.
const NAME_BYTES: usize = 48;

/// Writes and checks links.
pub(crate) struct Links {
    base: String,
    key: hmac::Key,
    ttl: Duration,
    clock: Arc<dyn Clock>,
}

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// This attachment, for so many more seconds.
    Media(MediaId, u64),
    /// Nothing any more.
    Expired,
    /// Nothing: it is not one of ours.
    Forged,
}

impl Links {
    pub(crate) fn new(base: String, key: &[u8], ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { base, key: hmac::Key::new(hmac::HMAC_SHA256, key), ttl, clock }
    }

    /// How links begin, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether browsers reach this gateway through TLS, as far as `web.public_url` tells.
    pub(crate) fn is_https(&self) -> bool {
        self.base().starts_with("https://")
    }

    /// The port at which browsers reach this gateway.
    pub(crate) fn port(&self) -> u16 {
        Url::parse(&self.base).ok().and_then(|base| base.port_or_known_default()).unwrap_or_default()
    }

    /// The address of an attachment.
    pub(crate) fn write(&self, media: MediaId, name: &str) -> String {
        let end_s = self.now_s() + self.ttl.as_secs();
        // Beyond the year 490000 the hours no longer fit, and links end earlier than asked.
        let end = u32::try_from(end_s.div_ceil(HOUR_S)).unwrap_or(u32::MAX);
        let mut token = Vec::with_capacity(ID_BYTES + END_BYTES + TAG_BYTES);
        token.extend_from_slice(&media.0);
        token.extend_from_slice(&end.to_be_bytes());
        let tag = self.tag(&token);
        token.extend_from_slice(&tag);
        format!("{}/media/{}/{}", self.base, URL_SAFE_NO_PAD.encode(token), cleaned(name))
    }

    /// What a token from outside opens.
    pub(crate) fn open(&self, token: &str) -> Opened {
        // Anything longer is no token; decoding it would be work for nothing.
        if token.len() > 64 {
            return Opened::Forged;
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return Opened::Forged };
        let Some((signed, tag)) = bytes.split_at_checked(ID_BYTES + END_BYTES) else { return Opened::Forged };
        if !is_same(&self.tag(signed), tag) {
            return Opened::Forged;
        }
        let Some((id, end)) = signed.split_at_checked(ID_BYTES) else { return Opened::Forged };
        let (Ok(id), Ok(end)) = (<[u8; ID_BYTES]>::try_from(id), <[u8; END_BYTES]>::try_from(end)) else {
            return Opened::Forged;
        };
        let end_s = u64::from(u32::from_be_bytes(end)) * HOUR_S;
        match end_s.checked_sub(self.now_s()) {
            Some(left_s) if left_s > 0 => Opened::Media(MediaId(id), left_s),
            _ => Opened::Expired,
        }
    }

    /// The address that lets somebody in once.
    pub(crate) fn enter(&self, token: &str) -> String {
        format!("{}/enter/{token}", self.base)
    }

    /// Where files are handed over.
    pub(crate) fn upload(&self) -> String {
        format!("{}/upload", self.base)
    }

    /// The attachment that a text leads to which is one of our links from its first to its last character.
    pub(crate) fn follow(&self, link: &str) -> Option<MediaId> {
        let rest = link.strip_prefix(self.base.as_str())?.strip_prefix("/media/")?;
        let (token, name) = rest.split_once('/')?;
        // What is written behind a link is no part of it, and must not be taken for one.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        match self.open(token) {
            Opened::Media(media, _) => Some(media),
            Opened::Expired | Opened::Forged => None,
        }
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now().seconds()).unwrap_or(0)
    }

    fn tag(&self, signed: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"wxgate media link 1");
        context.update(signed);
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }
}

/// Compares in the same time wherever the difference is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// A file name that needs no escaping in an address, with its extension.
pub(crate) fn cleaned(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let clean = |part: &str| {
        let words: Vec<&str> = part.split(|c| !fits(c)).filter(|word| !word.is_empty()).collect();
        words.join("_")
    };
    // A dot further back is no extension, but part of a path or a sentence.
    let is_extension = |text: &str| text.len() <= 8 && text.chars().all(|c| c.is_ascii_alphanumeric());
    let parts = name.rsplit_once('.').filter(|(_, extension)| is_extension(extension));
    let (stem, extension) = parts.unwrap_or((name, ""));
    let stem: String = clean(stem).chars().take(NAME_BYTES - 9).collect();
    let stem = if stem.is_empty() { "file" } else { &stem };
    if extension.is_empty() { stem.to_owned() } else { format!("{stem}.{extension}") }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::Timestamp;

    use super::*;

    fn links(at_s: i64) -> Links {
        let clock = Arc::new(move || Timestamp(at_s * 1000));
        Links::new("http://h:1".to_owned(), &[7; 32], Duration::from_secs(2 * 3600), clock)
    }

    fn token(link: &str) -> String {
        link.split('/').nth(4).unwrap().to_owned()
    }

    const ID: MediaId = MediaId([9; 16]);

    #[test]
    fn a_link_opens_its_attachment_until_it_expires() {
        let link = links(1_700_000_000).write(ID, "照片 of me.JPG");
        assert!(link.starts_with("http://h:1/media/") && link.ends_with("/of_me.JPG"), "{link}");
        let token = token(&link);
        assert!(matches!(links(1_700_000_000).open(&token), Opened::Media(ID, left) if left >= 7200));
        assert!(matches!(links(1_700_007_199).open(&token), Opened::Media(ID, _)));
        assert_eq!(links(1_700_000_000 + 3 * 3600).open(&token), Opened::Expired);
    }

    #[test]
    fn only_a_whole_link_is_followed() {
        let links = links(1_700_000_000);
        for name in ["a.jpg", "报告.pdf", "", "-_"] {
            assert_eq!(links.follow(&links.write(ID, name)), Some(ID), "{name}");
        }
        let link = links.write(ID, "a.jpg");
        for more in [" who is it?", "\nsecond", "?x=1", "#x", "/b", "这", " ", &format!(" {link}")] {
            assert_eq!(links.follow(&format!("{link}{more}")), None, "{more:?}");
        }
        for other in [
            format!("see {link}"),
            link.replace("/a.jpg", ""),
            link.replace("/a.jpg", "/"),
            link.replace("h:1", "h:2"),
        ] {
            assert_eq!(links.follow(&other), None, "{other}");
        }
    }

    #[test]
    fn no_changed_token_opens_anything() {
        let links = links(1_700_000_000);
        let token = token(&links.write(ID, "a"));
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(
                    links.open(&URL_SAFE_NO_PAD.encode(changed)),
                    Opened::Forged,
                    "byte {at} bit {bit}"
                );
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(links.open(&URL_SAFE_NO_PAD.encode(&bytes[..length])), Opened::Forged);
        }
        for garbage in ["", "..", "=", "\u{1F600}", &"A".repeat(100_000)] {
            assert_eq!(links.open(garbage), Opened::Forged);
        }
        let clock = Arc::new(|| Timestamp(1_700_000_000_000));
        let other = Links::new(String::new(), &[8; 32], Duration::from_secs(60), clock);
        assert_eq!(other.open(&token), Opened::Forged);
    }

    #[test]
    fn names_are_safe_in_an_address() {
        for (name, wanted) in [
            ("", "file"),
            ("../../etc/passwd", "etc_passwd"),
            ("报告.pdf", "file.pdf"),
            ("a b\"c.tar.gz", "a_b_c_tar.gz"),
            (".bashrc", "file.bashrc"),
        ] {
            assert_eq!(cleaned(name), wanted, "{name:?}");
        }
        assert!(cleaned(&"x".repeat(1000)).len() <= NAME_BYTES);
    }
}
