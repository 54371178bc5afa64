//! Accounts: which there are, how they are, signing out and forgetting.

use wxgate_contract::{AccountView, Command, Credential, Health, NetworkId, PersonRef, Reply, UserName};

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::api::event::Redact;
use crate::client::Actor;
use crate::secret::Secret;
use crate::shared::Shared;
use crate::speak::derived_txn_id;

/// Said where a token could not be taken out of a room.
const STAYS: &str = " Please delete your message: the token stands in it.";

impl Shared {
    /// The accounts of whoever asks.
    pub(super) async fn accounts_of(&self, sender: &str) -> Result<(UserName, Vec<AccountView>), No> {
        let user = self.user(sender).await?;
        let accounts = self.directory.accounts(&user).await?;
        Ok((user, accounts))
    }

    pub(super) async fn list_logins(&self, question: &Question) -> Result<Answer, No> {
        let (_, accounts) = self.accounts_of(&question.addressed.sender).await?;
        if accounts.is_empty() {
            let answer =
                Answer::of("You have no WeChat account here yet; say ").code("login").text(" to add one.");
            return Ok(answer);
        }
        let mut answer = Answer::of("Your accounts:");
        for view in &accounts {
            answer = described(answer.item(), view);
        }
        Ok(answer)
    }

    pub(super) async fn ping(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (_, accounts) = self.accounts_of(&question.addressed.sender).await?;
        let account = which(&accounts, question, wish.words().next(), "ping")?;
        Ok(described(Answer::default(), account))
    }

    pub(super) async fn open_pages(&self, question: &Question) -> Result<Answer, No> {
        // Everybody in a room could follow it.
        if !self.is_private(&question.addressed.room_id).await? {
            return no("Ask me that where we are alone.");
        }
        let user = self.user(&question.addressed.sender).await?;
        let person = question.addressed.sender.as_str().into();
        let credential = Credential::Identity(PersonRef { network: self.network.clone(), person });
        match self.control.run(Some(user.clone()), Command::OpenPages { user, credential }).await? {
            Reply::Link(link) => Ok(Answer::of(&link.0)
                .line()
                .text("It opens once, within ten minutes; whoever has it is you, so keep it to yourself.")),
            _ => no("There are no web pages here."),
        }
    }

    pub(super) async fn log_out(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (user, accounts) = self.accounts_of(&question.addressed.sender).await?;
        let account = which(&accounts, question, wish.words().next(), "logout")?.network.clone();
        self.control.run(Some(user), Command::SignOut { account: account.clone() }).await?;
        let answer = Answer::default().strong(account.name()).text(" is being signed out. Its rooms stay; ");
        Ok(answer.code(&format!("login {}", account.name())).text(" signs it in again."))
    }

    /// Forgets an account; asked for twice, because it cannot be undone.
    pub(super) async fn forget_account(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (user, accounts) = self.accounts_of(&question.addressed.sender).await?;
        let mut words = wish.words();
        let account = which(&accounts, question, words.next(), "forget")?.network.clone();
        if words.next() != Some("yes") {
            let answer = Answer::of("That signs ")
                .strong(account.name())
                .text(" out and deletes what is kept of it here: ");
            let answer =
                answer.text("chats, history, files. Its rooms stay as they are. If you mean it, say ");
            return Ok(answer.code(&format!("forget {} yes", account.name())).text("."));
        }
        self.control.run(Some(user), Command::RemoveAccount { account: account.clone() }).await?;
        Ok(Answer::default().strong(account.name()).text(" is forgotten."))
    }

    /// Takes a token with which the owner's own words can be shown as theirs.
    pub(super) async fn login_matrix(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let asked = &question.addressed;
        let token = Secret::new(wish.rest.clone());
        // Whatever comes of it: a token does not stay readable in a room.
        let txn_id = derived_txn_id(&["token", &asked.event_id]);
        let redaction =
            Redact { room_id: &asked.room_id, event_id: &asked.event_id, txn_id: &txn_id, reason: "a token" };
        let by_owner = self.client.call(Actor::Token(&token), &redaction).await;
        let is_gone = by_owner.is_ok() || self.client.call(self.bot(), &redaction).await.is_ok();
        if self.config.account.is_some() {
            let mut answer = Answer::of(
                "I cannot speak as you here: I am an ordinary account, and what I would say so would \
                 not be encrypted. End that token's session in your client.",
            );
            if !is_gone {
                answer = answer.text(STAYS);
            }
            return Err(No::Because(answer));
        }
        let taken = self.take_token(&asked.sender, token).await?;
        let mut answer = Answer::of(match taken {
            true => "From now on what you say on the phone is shown as said by you.",
            false => "The homeserver does not know that as a token of yours.",
        });
        if !is_gone {
            answer = answer.text(STAYS);
        }
        Ok(answer)
    }
}

impl Shared {
    /// Forgets the token that `login-matrix` took.
    pub(super) async fn logout_matrix(&self, question: &Question) -> Result<Answer, No> {
        match self.forget_token(&question.addressed.sender).await? {
            true => Ok(Answer::of("I have forgotten your token; end its session in your client as well.")),
            false => no("I have no token of yours."),
        }
    }

    /// Whether the owner's own words are shown as theirs, and by what right.
    pub(super) async fn ping_matrix(&self, question: &Question) -> Result<Answer, No> {
        let sender = &question.addressed.sender;
        self.puppets.forget(sender);
        Ok(match self.puppet(sender).await? {
            Some(puppet) if puppet.is_by_own_token() => Answer::of(
                "What you say on the phone is shown as said by you, with the token that you gave me.",
            ),
            Some(_) => Answer::of("What you say on the phone is shown as said by you."),
            None => Answer::of("What you say on the phone is shown as said by somebody with your name; say ")
                .code("login-matrix <access token>")
                .text(" to change that."),
        })
    }
}

/// The account that is meant: the one named, the one of the room, or the only one.
pub(super) fn which<'a>(
    accounts: &'a [AccountView],
    question: &Question,
    name: Option<&str>,
    command: &str,
) -> Result<&'a AccountView, No> {
    let of_room = question.chat.as_ref().map(|chat| chat.network.clone());
    let is = |view: &&AccountView, network: &NetworkId| view.network == *network;
    let found = match (name, &of_room, accounts) {
        (Some(name), ..) => accounts.iter().find(|view| view.network.name() == name),
        (None, Some(network), _) => accounts.iter().find(|view| is(view, network)),
        (None, None, [only]) => Some(only),
        (None, None, _) => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    if accounts.is_empty() {
        let answer =
            Answer::of("You have no WeChat account here yet; say ").code("login").text(" to add one.");
        return Err(No::Because(answer));
    }
    let mut answer = match name {
        Some(name) => Answer::of("You have no account ").strong(name).text("; say one of:"),
        None => Answer::of("Which account? Say one of:"),
    };
    for view in accounts {
        answer = answer.item().code(&format!("{command} {}", view.network.name()));
    }
    Err(No::Because(answer))
}

pub(crate) fn described(answer: Answer, view: &AccountView) -> Answer {
    let answer = answer.strong(view.network.name());
    let answer = match view.own_name.as_str() {
        "" => answer,
        name => answer.text(&format!(" ({name})")),
    };
    match &view.health {
        Health::Starting => answer.text(" is starting"),
        Health::Up => answer.text(" is online"),
        Health::Partial { why, .. } => answer.text(&format!(" is online in part: {why}")),
        Health::Limited { why } | Health::Degraded { why } => {
            answer.text(&format!(" is in trouble and tries again: {why}"))
        }
        Health::NeedsHuman { step } => answer.text(&format!(" needs you: {step}")),
        Health::Down { why } => answer.text(&format!(" is offline: {why}")),
    }
}

/// For commands of one room: the chat that it mirrors, if whoever asks owns its account.
impl Shared {
    pub(super) async fn own_chat<'a>(
        &self,
        question: &'a Question,
    ) -> Result<&'a wxgate_contract::ChatRef, No> {
        let Some(chat) = question.chat.as_deref() else {
            return no("Say that in the room of a WeChat chat.");
        };
        match self.owners.owns(&question.addressed.sender, &chat.network).await? {
            true => Ok(chat),
            false => no("Only the owner of the account can do that here."),
        }
    }
}
