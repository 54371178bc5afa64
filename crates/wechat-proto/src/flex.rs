//! Reading JSON values whose type the service does not keep to.
//!
//! "string-or-number" fields, `null` for nothing, absent fields: all are accepted; a value of a
//! wrong kind becomes the empty one, so that one odd field cannot cost a whole contact list.
//! Source: the protocol sheet, sections 0.3, 2.1.4 and 7 (item 43).

use std::{collections::HashMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::json;

/// Implements the visitor methods for containers that stand where a plain value should.
macro_rules! containers_are {
    ($empty:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($empty)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($empty)
        }
    };
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a number")
    }
    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
    fn visit_string<E>(self, value: String) -> Result<String, E> {
        Ok(value)
    }
    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(if value { "1" } else { "0" }.to_owned())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(String::new())
    }
    containers_are!(String::new());
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or its text")
    }
    fn visit_str<E>(self, value: &str) -> Result<i64, E> {
        Ok(number(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }
    fn visit_u64<E>(self, value: u64) -> Result<i64, E> {
        Ok(i64::try_from(value).unwrap_or(i64::MAX))
    }
    fn visit_f64<E>(self, value: f64) -> Result<i64, E> {
        // `as` saturates and maps NaN to 0, which is what is wanted here.
        #[expect(clippy::cast_possible_truncation, reason = "saturating on purpose")]
        Ok(value as i64)
    }
    fn visit_bool<E>(self, value: bool) -> Result<i64, E> {
        Ok(i64::from(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<i64, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(0)
    }
    containers_are!(0);
}

/// A list in which each element that is an object has to be read, if `ALL`; else what cannot be read is left out.
struct ListVisitor<T, const ALL: bool>(PhantomData<T>);

impl<'de, T: DeserializeOwned, const ALL: bool> Visitor<'de> for ListVisitor<T, ALL> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_str<E>(self, _: &str) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_bool<E>(self, _: bool) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        // An element that is no object at all carries nothing that could be kept.
        while let Some(raw) = seq.next_element::<Box<RawValue>>()? {
            match read(&raw) {
                Ok(item) => list.push(item),
                Err(error) if ALL && raw.get().starts_with('{') => return Err(A::Error::custom(error)),
                Err(_) => {}
            }
        }
        Ok(list)
    }
    containers_are!(Vec::new());
}

/// Reads what was skipped over. Whoever skips does not look into strings, so what a strict reader does not take is
/// only seen here: half a surrogate pair, or the same name twice, of which the last one counts.
/// Source: the protocol sheet, section 7 (item 44).
pub(crate) fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.get()).or_else(|_| {
        let repaired = json::repaired(raw.get());
        serde_json::from_str(&repaired)
            .or_else(|_| serde_json::from_str::<Value>(&repaired).and_then(serde_json::from_value))
    })
}

/// The fields of an object whose values can be read, where the object as a whole cannot.
pub(crate) fn readable(raw: &RawValue) -> Map<String, Value> {
    let repaired = json::repaired(raw.get());
    // The values are skipped over first: of the same name twice the last one counts here too.
    let fields = serde_json::from_str::<HashMap<String, Box<RawValue>>>(&repaired).unwrap_or_default();
    fields.into_iter().filter_map(|(name, raw)| Some((name, read(&raw).ok()?))).collect()
}

fn number(text: &str) -> i64 {
    text.trim().parse().unwrap_or(0)
}

/// Text, or the text of a number; anything else is empty.
pub(crate) fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(TextVisitor)
}

/// A number, or text that is one; anything else is 0.
pub(crate) fn int<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(NumberVisitor)
}

/// A list; `null` and other things are the empty list, and what cannot be read in it is left out.
pub(crate) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(ListVisitor::<T, false>(PhantomData))
}

/// The same, where nothing may be lost.
///
/// # Errors
/// When an object in it cannot be read.
pub(crate) fn whole_list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(ListVisitor::<T, true>(PhantomData))
}

/// An object that may be `null` or something else, which is the default.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(read(&raw).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Default, Debug, PartialEq)]
    #[serde(default)]
    struct Sample {
        #[serde(deserialize_with = "string")]
        text: String,
        #[serde(deserialize_with = "int")]
        number: i64,
        #[serde(deserialize_with = "list")]
        list: Vec<Sample>,
        #[serde(deserialize_with = "whole_list")]
        whole: Vec<Sample>,
        #[serde(deserialize_with = "object")]
        object: Option<Box<Sample>>,
    }

    fn read(json: &str) -> Sample {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn item_43_numbers_and_texts_stand_for_each_other() {
        let sample = read(r#"{"text": 48213, "number": " -12 "}"#);
        assert_eq!((sample.text.as_str(), sample.number), ("48213", -12));
    }

    #[test]
    fn nothing_in_any_form_is_empty() {
        assert_eq!(read("{}"), Sample::default());
        assert_eq!(read(r#"{"text":null,"number":null,"list":null,"object":null}"#), Sample::default());
        assert_eq!(read(r#"{"text":{},"number":[1],"list":"","object":7}"#), Sample::default());
        assert_eq!(read(r#"{"text":[[]],"number":{"a":1},"list":{},"object":[]}"#).text, "");
    }

    #[test]
    fn a_bad_element_does_not_cost_the_list() {
        assert_eq!(read(r#"{"list":[{"number":1},"x",null,{"number":2}]}"#).list.len(), 2);
    }

    #[test]
    fn what_a_strict_reader_does_not_take_costs_nothing_that_stands_beside_it() {
        let odd = r#"{"text":"a\ud83d","number":1,"object":{"text":"\ude00b"}}"#;
        let twice = r#"{"text":"c","text":"d"}"#;
        let sample = read(&format!(r#"{{"list":[{odd},{twice}],"whole":[{odd},{twice}],"object":{odd}}}"#));
        let texts = |list: &[Sample]| list.iter().map(|sample| sample.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&sample.list), ["a\u{fffd}", "d"]);
        assert_eq!(texts(&sample.whole), ["a\u{fffd}", "d"]);
        assert_eq!(sample.list[0].object.as_ref().unwrap().text, "\u{fffd}b");
        assert_eq!(sample.object.unwrap().text, "a\u{fffd}");
    }

    #[test]
    fn where_nothing_may_be_lost_an_object_that_cannot_be_read_is_an_error() {
        let broken = r#"{"number":1e999}"#;
        assert_eq!(read(&format!(r#"{{"list":[{broken},{{}}]}}"#)).list.len(), 1);
        let whole = format!(r#"{{"whole":[{{}},{broken}]}}"#);
        assert!(serde_json::from_str::<Sample>(&whole).is_err());
        assert_eq!(read(r#"{"whole":["x",null,{}]}"#).whole.len(), 1);
    }

    #[test]
    fn a_number_beyond_the_range_saturates() {
        assert_eq!(read(r#"{"number":18446744073709551615}"#).number, i64::MAX);
        assert_eq!(read(r#"{"number":1e300}"#).number, i64::MAX);
    }
}
