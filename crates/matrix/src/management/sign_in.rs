//! A sign-in in a room: the code as a picture that changes as the phone scans and confirms.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use wxgate_contract::{AccountView, Command, Health, NetworkId, Reply, SignInStep, SignInWatch, UserName};

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, SignIns, no, qr};
use crate::api::event::Redact;
use crate::client::CallError;
use crate::media::Upload;
use crate::shared::Shared;
use crate::speak::{Utterance, derived_txn_id};
use crate::trouble::Trouble;

/// Pause before a step is shown again that the homeserver did not take. The phone goes on meanwhile,
/// and only the latest step is shown.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest name that is made of somebody's id. Chosen: below the 32 bytes of an account's name, with
/// room for a number.
const NAME_BYTES: usize = 24;
/// File name of the picture.
const FILE: &str = "wechat-sign-in.png";

/// A sign-in that is to be shown, or not any more.
pub(crate) struct Following {
    pub(super) sender: String,
    room_id: String,
    /// The question: transaction ids are made from it.
    event_id: String,
    account: NetworkId,
    /// `None` gives up the one that is followed.
    steps: Option<SignInWatch>,
}

/// Which sign-in is followed.
#[derive(Clone)]
pub(super) struct Followed {
    account: NetworkId,
    steps: SignInWatch,
}

impl Followed {
    fn is_under_way(&self) -> bool {
        !matches!(*self.steps.borrow(), SignInStep::Done | SignInStep::Failed { .. })
    }
}

impl Shared {
    /// Begins a sign-in, of an account that is there or of a new one.
    pub(super) async fn log_in(
        &self,
        question: &Question,
        wish: &Wish,
        begun: &mpsc::Sender<Following>,
    ) -> Result<Answer, No> {
        let asked = &question.addressed;
        if !self.is_private(&asked.room_id).await? {
            return no("Say that in a private chat with me: here others could scan your code.");
        }
        let user = self.user(&asked.sender).await?;
        let accounts = self.directory.accounts(&user).await?;
        let account = match chosen(&accounts, wish.words().next())? {
            Choice::There(account) => account,
            Choice::New(name) => self.add_account(&user, name, &asked.sender).await?,
        };
        let command = Command::SignIn { account: account.clone() };
        let Reply::SignIn(steps) = self.control.run(Some(user), command).await? else {
            return no("The sign-in was begun, but it cannot be followed here.");
        };
        let answer = Answer::of("Signing ")
            .strong(account.name())
            .text(" in; say ")
            .code("cancel")
            .text(" to give up.");
        let following = Following {
            sender: asked.sender.clone(),
            room_id: asked.room_id.clone(),
            event_id: asked.event_id.clone(),
            account,
            steps: Some(steps),
        };
        // The desk is gone only at the end of the run.
        let _ = begun.send(following).await;
        Ok(answer)
    }

    pub(crate) async fn add_account(
        &self,
        user: &UserName,
        name: Option<&str>,
        sender: &str,
    ) -> Result<NetworkId, No> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => free_name(sender, &self.directory.all_accounts().await?),
        };
        let command = Command::AddAccount { owner: user.clone(), name };
        match self.control.run(Some(user.clone()), command).await? {
            Reply::Added(account) => Ok(account),
            _ => no("The account was added, but I was not told as what."),
        }
    }

    /// Gives up the sign-in that is followed. Other accounts of theirs may be starting by themselves, after a restart
    /// say, and stay as they are.
    pub(super) async fn cancel(&self, question: &Question, sign_ins: &SignIns) -> Result<Answer, No> {
        let Some(followed) = sign_ins.followed.as_ref().filter(|followed| followed.is_under_way()) else {
            return no("No sign-in is under way.");
        };
        let sender = &question.addressed.sender;
        let user = self.user(sender).await?;
        self.control.run(Some(user), Command::SignOut { account: followed.account.clone() }).await?;
        let following = Following {
            sender: sender.clone(),
            room_id: String::new(),
            event_id: String::new(),
            account: self.network.clone(),
            steps: None,
        };
        let _ = sign_ins.begun.send(following).await;
        Ok(Answer::of("The sign-in was given up."))
    }
}

/// Which account is meant.
#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    There(NetworkId),
    /// A new one, under this name where one was given.
    New(Option<&'a str>),
}

fn chosen<'a>(accounts: &[AccountView], name: Option<&'a str>) -> Result<Choice<'a>, No> {
    if let Some(name) = name {
        let known = accounts.iter().find(|view| view.network.name() == name);
        return Ok(known.map_or(Choice::New(Some(name)), |view| Choice::There(view.network.clone())));
    }
    let offline: Vec<&AccountView> = accounts.iter().filter(|view| view.health != Health::Up).collect();
    match (accounts.len(), offline.as_slice()) {
        (0, _) => Ok(Choice::New(None)),
        (_, [one]) => Ok(Choice::There(one.network.clone())),
        (_, []) => {
            let answer = Answer::of("You are signed in. To add another account, say ")
                .code("login <name>")
                .text(" with a name of your choice for it.");
            Err(No::Because(answer))
        }
        (_, several) => {
            let mut answer = Answer::of("Which account? Say one of:");
            for view in several {
                answer = answer.item().code(&format!("login {}", view.network.name()));
            }
            Err(No::Because(answer))
        }
    }
}

/// A name for an account of somebody that no account has yet.
fn free_name(sender: &str, accounts: &[AccountView]) -> String {
    let localpart = sender.trim_start_matches('@').split(':').next().unwrap_or_default();
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = localpart.chars().filter(fits).take(NAME_BYTES).collect();
    let name = if name.is_empty() { "wechat".to_owned() } else { name };
    let is_free = |name: &str| accounts.iter().all(|view| view.network.name() != name);
    if is_free(&name) {
        return name;
    }
    // One more number than there are accounts: one of them is free.
    let numbered = (2..=accounts.len() + 2).map(|n| format!("{name}{n}"));
    numbered.into_iter().find(|name| is_free(name)).unwrap_or(name)
}

impl Following {
    /// What is known of it while it is followed; `None` for one that is given up.
    pub(super) fn followed(&self) -> Option<Followed> {
        Some(Followed { account: self.account.clone(), steps: self.steps.clone()? })
    }

    /// Shows every step until the sign-in is over.
    pub(super) async fn run(self, shared: &Shared) {
        let Some(mut steps) = self.steps.clone() else { return };
        let mut show = Show { shared, following: &self, events: 0, picture: None };
        loop {
            let step = steps.borrow_and_update().clone();
            let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
            match show.step(&step).await {
                Ok(()) if is_over => return,
                Ok(()) => {
                    if steps.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "a step of a sign-in could not be shown yet");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a sign-in cannot be shown in its room any more");
                    return;
                }
            }
        }
    }
}

/// What stands in the room.
struct Show<'a> {
    shared: &'a Shared,
    following: &'a Following,
    /// Events so far: each has its own transaction id, also when it must be sent again.
    events: u32,
    /// The event with the picture.
    picture: Option<String>,
}

impl Show<'_> {
    async fn step(&mut self, step: &SignInStep) -> Result<(), CallError> {
        let name = self.following.account.name();
        match step {
            SignInStep::Starting => Ok(()),
            SignInStep::ShowQr { text, number } => self.code(text, *number).await,
            SignInStep::ConfirmOnPhone { is_push: true, .. } => {
                self.notice(Answer::of("Open WeChat on the phone and confirm the sign-in there.")).await
            }
            SignInStep::ConfirmOnPhone { is_push: false, .. } => {
                self.replace(Answer::of("The code was scanned. Now confirm on the phone.")).await
            }
            SignInStep::Loading => {
                self.replace(Answer::of("Confirmed. Your contacts are being loaded.")).await
            }
            SignInStep::Done => {
                self.take_back().await?;
                let answer = Answer::default()
                    .strong(name)
                    .text(" is online. Each chat gets a room when something is said in it; ")
                    .code("search")
                    .text(" and ")
                    .code("start-chat")
                    .text(" open one sooner.");
                self.notice(answer).await
            }
            SignInStep::Failed { why } => {
                self.take_back().await?;
                let answer = Answer::default().strong(name).text(&format!(" was not signed in: {why}. Say "));
                self.notice(answer.code(&format!("login {name}")).text(" to try again.")).await
            }
        }
    }

    /// The code as a picture, in place of the one before it.
    async fn code(&mut self, text: &str, number: u32) -> Result<(), CallError> {
        let which =
            if number > 1 { format!(" (code {number}; the earlier one has expired)") } else { String::new() };
        let caption =
            format!("Scan this code with WeChat on your phone{which}, or open on the phone: {text}");
        let Some(picture) = qr::draw(text) else { return self.notice(Answer::of(&caption)).await };
        let bytes = picture.png.len() as u64;
        let is_sealed = self.shared.seals(&self.following.room_id).await.map_err(Trouble::into_call)?;
        let place = self.shared.put(Upload::of(picture.png.into(), FILE, "image/png"), is_sealed).await?;
        let mut content = json!({
            "msgtype": "m.image", "body": caption, "filename": FILE,
            "info": { "mimetype": "image/png", "size": bytes, "w": picture.side, "h": picture.side },
        });
        place.write(&mut content);
        match self.picture.clone() {
            Some(picture) => self.edit(&picture, content).await,
            None => {
                self.picture = Some(self.send(content).await?);
                Ok(())
            }
        }
    }

    /// Words in place of the picture; a message of their own where there is none.
    async fn replace(&mut self, words: Answer) -> Result<(), CallError> {
        match self.picture.clone() {
            Some(picture) => self.edit(&picture, words.content()).await,
            None => self.notice(words).await,
        }
    }

    async fn notice(&mut self, words: Answer) -> Result<(), CallError> {
        self.send(words.content()).await.map(drop)
    }

    /// Source: client-server API, "Event replacements".
    async fn edit(&mut self, event_id: &str, content: Value) -> Result<(), CallError> {
        let mut edit = content.clone();
        edit["body"] = json!(format!("* {}", content["body"].as_str().unwrap_or_default()));
        edit["m.new_content"] = content;
        edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": event_id });
        self.send(edit).await.map(drop)
    }

    async fn send(&mut self, content: Value) -> Result<String, CallError> {
        let number = self.events.to_string();
        let txn_id = derived_txn_id(&["sign-in", &self.following.event_id, &number]);
        let what = Utterance { kind: "m.room.message", content, txn_id, at: None };
        let event_id = self.shared.say_in_time(&self.following.room_id, &what).await?;
        self.events += 1;
        Ok(event_id)
    }

    /// A code that is used up, or not, must not stay on the screen.
    async fn take_back(&mut self) -> Result<(), CallError> {
        let Some(event_id) = &self.picture else { return Ok(()) };
        let room_id = &self.following.room_id;
        let txn_id = derived_txn_id(&["sign-in over", event_id]);
        let redaction = Redact { room_id, event_id, txn_id: &txn_id, reason: "" };
        match self.shared.client.call(self.shared.bot(), &redaction).await {
            Err(error) if error.is_passing() => Err(error),
            _ => {
                self.picture = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, health: Health) -> AccountView {
        let network = NetworkId::new(format!("wechat:{name}"));
        AccountView { network, owner: "ann".into(), health, own_name: String::new() }
    }

    #[test]
    fn the_account_that_needs_it_is_signed_in() {
        let down = || Health::NeedsHuman { step: "sign in".to_owned() };
        assert_eq!(chosen(&[], None).unwrap(), Choice::New(None));
        let accounts = [view("a", Health::Up), view("b", down())];
        assert_eq!(chosen(&accounts, None).unwrap(), Choice::There("wechat:b".into()));
        assert_eq!(chosen(&accounts, Some("a")).unwrap(), Choice::There("wechat:a".into()));
        assert_eq!(chosen(&accounts, Some("c")).unwrap(), Choice::New(Some("c")));
        assert!(chosen(&[view("a", Health::Up)], None).is_err());
        let Err(No::Because(which)) = chosen(&[view("a", down()), view("b", down())], None) else { panic!() };
        assert!(which.plain().contains("`login a`") && which.plain().contains("`login b`"));
    }

    #[test]
    fn a_new_account_gets_a_name_that_is_free() {
        assert_eq!(free_name("@ann:example.org", &[]), "ann");
        let taken = [view("ann", Health::Up), view("ann2", Health::Up)];
        assert_eq!(free_name("@ann:example.org", &taken), "ann3");
        assert_eq!(free_name("@=c3=a9:example.org", &[]), "c3a9");
        assert_eq!(free_name("@:x", &[]), "wechat");
        assert_eq!(free_name(&format!("@{}:x", "y".repeat(90)), &[]).len(), NAME_BYTES);
    }
}
