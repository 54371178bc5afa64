//! What people and phones do to an account.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;

use crate::account::{Account, Admission, Media, State};
use crate::ledger::{LedgerEntry, Way};
use crate::login::Step;
use crate::message::{Event, Kind, Message};
use crate::who::Who;
use crate::world::World;

/// What came of saying something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Said {
    /// The server's id of the (last) message.
    #[serde(serialize_with = "crate::ledger::as_text")]
    pub msg_id: u64,
    /// Its entry in the ledger.
    pub n: u64,
}

/// A login as the control API shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LoginView {
    /// Its uuid.
    pub uuid: String,
    /// Whether it is a push login.
    pub push: bool,
    /// `waiting`, `scanned`, `confirmed`, `cancelled`, `expired` or `broken`.
    pub step: &'static str,
    /// Whose it is, once known.
    pub account: Option<String>,
}

/// A change that a phone or another person made.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A contact or group has a new name.
    Rename {
        /// Who.
        who: String,
        /// The name as the service writes it.
        name: String,
    },
    /// The owner gave a contact a remark name.
    Remark {
        /// Who.
        who: String,
        /// The remark; empty clears it.
        name: String,
    },
    /// A contact has a new motto.
    Signature {
        /// Who.
        who: String,
        /// The motto as the service writes it.
        text: String,
    },
    /// Somebody came into a group.
    AddMember {
        /// The group's number.
        group: u32,
        /// Who came.
        who: String,
    },
    /// Somebody left a group.
    RemoveMember {
        /// The group's number.
        group: u32,
        /// Who left; `self` for a group we were removed from.
        who: String,
    },
    /// A new friend.
    AddContact {
        /// The friend's name.
        name: String,
    },
    /// A contact looks like another one from now on: name, motto and all that is made up.
    Twin {
        /// Who.
        who: String,
        /// Like whom.
        of: String,
    },
    /// A friend or group is gone.
    Remove {
        /// Who.
        who: String,
    },
    /// The owner of the account has a new name.
    OwnName {
        /// The name.
        name: String,
    },
    /// A chat is pinned or unpinned.
    Pin {
        /// The chat.
        who: String,
        /// Whether it is pinned.
        on: bool,
    },
    /// A chat is muted or not.
    Mute {
        /// The chat.
        who: String,
        /// Whether it is muted.
        on: bool,
    },
}

impl World {
    /// `from` says something in `chat`; for a private chat `from` is the chat, and for a message from the
    /// owner's phone it is `self`.
    ///
    /// # Errors
    /// When there is no such account or nobody of that name in it.
    pub fn say(&self, account: &str, chat: Who, from: Who, kind: Kind) -> Result<Said, String> {
        let account = self.account(account)?;
        let said = self.say_to(&account, chat, from, &kind, 1)?;
        account.wake.notify_waiters();
        Ok(said)
    }

    /// Says the same kind `count` times at once; texts are numbered.
    ///
    /// # Errors
    /// As [`World::say`].
    pub fn say_many(
        &self,
        account: &str,
        chat: Who,
        from: Who,
        kind: &Kind,
        count: u32,
    ) -> Result<Said, String> {
        let account = self.account(account)?;
        let said = self.say_to(&account, chat, from, kind, count)?;
        account.wake.notify_waiters();
        Ok(said)
    }

    fn say_to(
        &self,
        account: &Account,
        chat: Who,
        from: Who,
        kind: &Kind,
        count: u32,
    ) -> Result<Said, String> {
        if count == 0 || count > 100_000 {
            return Err(format!("cannot say something {count} times: 1 to 100000"));
        }
        let mut for_others = Vec::new();
        let mut state = account.state();
        if !state.people.exists(chat) || chat == Who::Own {
            return Err(format!("account '{}' has no chat '{chat}'", account.name));
        }
        if !chat.is_group() && from != chat && from != Who::Own {
            return Err(format!("'{from}' cannot speak in the chat with '{chat}'"));
        }
        let mut last = Said { msg_id: 0, n: 0 };
        for at in 0..count {
            let kind = match kind {
                Kind::Text { text } if count > 1 => Kind::text(&format!("{text} {at}")),
                other => other.clone(),
            };
            let msg_id = self.next_msg_id();
            if chat.is_group() {
                for_others.push((kind.clone(), msg_id));
            }
            last = self.say_once(&mut state, (chat, from), kind, msg_id);
        }
        drop(state);
        for (kind, msg_id) in for_others {
            self.tell_others(&account.name, (chat, from), &kind, msg_id, None);
        }
        self.0.counters.said.fetch_add(u64::from(count), Ordering::Relaxed);
        Ok(last)
    }

    pub(crate) fn say_once(
        &self,
        state: &mut State,
        (chat, from): (Who, Who),
        kind: Kind,
        msg_id: u64,
    ) -> Said {
        let at_ms = self.now_ms();
        let mut md5 = None;
        let mut bytes = None;
        if let Some(sort) = kind.media(msg_id) {
            let made = crate::media::make(sort, msg_id);
            md5 = Some(Arc::from(md5_hex(&made)));
            bytes = Some(made.len() as u64);
            state.keep_media(msg_id, Media::Made(sort));
        }
        let entry = kind.is_said().then(|| {
            state.ledger.write(
                LedgerEntry {
                    n: 0,
                    at_ms,
                    way: Way::ToAccount,
                    chat,
                    from,
                    kind: kind.name(),
                    text: kind.words(),
                    msg_id,
                    client_msg_id: None,
                    media_md5: md5,
                    media_bytes: bytes,
                    deliveries: 0,
                    delivered_ms: None,
                    repeats: 0,
                },
                self.0.config.ledger_limit,
            )
        });
        if let Who::Group(group) = chat {
            let unknown = !state.people.is_saved(group) && !state.people.is_recent(group);
            let first = state.session.as_mut().is_some_and(|session| session.announced_groups.insert(group));
            // Every other unsaved group is announced by its record, as a new group is; the rest by
            // nothing but their first message.
            if unknown && first && group % 8 == 3 {
                state.push(Event::Modified(chat));
            }
        }
        state.push(Event::Message(Box::new(Message {
            id: msg_id,
            chat,
            from,
            at_s: at_ms / 1_000,
            kind,
            entry,
        })));
        Said { msg_id, n: entry.unwrap_or(0) }
    }

    /// A phone or another person changes something.
    ///
    /// # Errors
    /// When there is no such account or nobody of that name in it.
    pub fn change(&self, account: &str, change: &Change) -> Result<(), String> {
        let account = self.account(account)?;
        let version = 640_000_000 + self.next_number();
        {
            let mut state = account.state();
            let event = apply(&mut state, change, version)?;
            state.push(event);
        }
        account.wake.notify_waiters();
        Ok(())
    }

    /// Ends the session of `account`; its requests are told `code` from now on.
    ///
    /// # Errors
    /// When there is no such account or it is not signed in.
    pub fn end_session(&self, account: &str, code: i32) -> Result<(), String> {
        let account = self.account(account)?;
        {
            let mut state = account.state();
            let session =
                state.session.take().ok_or_else(|| format!("account '{}' is not signed in", account.name))?;
            state.ended = Some((session.sid.clone(), code));
        }
        account.wake.notify_waiters();
        Ok(())
    }

    /// How the next logins of `account` end.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn set_admission(&self, account: &str, admission: Admission) -> Result<(), String> {
        self.account(account)?.state().admission = admission;
        Ok(())
    }

    /// Answers the next `count` polls of `account` with `selector` although nothing is new.
    ///
    /// # Errors
    /// When there is no such account or it is not signed in.
    pub fn force_selector(&self, account: &str, selector: u8, count: u32) -> Result<(), String> {
        let account = self.account(account)?;
        {
            let mut state = account.state();
            let session = state
                .session
                .as_mut()
                .ok_or_else(|| format!("account '{}' is not signed in", account.name))?;
            session.forced_selector = (count > 0).then_some((selector, count));
        }
        account.wake.notify_waiters();
        Ok(())
    }

    /// Gives the session of `account` a new `skey` with its next `webwxsync` answer.
    ///
    /// # Errors
    /// When there is no such account or it is not signed in.
    pub fn renew_skey(&self, account: &str) -> Result<(), String> {
        let account = self.account(account)?;
        let mut state = account.state();
        match state.session.as_mut() {
            Some(session) => {
                session.renew_skey = true;
                Ok(())
            }
            None => Err(format!("account '{}' is not signed in", account.name)),
        }
    }

    /// The phone of `account` goes off (sends are told 3, polls hear selector 2 for nothing) or comes back.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn set_phone_offline(&self, account: &str, offline: bool) -> Result<(), String> {
        self.account(account)?.state().phone_offline = offline;
        Ok(())
    }

    /// The session's `UserName` of `who`.
    ///
    /// # Errors
    /// When there is no such account or it is not signed in.
    pub fn user_name(&self, account: &str, who: Who) -> Result<String, String> {
        let account = self.account(account)?;
        let state = account.state();
        state
            .view()
            .map(|view| view.name(who))
            .ok_or_else(|| format!("account '{}' is not signed in", account.name))
    }

    /// The name of `who` as the service writes it, spans and entities included.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn nick(&self, account: &str, who: Who) -> Result<String, String> {
        let account = self.account(account)?;
        let nick = account.state().people.nick(who);
        Ok(nick)
    }

    /// The remark that the owner of the account gave `who`; empty for none.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn remark(&self, account: &str, who: Who) -> Result<String, String> {
        let account = self.account(account)?;
        let remark = account.state().people.remark(who);
        Ok(remark)
    }

    /// The members of a group.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn members(&self, account: &str, group: u32) -> Result<Vec<Who>, String> {
        let account = self.account(account)?;
        let members = account.state().people.members(group);
        Ok(members)
    }

    /// Whether `account` is signed in and initialised.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn is_online(&self, account: &str) -> Result<bool, String> {
        let account = self.account(account)?;
        let online = account.state().session.as_ref().is_some_and(|session| session.inited);
        Ok(online)
    }

    /// The bytes of the file that belongs to a message.
    ///
    /// # Errors
    /// When there is no such account or file.
    pub fn media(&self, account: &str, msg_id: u64) -> Result<bytes::Bytes, String> {
        let account = self.account(account)?;
        let state = account.state();
        match state.media.get(&msg_id) {
            Some(Media::Made(sort)) => Ok(crate::media::make(*sort, msg_id)),
            Some(Media::Sent(data, _)) => Ok(data.clone()),
            None => Err(format!("message {msg_id} has no file")),
        }
    }

    /// All logins that are not over.
    #[must_use]
    pub fn logins(&self) -> Vec<LoginView> {
        self.0
            .attempts
            .list()
            .iter()
            .map(|attempt| {
                let state = attempt.state();
                LoginView {
                    uuid: attempt.uuid.clone(),
                    push: attempt.push,
                    step: match state.step {
                        Step::Waiting => "waiting",
                        Step::Scanned => "scanned",
                        Step::Confirmed(_) => "confirmed",
                        Step::Cancelled => "cancelled",
                        Step::Expired => "expired",
                        Step::Broken => "broken",
                    },
                    account: state.account.as_ref().map(|account| account.name.clone()),
                }
            })
            .collect()
    }
}

fn apply(state: &mut State, change: &Change, version: u64) -> Result<Event, String> {
    let people = &mut state.people;
    let known = |people: &crate::people::People, text: &str| -> Result<Who, String> {
        let who: Who = text.parse()?;
        if people.exists(who) { Ok(who) } else { Err(format!("there is no '{who}' in this account")) }
    };
    let touched = match change {
        Change::Rename { who, name } => {
            let who = known(people, who)?;
            people.edits.nicks.insert(who, name.clone());
            who
        }
        Change::Remark { who, name } => {
            let who = known(people, who)?;
            people.edits.remarks.insert(who, name.clone());
            who
        }
        Change::Signature { who, text } => {
            let who = known(people, who)?;
            people.edits.signatures.insert(who, text.clone());
            who
        }
        Change::AddMember { group, who } => {
            let who: Who = who.parse()?;
            let chat = known(people, &Who::Group(*group).to_string())?;
            if let Some(gone) = people.edits.members_gone.get_mut(group) {
                gone.remove(&who);
            }
            people.edits.members_added.entry(*group).or_default().push(who);
            chat
        }
        Change::RemoveMember { group, who } => {
            let who: Who = who.parse()?;
            let chat = known(people, &Who::Group(*group).to_string())?;
            people.edits.members_gone.entry(*group).or_default().insert(who);
            if let Some(added) = people.edits.members_added.get_mut(group) {
                added.retain(|known| *known != who);
            }
            if who == Who::Own {
                // A room that was left. Source: the protocol sheet, section 3.4.
                return Ok(Event::Deleted(chat));
            }
            chat
        }
        Change::Twin { who, of } => {
            let (who, of) = (known(people, who)?, known(people, of)?);
            let (nick, remark, signature) =
                (people.nick(of), people.remark(of), people.signature(of).to_owned());
            people.edits.twins.insert(who, of);
            people.edits.nicks.insert(who, nick);
            people.edits.remarks.insert(who, remark);
            people.edits.signatures.insert(who, signature);
            who
        }
        Change::AddContact { name } => {
            let who = Who::Contact(people.contact_count());
            people.edits.extra_contacts += 1;
            people.edits.nicks.insert(who, name.clone());
            who
        }
        Change::Remove { who } => {
            let who = known(people, who)?;
            people.edits.gone.insert(who);
            // What the owner called somebody goes with them.
            people.edits.remarks.insert(who, String::new());
            return Ok(Event::Deleted(who));
        }
        Change::OwnName { name } => {
            people.own_nick.clone_from(name);
            return Ok(Event::Profile);
        }
        Change::Pin { who, on } => {
            let who = known(people, who)?;
            if *on {
                people.edits.pinned.insert(who);
            } else {
                people.edits.pinned.remove(&who);
            }
            who
        }
        Change::Mute { who, on } => {
            let who = known(people, who)?;
            if *on {
                people.edits.muted.insert(who);
            } else {
                people.edits.muted.remove(&who);
            }
            who
        }
    };
    if !touched.is_group() {
        people.edits.versions.insert(touched, version);
    }
    Ok(Event::Modified(touched))
}

/// Lower-case hex MD5.
pub(crate) fn md5_hex(data: &[u8]) -> String {
    use md5::Digest;
    let mut out = String::with_capacity(32);
    let digest = md5::Md5::digest(data);
    for half in digest.chunks(8) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(half);
        crate::seed::push_hex(&mut out, u64::from_be_bytes(bytes));
    }
    out
}
