//! The comparison of ledgers: what the service said, what the clients were shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::irc::Line;

/// One entry of the service's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// When, Unix microseconds, as exactly as the service tells.
    pub at_us: u64,
    /// `to_account` or `from_account`.
    pub way: String,
    /// The conversation.
    pub chat: String,
    /// Who spoke.
    pub from: String,
    /// `text`, `image`, ….
    pub kind: String,
    /// The words.
    pub text: String,
    /// The server's id.
    pub msg_id: u64,
    /// MD5 of the file, empty when there is none.
    pub media_md5: String,
    /// How often repeats of it were dropped.
    pub repeats: u64,
}

impl Entry {
    /// Reads an entry as the control API writes it.
    pub fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let at_ms = value["at_ms"].as_u64().unwrap_or_default();
        Self {
            at_ms,
            at_us: value["at_us"].as_u64().unwrap_or(at_ms * 1_000),
            way: text("way"),
            chat: text("chat"),
            from: text("from"),
            kind: text("kind"),
            text: text("text"),
            msg_id: number(&value["msg_id"]).unwrap_or_default(),
            media_md5: text("media_md5"),
            repeats: value["repeats"].as_u64().unwrap_or_default(),
        }
    }

    /// Whether a client said it.
    pub fn is_heard(&self) -> bool {
        self.way == "from_account"
    }
}

/// A number that may be written as a string, as 64-bit ids are.
pub fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// What a client was shown, over several connections.
#[derive(Debug, Default)]
pub struct Shown {
    /// Texts by target, in the order of their first showing.
    by_target: BTreeMap<String, Vec<String>>,
    known: HashSet<String>,
    /// Lines that came again with the same msgid after a reconnect.
    pub repeats: usize,
}

impl Shown {
    /// Takes in what one connection was shown. A msgid that comes twice on one connection is an
    /// error; one that an earlier connection brought is a permitted repeat.
    pub fn take<'a>(&mut self, said: impl Iterator<Item = &'a Line>) -> Result<()> {
        let mut here = HashSet::new();
        for line in said {
            let id = line.tag("msgid").to_owned();
            ensure!(!id.is_empty(), "a message without msgid: {line}");
            ensure!(here.insert(id.clone()), "the same msgid twice on one connection: {line}");
            if !self.known.insert(id) {
                self.repeats += 1;
                continue;
            }
            let target = if line.param(0).starts_with('#') { line.param(0) } else { &line.source.nick };
            self.by_target.entry(target.to_owned()).or_default().push(line.last().to_owned());
        }
        Ok(())
    }

    /// The msgids of everything that was shown.
    pub fn ids(&self) -> HashSet<String> {
        self.known.clone()
    }

    /// As [`Shown::check`], where texts of different chats may be equal: each chat of the ledger is
    /// found as one target with exactly its texts.
    pub fn check_texts(&self, label: &str, ledger: &[Entry], mark: &str) -> Result<usize> {
        let said = said(ledger, mark);
        let mut shown = self.marked(mark);
        ensure!(shown.len() == said.len(), "{label}: {} chats spoke, {} were shown", said.len(), shown.len());
        for (chat, texts) in &said {
            let found = shown.iter().position(|(_, shown)| shown == texts);
            let Some(found) = found else { bail!("{label}: chat {chat} was not shown as it was said") };
            shown.swap_remove(found);
        }
        Ok(said.values().map(Vec::len).sum())
    }

    /// All texts that begin with `mark`, per target.
    fn marked(&self, mark: &str) -> Vec<(&str, Vec<&str>)> {
        let targets = self.by_target.iter().map(|(target, texts)| {
            (
                target.as_str(),
                texts.iter().map(String::as_str).filter(|text| text.starts_with(mark)).collect(),
            )
        });
        targets.filter(|(_, texts): &(&str, Vec<&str>)| !texts.is_empty()).collect()
    }

    /// Checks that every text that the ledger says began with `mark` was shown exactly once, and in
    /// order within its chat. Returns how many there were.
    pub fn check(&self, label: &str, ledger: &[Entry], mark: &str) -> Result<usize> {
        let chats = said(ledger, mark);
        let shown = self.marked(mark);
        let mut count: HashMap<&str, usize> = HashMap::new();
        shown.iter().flat_map(|(_, texts)| texts).for_each(|text| *count.entry(text).or_default() += 1);
        let said: usize = chats.values().map(Vec::len).sum();
        let all = || chats.values().flatten();
        let missing: Vec<&&str> = all().filter(|text| !count.contains_key(**text)).collect();
        ensure!(
            missing.is_empty(),
            "{label}: {} of {said} lost, first: {:?}",
            missing.len(),
            missing.iter().take(5)
        );
        let twice: Vec<&&str> = all().filter(|text| count.get(**text).is_some_and(|n| *n > 1)).collect();
        ensure!(twice.is_empty(), "{label}: {} shown twice, first: {:?}", twice.len(), twice.iter().take(5));
        let total: usize = count.values().sum();
        ensure!(total == said, "{label}: {total} shown, but only {said} said");
        for (chat, texts) in &chats {
            if !shown.iter().any(|(_, shown)| shown == texts) {
                let near = shown.iter().find(|(_, shown)| shown.first() == texts.first());
                bail!("{label}: chat {chat} is out of order: said {texts:?}, shown {near:?}");
            }
        }
        Ok(said)
    }
}

/// What the service said that begins with `mark`, per chat.
fn said<'a>(ledger: &'a [Entry], mark: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut chats: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in ledger.iter().filter(|entry| !entry.is_heard() && entry.text.starts_with(mark)) {
        chats.entry(&entry.chat).or_default().push(&entry.text);
    }
    chats
}

#[cfg(test)]
mod tests {
    use super::{Entry, Shown};
    use crate::irc::Line;

    fn line(id: &str, nick: &str, text: &str) -> Line {
        Line::parse(&format!("@msgid={id} :{nick}!u@h PRIVMSG me :{text}"), 0)
    }

    fn entry(chat: &str, text: &str) -> Entry {
        Entry::read(&serde_json::json!({"way": "to_account", "chat": chat, "text": text}))
    }

    #[test]
    fn loss_doubles_and_disorder_are_found() {
        let ledger = [entry("c1", "m 0"), entry("c2", "m 9"), entry("c1", "m 1")];
        let check = |lines: &[Line]| {
            let mut shown = Shown::default();
            shown.take(lines.iter())?;
            shown.check("x", &ledger, "m ")
        };
        let (a, b, c) = (line("1", "A", "m 0"), line("2", "A", "m 1"), line("3", "B", "m 9"));
        assert!(matches!(check(&[a.clone(), b.clone(), c.clone()]), Ok(3)));
        assert!(check(&[a.clone(), c.clone()]).is_err_and(|e| e.to_string().contains("1 of 3 lost")));
        assert!(
            check(&[b.clone(), a.clone(), c.clone()]).is_err_and(|e| e.to_string().contains("out of order"))
        );
        let again = line("4", "A", "m 1");
        assert!(
            check(&[a.clone(), b.clone(), again, c.clone()]).is_err_and(|e| e.to_string().contains("twice"))
        );
        assert!(check(&[a.clone(), a, b, c]).is_err_and(|e| e.to_string().contains("same msgid twice")));
    }

    #[test]
    fn a_repeat_after_a_reconnect_is_counted_and_not_shown_again() {
        let mut shown = Shown::default();
        let lines = [line("1", "A", "m 0")];
        assert!(shown.take(lines.iter()).and_then(|()| shown.take(lines.iter())).is_ok());
        assert_eq!(shown.repeats, 1);
        assert!(matches!(shown.check("x", &[entry("c1", "m 0")], "m "), Ok(1)));
    }
}
