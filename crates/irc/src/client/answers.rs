//! What the server answers to a line with a label: one line, or a batch of several.
//!
//! Source: IRCv3 labeled-response.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::wire::message::Message;

/// Answers of several lines that may be open at once. Chosen: a server gives them one after the other.
const OPEN: usize = 16;

/// The answer to a line of ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) label: String,
    /// The id of the echo.
    pub(super) msgid: Option<String>,
    pub(super) error: Option<Refusal>,
}

/// What the server does not want to do, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) why: String,
    /// We may not use the command there at all: it is not for what this line would say.
    pub(super) is_of_command: bool,
}

impl Refusal {
    /// Source: IRCv3 standard-replies; draft/relaymsg, "Errors"; "Numerics" in Modern IRC (421: unknown; 482: for
    /// operators of the channel).
    pub(super) fn of(message: &Message<'_>) -> Self {
        let is_of_command = match message.command {
            "FAIL" => message.param(0) == Some("RELAYMSG") && message.param(1) != Some("INVALID_NICK"),
            numeric => matches!(numeric, "421" | "482"),
        };
        Self { why: message.params().last().copied().unwrap_or("").to_owned(), is_of_command }
    }
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// No answer.
    Nothing,
    /// A part of one: more follows.
    Part,
    /// The last or only line of one.
    Whole(Answer),
}

/// Answers that are coming, by the reference of their batch.
#[derive(Default)]
pub(super) struct Answers(HashMap<String, Answer>);

impl Answers {
    pub(super) fn read(&mut self, message: &Message<'_>) -> Told {
        let first = message.param(0).unwrap_or("");
        if message.command == "BATCH"
            && let Some(answer) = first.strip_prefix('-').and_then(|ended| self.0.remove(ended))
        {
            return Told::Whole(answer);
        }
        let is_error = message.command == "FAIL"
            || (message.command.starts_with(['4', '5']) && message.command.len() == 3);
        let error = is_error.then(|| Refusal::of(message));
        let msgid = message.tags.get("msgid").map(Cow::into_owned);
        let batch = message.tags.get("batch");
        if let Some(answer) = batch.and_then(|batch| self.0.get_mut(&*batch)) {
            // The echo, and beside it perhaps that somebody is away.
            answer.msgid = answer.msgid.take().or(msgid);
            answer.error = answer.error.take().or(error);
            return Told::Part;
        }
        let Some(label) = message.tags.get("label").map(Cow::into_owned) else { return Told::Nothing };
        if message.command == "BATCH"
            && message.param(1) == Some("labeled-response")
            && self.0.len() < OPEN
            && let Some(reference) = first.strip_prefix('+')
        {
            self.0.insert(reference.to_owned(), Answer { label, ..Answer::default() });
            return Told::Part;
        }
        Told::Whole(Answer { label, msgid, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_command_is_told_from_one_of_a_line() {
        for (line, is_of_command) in [
            (":irc.test FAIL RELAYMSG PRIVS_NEEDED :You need to be an operator", true),
            (":irc.test FAIL RELAYMSG INVALID_NICK :Invalid nickname", false),
            (":irc.test 421 me RELAYMSG :Unknown command", true),
            (":irc.test 482 me #c :You are no channel operator", true),
            (":irc.test 404 me #c :Cannot send to channel", false),
            (":irc.test FAIL BATCH MULTILINE_MAX_LINES 3 :too long", false),
        ] {
            let refusal = Refusal::of(&Message::parse(line).unwrap());
            assert_eq!(refusal.is_of_command, is_of_command, "{line}");
            assert!(line.ends_with(&format!(" :{}", refusal.why)), "{line}");
        }
    }

    #[test]
    fn an_answer_of_several_lines_is_read_to_its_end() {
        let mut answers = Answers::default();
        let mut read = |line: &str| answers.read(&Message::parse(line).unwrap());
        let whole = |msgid: Option<&str>, error: Option<&str>| {
            let error = error.map(|why| Refusal { why: why.to_owned(), is_of_command: false });
            let msgid = msgid.map(str::to_owned);
            Told::Whole(Answer { label: "w1".to_owned(), msgid, error })
        };
        assert_eq!(read("@label=w1;msgid=m1 :me!u@h PRIVMSG #c :hi"), whole(Some("m1"), None));
        assert_eq!(read("@label=w1 :irc.test 404 me #c :no"), whole(None, Some("no")));
        assert_eq!(read(":irc.test 404 me #c :no"), Told::Nothing);
        // Somebody is away, and the echo is itself a batch.
        for part in [
            "@label=w1 :irc.test BATCH +a labeled-response",
            "@batch=a :irc.test 301 me bob :is away",
            "@batch=a;msgid=m2 :me!u@h BATCH +b draft/multiline bob",
        ] {
            assert_eq!(read(part), Told::Part, "{part}");
        }
        assert_eq!(read("@batch=b :me!u@h PRIVMSG bob :one"), Told::Nothing);
        assert_eq!(read("@batch=a :irc.test BATCH -b"), Told::Part);
        assert_eq!(read(":irc.test BATCH -a"), whole(Some("m2"), None));
        assert_eq!(read(":irc.test BATCH -a"), Told::Nothing);
        read("@label=w1 :irc.test BATCH +a labeled-response");
        read("@batch=a :irc.test FAIL BATCH MULTILINE_MAX_LINES 3 :too long");
        assert_eq!(read(":irc.test BATCH -a"), whole(None, Some("too long")));
    }
}
