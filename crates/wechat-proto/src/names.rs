//! Text as the service encodes it in names, titles and mottos.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{emoji::Corrections, text};

/// Text in the service's encoding: emoji spans and HTML entities inside.
///
/// There is no `Display`, so that the raw form cannot be shown by accident, and `Debug` prints only
/// a length, because it may be text of a user.
/// Source: the protocol sheet, section 4.2 (which fields) and section 7 (item 45).
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct WireText(String);

impl WireText {
    /// Wraps text as it came.
    #[must_use]
    pub fn from_raw(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// As it came.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// As people are to see it.
    #[must_use]
    pub fn decoded(&self) -> String {
        decode_name(&self.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for WireText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl From<&str> for WireText {
    fn from(raw: &str) -> Self {
        Self(raw.to_owned())
    }
}

impl<'de> Deserialize<'de> for WireText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::flex::string(deserializer).map(Self)
    }
}

/// Decodes a name: emoji spans, then entities once. A NUL is no part of what anybody is called, and databases refuse it.
///
/// Source: the protocol sheet, section 4.2 ("names … steps 3 and 4").
#[must_use]
pub fn decode_name(raw: &str) -> String {
    let mut name = text::decode_spans_and_entities(raw, Corrections::On);
    name.retain(|c| c != '\0');
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_45_names_lose_their_spans_and_entities() {
        assert_eq!(decode_name("Anna <span class=\"emoji emoji1f33a\"></span>"), "Anna 🌺");
        assert_eq!(decode_name("R&amp;D"), "R&D");
        assert_eq!(decode_name("&amp;lt;b&amp;gt;"), "&lt;b&gt;");
        assert_eq!(decode_name("plain"), "plain");
        assert_eq!(decode_name("An\0na"), "Anna");
    }

    #[test]
    fn a_name_is_not_printed() {
        assert_eq!(format!("{:?}", WireText::from("Anna")), "(4 bytes)");
    }
}
