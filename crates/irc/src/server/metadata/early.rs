//! METADATA before the registration is done: what one says of oneself, and what one wants to hear, from the first
//! moment on. Source: IRCv3 draft/metadata-2, "before-connect".

use std::collections::{BTreeMap, BTreeSet};

use super::{MAX_KEYS, MAX_SUBS, VALUE_BYTES, is_key, word};
use crate::wire::casemap::is_same;
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Early {
    /// Without a value a key is taken away.
    pub(in crate::server) values: BTreeMap<String, Option<String>>,
    pub(in crate::server) subscribed: BTreeSet<String>,
}

impl Early {
    /// `METADATA * subcommand …`; the lines of the answer.
    pub(in crate::server) fn command(&mut self, params: &[&str], server: &str, nick: &str) -> Vec<String> {
        let fails = |code: &str, context: &str, text: &str| {
            let line = Line::new().source(server).command("FAIL").param("METADATA").param(code);
            vec![line.param(context).last(text).build()]
        };
        let numeric = |code: u16, rest: &str| format!(":{server} {code:03} {nick} {rest}");
        let [target, subcommand, keys @ ..] = params else {
            return vec![numeric(n::ERR_NEEDMOREPARAMS, "METADATA :Not enough parameters")];
        };
        if *target != "*" && !is_same(target, nick) {
            return fails("INVALID_TARGET", target, "Only your own before you are here");
        }
        let shown = word(target);
        match (subcommand.to_ascii_uppercase().as_str(), keys) {
            ("SET", [key, ..]) if !is_key(key) => fails("KEY_INVALID", key, "This is no key"),
            ("SET", [_, value, ..]) if value.len() > VALUE_BYTES => {
                vec![format!(":{server} FAIL METADATA VALUE_INVALID :The value is too long")]
            }
            ("SET", [key, ..]) if self.values.len() >= MAX_KEYS && !self.values.contains_key(*key) => {
                fails("LIMIT_REACHED", target, "There are too many keys")
            }
            ("SET", [key, rest @ ..]) => {
                let value = rest.first().map(|value| (*value).to_owned());
                let answer = match &value {
                    Some(value) => numeric(n::RPL_KEYVALUE, &format!("{shown} {key} * :{value}")),
                    None => numeric(n::RPL_KEYNOTSET, &format!("{shown} {key} :key not set")),
                };
                self.values.insert((*key).to_owned(), value);
                vec![answer]
            }
            ("SUB", keys @ [_, ..]) => {
                let room = MAX_SUBS.saturating_sub(self.subscribed.len());
                let (good, bad): (Vec<&str>, Vec<&str>) = keys.iter().partition(|key| is_key(key));
                let taken: Vec<&str> = good.iter().copied().take(room).collect();
                self.subscribed.extend(taken.iter().map(|key| (*key).to_owned()));
                let mut answer = Vec::new();
                if !taken.is_empty() {
                    answer.push(numeric(n::RPL_METADATASUBOK, &taken.join(" ")));
                }
                answer.extend(bad.iter().flat_map(|key| fails("KEY_INVALID", key, "This is no key")));
                let rest = good.get(taken.len()..).unwrap_or_default().iter();
                answer.extend(
                    rest.flat_map(|key| fails("TOO_MANY_SUBS", key, "There are too many subscriptions")),
                );
                answer
            }
            ("UNSUB", keys @ [_, ..]) => {
                self.subscribed.retain(|key| !keys.contains(&key.as_str()));
                vec![numeric(n::RPL_METADATAUNSUBOK, &keys.join(" "))]
            }
            ("SET" | "SUB" | "UNSUB", []) => {
                vec![numeric(n::ERR_NEEDMOREPARAMS, "METADATA :Not enough parameters")]
            }
            _ => fails("SUBCOMMAND_INVALID", subcommand, "Only SET, SUB and UNSUB before you are here"),
        }
    }
}
