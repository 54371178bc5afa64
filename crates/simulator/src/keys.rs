//! `SyncKey` and `SyncCheckKey`: a position in an account's events, dressed as the service dresses it.
//!
//! Both keys say the same position and differ in key 201, so that a client that swaps them is noticed.
//! Source: the protocol sheet, sections 2.12, 3.9 and 8.16.

use serde::Serialize;
use serde_json::Value;

const MESSAGE_BASE: u64 = 600_000_202;
const TIME_BASE: u64 = 1_700_000_010;

/// Which of the two keys a client presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Sync,
    Check,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pair {
    key: u32,
    val: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyObject {
    count: usize,
    list: Vec<Pair>,
}

impl KeyObject {
    /// What error answers carry.
    pub(crate) fn empty() -> Self {
        Self { count: 0, list: Vec::new() }
    }

    pub(crate) fn at(position: u64, which: Which) -> Self {
        let list: Vec<Pair> =
            values(position, which).into_iter().map(|(key, val)| Pair { key, val }).collect();
        Self { count: list.len(), list }
    }
}

fn values(position: u64, which: Which) -> [(u32, u64); 8] {
    [
        (1, 600_000_101),
        (2, MESSAGE_BASE + position),
        (3, 600_000_303),
        (11, 600_000_404),
        (13, 600_000_505),
        (201, TIME_BASE + 2 * position + u64::from(which == Which::Check)),
        (1000, 1_699_996_401),
        (1001, 1_699_996_472),
    ]
}

fn read(pairs: &[(u64, u64)]) -> Option<(u64, Which)> {
    let position = pairs.iter().find(|(key, _)| *key == 2)?.1.checked_sub(MESSAGE_BASE)?;
    [Which::Sync, Which::Check]
        .into_iter()
        .find(|which| {
            pairs
                .iter()
                .copied()
                .eq(values(position, *which).into_iter().map(|(key, val)| (u64::from(key), val)))
        })
        .map(|which| (position, which))
}

/// Reads the `synckey` parameter: `1_600000101|2_600000202|…`.
pub(crate) fn from_text(text: &str) -> Option<(u64, Which)> {
    let pairs: Option<Vec<(u64, u64)>> = text
        .split('|')
        .map(|pair| {
            let (key, val) = pair.split_once('_')?;
            Some((key.parse().ok()?, val.parse().ok()?))
        })
        .collect();
    read(&pairs?)
}

/// Reads the `SyncKey` object of a body.
pub(crate) fn from_json(value: &Value) -> Option<(u64, Which)> {
    let list = value.get("List")?.as_array()?;
    if value.get("Count")?.as_u64()? != list.len() as u64 {
        return None;
    }
    let pairs: Option<Vec<(u64, u64)>> =
        list.iter().map(|pair| Some((pair.get("Key")?.as_u64()?, pair.get("Val")?.as_u64()?))).collect();
    read(&pairs?)
}

#[cfg(test)]
mod tests {
    use super::{KeyObject, Which, from_json, from_text};

    #[test]
    fn keys_lead_back_to_their_position_and_differ() {
        for which in [Which::Sync, Which::Check] {
            let value = serde_json::to_value(KeyObject::at(41, which)).unwrap();
            assert_eq!(from_json(&value), Some((41, which)));
        }
        assert_eq!(
            from_text(
                "1_600000101|2_600000203|3_600000303|11_600000404|13_600000505|201_1700000012|1000_1699996401|1001_1699996472"
            ),
            Some((1, Which::Sync))
        );
        assert_eq!(from_text("1_2"), None);
        assert_eq!(from_text(""), None);
    }
}
