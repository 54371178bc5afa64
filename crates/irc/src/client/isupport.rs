//! What the network says about itself (005).
//!
//! Source: "RPL_ISUPPORT parameters" in Modern IRC.

use crate::wire::casemap;

/// How names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    Ascii,
    /// `[]\~` are the upper case of `{}|^`.
    Rfc1459,
    /// The same without `~` and `^`.
    Strict,
    Unicode,
}

/// What matters to us of 005.
#[derive(Clone, Debug)]
pub(super) struct Isupport {
    mapping: Mapping,
    pub(super) chan_types: String,
    /// The signs in front of names in 353.
    pub(super) signs: String,
    pub(super) nick_len: usize,
    pub(super) line_len: usize,
    /// Channels per JOIN.
    pub(super) joins: usize,
    pub(super) is_safe: bool,
    pub(super) utf8_only: bool,
    /// The user mode that marks bots.
    pub(super) bot: Option<char>,
    pub(super) has_monitor: bool,
    /// Lines that CHATHISTORY gives at most; unknown, or no limit, without one.
    pub(super) history: Option<usize>,
}

impl Default for Isupport {
    fn default() -> Self {
        Self {
            mapping: Mapping::Rfc1459,
            chan_types: "#&".to_owned(),
            signs: "~&@%+".to_owned(),
            nick_len: 9,
            line_len: 512,
            joins: 1,
            is_safe: false,
            utf8_only: false,
            bot: None,
            has_monitor: false,
            history: None,
        }
    }
}

impl Isupport {
    /// Takes the tokens of one 005, without our nick and the closing sentence.
    pub(super) fn take(&mut self, tokens: &[&str]) {
        for token in tokens {
            let (key, value) = token.split_once('=').unwrap_or((token, ""));
            match key {
                "CASEMAPPING" => {
                    self.mapping = match value {
                        "ascii" => Mapping::Ascii,
                        "rfc1459-strict" | "strict-rfc1459" => Mapping::Strict,
                        "rfc7613" | "rfc8265" | "precis" | "utf8" | "utf-8" => Mapping::Unicode,
                        _ => Mapping::Rfc1459,
                    }
                }
                "CHANTYPES" => value.clone_into(&mut self.chan_types),
                "PREFIX" => {
                    let signs = value.split_once(')').map_or("", |(_, signs)| signs);
                    signs.clone_into(&mut self.signs);
                }
                "NICKLEN" | "MAXNICKLEN" => set(&mut self.nick_len, value, 1, 100),
                "LINELEN" => set(&mut self.line_len, value, 512, 8192),
                "TARGMAX" => {
                    let of_join = value.split(',').find_map(|target| target.strip_prefix("JOIN:"));
                    if let Some(most) = of_join {
                        // Without a number there is no limit.
                        self.joins =
                            if most.is_empty() { 10 } else { most.parse().unwrap_or(1).clamp(1, 10) };
                    }
                }
                "SAFERATE" => self.is_safe = true,
                "UTF8ONLY" => self.utf8_only = true,
                "BOT" => self.bot = value.chars().next(),
                "MONITOR" => self.has_monitor = true,
                "CHATHISTORY" | "draft/CHATHISTORY" => {
                    self.history = value.parse().ok().filter(|most| *most > 0);
                }
                _ => {}
            }
        }
    }

    /// Nicks may be in any script.
    pub(super) fn takes_utf8_names(&self) -> bool {
        self.utf8_only || self.mapping == Mapping::Unicode
    }

    /// Names are compared in any script, so that none is refused for its own.
    pub(super) fn folds_unicode(&self) -> bool {
        self.mapping == Mapping::Unicode
    }

    /// The form under which names are compared.
    pub(super) fn fold(&self, name: &str) -> String {
        let special: &[(char, char)] = match self.mapping {
            Mapping::Unicode => return casemap::fold(name),
            Mapping::Ascii => &[],
            Mapping::Rfc1459 => &[('[', '{'), (']', '}'), ('\\', '|'), ('~', '^')],
            Mapping::Strict => &[('[', '{'), (']', '}'), ('\\', '|')],
        };
        let lower = |c: char| {
            special.iter().find(|(upper, _)| *upper == c).map_or(c.to_ascii_lowercase(), |(_, lower)| *lower)
        };
        name.chars().map(lower).collect()
    }

    /// `#c` of `@#c`: the channel of what only some of it are told.
    pub(super) fn without_signs<'a>(&self, target: &'a str) -> &'a str {
        target.trim_start_matches(|c: char| self.signs.contains(c) && !self.chan_types.contains(c))
    }

    pub(super) fn is_channel(&self, name: &str) -> bool {
        name.starts_with(|c: char| self.chan_types.contains(c))
    }
}

fn set(slot: &mut usize, value: &str, least: usize, most: usize) {
    if let Ok(number) = value.parse::<usize>() {
        *slot = number.clamp(least, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_network_does() {
        let mut support = Isupport::default();
        assert_eq!(support.fold("#A[b]~"), "#a{b}^");
        support.take(&["CASEMAPPING=ascii", "NICKLEN=30", "PREFIX=(ov)@+", "BOT=B", "TARGMAX=NAMES:1,JOIN:"]);
        assert_eq!(support.fold("#A[b]~"), "#a[b]~");
        assert_eq!(
            (support.nick_len, &*support.signs, support.bot, support.joins),
            (30, "@+", Some('B'), 10)
        );
        support.take(&["NICKLEN=999999", "SAFERATE", "LINELEN=x"]);
        assert_eq!((support.nick_len, support.is_safe, support.line_len), (100, true, 512));
    }
}
