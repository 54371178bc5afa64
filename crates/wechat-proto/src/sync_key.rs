//! The positions in the event stream.

use serde::{Deserialize, Serialize};

use crate::{flex, ret::RetCode};

/// One counter. Opaque; the order in the list matters. Source: the protocol sheet, section 2.12.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPair {
    /// Which counter.
    #[serde(deserialize_with = "flex::int")]
    pub key: i64,
    /// Its value.
    #[serde(deserialize_with = "flex::int")]
    pub val: i64,
}

/// A `SyncKey` or `SyncCheckKey`: sent back unchanged, in the order it came in.
///
/// Source: the protocol sheet, sections 2.12 and 3.9.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SyncKey {
    /// As the service said it.
    #[serde(deserialize_with = "flex::int")]
    pub count: i64,
    /// The counters in their order.
    #[serde(deserialize_with = "flex::list")]
    pub list: Vec<KeyPair>,
}

impl SyncKey {
    /// A key of these counters.
    #[must_use]
    pub fn new(list: Vec<KeyPair>) -> Self {
        Self { count: i64::try_from(list.len()).unwrap_or(i64::MAX), list }
    }

    /// Whether the key may be stored and sent: `Count` above 0 and something in the list.
    ///
    /// Source: the protocol sheet, section 2.12, rule 1: an error answer carries `Count` 0, and
    /// storing that makes every later `synccheck` fail or loop.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.count > 0 && !self.list.is_empty()
    }

    /// Takes over the key of an answer, if that answer succeeded and its key is usable.
    ///
    /// Says whether the key was replaced.
    pub fn adopt(&mut self, ret: RetCode, next: &Self) -> bool {
        let replaces = ret.is_ok() && next.is_usable();
        if replaces {
            self.clone_from(next);
        }
        replaces
    }

    /// The form in the query of `synccheck`: `1_600000101|2_600000202`.
    #[must_use]
    pub fn text(&self) -> String {
        let pairs: Vec<String> = self.list.iter().map(|pair| format!("{}_{}", pair.key, pair.val)).collect();
        pairs.join("|")
    }

    /// Reads [`SyncKey::text`] back; `None` if it is not of that form.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let pair = |part: &str| {
            let (key, val) = part.split_once('_')?;
            Some(KeyPair { key: key.parse().ok()?, val: val.parse().ok()? })
        };
        text.split('|').map(pair).collect::<Option<Vec<_>>>().map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> SyncKey {
        SyncKey::from_text(text).unwrap()
    }

    #[test]
    fn item_16_an_empty_key_or_one_of_an_error_answer_is_not_adopted() {
        let mut kept = key("1_5|2_6");
        assert!(!kept.adopt(RetCode::Ok, &SyncKey::default()));
        assert!(!kept.adopt(RetCode::SessionInvalid, &key("1_9")));
        let no_list = SyncKey { count: 3, list: Vec::new() };
        assert!(!kept.adopt(RetCode::Ok, &no_list));
        assert_eq!(kept.text(), "1_5|2_6");
        assert!(kept.adopt(RetCode::Ok, &key("1_7|2_6")));
        assert_eq!(kept.text(), "1_7|2_6");
    }

    #[test]
    fn the_example_of_the_sheet_has_this_text() {
        let json = r#"{"Count": 3, "List": [{"Key": 1, "Val": 600000101}, {"Key": 2, "Val": 600000202}, {"Key": 1000, "Val": 1699996401}]}"#;
        let key: SyncKey = serde_json::from_str(json).unwrap();
        assert_eq!(key.text(), "1_600000101|2_600000202|1000_1699996401");
    }

    #[test]
    fn what_is_no_key_is_not_read_as_one() {
        for text in ["1", "1_", "_1", "1_2|", "a_b", "1_2|x"] {
            assert_eq!(SyncKey::from_text(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_text_form_round_trips(pairs in proptest::collection::vec((0..i64::MAX, 0..i64::MAX), 0..20)) {
            let key = SyncKey::new(pairs.into_iter().map(|(key, val)| KeyPair { key, val }).collect());
            prop_assert_eq!(SyncKey::from_text(&key.text()), Some(key.clone()));
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<SyncKey>(&json).unwrap(), key);
        }
    }
}
