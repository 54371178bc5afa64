//! METADATA before the registration is done: what one says of oneself, and what one wants to hear, from the first
//! moment on. Source: IRCv3 draft/metadata-2 and draft/metadata-3, "before-connect".

use std::collections::{BTreeMap, BTreeSet};

use super::{Dialect, Fault, Hearer, MAX_KEYS, MAX_SUBS, VALUE_BYTES, is_key, values_line, word};
use crate::wire::casemap::is_same;
use crate::wire::numeric as n;

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Early {
    /// Without a value a key is taken away.
    pub(in crate::server) values: BTreeMap<String, Option<String>>,
    pub(in crate::server) subscribed: BTreeSet<String>,
}

impl Early {
    /// `METADATA * subcommand …`; the lines of the answer. A batch gets this reference, where the client takes one.
    pub(in crate::server) fn command(
        &mut self,
        params: &[&str],
        hearer: &Hearer<'_>,
        reference: Option<&str>,
    ) -> Vec<String> {
        let fails = |fault: Fault<'_>| vec![hearer.dialect.fault(hearer.server, fault)];
        let too_few = || vec![numeric(hearer, n::ERR_NEEDMOREPARAMS, "METADATA :Not enough parameters")];
        let [target, subcommand, keys @ ..] = params else { return too_few() };
        if *target != "*" && !is_same(target, hearer.nick) {
            return fails(Fault::Target(target, "Only your own before you are here"));
        }
        match (subcommand.to_ascii_uppercase().as_str(), keys) {
            ("SET" | "SUB" | "UNSUB" | "GET", []) => too_few(),
            ("SET", [key, rest @ ..]) => vec![self.set(hearer, target, key, rest.first().copied())],
            ("SUB", keys) => self.subscribe(hearer, keys),
            ("UNSUB", keys) => {
                self.subscribed.retain(|key| !keys.contains(&key.as_str()));
                vec![numeric(hearer, n::RPL_METADATAUNSUBOK, &keys.join(" "))]
            }
            ("SUBS", _) => {
                let lines = crate::server::hall::filled(self.subscribed.iter().cloned(), ' ', 400);
                let lines = lines.iter().map(|keys| numeric(hearer, n::RPL_METADATASUBS, keys));
                batched(hearer, reference, "metadata-subs", lines.collect())
            }
            ("GET", keys) => {
                let lines = keys.iter().map(|key| match self.values.get(*key) {
                    _ if !is_key(key) => hearer.dialect.fault(hearer.server, Fault::OneKey(key)),
                    value => written(hearer, target, key, value.and_then(Option::as_deref)),
                });
                batched(hearer, reference, &format!("metadata {}", word(target)), lines.collect())
            }
            ("LIST", _) => {
                let known = self.values.iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
                let lines = known.map(|(key, value)| written(hearer, target, key, Some(value)));
                batched(hearer, reference, &format!("metadata {}", word(target)), lines.collect())
            }
            ("CLEAR", _) => {
                let keys = std::mem::take(&mut self.values);
                let gone = keys.into_iter().filter(|(_, value)| value.is_some());
                let lines = gone.map(|(key, _)| written(hearer, target, &key, None));
                batched(hearer, reference, &format!("metadata {}", word(target)), lines.collect())
            }
            // There is nobody to be seen yet.
            ("SYNC", _) => vec![hearer.later(target)],
            _ => fails(Fault::Subcommand(subcommand)),
        }
    }

    fn set(&mut self, hearer: &Hearer<'_>, target: &str, key: &str, mut value: Option<&str>) -> String {
        if hearer.dialect == Dialect::Three {
            value = value.filter(|value| !value.is_empty());
        }
        let fault = if !is_key(key) {
            Some(Fault::Key(key))
        } else if value.is_some_and(|value| value.len() > VALUE_BYTES) {
            Some(Fault::Value(key))
        } else if self.values.len() >= MAX_KEYS && !self.values.contains_key(key) {
            Some(Fault::TooManyKeys(target))
        } else {
            None
        };
        if let Some(fault) = fault {
            return hearer.dialect.fault(hearer.server, fault);
        }
        self.values.insert(key.to_owned(), value.map(str::to_owned));
        written(hearer, target, key, value)
    }

    fn subscribe(&mut self, hearer: &Hearer<'_>, keys: &[&str]) -> Vec<String> {
        let room = MAX_SUBS.saturating_sub(self.subscribed.len());
        let (good, bad): (Vec<&str>, Vec<&str>) = keys.iter().partition(|key| is_key(key));
        let taken: Vec<&str> = good.iter().copied().take(room).collect();
        self.subscribed.extend(taken.iter().map(|key| (*key).to_owned()));
        let mut answer = Vec::new();
        if !taken.is_empty() {
            answer.push(numeric(hearer, n::RPL_METADATASUBOK, &taken.join(" ")));
        }
        let fault = |fault: Fault<'_>| hearer.dialect.fault(hearer.server, fault);
        answer.extend(bad.iter().map(|key| fault(Fault::OneKey(key))));
        answer.extend(good.get(taken.len()).map(|key| fault(Fault::TooManySubs(key))));
        answer
    }
}

fn numeric(hearer: &Hearer<'_>, code: u16, rest: &str) -> String {
    format!(":{} {code:03} {} {rest}", hearer.server, hearer.nick)
}

/// One value, as the answer to a question about it.
fn written(hearer: &Hearer<'_>, target: &str, key: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => numeric(hearer, n::RPL_KEYVALUE, &format!("{} {key} * :{value}", word(target))),
        None => numeric(hearer, n::RPL_KEYNOTSET, &format!("{} {key} :key not set", word(target))),
    }
}

fn batched(hearer: &Hearer<'_>, reference: Option<&str>, kind: &str, lines: Vec<String>) -> Vec<String> {
    let Some(reference) = reference else { return lines };
    let server = hearer.server;
    let first = format!(":{server} BATCH +{reference} {kind}");
    let inner = lines.iter().map(|line| values_line(reference, line));
    std::iter::once(first).chain(inner).chain([format!(":{server} BATCH -{reference}")]).collect()
}
