//! `wxgate chat resolve`: who the chats are that could not be recognised after a sign-in.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::{Globals, print, user};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The account
    name: String,
    /// Answer without being asked: the id of a question, and the chat it is (its id, or its number in the
    /// list), `new` or `later`
    #[arg(long = "answer", value_name = "ID=CANDIDATE|new|later")]
    answers: Vec<String>,
    /// Say why a chat is taken for who it is
    #[arg(long, value_name = "CHAT", conflicts_with = "answers")]
    why: Option<String>,
    /// Take the last decision about a chat back
    #[arg(long, value_name = "CHAT", conflicts_with_all = ["answers", "why"])]
    undo: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Question {
    id: String,
    title: String,
    candidates: Vec<Candidate>,
}

#[derive(Deserialize, Serialize)]
struct Candidate {
    chat: String,
    title: String,
    evidence: String,
}

#[derive(Deserialize, Serialize)]
struct Reason {
    why: String,
}

/// What somebody answers to a question.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Same(String),
    New,
    Later,
}

pub(super) async fn run(globals: &Globals, options: Options) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let account = format!("/api/v1/accounts/{}", segment(&options.name));
    if let Some(chat) = options.why {
        let path = format!("{account}/chats/{}/why", segment(&chat));
        let reason: Reason = client.call(Method::GET, &path, None).await?;
        if globals.json {
            print::json(&reason)
        } else {
            print::out(&print::tame(&reason.why))
        }
        return Ok(());
    }
    if let Some(chat) = options.undo {
        let path = format!("{account}/chats/{}/undo", segment(&chat));
        let _: Value = client.call(Method::POST, &path, Some(json!({}))).await?;
        user::done(globals, "Undone: whoever writes now has a chat of their own.");
        return Ok(());
    }
    let path = format!("{account}/questions");
    let questions: Vec<Question> = client.call(Method::GET, &path, None).await?;
    if !options.answers.is_empty() {
        // All are read before one is given: a slip changes nothing.
        let mut given = Vec::new();
        for text in &options.answers {
            given.push(answer(text, &questions).map_err(Failure::usage)?);
        }
        for (id, said) in given {
            tell(&client, &path, id, &said).await?;
        }
        user::done(globals, "Noted.");
        return Ok(());
    }
    if globals.json {
        print::json(&questions);
    } else if questions.is_empty() {
        print::out("There is nothing to settle: who is who is known in every chat that spoke.");
    } else if std::io::stdin().is_terminal() && print::is_terminal() {
        for question in &questions {
            print::out(&shown(question));
            let said = prompt(question)?;
            tell(&client, &path, &question.id, &said).await?;
        }
    } else {
        let texts: Vec<String> = questions.iter().map(shown).collect();
        print::out(&texts.join("\n"));
        print::out("Answer with: --answer ID=CANDIDATE, --answer ID=new");
    }
    Ok(())
}

async fn tell(client: &Client, path: &str, id: &str, said: &Said) -> Result<(), Failure> {
    let same_as = match said {
        Said::Later => return Ok(()),
        Said::New => None,
        Said::Same(chat) => Some(chat),
    };
    let _: Value = client.call(Method::POST, path, Some(json!({ "id": id, "same_as": same_as }))).await?;
    Ok(())
}

fn shown(question: &Question) -> String {
    let mut text = format!("Who is \"{}\"?  ({})", print::tame(&question.title), print::tame(&question.id));
    for (at, of) in question.candidates.iter().enumerate() {
        let (title, evidence) = (print::tame(&of.title), print::tame(&of.evidence));
        text.push_str(&format!("\n  {}  \"{title}\"  ({})\n     {evidence}", at + 1, print::tame(&of.chat)));
    }
    text.push_str("\n  A recalled message in that chat, by either side, would make it certain.");
    text
}

fn prompt(question: &Question) -> Result<Said, Failure> {
    loop {
        print!("Number, new, or later [later]: ");
        let flushed = std::io::stdout().flush();
        let mut line = String::new();
        let read = flushed.and_then(|()| std::io::stdin().lock().read_line(&mut line));
        let count = read.map_err(|error| Failure::environment(format!("cannot ask: {error}")))?;
        if count == 0 {
            return Ok(Said::Later);
        }
        match said(line.trim(), question) {
            Some(said) => return Ok(said),
            None => {
                print::out(&format!("Say a number from 1 to {}, new or later.", question.candidates.len()))
            }
        }
    }
}

fn said(text: &str, question: &Question) -> Option<Said> {
    match text {
        "" | "later" => return Some(Said::Later),
        "new" => return Some(Said::New),
        _ => {}
    }
    let by_number = || text.parse::<usize>().ok()?.checked_sub(1).and_then(|at| question.candidates.get(at));
    let candidate = question.candidates.iter().find(|of| of.chat == text).or_else(by_number)?;
    Some(Said::Same(candidate.chat.clone()))
}

/// Reads `ID=CANDIDATE|new|later`.
fn answer<'a>(text: &str, questions: &'a [Question]) -> Result<(&'a str, Said), String> {
    let Some((id, what)) = text.split_once('=') else {
        return Err(format!("--answer {text}: say ID=CANDIDATE, ID=new or ID=later"));
    };
    let Some(question) = questions.iter().find(|question| question.id == id) else {
        return Err(format!("--answer {text}: there is no open question {id}"));
    };
    match said(what, question) {
        Some(said) if !what.is_empty() => Ok((question.id.as_str(), said)),
        _ => Err(format!("--answer {text}: {what} is no candidate of {id}, nor new nor later")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> Vec<Question> {
        let candidate =
            |chat: &str| Candidate { chat: chat.into(), title: String::new(), evidence: String::new() };
        vec![Question {
            id: "p-q".into(),
            title: "x".into(),
            candidates: vec![candidate("p-a"), candidate("p-b")],
        }]
    }

    #[test]
    fn an_answer_names_a_candidate_by_id_or_number() {
        let questions = questions();
        let same = |chat: &str| Ok(("p-q", Said::Same(chat.into())));
        assert_eq!(answer("p-q=p-b", &questions), same("p-b"));
        assert_eq!(answer("p-q=1", &questions), same("p-a"));
        assert_eq!(answer("p-q=new", &questions), Ok(("p-q", Said::New)));
        assert_eq!(answer("p-q=later", &questions), Ok(("p-q", Said::Later)));
    }

    #[test]
    fn a_slip_is_named() {
        for (text, why) in [
            ("p-q", "say ID="),
            ("p-x=1", "no open question"),
            ("p-q=3", "no candidate"),
            ("p-q=0", "no candidate"),
            ("p-q=", "no candidate"),
        ] {
            let error = answer(text, &questions()).unwrap_err();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }
}
