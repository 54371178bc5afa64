//! What is asked about chats whose identity is open, and why a chat is taken for who it is.

use std::collections::HashMap;
use std::time::Duration;

use wxgate_contract::{Candidate, CommandError, Question};
use wxgate_identity::{Book, Why};

use super::{Settler, failed, open_of};
use crate::identity::shelf;

/// Chats that are looked through for those that spoke. Chosen: far more than a person reads.
const SPOKEN: usize = 1000;

impl Settler {
    /// The open questions about chats that spoke, the latest first; nothing is asked about the rest.
    pub(crate) async fn questions(&self) -> Result<Vec<Question>, CommandError> {
        let book = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let spoken = self.directory.spoken(&self.network, SPOKEN).await.map_err(failed)?;
        let mut questions = Vec::new();
        for chat in &spoken {
            let open = open_of(&book, chat.chat.as_str());
            if open.is_empty() {
                continue;
            }
            let mut candidates = Vec::with_capacity(open.len());
            for id in open {
                let title = self.title(id).await?;
                let mut words = evidence(&book, id, chat.chat.as_str());
                // Of two with one name, people know which they spoke to last.
                if let Some(last) = spoken.iter().find(|known| known.chat.as_str() == id) {
                    words.push_str(&format!("; last message {}", ago(self.live.now().since(last.at))));
                }
                candidates.push(Candidate { chat: id.as_str().into(), title, evidence: words });
            }
            let title = self.title(chat.chat.as_str()).await?;
            questions.push(Question { title, chat: chat.chat.clone(), candidates });
        }
        Ok(questions)
    }

    async fn title(&self, key: &str) -> Result<String, CommandError> {
        self.title_of(key).await.map_err(failed)
    }

    /// Why a chat is taken for who it is, in words.
    pub(crate) async fn why(&self, chat: &str) -> Result<String, CommandError> {
        let book = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let person = book.people.iter().find(|known| known.id == chat);
        let group = book.groups.iter().find(|known| known.id == chat);
        let (why, open, permanent, seen) = match (person, group) {
            (Some(known), _) => (known.why, known.open.len(), known.permanent, known.seen.login),
            (None, Some(known)) => (known.why, known.open.len(), known.permanent, known.seen.login),
            (None, None) => {
                return Err(CommandError::Refused("nothing is kept about that chat".to_owned()));
            }
        };
        if open > 0 {
            return Ok(format!("it is not settled who this is; {open} known before may be"));
        }
        let mut words = match why {
            None => "seen for the first time, or as you said".to_owned(),
            Some(why) if group.is_some() => group_words(&why),
            Some(why) => why.words(),
        };
        if permanent != 0 {
            words.push_str("; a message showed the permanent name");
        }
        if seen < book.login {
            words.push_str("; not in the present login's list");
        }
        Ok(words)
    }
}

/// How long ago something was, as people say it.
fn ago(past: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (count, unit) = match past.as_secs() {
        0..MINUTE => return "just now".to_owned(),
        seconds @ MINUTE..HOUR => (seconds / MINUTE, "minute"),
        seconds @ HOUR..DAY => (seconds / HOUR, "hour"),
        seconds => (seconds / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// What speaks for and against `was` being `now`.
fn evidence(book: &Book, was: &str, now: &str) -> String {
    let person = |id: &str| book.people.iter().find(|known| known.id == id);
    let group = |id: &str| book.groups.iter().find(|known| known.id == id);
    match (person(was), person(now), group(was), group(now)) {
        (Some(was), Some(now), ..) => {
            let groups = book.shared_groups(&was.id, &now.id);
            Why::between(&was.sight, &now.sight).sharing(groups).words()
        }
        (.., Some(was), Some(now)) => {
            let ids: HashMap<&str, ()> = was.members.iter().map(|member| (member.id.as_str(), ())).collect();
            let both = now.members.iter().filter(|member| ids.contains_key(member.id.as_str())).count();
            let title = if was.sight.title == now.sight.title { "the same name" } else { "another name" };
            format!("{title}, {both} of {} members", was.members.len())
        }
        _ => "nothing is kept to compare".to_owned(),
    }
}

fn group_words(why: &Why) -> String {
    let version = if why.version { "the record is untouched; " } else { "" };
    format!("{version}{} members in both lists", why.shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_say_them() {
        let seconds = [0, 59, 60, 3_599, 3_600, 7_200, 86_400, 40 * 86_400];
        let words = seconds.map(|seconds| ago(Duration::from_secs(seconds)));
        let expected = [
            "just now",
            "just now",
            "1 minute ago",
            "59 minutes ago",
            "1 hour ago",
            "2 hours ago",
            "1 day ago",
            "40 days ago",
        ];
        assert_eq!(words, expected);
    }
}
