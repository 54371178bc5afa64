//! The two drafts of METADATA that clients speak: what they call faults, and how they are told of values.
//!
//! Source: IRCv3 draft/metadata-2, and its revision draft/metadata-3, "Errata".

use crate::server::caps::Caps;
use crate::wire::message::Line;
use crate::wire::numeric as n;

use super::{MAX_KEYS, MAX_SUBS, word};

/// The draft that a client negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Dialect {
    Two,
    Three,
}

/// Why a command, or one key of it, came to nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) enum Fault<'a> {
    Key(&'a str),
    /// One key of several; the others are carried out.
    OneKey(&'a str),
    Subcommand(&'a str),
    Target(&'a str, &'static str),
    Value(&'a str),
    Permission(&'a str, &'a str),
    NotSet(&'a str, &'a str),
    TooManyKeys(&'a str),
    TooManySubs(&'a str),
}

impl Dialect {
    pub(in crate::server) fn of(caps: Caps) -> Self {
        if caps.has(Caps::METADATA_3) { Self::Three } else { Self::Two }
    }

    /// The standard reply.
    pub(in crate::server) fn fault(self, server: &str, fault: Fault<'_>) -> String {
        let (limit_keys, limit_subs) = (MAX_KEYS.to_string(), MAX_SUBS.to_string());
        let (verb, code, context, text) = match (self, fault) {
            (Self::Three, Fault::OneKey(key)) => ("WARN", "INVALID_KEY", vec![key], "This is no key"),
            (Self::Three, Fault::Key(key)) => ("FAIL", "INVALID_KEY", vec![key], "This is no key"),
            (Self::Two, Fault::Key(key) | Fault::OneKey(key)) => {
                ("FAIL", "KEY_INVALID", vec![key], "This is no key")
            }
            (Self::Three, Fault::Subcommand(word)) => {
                ("FAIL", "INVALID_PARAMS", vec![word], "There is no such subcommand")
            }
            (Self::Two, Fault::Subcommand(word)) => {
                ("FAIL", "SUBCOMMAND_INVALID", vec![word], "There is no such subcommand")
            }
            (_, Fault::Target(target, why)) => ("FAIL", "INVALID_TARGET", vec![target], why),
            (Self::Three, Fault::Value(key)) => ("FAIL", "INVALID_VALUE", vec![key], "The value is too long"),
            (Self::Two, Fault::Value(_)) => ("FAIL", "VALUE_INVALID", vec![], "The value is too long"),
            (_, Fault::Permission(target, key)) => {
                ("FAIL", "KEY_NO_PERMISSION", vec![target, key], "This is not yours to change")
            }
            (_, Fault::NotSet(target, key)) => {
                ("FAIL", "KEY_NOT_SET", vec![target, key], "The key is not set")
            }
            (Self::Three, Fault::TooManyKeys(target)) => {
                ("FAIL", "LIMIT_REACHED", vec!["SET", target, limit_keys.as_str()], "There are too many keys")
            }
            (Self::Two, Fault::TooManyKeys(target)) => {
                ("FAIL", "LIMIT_REACHED", vec![target], "There are too many keys")
            }
            (Self::Three, Fault::TooManySubs(key)) => (
                "FAIL",
                "LIMIT_REACHED",
                vec!["SUB", key, limit_subs.as_str()],
                "There are too many subscriptions",
            ),
            (Self::Two, Fault::TooManySubs(key)) => {
                ("FAIL", "TOO_MANY_SUBS", vec![key], "There are too many subscriptions")
            }
        };
        let line = Line::new().source(server).command(verb).param("METADATA").param(code);
        context.into_iter().fold(line, Line::param).last(text).build()
    }
}

/// Somebody who is told of values.
#[derive(Clone, Debug)]
pub(in crate::server) struct Hearer<'a> {
    pub(in crate::server) dialect: Dialect,
    pub(in crate::server) server: &'a str,
    pub(in crate::server) nick: &'a str,
}

impl<'a> Hearer<'a> {
    pub(in crate::server) fn new(caps: Caps, server: &'a str, nick: &'a str) -> Self {
        Self { dialect: Dialect::of(caps), server, nick }
    }

    /// One value: of whom, key, value; `None` when it is gone.
    pub(in crate::server) fn told(&self, target: &str, key: &str, value: Option<&str>) -> String {
        let Self { dialect, server, nick } = self;
        match (dialect, value) {
            (Dialect::Two, value) => {
                let line = Line::new().source(server).command("METADATA").param(target).param(key).param("*");
                value.map_or_else(|| line.clone().build(), |value| line.clone().last(value).build())
            }
            (Dialect::Three, Some(value)) => {
                let line = Line::new().source(server).command(&format!("{}", n::RPL_KEYVALUE)).param(nick);
                line.param(target).param(key).param("*").last(value).build()
            }
            (Dialect::Three, None) => {
                format!(":{server} {} {nick} {} {key} :key not set", n::RPL_KEYNOTSET, word(target))
            }
        }
    }

    /// Says that the values of a target are to be asked for, now or after so many seconds.
    pub(in crate::server) fn later(&self, target: &str) -> String {
        let Self { dialect, server, nick } = self;
        let line = format!(":{server} {} {nick} {}", n::RPL_METADATASYNCLATER, word(target));
        match dialect {
            Dialect::Two => line,
            Dialect::Three => format!("{line} 0 :Ask for it with SYNC"),
        }
    }
}
