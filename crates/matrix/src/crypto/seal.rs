//! Encrypts what is said, for everybody in the room.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;
use tokio::time::Instant;
use wxgate_e2ee::{Machine, RoomRules, step_of};

use super::devices::Device;
use crate::client::CallError;
use crate::outbound::MARK;
use crate::shared::Shared;
use crate::speak::Speaker;
use crate::trouble::Trouble;

/// The event type of whatever is encrypted.
const ENCRYPTED: &str = "m.room.encrypted";

/// Something that was encrypted, and who says it.
pub(crate) struct Sealed {
    pub(crate) kind: &'static str,
    pub(crate) content: Value,
    pub(crate) speaker: Speaker,
}

/// What has to be encrypted: words, and the steps of a verification. Relations alone (reactions, redactions, delivery states) stay as they are, as all
/// clients leave them. Source: client-server API, "m.room.encrypted"; the Matrix notes, section 5.
fn is_words(kind: &str) -> bool {
    matches!(kind, "m.room.message" | "m.sticker") || kind.starts_with("m.key.verification.")
}

impl Shared {
    /// What is to be sent instead; `None` where it goes as it is.
    pub(crate) async fn seal(
        &self,
        room_id: &str,
        speaker: &Speaker,
        kind: &str,
        content: &Value,
    ) -> Result<Option<Sealed>, CallError> {
        if !is_words(kind) {
            return Ok(None);
        }
        Box::pin(self.try_seal(room_id, speaker, kind, content)).await.map_err(Trouble::into_call)
    }

    async fn try_seal(
        &self,
        room_id: &str,
        speaker: &Speaker,
        kind: &str,
        content: &Value,
    ) -> Result<Option<Sealed>, Trouble> {
        let Some(rules) = self.rules(room_id).await? else { return Ok(None) };
        if content.get("url").is_some() {
            return Err(Trouble::Soon("the room is encrypted since a moment ago".to_owned()));
        }
        // Counted before it is asked who they are: what changes meanwhile is seen the next time.
        let changes = self.crypto.changes.load(Ordering::Relaxed);
        let readers = self.readers(room_id).await?;
        let (speaker, device) = self.pen(speaker, readers.members).await?;
        // Whoever has other keys than those that were verified can have those verified only if they can read the steps.
        // The next words are encrypted with another key than what more devices have.
        let is_step = step_of(kind, "", content).is_some();
        let rules = match is_step && rules.is_for_signed_devices() {
            true => Arc::new(RoomRules::clone(&rules).for_all_devices()),
            false => rules,
        };
        let people = readers.given_keys(&rules);
        let room = device.room(room_id);
        let mut given = room.lock().await;
        if given.at != Some(changes) || given.look.is_due(Instant::now()) {
            self.know_devices(&device, &people, changes).await?;
            given.look = given.look.after(device.leaves_out(&people), Instant::now());
        }
        self.hand_out(&device, room_id, &people, &rules).await?;
        given.at = Some(changes);
        self.crypto.sealed.fetch_add(1, Ordering::Relaxed);
        let mut sealed = device.machine.encrypt(room_id, kind, content).await?;
        // What tells an event of ours from others' has to be seen without its key.
        if let Some(mark) = content.get(MARK) {
            sealed[MARK] = mark.clone();
        }
        Ok(Some(Sealed { kind: ENCRYPTED, content: sealed, speaker }))
    }

    /// Who speaks, and with whose device. In a room that is larger than the operator wants devices for, the bot's
    /// device encrypts for all ghosts.
    async fn pen(&self, speaker: &Speaker, members: usize) -> Result<(Speaker, Arc<Device>), Trouble> {
        let (speaker, user_id) = match speaker {
            Speaker::Bot => (Speaker::Bot, self.names.bot()),
            Speaker::Ghost(ghost) | Speaker::Puppet(_, ghost) => {
                let own = members <= self.config.own_devices_up_to;
                (
                    Speaker::Ghost(Arc::clone(ghost)),
                    if own { ghost.user_id.as_str() } else { self.names.bot() },
                )
            }
        };
        let device = self.device(user_id).await?;
        Ok((speaker, device))
    }

    /// The homeserver lost the device that somebody speaks with: its keys are made anew with it.
    pub(crate) async fn device_is_unknown(&self, speaker: &Speaker) {
        if !self.crypto.is_on {
            return;
        }
        match speaker {
            Speaker::Bot => self.look_at_device_again(self.names.bot()).await,
            Speaker::Ghost(ghost) | Speaker::Puppet(_, ghost) => {
                self.look_at_device_again(&ghost.user_id).await
            }
        }
    }

    /// Learns the devices of people in the room, and makes it possible to send them a key.
    async fn know_devices(&self, device: &Device, people: &[String], changes: u64) -> Result<(), Trouble> {
        let (user_id, machine) = (&device.user_id, &device.machine);
        let _turn = device.turn.lock().await;
        machine.track(people).await?;
        for request in machine.outgoing().await?.iter().filter(|request| request.asks_for_devices()) {
            self.learn_devices(device, request, changes).await?;
        }
        self.carry_all(user_id, machine).await?;
        match machine.claim(people).await? {
            Some(claim) => self.claim(device, &claim).await,
            // Nobody is left out, or the machine does not ask for them so soon again.
            None => Ok(()),
        }
    }

    async fn hand_out(
        &self,
        device: &Device,
        room_id: &str,
        people: &[String],
        rules: &RoomRules,
    ) -> Result<(), Trouble> {
        let mut people = people.to_vec();
        if rules.is_for_signed_devices() {
            let verified =
                Machine::verified(Arc::clone(&self.far), self.network.clone(), self.names.bot()).await?;
            let others = device.machine.with_other_keys(&people, &verified).await?;
            people.retain(|user| !others.contains(user));
        }
        for request in device.machine.share(room_id, &people, rules).await? {
            self.carry(&device.user_id, &device.machine, &request).await?;
        }
        Ok(())
    }
}
