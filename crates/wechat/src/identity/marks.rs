//! Markers: codes that the owner lets us write into their remarks, by which a later login knows a contact for
//! certain. Off unless the operator allows it and the owner asks for it.
//!
//! | note | what |
//! |---|---|
//! | `who/p/<lasting key>` | with the profile: which marker is wanted, and when it was last written |
//! | `who/m/<lasting key>` | a remark that has to be changed yet |
//!
//! The service has accepted such changes without keeping them since 2023. So a change is believed when a later
//! login's list shows it, and the owner is given the text to type on the phone where it does not.
//! Source: the paper on contact identity, "when the bridge is not sure".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{SeedableRng, rngs::SmallRng};
use wechat_proto::Reaction;
use wechat_proto::endpoint::SetRemark;
use wxgate_contract::{
    Batch, ChatKey, CommandError, Directory, FarEnd, FarError, Marker as Told, Marking, NetworkId, PersonKey,
    PersonProfile,
};
use wxgate_identity::{Book, Kind, MarkState, Marked, Marker, Profile, text_code};

use super::shelf;
use crate::asked::{failed, refused};
use crate::config::WechatConfig;
use crate::outbound::pace::Pace;
use crate::roster::{lasting, note};
use crate::session::live::Live;
use crate::session::machine::Standing;
use crate::transport::{CallError, Transport};

const WAITING: &str = "who/m/";
/// Remarks changed in a minute, after a burst of three. Chosen: somebody who types does a few, and five hundred
/// contacts take an hour that nobody waits for.
const PER_MINUTE: u32 = 10;
/// After so many changes without an answer that can be read the owner is told. Chosen: minutes.
const ATTEMPTS: u32 = 5;
/// People asked for at once. Chosen: a page.
const PAGE: usize = 500;

/// Writes markers and tells of them.
pub(crate) struct Marks {
    pub(crate) far: Arc<dyn FarEnd>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) live: Arc<Live>,
    pub(crate) network: NetworkId,
    pub(crate) is_allowed: bool,
    again: Duration,
    is_writing: AtomicBool,
    /// Taken for a moment, never across an await.
    pace: Mutex<(Pace, SmallRng)>,
}

/// What the service said to one change.
enum Said {
    Done,
    No,
    /// Not now.
    Wait(Duration),
}

impl Marks {
    pub(crate) fn new(
        transport: Arc<Transport>,
        live: Arc<Live>,
        (far, directory): (Arc<dyn FarEnd>, Arc<dyn Directory>),
        config: &WechatConfig,
        seed: u64,
    ) -> Self {
        let network = config.network.clone();
        let pace = Mutex::new((Pace::new(PER_MINUTE), SmallRng::seed_from_u64(seed)));
        let (is_allowed, again) = (config.remark_markers, config.timings.remark_retry);
        let is_writing = AtomicBool::new(false);
        Self { far, directory, transport, live, network, is_allowed, again, is_writing, pace }
    }

    /// The owner wants markers, or wants them away; what will be done, in words.
    pub(crate) async fn want(&self, chats: &[ChatKey], marking: Marking) -> Result<String, CommandError> {
        if marking == Marking::Put && !self.is_allowed {
            return Err(refused(
                "this gateway writes no markers; its operator can allow it: wechat.remark_markers",
            ));
        }
        let _deciding = self.live.deciding().lock().await;
        let _alone = self.live.settling().lock().await;
        let before = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let mut book = before.clone();
        let (mut count, mut too_long) = (0, 0);
        let mut waiting = Vec::new();
        for id in chosen(&before, chats)? {
            let has_work = match marking {
                Marking::Take => book.unmark(&id),
                Marking::Put if !self.fits(&id).await? => {
                    too_long += 1;
                    None
                }
                Marking::Put => book.mark(&id).map(|_| true),
            };
            match has_work {
                Some(true) => waiting.push(note(format!("{WAITING}{id}"), &1)),
                Some(false) => waiting.push(shelf::gone(format!("{WAITING}{id}"))),
                None => continue,
            }
            count += 1;
        }
        if count == 0 && too_long == 0 {
            return Err(refused(match marking {
                Marking::Put => "there is no contact in the present sign-in that could have a marker",
                Marking::Take => "there is no marker to take away",
            }));
        }
        let mut notes = shelf::changes(&before, &book);
        notes.append(&mut waiting);
        while !notes.is_empty() {
            let rest = notes.split_off(notes.len().min(PAGE));
            self.commit(std::mem::replace(&mut notes, rest)).await.map_err(failed)?;
        }
        self.live.who_changed();
        Ok(answer(marking, count, too_long))
    }

    /// Whether there is room for a marker behind the owner's own remark, which is never cut.
    async fn fits(&self, id: &str) -> Result<bool, CommandError> {
        let person = self.person(id).await.map_err(failed)?;
        Ok(person.is_some_and(|person| person.remark.chars().count() <= Marker::NAME_CHARS))
    }

    async fn person(&self, id: &str) -> Result<Option<PersonProfile>, FarError> {
        let found = self.directory.people(&self.network, &[PersonKey::from(id)]).await?;
        Ok(found.into_iter().next().filter(|person| person.is_contact))
    }

    async fn commit(&self, notes: Vec<wxgate_contract::Note>) -> Result<(), FarError> {
        self.far.commit(&self.network, Batch { notes, ..Batch::default() }).await.map(drop)
    }

    /// All markers; those that need the owner first.
    pub(crate) async fn list(&self) -> Result<Vec<Told>, CommandError> {
        let book = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let mut found = Vec::new();
        for profile in &book.people {
            let (Some(marked), Some(state)) = (profile.marked, book.mark_state(profile)) else { continue };
            let person = self.person(&profile.id).await.map_err(failed)?;
            let title = person.as_ref().map(|person| person.display_name().to_owned()).unwrap_or_default();
            let wanted = match (state, person) {
                (MarkState::NotKept, Some(person)) => remark(marked, &person).0,
                _ => String::new(),
            };
            let is_here = profile.seen.login == book.login;
            let words = words(marked, state, is_here);
            let chat = ChatKey::from(profile.id.as_str());
            found.push((state_order(state), Told { chat, title, state: words, wanted }));
        }
        found.sort_by(|a, b| (a.0, &a.1.title, &a.1.chat).cmp(&(b.0, &b.1.title, &b.1.chat)));
        Ok(found.into_iter().map(|(_, told)| told).collect())
    }

    /// Goes on with what an earlier run of the program left; only where markers are allowed, because an account
    /// that has none should not have to look.
    pub(crate) async fn go_on(&self) {
        self.online().await;
        self.write().await;
    }

    /// Changes the remarks that have to be changed, one after the other; returns when none is left, or when
    /// somebody else is at it.
    pub(crate) async fn write(&self) {
        let mut attempt = 0;
        while !self.is_writing.swap(true, Ordering::AcqRel) {
            let wait = loop {
                match self.write_one(attempt).await {
                    Ok(Some(Said::Wait(wait))) => {
                        attempt += 1;
                        break Some(wait);
                    }
                    Ok(Some(Said::Done | Said::No)) => attempt = 0,
                    Ok(None) => break None,
                    Err(FarError::Stopping) => return,
                    Err(error) => {
                        tracing::warn!(network = %self.network, %error, "a marker could not be stored yet");
                        break Some(self.again);
                    }
                }
            };
            self.is_writing.store(false, Ordering::Release);
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                // Somebody may have asked for one since the last look, and gone because we were at it.
                None if self.next().await.is_ok_and(|next| next.is_some()) => {}
                None => return,
            }
        }
    }

    async fn next(&self) -> Result<Option<String>, FarError> {
        let page = self.far.notes(&self.network, WAITING, None, 1).await?;
        Ok(page.into_iter().next().and_then(|(key, _)| key.strip_prefix(WAITING).map(str::to_owned)))
    }

    /// Changes one remark; `None` when nothing is left to do.
    async fn write_one(&self, attempt: u32) -> Result<Option<Said>, FarError> {
        let Some(id) = self.next().await? else { return Ok(None) };
        self.online().await;
        let kept = self.profile(&id).await?;
        let marked = kept.as_ref().and_then(|profile| Some((profile, profile.marked?)));
        let name = lasting(&*self.far, &self.network, &id, self.live.generation()).await?;
        let (Some((profile, marked)), Some(name), Some(person)) = (marked, name, self.person(&id).await?)
        else {
            // Not in this login, or not wanted any more.
            self.commit(vec![shelf::gone(format!("{WAITING}{id}"))]).await?;
            return Ok(Some(Said::No));
        };
        let (remark, name_code) = remark(marked, &person);
        let is_there = profile.carries_marker() != marked.is_leaving && marked.written == 0;
        let said = if is_there { Said::Done } else { self.set(&name, &remark, attempt).await };
        if let Said::Wait(_) = said {
            return Ok(Some(said));
        }
        let _deciding = self.live.deciding().lock().await;
        let _alone = self.live.settling().lock().await;
        let mut notes = vec![shelf::gone(format!("{WAITING}{id}"))];
        if let Some(mut profile) = self.profile(&id).await?
            && let Some(now) = profile.marked.as_mut()
            && now.is_leaving == marked.is_leaving
        {
            now.is_refused = matches!(said, Said::No);
            now.written = if is_there { 0 } else { profile.seen.login };
            now.name = name_code;
            notes.push(shelf::person_note(&profile));
        }
        self.commit(notes).await?;
        self.live.who_changed();
        Ok(Some(said))
    }

    async fn profile(&self, id: &str) -> Result<Option<Profile>, FarError> {
        let value = self.far.note(&self.network, &shelf::person_key(id)).await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    async fn set(&self, name: &wechat_proto::UserName, remark: &str, attempt: u32) -> Said {
        let wait = {
            let now_ms = self.live.now().ms().cast_unsigned();
            let mut guard = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let (pace, rng) = &mut *guard;
            pace.reserve(now_ms, rng)
        };
        tokio::time::sleep(wait).await;
        let again = |attempt: u32| if attempt < ATTEMPTS { Said::Wait(self.again) } else { Said::No };
        match self.transport.ask(&self.live, &SetRemark { user_name: name, remark }).await {
            Ok(done) if done.base.ret.is_ok() => {
                self.pace.lock().unwrap_or_else(PoisonError::into_inner).0.went_well();
                Said::Done
            }
            Ok(done) => match done.base.ret.reaction() {
                Reaction::SlowDown => {
                    let now_ms = self.live.now().ms().cast_unsigned();
                    let mut guard = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
                    Said::Wait(guard.0.slow_down(now_ms))
                }
                // Whether the session is over, the poll decides.
                Reaction::SessionOver => again(attempt),
                _ => {
                    tracing::info!(network = %self.network, ret = %done.base.ret, "a remark was not taken");
                    Said::No
                }
            },
            // It cannot do harm twice.
            Err(CallError::Network { .. } | CallError::TimedOut { .. }) => Said::Wait(self.again),
            Err(error) => {
                tracing::debug!(network = %self.network, %error, "a remark was not changed");
                again(attempt)
            }
        }
    }

    async fn online(&self) {
        // The account's own end of it lives as long as we do.
        let _ = self.live.standing().wait_for(|standing| *standing == Standing::Online).await;
    }
}

/// The contacts that are meant.
fn chosen(book: &Book, chats: &[ChatKey]) -> Result<Vec<String>, CommandError> {
    let of = |profile: &&Profile| profile.sight.kind == Kind::Person && profile.open.is_empty();
    if chats.is_empty() {
        return Ok(book.people.iter().filter(of).map(|profile| profile.id.clone()).collect());
    }
    let mut ids = Vec::with_capacity(chats.len());
    for chat in chats {
        let found = book.people.iter().find(|profile| profile.id == chat.as_str());
        match found {
            Some(profile) if !profile.open.is_empty() => {
                return Err(CommandError::Refused(format!("it is not settled who {chat} is")));
            }
            Some(profile) if of(&profile) => ids.push(profile.id.clone()),
            _ => {
                return Err(CommandError::Refused(format!(
                    "{chat} is no contact: only contacts have markers"
                )));
            }
        }
    }
    Ok(ids)
}

/// What the remark has to be, and the code of a name that stands for a missing one.
fn remark(marked: Marked, person: &PersonProfile) -> (String, u64) {
    if marked.is_leaving {
        return (person.remark.clone(), marked.name);
    }
    if !person.remark.is_empty() {
        return (marked.marker.behind(&person.remark), 0);
    }
    let name: String = person.nickname.chars().take(Marker::NAME_CHARS).collect();
    // No half of a joined character, and nothing that would be cut off on the way.
    let name = name.trim_end_matches(['\u{200d}', '\u{fe0f}', ' ']);
    (marked.marker.behind(name).trim_start().to_owned(), text_code(name))
}

fn state_order(state: MarkState) -> u8 {
    match state {
        MarkState::Void => 0,
        MarkState::NotKept => 1,
        MarkState::Waiting => 2,
        MarkState::Written => 3,
        MarkState::There => 4,
    }
}

fn words(marked: Marked, state: MarkState, is_here: bool) -> String {
    let marker = marked.marker;
    match (state, marked.is_leaving) {
        _ if !is_here => format!("{marker}: not in the present sign-in's list"),
        (MarkState::Void, _) => {
            format!(
                "{marker} is on two contacts and counts for neither; take it from the wrong one on the phone"
            )
        }
        (MarkState::There, _) => format!("{marker} is in the remark"),
        (MarkState::Waiting, false) => format!("{marker} will be written"),
        (MarkState::Waiting, true) => format!("{marker} will be taken away"),
        (MarkState::Written, false) => {
            format!("{marker} was written; whether WeChat keeps it shows at the next sign-in")
        }
        (MarkState::Written, true) => {
            format!("{marker} was taken away; whether WeChat keeps that shows at the next sign-in")
        }
        (MarkState::NotKept, false) => {
            format!(
                "{marker} is not in the remark: WeChat did not keep it, or it was edited; type it on the phone"
            )
        }
        (MarkState::NotKept, true) => {
            format!("{marker} is still in the remark: WeChat did not take it away; do so on the phone")
        }
    }
}

fn answer(marking: Marking, count: usize, too_long: usize) -> String {
    let contacts =
        |count: usize| if count == 1 { "1 contact".to_owned() } else { format!("{count} contacts") };
    let minutes = count.div_ceil(PER_MINUTE as usize);
    let mut text = match (marking, count) {
        (Marking::Put, 0) => String::new(),
        (Marking::Put, _) => format!(
            "a marker for {}, in {minutes} min or less: you will see it in the remark on every device. \
             Whether WeChat keeps it shows at the next sign-in: look at the markers then",
            contacts(count)
        ),
        (Marking::Take, _) => format!("the marker goes from {}, in {minutes} min or less", contacts(count)),
    };
    if too_long > 0 {
        let gap = if text.is_empty() { "" } else { ". " };
        let most = Marker::NAME_CHARS;
        text.push_str(&format!(
            "{gap}{} left out: there is room for a marker behind a remark of {most} characters or less",
            contacts(too_long)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(nickname: &str, remark: &str) -> PersonProfile {
        PersonProfile {
            person: "p-a".into(),
            kind: wxgate_contract::PersonKind::Human,
            nickname: nickname.to_owned(),
            remark: remark.to_owned(),
            public_id: String::new(),
            signature: String::new(),
            region: String::new(),
            is_contact: true,
        }
    }

    fn marked(is_leaving: bool) -> Marked {
        Marked { marker: Marker::of("p-a", 0), written: 0, name: 0, is_leaving, is_refused: false }
    }

    #[test]
    fn a_marker_goes_behind_the_remark_or_for_want_of_one_behind_the_nickname() {
        let marker = Marker::of("p-a", 0);
        let (text, name) = remark(marked(false), &person("Anna", "安娜"));
        assert_eq!((text, name), (format!("安娜 {marker}"), 0));
        let (text, name) = remark(marked(false), &person("Anna-Maria of the hills", ""));
        assert_eq!((text.clone(), name), (format!("Anna-Maria {marker}"), text_code("Anna-Maria")));
        assert!(text.chars().count() <= 18);
        let put = Marked { name, ..marked(false) };
        assert_eq!(put.name_in(&text), "", "it is no remark of the owner's");
        assert_eq!(put.name_in(&format!("Annie {marker}")), "Annie", "what the owner made of it is");
        assert_eq!(put.name_in("Annie #other"), "Annie #other");
        assert_eq!(remark(marked(true), &person("Anna", "安娜")).0, "安娜");
        let (text, _) = remark(marked(false), &person("", ""));
        assert_eq!(text, marker.to_string());
    }

    #[test]
    fn who_is_left_out_is_told() {
        let told = answer(Marking::Put, 1, 0);
        assert!(told.contains("a marker for 1 contact,") && !told.contains("left out"), "{told}");
        assert!(answer(Marking::Put, 0, 2).starts_with("2 contacts left out"));
        assert!(answer(Marking::Put, 30, 2).contains("in 3 min or less"));
    }
}
