//! The event long poll and the fetch of changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::Call;
use crate::account::{Account, Session, State};
use crate::content::render;
use crate::http::{Answer, Request};
use crate::keys::{KeyObject, Which, from_json, from_text};
use crate::message::Event;
use crate::who::Who;
use crate::wire::{Buff, DelContact, Profile, SyncAnswer};
use crate::world::World;

/// Counts a held poll while it lives.
pub(super) struct Polling(pub(super) World);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.0.counters.polls_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Marks a poll of a session as open while it lives.
struct Checking {
    account: Arc<Account>,
    sid: String,
}

impl Drop for Checking {
    fn drop(&mut self) {
        if let Some(session) = self.account.state().session.as_mut()
            && session.sid == self.sid
        {
            session.checks_open = session.checks_open.saturating_sub(1);
        }
    }
}

fn verdict(retcode: i32, selector: u8) -> Answer {
    Answer::script(format!("window.synccheck={{retcode:\"{retcode}\",selector:\"{selector}\"}}"))
}

/// An event poll that was found in order. It holds nothing of its request, so that a held poll is small.
pub(crate) struct Held {
    world: World,
    account: Arc<Account>,
    sid: String,
    position: u64,
    _checking: Checking,
    _polling: Polling,
}

impl Held {
    /// Waits until there is something to tell.
    pub(crate) async fn answer(self) -> Answer {
        let deadline = tokio::time::Instant::now() + self.world.hold();
        loop {
            let woken = self.account.wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if let Some(answer) = news(&mut self.account.state(), &self.sid, self.position) {
                return answer;
            }
            if tokio::time::timeout_at(deadline, woken).await.is_err() {
                return verdict(0, 0);
            }
        }
    }
}

/// Source: the protocol sheet, section 2.11.
pub(crate) fn check(call: &Call<'_>) -> Result<Held, Box<Answer>> {
    let world = call.world;
    call.demand(&["r", "sid", "uin", "skey", "deviceid", "synckey", "_"]);
    let begun = call.with_session(|account, state| {
        let position = check_params(call, account, state)?;
        let session = state.session.as_mut().ok_or(1_102)?;
        if session.checks_open > 0 {
            call.violation("two synccheck calls at once");
        }
        if session.syncs_open > 0 {
            call.violation("synccheck while webwxsync is running");
        }
        session.checks_open += 1;
        Ok((position, session.sid.clone()))
    });
    let (position, sid) = begun.map_err(|code| Box::new(verdict(code, 0)))?;
    let account = call.account.clone().ok_or_else(|| Box::new(verdict(1_102, 0)))?;
    world.0.counters.polls_open.fetch_add(1, Ordering::Relaxed);
    Ok(Held {
        world: world.clone(),
        _checking: Checking { account: account.clone(), sid: sid.clone() },
        _polling: Polling(world.clone()),
        account,
        sid,
        position,
    })
}

fn check_params(call: &Call<'_>, account: &Account, state: &mut State) -> Result<u64, i32> {
    let request = call.request;
    let head = state.head();
    let session = state.session.as_mut().ok_or(1_102)?;
    if request.param("sid") != Some(session.sid.as_str()) {
        call.violation("sid is not the session's once decoded");
        return Err(1_101);
    }
    if request.param("uin") != Some(account.uin.to_string().as_str()) {
        call.violation("uin is not the session's");
        return Err(1_101);
    }
    if request.param("skey") != Some(session.skey.as_str()) {
        call.violation("skey is not the session's");
        return Err(1_101);
    }
    if !session.inited {
        call.violation("synccheck before webwxinit");
    }
    match from_text(request.param("synckey").unwrap_or_default()) {
        Some((position, which)) => {
            if which == Which::Sync && session.synced {
                call.violation("synckey is SyncKey, not SyncCheckKey");
            }
            if position > head {
                call.violation("synckey was never issued");
            }
            Ok(position)
        }
        None => {
            call.violation("synckey is not a key that was issued");
            // Whoever asks with a broken key is told of news again and again.
            Ok(0)
        }
    }
}

/// What the poll can be told now, if anything.
fn news(state: &mut State, sid: &str, position: u64) -> Option<Answer> {
    let phone_offline = state.phone_offline;
    let ended = state.ended.as_ref().map_or(1_101, |(_, code)| *code);
    match state.session.as_mut() {
        Some(session) if session.sid == sid => {
            if let Some((selector, left)) = session.forced_selector {
                session.forced_selector = (left > 1).then_some((selector, left - 1));
                return Some(verdict(0, selector));
            }
        }
        _ => return Some(verdict(ended, 0)),
    }
    if phone_offline {
        return Some(verdict(0, 2));
    }
    let selector = state.after(position, 1).next().map(Event::selector)?;
    Some(verdict(0, selector))
}

/// A `webwxsync` on its way, from its head to its answer.
pub(crate) struct Syncing {
    account: Arc<Account>,
    sid: String,
}

impl Syncing {
    /// Begins one; a second one at the same time is a breach, for both deliver the same messages.
    ///
    /// Source: the protocol sheet, section 2.12, rule 2.
    pub(crate) fn begin(world: &World, account: Option<&Arc<Account>>, request: &Request) -> Option<Self> {
        if request.endpoint() != "webwxsync" {
            return None;
        }
        let account = account?;
        let mut state = account.state();
        let session = state.session.as_mut()?;
        if session.syncs_open > 0 {
            world.0.violations.note(Some(&account.name), "webwxsync", "two webwxsync calls at once");
        }
        session.syncs_open += 1;
        Some(Self { account: account.clone(), sid: session.sid.clone() })
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        if let Some(session) = self.account.state().session.as_mut()
            && session.sid == self.sid
        {
            session.syncs_open = session.syncs_open.saturating_sub(1);
        }
    }
}

/// Source: the protocol sheet, section 2.12.
pub(super) fn sync(call: &Call<'_>) -> Answer {
    let request = call.request;
    let now_ms = call.world.now_ms();
    let done = call.with_session(|_, state| {
        let body = call.body(state)?;
        let head = state.head();
        let session = state.session.as_mut().ok_or(1_100)?;
        match request.param("sid") {
            Some(sid) if sid == session.sid => {}
            // Here the body names the session too, and clients that paste the sid in raw get by.
            Some(sid) if sid.replace(' ', "+") == session.sid => call.tolerate("sid pasted in raw"),
            _ => {
                call.violation("sid is not the session's once decoded");
                return Err(1_101);
            }
        }
        if request.param("skey").is_some_and(|skey| skey != session.skey) {
            call.violation("skey is not the session's");
            return Err(1_101);
        }
        if request.param("skey").is_none() {
            call.tolerate("skey missing");
        }
        if !session.inited {
            call.violation("webwxsync before webwxinit");
        }
        if body.get("rr").is_none() {
            call.tolerate("rr missing");
        }
        let key = body.get("SyncKey").and_then(|key: &Value| from_json(key));
        let Some((position, which)) = key else {
            call.violation("SyncKey is not a key that was issued");
            return Err(1);
        };
        if which == Which::Check {
            call.violation("SyncKey is SyncCheckKey");
        }
        if position > head {
            call.violation("SyncKey was never issued");
            return Err(1);
        }
        session.synced = true;
        Ok(collect(call.world, state, position, now_ms))
    });
    match done {
        Ok(answer) => Answer::json(&answer),
        Err(code) => call.refuse(code),
    }
}

fn renew(session: &mut Session) -> String {
    if !std::mem::take(&mut session.renew_skey) {
        return String::new();
    }
    session.skey = Session::make_skey(session.names.key, u64::from(session.answers) + 1);
    session.skey.clone()
}

/// What waits behind `position`.
fn collect(world: &World, state: &mut State, position: u64, now_ms: u64) -> SyncAnswer {
    state.acknowledge(position);
    let head = state.head();
    let first = position.max(state.first_position.saturating_sub(1));
    let batch = world.0.config.sync_batch;
    let taken = state.after(first, batch).count() as u64;
    let reached = first + taken;
    let mut answer = SyncAnswer::quiet(0, Some(reached));
    let mut delivered = Vec::new();
    let mut modified: Vec<Who> = Vec::new();
    if let Some(view) = state.view() {
        for event in state.after(first, batch) {
            match event {
                Event::Message(message) => {
                    delivered.extend(message.entry);
                    answer.add_msg_list.push(render(&view, message));
                }
                Event::Modified(who) => {
                    if !modified.contains(who) {
                        modified.push(*who);
                        answer.mod_contact_list.push(view.mod_contact(*who));
                    }
                }
                Event::Deleted(who) => {
                    answer.del_contact_list.push(DelContact { user_name: view.name(*who), contact_flag: 0 })
                }
                Event::Profile => {
                    answer.profile = Profile {
                        bit_flag: 190,
                        nick_name: Buff { buff: view.people.nick(Who::Own) },
                        head_img_update_flag: 1,
                        head_img_url: view.avatar(Who::Own),
                        ..Profile::default()
                    };
                }
            }
        }
    }
    for entry in delivered {
        state.ledger.deliver(entry, now_ms);
    }
    if let Some(session) = state.session.as_mut() {
        answer.skey = renew(session);
    }
    answer.add_msg_count = answer.add_msg_list.len();
    answer.mod_contact_count = answer.mod_contact_list.len();
    answer.del_contact_count = answer.del_contact_list.len();
    answer.continue_flag = u32::from(reached < head);
    answer.sync_key = KeyObject::at(reached, Which::Sync);
    answer.sync_check_key = KeyObject::at(reached, Which::Check);
    answer
}
