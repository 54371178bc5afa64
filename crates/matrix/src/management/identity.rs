//! Chats of which it is not settled who they are: asked about, answered, explained, taken back.
//! The words are those of the IRC server's service.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use wxgate_contract::{
    Answer as Told, ChatRef, Command, Health, NetworkId, Note, Question as Open, Reply, Request, UserName,
};

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::names::hex;
use crate::shared::Shared;
use crate::speak::{Utterance, derived_txn_id};
use crate::trouble::Trouble;

/// Questions shown at once: the most active chats come first, and the rest can wait. Chosen.
const SHOWN: usize = 20;
/// People whose numbers are remembered. Chosen: those who settle such things within one evening;
/// beyond it everybody asks for their list again.
const PEOPLE: usize = 1024;

/// What the numbers mean that somebody was shown last.
#[derive(Default)]
pub(crate) struct Shown {
    // Locked for the length of a lookup.
    by_person: Mutex<HashMap<String, Vec<(NetworkId, Open)>>>,
}

impl Shown {
    fn put(&self, who: &str, questions: Vec<(NetworkId, Open)>) {
        let mut shown = self.by_person.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= PEOPLE && !shown.contains_key(who) {
            shown.clear();
        }
        shown.insert(who.to_owned(), questions);
    }

    fn get(&self, who: &str, number: &str) -> Option<(NetworkId, Open)> {
        let shown = self.by_person.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(who)?.get(place(number)?).cloned()
    }
}

/// Numbers begin with one.
fn place(number: &str) -> Option<usize> {
    number.trim_end_matches(['.', ')']).parse::<usize>().ok()?.checked_sub(1)
}

impl Shared {
    /// The open questions of all accounts of whoever asks.
    pub(super) async fn show_questions(&self, question: &Question) -> Result<Answer, No> {
        let sender = &question.addressed.sender;
        let (user, accounts) = self.accounts_of(sender).await?;
        let mut open = Vec::new();
        for view in &accounts {
            // An account that is not there now has its say later.
            if let Ok(Told::Questions(asked)) = self.ask(&user, &view.network, Request::Questions).await {
                open.extend(asked.into_iter().map(|asked| (view.network.clone(), asked)));
            }
        }
        let all = open.len();
        open.truncate(SHOWN);
        if open.is_empty() {
            self.shown.put(sender, open);
            return no("There is nothing to settle: I know who is who in every chat that spoke.");
        }
        let mut answer = Answer::of("It is not settled who these are:");
        for (at, (account, asked)) in open.iter().enumerate() {
            answer = answer.line().strong(&format!("{}. {}", at + 1, asked.title));
            if accounts.len() > 1 {
                answer = answer.text(&format!(" ({})", account.name()));
            }
            for (of, candidate) in asked.candidates.iter().enumerate() {
                let chat = ChatRef { network: account.clone(), chat: candidate.chat.clone() };
                answer = answer.item().text(&format!("{}) ", of + 1));
                // Two people may have one name; their rooms differ.
                answer = match self.memory.room_of(&chat).await? {
                    Some(room) => answer.link(&room.room_id, &candidate.title),
                    None => answer.strong(&candidate.title),
                };
                answer = answer.text(&format!(": {}", candidate.evidence));
            }
        }
        answer = answer.line();
        if all > SHOWN {
            answer = answer.text(&format!("And {} more. ", all - SHOWN));
        }
        self.shown.put(sender, open);
        let answer = answer.text("Say ").code("same <question> <candidate>").text(" or ");
        let answer = answer.code("new <question>").text(", by their numbers. ");
        Ok(answer.text("A recalled message in that chat, by either side, would make it certain."))
    }

    /// Tells the owner of an account that is online, once of each, that it is not settled who some chats are.
    pub(crate) async fn point_out_questions(&self, account: &NetworkId) -> Result<(), Trouble> {
        let owner = self.owners.id_of_owner(account).await?.unwrap_or_default();
        let Some(desk) = self.memory.desks.get(&self.memory, &owner).await? else { return Ok(()) };
        let health = self.owners.fresh(account).await?.map(|view| view.health);
        if !matches!(health, Some(Health::Up | Health::Limited { .. })) {
            return Ok(());
        }
        let command = Command::Ask { account: account.clone(), request: Request::Questions };
        // One that is away again is asked when it is back.
        let Ok(Reply::Answer(Told::Questions(open))) = self.control.run(None, command).await else {
            return Ok(());
        };
        let mut chats: Vec<String> = open.iter().map(|open| hex(open.chat.as_str().as_bytes())).collect();
        chats.sort_unstable();
        let key = format!("asked/{account}");
        let told = self.memory.read(&key).await?.unwrap_or_default();
        let told: BTreeSet<&str> = std::str::from_utf8(&told).unwrap_or_default().split(' ').collect();
        if chats.iter().all(|chat| told.contains(chat.as_str())) {
            return Ok(());
        }
        let chats = chats.join(" ");
        let answer = Answer::of("After the new sign-in of ").strong(account.name());
        let answer =
            answer.text(&format!(" it is not settled who is who in {} of its chats; say ", open.len()));
        let content = answer.code("identity").text(" to see them.").content();
        let txn_id = derived_txn_id(&["asked", account.as_str(), &chats]);
        self.say_as_bot(&desk, &Utterance { kind: "m.room.message", content, txn_id, at: None }).await?;
        let note = Note { key, value: Some(chats.into()), is_secret: false };
        Ok(self.memory.save(vec![note]).await?)
    }

    /// Says who an unsettled chat is: one of the candidates, or somebody new.
    pub(super) async fn settle(&self, question: &Question, wish: &Wish, is_new: bool) -> Result<Answer, No> {
        let sender = &question.addressed.sender;
        let mut words = wish.words();
        let number = words.next().unwrap_or_default();
        let Some((account, open)) = self.shown.get(sender, number) else {
            let answer = Answer::of("I showed you no question of that number; say ");
            return Err(No::Because(answer.code("identity").text(" to see them.")));
        };
        let same_as = match (is_new, words.next().and_then(place).and_then(|at| open.candidates.get(at))) {
            (true, _) => None,
            (false, Some(candidate)) => Some(candidate.chat.clone()),
            (false, None) => return no("That question has no candidate of that number."),
        };
        let (user, _) = self.accounts_of(sender).await?;
        self.ask(&user, &account, Request::Resolve { chat: open.chat.clone(), same_as }).await?;
        Ok(match is_new {
            true => Answer::of("Noted: ").strong(&open.title).text(" is somebody new."),
            false => Answer::of("Noted; what was said meanwhile is in the right chat now."),
        })
    }

    /// Why a chat is taken for who it is.
    pub(super) async fn why(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (user, chat, name) = self.meant(question, wish, "why").await?;
        match self.ask(&user, &chat.network, Request::Why(chat.chat.clone())).await? {
            Told::Text(words) => Ok(Answer::default().strong(&name).text(&format!(": {words}"))),
            _ => no("The account gave no answer."),
        }
    }

    /// Takes the last decision about a chat back.
    pub(super) async fn undo(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (user, chat, name) = self.meant(question, wish, "undo").await?;
        self.ask(&user, &chat.network, Request::Undo(chat.chat.clone())).await?;
        let answer = Answer::of("Undone: whoever writes now has a chat of their own, ");
        Ok(answer.strong(&name).text(" keeps its past."))
    }

    /// The chat that is named; without a name that of the room.
    pub(super) async fn meant(
        &self,
        question: &Question,
        wish: &Wish,
        command: &str,
    ) -> Result<(UserName, ChatRef, String), No> {
        let (user, accounts) = self.accounts_of(&question.addressed.sender).await?;
        if wish.rest.is_empty() {
            let chat: &ChatRef = self.own_chat(question).await?;
            return Ok((user, chat.clone(), "This chat".to_owned()));
        }
        let found = self.pick(&accounts, &wish.rest, command).await?;
        Ok((user, found.chat, found.name))
    }

    /// Asks something of an account.
    pub(crate) async fn ask(
        &self,
        user: &UserName,
        account: &NetworkId,
        request: Request,
    ) -> Result<Told, No> {
        let command = Command::Ask { account: account.clone(), request };
        match self.control.run(Some(user.clone()), command).await? {
            Reply::Answer(answer) => Ok(answer),
            _ => no("The account gave no answer."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxgate_contract::ChatKey;

    fn open(title: &str) -> (NetworkId, Open) {
        let question = Open { chat: ChatKey::from(title), title: title.to_owned(), candidates: Vec::new() };
        ("wechat:a".into(), question)
    }

    #[test]
    fn numbers_mean_what_was_shown_to_whoever_says_them() {
        let shown = Shown::default();
        shown.put("@a:x", vec![open("first"), open("second")]);
        shown.put("@b:x", vec![open("other")]);
        assert_eq!(shown.get("@a:x", "2."), Some(open("second")));
        assert_eq!(shown.get("@b:x", "1"), Some(open("other")));
        assert_eq!(
            (shown.get("@b:x", "2"), shown.get("@c:x", "1"), shown.get("@a:x", "0")),
            (None, None, None)
        );
    }

    #[test]
    fn people_who_are_remembered_are_bounded() {
        let shown = Shown::default();
        (0..=PEOPLE).for_each(|n| shown.put(&n.to_string(), Vec::new()));
        assert!(shown.by_person.lock().unwrap().len() <= PEOPLE);
    }
}
