//! Capabilities: what is offered, and the CAP command.
//!
//! Source: IRCv3 capability negotiation, version 302.

use std::borrow::Cow;

use super::metadata::{KEY_BYTES, MAX_KEYS, MAX_SUBS, VALUE_BYTES};
use super::names::cut_text;

/// What one client switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Caps(u64);

macro_rules! caps {
    ($($constant:ident = $bit:literal, $name:literal;)*) => {
        impl Caps {
            $(pub(super) const $constant: Self = Self(1 << $bit);)*
        }
        /// Every capability that works, by name.
        const OFFERED: &[(&str, Caps)] = &[$(($name, Caps::$constant)),*];
    };
}

caps! {
    SASL = 0, "sasl";
    CAP_NOTIFY = 1, "cap-notify";
    SERVER_TIME = 2, "server-time";
    MESSAGE_TAGS = 3, "message-tags";
    BATCH = 4, "batch";
    ECHO_MESSAGE = 5, "echo-message";
    LABELED_RESPONSE = 6, "labeled-response";
    MULTI_PREFIX = 7, "multi-prefix";
    USERHOST_IN_NAMES = 8, "userhost-in-names";
    EXTENDED_JOIN = 9, "extended-join";
    SETNAME = 10, "setname";
    ACCOUNT_TAG = 11, "account-tag";
    ACCOUNT_NOTIFY = 12, "account-notify";
    AWAY_NOTIFY = 13, "away-notify";
    CHGHOST = 14, "chghost";
    INVITE_NOTIFY = 15, "invite-notify";
    STANDARD_REPLIES = 16, "standard-replies";
    SELF_MESSAGE = 17, "znc.in/self-message";
    CHATHISTORY = 18, "draft/chathistory";
    EVENT_PLAYBACK = 19, "draft/event-playback";
    READ_MARKER = 20, "draft/read-marker";
    REDACTION = 21, "draft/message-redaction";
    MULTILINE = 22, "draft/multiline";
    NO_IMPLICIT_NAMES = 23, "draft/no-implicit-names";
    EXTENDED_MONITOR = 24, "extended-monitor";
    PRE_AWAY = 25, "draft/pre-away";
    EXTENDED_ISUPPORT = 26, "draft/extended-isupport";
    CHANNEL_RENAME = 27, "draft/channel-rename";
    BOUNCER = 28, "soju.im/bouncer-networks";
    BOUNCER_NOTIFY = 29, "soju.im/bouncer-networks-notify";
    METADATA_2 = 30, "draft/metadata-2";
    SEARCH = 31, "soju.im/search";
    METADATA_3 = 32, "draft/metadata-3";
}

/// Another name of a capability, from before its specification was finished or after.
const ALIASES: &[(&str, Caps)] =
    &[("draft/extended-monitor", Caps::EXTENDED_MONITOR), ("no-implicit-names", Caps::NO_IMPLICIT_NAMES)];

/// What stands behind the name of a capability for clients that understand values.
fn with_value(name: &str) -> Cow<'_, str> {
    match name {
        "draft/multiline" => format!("{name}=max-bytes={MULTILINE_BYTES},max-lines={MULTILINE_LINES}").into(),
        "draft/metadata-2" | "draft/metadata-3" => format!(
            "{name}=before-connect,max-subs={MAX_SUBS},max-keys={MAX_KEYS},max-key-bytes={KEY_BYTES},\
             max-value-bytes={VALUE_BYTES}"
        )
        .into(),
        name => name.into(),
    }
}

/// Bytes of one message in several lines, line breaks included. Chosen: what the gateway itself
/// joins of a text that a client cut, and eight times what WeChat takes in one send.
pub(super) const MULTILINE_BYTES: usize = 16_000;
/// Lines of one message. Chosen: more would fill a phone with one message.
pub(super) const MULTILINE_LINES: usize = 200;

impl Caps {
    /// No capability: everybody has it.
    pub(super) const NONE: Self = Self(0);
    /// One of the two drafts of METADATA. Follows from them and is no capability of its own.
    pub(super) const METADATA: Self = Self(1 << 63);

    /// True when all of `wanted` are on.
    pub(super) fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    fn set(&mut self, caps: Self, is_on: bool) {
        if is_on {
            self.0 |= caps.0;
        } else {
            self.0 &= !caps.0;
        }
    }

    /// With what follows from it; `None` for what does not go together. Source: IRCv3 draft/metadata-3.
    fn settled(mut self) -> Option<Self> {
        let (older, newer) = (self.has(Self::METADATA_2), self.has(Self::METADATA_3));
        self.set(Self::METADATA, older || newer);
        (!(older && newer)).then_some(self)
    }

    /// One message can be given to it as a batch of lines.
    pub(super) fn takes_multiline(self) -> bool {
        self.has(Self::MULTILINE) && self.has(Self::BATCH) && self.has(Self::MESSAGE_TAGS)
    }

    /// Lines of its own that it did not type are understood.
    pub(super) fn sees_own_lines(self) -> bool {
        self.has(Self::ECHO_MESSAGE) || self.has(Self::SELF_MESSAGE)
    }
}

/// What a CAP command asks of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CapEffect {
    /// Registration waits for CAP END.
    Hold,
    /// Registration may go on.
    Release,
    /// Nothing.
    None,
    /// No such subcommand: 410.
    Unknown(String),
}

/// Strict transport security: where TLS is spoken, and for how long clients shall insist on it.
///
/// Source: IRCv3 sts. The port matters to who came without TLS, the duration to who came with it; a
/// duration of 0 takes the policy back. It is for names that a certificate can hold: who connects from
/// this machine hears nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sts {
    port: Option<u16>,
    seconds: u32,
}

impl Sts {
    pub(super) fn new(port: Option<u16>, seconds: u32) -> Self {
        Self { port, seconds }
    }

    /// The value for one connection.
    pub(super) fn value(self, is_secure: bool) -> Option<String> {
        let Self { port, seconds } = self;
        match (is_secure, seconds) {
            (true, _) => Some(format!("duration={seconds}")),
            (false, 0) => None,
            (false, _) => port.map(|port| format!("port={port},duration={seconds}")),
        }
    }
}

/// One client's negotiation.
#[derive(Clone, Debug, Default)]
pub(super) struct Negotiation {
    pub(super) caps: Caps,
    /// The value of `sts` for this connection. It informs: nobody can ask for it.
    sts: Option<String>,
    /// The value of `sasl` for this connection.
    mechanisms: &'static str,
    /// The highest version it named; 302 and above understands values and gets cap-notify.
    version: u32,
}

/// Names per LS or LIST line stay below this many bytes, so that prefix and target fit as well.
const NAMES_BYTES: usize = 420;

impl Negotiation {
    /// At the beginning, with the values of `sts` and `sasl`.
    pub(super) fn new(sts: Option<String>, mechanisms: &'static str) -> Self {
        Self { sts, mechanisms, ..Self::default() }
    }

    /// Carries out `CAP params`; `reply` gets what stands behind `CAP <nick> `.
    pub(super) fn command(&mut self, params: &[&str], reply: &mut Vec<String>) -> CapEffect {
        let subcommand = params.first().copied().unwrap_or("").to_ascii_uppercase();
        match subcommand.as_str() {
            "LS" => {
                let version = params.get(1).and_then(|v| v.parse().ok()).unwrap_or(0);
                self.version = self.version.max(version);
                if self.version >= 302 {
                    self.caps.set(Caps::CAP_NOTIFY, true);
                }
                let with_values = self.version >= 302;
                let mechanisms = self.mechanisms;
                let names = OFFERED.iter().chain(ALIASES).map(|(name, _)| match with_values {
                    true if *name == "sasl" => format!("{name}={mechanisms}").into(),
                    true => with_value(name),
                    false => Cow::Borrowed(*name),
                });
                let sts = self.sts.iter().filter(|_| with_values).map(|value| format!("sts={value}").into());
                list("LS", names.chain(sts), with_values, reply);
                CapEffect::Hold
            }
            "LIST" => {
                let on = OFFERED
                    .iter()
                    .filter(|(_, cap)| self.caps.has(*cap))
                    .map(|(name, _)| Cow::Borrowed(*name));
                list("LIST", on, self.version >= 302, reply);
                CapEffect::None
            }
            "REQ" => {
                let wanted = params.get(1).copied().unwrap_or("").trim();
                match self.requested(wanted) {
                    Some(caps) => {
                        self.caps = caps;
                        // With our name in front the longest request does not fit one line.
                        let lines = filled(wanted.split_ascii_whitespace().map(Cow::Borrowed));
                        reply.extend(lines.into_iter().map(|line| format!("ACK :{line}")));
                    }
                    None => reply.push(format!("NAK :{}", cut_text(wanted, NAMES_BYTES))),
                }
                CapEffect::Hold
            }
            "END" => CapEffect::Release,
            _ => CapEffect::Unknown(params.first().map_or_else(|| "*".to_owned(), |s| (*s).to_owned())),
        }
    }

    /// All of it, or nothing.
    fn requested(&self, wanted: &str) -> Option<Caps> {
        let mut caps = self.caps;
        for word in wanted.split_ascii_whitespace() {
            let (name, is_on) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            let (_, cap) = OFFERED.iter().chain(ALIASES).find(|(offered, _)| *offered == name)?;
            if !is_on && *cap == Caps::CAP_NOTIFY && self.version >= 302 {
                // Source: IRCv3 capability negotiation: 302 clients cannot switch cap-notify off.
                return None;
            }
            caps.set(*cap, is_on);
        }
        caps.settled()
    }
}

/// Names in lines that fit, one line at least.
fn filled<'a>(names: impl Iterator<Item = Cow<'a, str>>) -> Vec<String> {
    let mut lines = vec![String::new()];
    for name in names {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&name),
            Some(line) if line.len() + 1 + name.len() <= NAMES_BYTES => {
                line.push(' ');
                line.push_str(&name);
            }
            _ => lines.push(name.into_owned()),
        }
    }
    lines
}

/// One line, or several where the client understands that. An old client gets the beginning of the
/// list, which is in order of worth.
fn list<'a>(
    subcommand: &str,
    names: impl Iterator<Item = Cow<'a, str>>,
    may_continue: bool,
    reply: &mut Vec<String>,
) {
    let mut lines = filled(names);
    if !may_continue {
        lines.truncate(1);
    }
    let count = lines.len();
    for (at, line) in lines.into_iter().enumerate() {
        let more = if at + 1 < count { "* " } else { "" };
        reply.push(format!("{subcommand} {more}:{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(negotiation: &mut Negotiation, params: &[&str]) -> (Vec<String>, CapEffect) {
        let mut reply = Vec::new();
        let effect = negotiation.command(params, &mut reply);
        (reply, effect)
    }

    #[test]
    fn values_are_for_302_only() {
        let (old, _) = run(&mut Negotiation::default(), &["LS"]);
        assert_eq!(old.len(), 1);
        assert!(old[0].starts_with("LS :sasl cap-notify"), "{old:?}");
        let (new, effect) = run(&mut Negotiation::new(None, "PLAIN,EXTERNAL"), &["ls", "302"]);
        assert!(new.join(" ").contains("sasl=PLAIN,EXTERNAL "));
        assert_eq!(effect, CapEffect::Hold);
    }

    #[test]
    fn transport_security_informs_and_cannot_be_asked_for() {
        let sts = |is_secure| Sts::new(Some(6697), 300).value(is_secure);
        assert_eq!(sts(false).as_deref(), Some("port=6697,duration=300"));
        assert_eq!(sts(true).as_deref(), Some("duration=300"));
        assert_eq!(Sts::new(None, 300).value(false), None, "without TLS there is nothing to insist on");
        assert_eq!(Sts::new(Some(6697), 0).value(false), None);
        assert_eq!(Sts::new(Some(6697), 0).value(true).as_deref(), Some("duration=0"));
        let mut negotiation = Negotiation::new(sts(false), "PLAIN");
        assert!(!run(&mut negotiation, &["LS"]).0.join(" ").contains("sts"));
        assert!(run(&mut negotiation, &["LS", "302"]).0.join(" ").ends_with(" sts=port=6697,duration=300"));
        assert_eq!(run(&mut negotiation, &["REQ", "sts"]).0, ["NAK :sts"]);
    }

    #[test]
    fn a_request_is_granted_whole_or_refused_whole() {
        let mut negotiation = Negotiation::default();
        assert_eq!(run(&mut negotiation, &["REQ", "batch nonsense"]).0, ["NAK :batch nonsense"]);
        assert!(!negotiation.caps.has(Caps::BATCH));
        assert_eq!(run(&mut negotiation, &["REQ", "batch server-time "]).0, ["ACK :batch server-time"]);
        assert_eq!(run(&mut negotiation, &["REQ", "-batch"]).0, ["ACK :-batch"]);
        let long = "server-time ".repeat(45);
        let lines = run(&mut negotiation, &["REQ", &long]).0;
        assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("ACK :server-time ")));
        assert_eq!(run(&mut negotiation, &["LIST"]).0, ["LIST :server-time"]);
        assert_eq!(run(&mut negotiation, &["END"]).1, CapEffect::Release);
        assert_eq!(run(&mut negotiation, &["FOO"]).1, CapEffect::Unknown("FOO".to_owned()));
    }

    #[test]
    fn of_two_drafts_a_client_has_one() {
        let mut negotiation = Negotiation::default();
        let mut ask = |what: &str| run(&mut negotiation, &["REQ", what]).0.remove(0);
        assert_eq!(ask("draft/metadata-2 draft/metadata-3"), "NAK :draft/metadata-2 draft/metadata-3");
        assert_eq!(ask("draft/metadata-2"), "ACK :draft/metadata-2");
        assert_eq!(ask("draft/metadata-3"), "NAK :draft/metadata-3");
        assert_eq!(ask("-draft/metadata-2 draft/metadata-3"), "ACK :-draft/metadata-2 draft/metadata-3");
        assert_eq!(run(&mut negotiation, &["LIST"]).0, ["LIST :draft/metadata-3"]);
        assert!(negotiation.caps.has(Caps::METADATA));
        run(&mut negotiation, &["REQ", "-draft/metadata-3"]);
        assert_eq!(negotiation.caps, Caps::NONE);
    }

    #[test]
    fn a_long_list_takes_several_lines() {
        let mut reply = Vec::new();
        let names: Vec<String> = (0..60).map(|n| format!("vendor/capability-{n}")).collect();
        list("LS", names.iter().map(|name| name.as_str().into()), true, &mut reply);
        assert!(reply.len() > 1 && reply.iter().all(|line| line.len() < 480));
        assert!(reply.iter().rev().skip(1).all(|line| line.starts_with("LS * :")));
        assert!(reply.last().unwrap().starts_with("LS :"));
        let mut reply = Vec::new();
        list("LS", names.iter().map(|name| name.as_str().into()), false, &mut reply);
        assert!(matches!(reply.as_slice(), [line] if line.len() < 480 && line.starts_with("LS :vendor")));
    }
}
