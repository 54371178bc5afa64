//! The devices that this gateway speaks with: made and signed once, at hand while they are used.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::Mutex as Turn;
use wxgate_e2ee::{Leftover, Machine, MachineError, Purpose, Request, Standing};

use super::claim::{LeftOut, Look};
use crate::api::account::PutDevice;
use crate::api::keys::{Ask, DeleteDevice};
use crate::client::{Actor, CallError};
use crate::shared::{DEVICE, Shared};
use crate::trouble::Trouble;

/// Devices at hand. Chosen: at some sixty kilobytes each it is memory for a busy evening; one that is not at
/// hand costs two requests when it speaks next.
const AT_HAND: usize = 512;

/// How often it is looked whether a device is still in use.
const LET_GO: Duration = Duration::from_millis(20);

/// Devices that are told at once that somebody's changed. Chosen: as many as one commit takes anyway.
const TOLD_AT_ONCE: usize = 64;

/// One device of the bot or of a ghost.
pub(crate) struct Device {
    pub(crate) user_id: String,
    pub(crate) machine: Machine,
    /// Held while its requests are made: two at once would ask for the same keys twice.
    pub(super) turn: Turn<()>,
    /// Held over sharing and encrypting.
    rooms: Mutex<HashMap<String, Arc<Turn<Given>>>>,
    /// People whose homeserver could not be asked for their devices.
    pub(super) unknown: LeftOut,
    /// People with a device that had no key to give.
    pub(super) keyless: LeftOut,
}

/// How far people in a room have its key.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The count of changes up to which it was shared; `None` before it was.
    pub(super) at: Option<u64>,
    /// When it is looked again for those in it who could not be sent it.
    pub(super) look: Look,
}

impl Device {
    fn new(user_id: &str, machine: Machine) -> Self {
        let (rooms, unknown, keyless) = (Mutex::default(), LeftOut::default(), LeftOut::default());
        Self { user_id: user_id.to_owned(), machine, turn: Turn::default(), rooms, unknown, keyless }
    }

    /// True when one of these cannot be sent all keys.
    pub(super) fn leaves_out(&self, people: &[String]) -> bool {
        self.unknown.has_any(people) || self.keyless.has_any(people)
    }

    /// Taken by whoever says something in a room.
    pub(super) fn room(&self, room_id: &str) -> Arc<Turn<Given>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(rooms.entry(room_id.to_owned()).or_default())
    }
}

/// The place of a user's device.
#[derive(Default)]
struct Slot {
    place: Turn<Option<Arc<Device>>>,
    /// Somebody's devices changed while it was at work in here, and it was not told.
    has_missed: AtomicBool,
}

/// Those at hand. There is never more than one of a user: two would each count their ratchets.
#[derive(Default)]
pub(super) struct Devices {
    // Locked for the length of a lookup; a device is set up while its slot alone is locked.
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_user: HashMap<String, (u64, Arc<Slot>)>,
    uses: u64,
}

impl Devices {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, user_id: &str, bot: &str) -> Arc<Slot> {
        let mut slots = self.slots();
        if slots.by_user.len() >= AT_HAND {
            slots.let_go(bot);
        }
        slots.uses += 1;
        let now = slots.uses;
        let (used, slot) = slots.by_user.entry(user_id.to_owned()).or_default();
        *used = now;
        Arc::clone(slot)
    }

    /// Whose are at hand, or are about to be.
    pub(super) fn users(&self) -> Vec<String> {
        self.slots().by_user.keys().cloned().collect()
    }

    /// Those that can be told something now. The others, which are being set up or cleared out, have missed it and
    /// look for themselves when they are next used: that may take as long as a homeserver takes, and nobody waits.
    fn open(&self) -> Vec<Arc<Device>> {
        let slots = self.slots();
        let at_hand = slots.by_user.values().filter_map(|(_, slot)| match slot.place.try_lock() {
            Ok(device) => device.clone(),
            Err(_) => {
                slot.has_missed.store(true, Ordering::Release);
                None
            }
        });
        at_hand.collect()
    }
}

impl Slots {
    /// Lets go of the half that was not used for longest, as far as nobody uses it now.
    fn let_go(&mut self, bot: &str) {
        let mut uses: Vec<u64> = self.by_user.values().map(|(used, _)| *used).collect();
        uses.sort_unstable();
        let middle = uses.get(uses.len() / 2).copied().unwrap_or_default();
        self.by_user.retain(|user_id, (used, slot)| {
            let is_idle = Arc::strong_count(slot) == 1
                && slot
                    .place
                    .try_lock()
                    .is_ok_and(|device| device.as_ref().is_none_or(|one| Arc::strong_count(one) == 1));
            user_id == bot || *used > middle || !is_idle
        });
    }
}

impl From<MachineError> for Trouble {
    fn from(error: MachineError) -> Self {
        Self::NotYet(error.to_string())
    }
}

impl Shared {
    /// The device of the bot or a ghost: set up when it is not yet.
    pub(crate) async fn device(&self, user_id: &str) -> Result<Arc<Device>, Trouble> {
        let slot = self.crypto.devices.slot(user_id, self.names.bot());
        let mut place = slot.place.lock().await;
        if let Some(device) = &*place {
            if slot.has_missed.swap(false, Ordering::AcqRel)
                && let Err(error) = device.machine.everything_changed().await
            {
                slot.has_missed.store(true, Ordering::Release);
                return Err(error.into());
            }
            return Ok(Arc::clone(device));
        }
        let machine = Box::pin(self.set_up(user_id)).await?;
        let device = Arc::new(Device::new(user_id, machine));
        *place = Some(Arc::clone(&device));
        Ok(device)
    }

    /// The homeserver does not know the device as it is here: it is looked at again before its next use.
    pub(crate) async fn look_at_device_again(&self, user_id: &str) {
        let slot = self.crypto.devices.slot(user_id, self.names.bot());
        let mut place = slot.place.lock().await;
        if let Some(device) = place.take() {
            let_go(device).await;
        }
    }

    /// A ghost that is gone speaks no more: its device with keys goes, and they with it. May be repeated.
    pub(crate) async fn forget_device(&self, user_id: &str) -> Result<(), Trouble> {
        let Some(device_id) = self.device_of(user_id).await? else { return Ok(()) };
        self.look_at_device_again(user_id).await;
        self.delete_device(user_id, &device_id).await?;
        Ok(Machine::forget_all(Arc::clone(&self.far), self.network.clone(), user_id).await?)
    }

    /// The id of the device with keys; `None` when there is none.
    pub(super) async fn device_of(&self, user_id: &str) -> Result<Option<String>, Trouble> {
        Ok(Machine::device_of(Arc::clone(&self.far), self.network.clone(), user_id).await?)
    }

    async fn delete_device(&self, user_id: &str, device_id: &str) -> Result<(), Trouble> {
        let plain = Actor::As { user_id, device_id: None };
        match self.client.call(plain, &DeleteDevice { device_id }).await {
            // What a homeserver does not have need not be deleted.
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes one request of a device's machine.
    pub(super) async fn carry(
        &self,
        user_id: &str,
        machine: &Machine,
        request: &Request,
    ) -> Result<Value, Trouble> {
        let actor = Actor::As { user_id, device_id: Some(machine.device_id()) };
        let answer = self.client.call(actor, &Ask(request)).await?;
        machine.answered(request, answer.get().as_bytes()).await?;
        Ok(serde_json::from_str(answer.get()).unwrap_or_default())
    }

    /// Makes what a machine wants to ask, until it wants nothing. One request that fails alone stands in no other's way;
    /// the first error of such is given in the end.
    pub(super) async fn carry_all(&self, user_id: &str, machine: &Machine) -> Result<(), Trouble> {
        // An answer may lead to a further question, but not to endless ones.
        for _ in 0..4 {
            let mut requests = machine.outgoing().await?;
            // What is said in rooms goes the way of everything that is said there.
            requests.retain(|request| request.said_in_room().is_none());
            if requests.is_empty() {
                return Ok(());
            }
            let mut failed = None;
            for request in &requests {
                match self.carry(user_id, machine, request).await {
                    Ok(_) => {}
                    Err(error) if error.is_of_all() => return Err(error),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A device whose keys are on the homeserver, signed by its user's own. Every step may be repeated.
    async fn set_up(&self, user_id: &str) -> Result<Machine, Trouble> {
        let epoch = self.epoch().await?;
        let (machine, is_new) = self.open_device(user_id).await?;
        if is_new {
            // Nobody has seen it: there is nothing to compare it with.
            return self.make_ready(user_id, machine, &epoch).await;
        }
        let standing = machine.standing(&epoch).await?;
        let there = self.ask_for_devices(user_id, &machine).await?;
        let own_key = machine.fingerprint().await?.device_key;
        let machine = match (there.as_deref(), standing) {
            (Some(key), Standing::Ready) if key == own_key => return Ok(machine),
            (Some(key), Standing::New) if key == own_key => machine,
            (None, Standing::New) => machine,
            // Our state was lost, or is older than it should be, or the homeserver's was lost. Keys that change
            // under a name are what clients warn of, so another device takes its place; the seeds of its
            // signatures stay, as far as they are left.
            (there, _) => {
                tracing::warn!(user_id, is_there = there.is_some(), "a device of ours begins anew");
                let old = machine.device_id().to_owned();
                drop(machine);
                self.begin_anew(user_id, &old).await?;
                self.open_device(user_id).await?.0
            }
        };
        self.make_ready(user_id, machine, &epoch).await
    }

    async fn make_ready(&self, user_id: &str, machine: Machine, epoch: &str) -> Result<Machine, Trouble> {
        self.sign(user_id, &machine).await?;
        machine.note_ready(epoch).await?;
        Ok(machine)
    }

    /// Has a machine learn anew what it knows of devices, because it did not hear what was told while it was not at
    /// hand. Gives the key under which the homeserver shows its own device, if it does.
    async fn ask_for_devices(&self, user_id: &str, machine: &Machine) -> Result<Option<String>, Trouble> {
        machine.track(&[user_id.to_owned()]).await?;
        machine.everything_changed().await?;
        let id = machine.device_id();
        let path = format!("/device_keys/{}/{id}/keys/ed25519:{id}", pointer(user_id));
        let mut there = None;
        for request in machine.outgoing().await?.iter().filter(|request| request.asks_for_devices()) {
            let told = self.carry(user_id, machine, request).await?;
            let own = told.pointer(&path).and_then(Value::as_str);
            there = there.or_else(|| own.map(str::to_owned));
        }
        Ok(there)
    }

    /// The device as it was left, or a new one, and whether it is new; it is on the homeserver, its keys perhaps
    /// not.
    async fn open_device(&self, user_id: &str) -> Result<(Machine, bool), Trouble> {
        let known = self.device_of(user_id).await?;
        let is_new = known.is_none();
        let id = match known {
            Some(id) => id,
            None => Machine::new_device_id(DEVICE)?,
        };
        let purpose = if user_id == self.names.bot() { Purpose::Reads } else { Purpose::OnlySends };
        let (far, network) = (Arc::clone(&self.far), self.network.clone());
        let machine = Machine::open(far, network, user_id, &id, purpose).await?;
        self.client.call(Actor::As { user_id, device_id: None }, &PutDevice { device_id: &id }).await?;
        Ok((machine, is_new))
    }

    /// The device goes from the homeserver, and what is remembered of it from here; its signatures' seeds stay.
    async fn begin_anew(&self, user_id: &str, old: &str) -> Result<(), Trouble> {
        self.delete_device(user_id, old).await?;
        if old == DEVICE {
            // From before devices with keys were devices of their own.
            self.client
                .call(Actor::As { user_id, device_id: None }, &PutDevice { device_id: DEVICE })
                .await?;
        }
        Ok(Machine::forget(Arc::clone(&self.far), self.network.clone(), user_id).await?)
    }

    async fn sign(&self, user_id: &str, machine: &Machine) -> Result<(), Trouble> {
        for request in machine.signing().await? {
            self.carry(user_id, machine, &request).await?;
        }
        self.ask_for_devices(user_id, machine).await?;
        match machine.is_signed().await? {
            true => Ok(()),
            false => Err(Trouble::NotYet("the homeserver does not show a device as signed".to_owned())),
        }
    }

    /// Some people's devices changed: every device at hand has to know.
    pub(super) async fn devices_changed(&self, users: &[String]) {
        if !users.is_empty() {
            self.tell_devices(Some(users)).await;
        }
    }

    /// It is not known whose devices changed.
    pub(super) async fn any_device_may_have_changed(&self) {
        self.tell_devices(None).await;
    }

    async fn tell_devices(&self, users: Option<&[String]>) {
        // Before they are told as well: whoever speaks meanwhile must not take an answer from before the change for
        // one that tells of it.
        self.crypto.changed();
        let told = futures_util::stream::iter(self.crypto.devices.open()).map(|device| async move {
            let told = match users {
                Some(users) => device.machine.devices_changed(users).await,
                None => device.machine.everything_changed().await,
            };
            told.err().map(|error| (error, device.user_id.clone()))
        });
        // Each writes it down: side by side they share a commit.
        let failed: Vec<_> =
            told.buffer_unordered(TOLD_AT_ONCE).filter_map(std::future::ready).collect().await;
        for (error, user_id) in failed {
            // It asks for everything when it is opened again.
            tracing::warn!(%error, user_id, "changed devices could not be noted");
            self.look_at_device_again(&user_id).await;
        }
        self.crypto.changed();
    }

    /// Takes away what a device keeps and nothing needs any more; gives how much.
    pub(super) async fn prune_device(&self, user_id: &str, leftover: &Leftover) -> Result<usize, Trouble> {
        let slot = self.crypto.devices.slot(user_id, self.names.bot());
        let mut place = slot.place.lock().await;
        let closed = || (Arc::clone(&self.far), self.network.clone());
        let pruned = match &*place {
            Some(device) => device.machine.prune(leftover).await?,
            None => {
                let (far, network) = closed();
                Machine::prune_closed(far, network, user_id, leftover).await?
            }
        };
        if pruned.people == 0 {
            return Ok(pruned.rows);
        }
        if let Some(device) = place.take() {
            let_go(device).await;
        }
        let (far, network) = closed();
        Ok(pruned.rows + Machine::forget_people(far, network, user_id, leftover).await?.rows)
    }
}

/// Waits until nobody uses a device any more, and closes it.
async fn let_go(device: Arc<Device>) {
    // Whoever speaks with it is done within a call's time; two of one device must not be.
    while Arc::strong_count(&device) > 1 {
        tokio::time::sleep(LET_GO).await;
    }
}

/// A key in a JSON pointer. Source: RFC 6901, section 3.
fn pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
