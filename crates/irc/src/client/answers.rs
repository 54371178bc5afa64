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
    /// What was said is shown to us: one line, or several in a batch.
    pub(super) is_echo: bool,
    pub(super) error: Option<Refusal>,
}

/// What the server does not want to do, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) why: String,
    /// We may not use the command there at all: it is not for what this line would say.
    pub(super) is_of_command: bool,
    /// It is for this moment only.
    pub(super) passes: bool,
}

/// A numeric that refuses something: those from 400 on, too many channels and people in a short time (707), and
/// somebody who hears those only whom they know (716). Source: "Numerics" in Modern IRC; Solanum's and InspIRCd's 707
/// and 716.
pub(super) fn is_refusal(command: &str) -> bool {
    matches!(command, "707" | "716") || command.len() == 3 && command.starts_with(['4', '5'])
}

/// The chat of a line that the server dropped because it is flooded, which it tells by a sentence alone.
/// Source: `flood_attack_channel` and `flood_attack_client` of Solanum's `m_message.c`.
pub(super) fn flooded<'a>(message: &Message<'a>) -> Option<&'a str> {
    if message.command != "NOTICE" || message.source.is_some_and(|source| source.contains('!')) {
        return None;
    }
    message.param(1)?.strip_prefix("*** Message to ")?.strip_suffix(" throttled due to flooding")
}

impl Refusal {
    /// What a line refuses, if it does.
    fn read(message: &Message<'_>) -> Option<Self> {
        let is_error = message.command == "FAIL" || is_refusal(message.command);
        (is_error || flooded(message).is_some()).then(|| Self::of(message))
    }

    /// Source: IRCv3 standard-replies; draft/relaymsg, "Errors"; "Numerics" in Modern IRC (421: unknown; 482: for
    /// operators of the channel).
    pub(super) fn of(message: &Message<'_>) -> Self {
        let is_of_command = match message.command {
            "FAIL" => message.param(0) == Some("RELAYMSG") && message.param(1) != Some("INVALID_NICK"),
            numeric => matches!(numeric, "421" | "482"),
        };
        // 439 is the older number of 707 ("ERR_TARGETTOOFAST" of ircu and UnrealIRCd).
        let passes = matches!(message.command, "439" | "707" | "NOTICE");
        Self { why: message.params().last().copied().unwrap_or("").to_owned(), is_of_command, passes }
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
        let error = Refusal::read(message);
        let is_echo = message.command == "PRIVMSG" || message.command == "BATCH" && first.starts_with('+');
        let msgid = message.tags.get("msgid").map(Cow::into_owned);
        let batch = message.tags.get("batch");
        if let Some(answer) = batch.and_then(|batch| self.0.get_mut(&*batch)) {
            // The echo, and beside it perhaps that somebody is away.
            answer.msgid = answer.msgid.take().or(msgid);
            answer.is_echo |= is_echo;
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
        Told::Whole(Answer { label, msgid, is_echo, error })
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
    fn what_refuses_a_line_for_a_moment_is_told_from_what_refuses_it() {
        for (line, passes) in [
            (":irc.test 707 me #c :Targets changing too fast, message dropped", Some(true)),
            (":irc.test 439 me bob :Target change too fast. Please wait 20 seconds", Some(true)),
            (":irc.test NOTICE me :*** Message to #c throttled due to flooding", Some(true)),
            (":irc.test 716 me bob :is in +g mode (server-side ignore.)", Some(false)),
            (":irc.test 404 me #c :Cannot send to channel", Some(false)),
            (":bob!b@h NOTICE me :*** Message to #c throttled due to flooding", None),
            (":irc.test 717 me bob :has been informed that you messaged them.", None),
        ] {
            let refusal = Refusal::read(&Message::parse(line).unwrap());
            assert_eq!(refusal.map(|refusal| refusal.passes), passes, "{line}");
        }
    }

    #[test]
    fn an_answer_of_several_lines_is_read_to_its_end() {
        let mut answers = Answers::default();
        let mut read = |line: &str| answers.read(&Message::parse(line).unwrap());
        let whole = |msgid: Option<&str>, error: Option<&str>| {
            let error = error.map(|why| Refusal { why: why.to_owned(), ..Refusal::default() });
            let (msgid, is_echo) = (msgid.map(str::to_owned), msgid.is_some());
            Told::Whole(Answer { label: "w1".to_owned(), msgid, is_echo, error })
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
        assert_eq!(read("@label=w1 :irc.test ACK"), whole(None, None), "an answer, and no echo");
        read("@label=w1 :irc.test BATCH +a labeled-response");
        read("@batch=a :irc.test FAIL BATCH MULTILINE_MAX_LINES 3 :too long");
        assert_eq!(read(":irc.test BATCH -a"), whole(None, Some("too long")));
    }
}
