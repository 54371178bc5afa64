//! Verification of the bot by emoji: somebody begins it in their client, the bot shows its seven pictures where they
//! talk to it, and they say whether the client shows the same.
//!
//! Whoever stood between the two could also change what the bot shows in that room. So the pictures are in the log as
//! well, where whoever runs the gateway sees them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::Notify;
use wxgate_contract::Stop;
use wxgate_e2ee::{Flow, Request, Stage, step_of};

use crate::account::Verification;
use crate::api::event::Send;
use crate::config::Level;
use crate::inbound::event::Event;
use crate::management::answer::Answer;
use crate::shared::Shared;
use crate::speak::{Speaker, Utterance, derived_txn_id};
use crate::trouble::Trouble;

/// Steps that may wait. Chosen: a verification has seven; whoever sends more of them begins again.
const STEPS: usize = 64;
/// Verifications of which is known what was told. Chosen: as many as a device follows, twice.
const TOLD: usize = 64;

/// A step that was said in a room.
struct Step {
    room_id: String,
    event: Value,
    flow: Flow,
}

/// What is known of one.
struct Known {
    user_id: String,
    /// Where it is told about when its person has no private chat with the bot.
    room_id: Option<String>,
    stage: Verification,
}

/// The verifications that are under way.
#[derive(Default)]
pub(super) struct Verifying {
    // Locked for the length of a lookup.
    steps: Mutex<VecDeque<Step>>,
    known: Mutex<HashMap<String, Known>>,
    bell: Notify,
}

impl Verifying {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Step> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Something may have got on.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Remembers how far one is; true when that is news.
    fn is_news(&self, flow: &Flow, room_id: Option<&str>, stage: &Verification) -> bool {
        let mut known = self.known();
        if known.len() >= TOLD && !known.contains_key(&flow.id) {
            known.clear();
        }
        let entry = known.entry(flow.id.clone()).or_insert_with(|| Known {
            user_id: flow.user_id.clone(),
            room_id: None,
            stage: Verification::Going,
        });
        entry.room_id = room_id.map(str::to_owned).or_else(|| entry.room_id.take());
        let is_news = entry.stage != *stage;
        entry.stage = stage.clone();
        is_news
    }

    /// The one whose pictures somebody has to compare.
    fn compared_by(&self, user_id: &str) -> Option<(Flow, Vec<(String, String)>)> {
        self.known().iter().find_map(|(id, known)| match &known.stage {
            Verification::Compare(emojis) if known.user_id == user_id => {
                Some((Flow { user_id: user_id.to_owned(), id: id.clone() }, emojis.clone()))
            }
            _ => None,
        })
    }

    /// Those that are under way, for an account that follows none by itself.
    fn flows(&self) -> Vec<Flow> {
        let known = self.known();
        let under_way = known.iter().filter(|(_, known)| !is_over(&known.stage));
        under_way.map(|(id, known)| Flow { user_id: known.user_id.clone(), id: id.clone() }).collect()
    }

    fn room_of(&self, flow: &Flow) -> Option<String> {
        self.known().get(&flow.id)?.room_id.clone()
    }
}

fn is_over(stage: &Verification) -> bool {
    matches!(stage, Verification::Done | Verification::Cancelled(_))
}

/// Gets on with them until told to stop.
pub(super) async fn run(shared: Arc<Shared>, stop: Stop) {
    loop {
        let turn = async {
            shared.crypto.verifying.bell.notified().await;
            if let Err(error) = Box::pin(shared.verify_on()).await {
                tracing::warn!(%error, "a verification does not get on");
            }
        };
        tokio::select! {
            () = stop.stopping() => return,
            () = turn => {}
        }
    }
}

impl Shared {
    /// Takes an event that is a step of a verification; false when it is none.
    pub(crate) fn take_step(&self, event: &Event) -> bool {
        let Some(id) = step_of(&event.kind, &event.event_id, &event.content) else { return false };
        if !self.crypto.is_on && self.config.account.is_none() {
            return true;
        }
        let full = json!({
            "type": event.kind, "event_id": event.event_id, "sender": event.sender, "room_id": event.room_id,
            "origin_server_ts": event.origin_server_ts, "content": event.content,
        });
        let flow = Flow { user_id: event.sender.clone(), id };
        if !self.may_verify(&flow) {
            return true;
        }
        let mut steps = self.crypto.verifying.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < STEPS {
            steps.push_back(Step { room_id: event.room_id.clone(), event: full, flow });
        }
        drop(steps);
        self.crypto.verifying.ring();
        true
    }

    pub(super) async fn verify_on(&self) -> Result<(), Trouble> {
        while let Some(step) = self.crypto.verifying.take() {
            self.crypto.verifying.is_news(&step.flow, Some(&step.room_id), &Verification::Going);
            if self.crypto.is_on {
                self.hear_step(step).await?;
            }
        }
        let flows = match self.crypto.is_on {
            true => self.device(self.names.bot()).await?.machine.flows(),
            false => self.crypto.verifying.flows(),
        };
        for flow in flows {
            let stage = self.go_on(&flow).await?;
            self.tell_stage(&flow, stage).await?;
        }
        Ok(())
    }

    /// Only so many are followed, so nobody else's is.
    fn may_verify(&self, flow: &Flow) -> bool {
        self.config.permissions.of(&flow.user_id) >= Level::User
    }

    /// Steps were sent to the bot's device, which has heard them. Anybody on Matrix can send one.
    pub(super) async fn follow_steps(&self, mut steps: Vec<Flow>) -> Result<(), Trouble> {
        steps.retain(|flow| self.may_verify(flow));
        if !steps.is_empty() {
            self.device(self.names.bot()).await?.machine.follow(steps).await?;
            self.crypto.verifying.ring();
        }
        Ok(())
    }

    /// Signs once more who was verified, where the homeserver does not show it.
    pub(super) async fn sign_verified_again(&self) -> Result<(), Trouble> {
        let device = self.device(self.names.bot()).await?;
        let _turn = device.turn.lock().await;
        for request in device.machine.sign_again().await? {
            match self.carry(&device.user_id, &device.machine, &request).await {
                Err(error) if error.is_of_all() => return Err(error),
                // Of one of them alone; the next day it is tried again.
                Err(error) => tracing::warn!(%error, "who was verified cannot be signed once more"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    async fn hear_step(&self, step: Step) -> Result<(), Trouble> {
        let device = self.device(self.names.bot()).await?;
        if step.event.get("type").is_some_and(|kind| kind == "m.room.message") {
            // A request of a device that is not known is not heard.
            let _turn = device.turn.lock().await;
            let query = device.machine.query(std::slice::from_ref(&step.flow.user_id));
            self.carry(&device.user_id, &device.machine, &query).await?;
        }
        Ok(device.machine.hear_step(&step.event, step.flow).await?)
    }

    /// Says what has to be said, and gives how far it is.
    async fn go_on(&self, flow: &Flow) -> Result<Option<Verification>, Trouble> {
        if let Some(account) = &self.config.account {
            return Ok(account.verify(&flow.user_id, &flow.id, None).await?);
        }
        let requests = self.device(self.names.bot()).await?.machine.go_on(flow);
        self.carry_steps(&requests).await?;
        let wanted = self.device(self.names.bot()).await?.machine.outgoing().await?;
        let in_rooms = wanted.into_iter().filter(|step| step.said_in_room().is_some());
        self.carry_steps(&in_rooms.collect::<Vec<_>>()).await?;
        let device = self.device(self.names.bot()).await?;
        let _turn = device.turn.lock().await;
        self.carry_all(&device.user_id, &device.machine).await?;
        Ok(device.machine.stage(flow).map(|stage| match stage {
            Stage::Going => Verification::Going,
            Stage::Compare(emojis) => Verification::Compare(emojis),
            Stage::Agreed => Verification::Agreed,
            Stage::Done => Verification::Done,
            Stage::Cancelled(why) => Verification::Cancelled(why),
        }))
    }

    async fn carry_steps(&self, requests: &[Request]) -> Result<(), Trouble> {
        for request in requests {
            self.carry_step(request).await?;
        }
        Ok(())
    }

    /// One step: in a room as everything that is said there, else to the device. The device is not held over what is
    /// said: encrypting takes it again, and whoever closes it waits until nobody holds it.
    async fn carry_step(&self, request: &Request) -> Result<(), Trouble> {
        let Some((room_id, kind, txn_id, content)) = request.said_in_room() else {
            let device = self.device(self.names.bot()).await?;
            return self.carry(&device.user_id, &device.machine, request).await.map(drop);
        };
        let sealed = self.seal(room_id, &Speaker::Bot, kind, &content).await?;
        let (kind, content) =
            sealed.as_ref().map_or((kind, &content), |sealed| (sealed.kind, &sealed.content));
        let said = self.client.call(self.bot(), &Send { room_id, kind, txn_id, at: None, content }).await?;
        let answer = json!({ "event_id": said.event_id });
        let device = self.device(self.names.bot()).await?;
        Ok(device.machine.answered(request, answer.to_string().as_bytes()).await?)
    }

    async fn tell_stage(&self, flow: &Flow, stage: Option<Verification>) -> Result<(), Trouble> {
        let Some(stage) = stage.filter(|stage| self.crypto.verifying.is_news(flow, None, stage)) else {
            return Ok(());
        };
        let said = match &stage {
            Verification::Going | Verification::Agreed => return Ok(()),
            Verification::Compare(emojis) => {
                tracing::info!(user_id = flow.user_id, pictures = line(emojis), "somebody verifies the bot");
                shown(emojis)
            }
            Verification::Done => Answer::of("You have verified me, and I you."),
            Verification::Cancelled(why) => Answer::of(&format!("The verification was given up: {why}.")),
        };
        let desk = self.memory.desks.get(&self.memory, &flow.user_id).await?;
        let room_id = desk.map(|desk| desk.to_string()).or_else(|| self.crypto.verifying.room_of(flow));
        let Some(room_id) = room_id else { return Ok(()) };
        let part = match stage {
            Verification::Compare(_) => "compare",
            _ => "end",
        };
        let txn_id = derived_txn_id(&["verification", &flow.user_id, &flow.id, part]);
        let what = Utterance { kind: "m.room.message", content: said.content(), txn_id, at: None };
        self.say_in_time(&room_id, &what).await?;
        Ok(())
    }

    /// The pictures that somebody has to compare, if they verify the bot now.
    pub(crate) fn shown_to(&self, user_id: &str) -> Option<Answer> {
        self.crypto.verifying.compared_by(user_id).map(|(_, emojis)| shown(&emojis))
    }

    /// Somebody says whether the pictures are the same; false when they have none to compare.
    pub(crate) async fn decide(&self, user_id: &str, are_the_same: bool) -> Result<bool, Trouble> {
        let Some((flow, _)) = self.crypto.verifying.compared_by(user_id) else { return Ok(false) };
        match &self.config.account {
            Some(account) => {
                let stage = account.verify(&flow.user_id, &flow.id, Some(are_the_same)).await?;
                // Here and now: the SDK forgets one that is over with the next sync.
                self.tell_stage(&flow, stage).await?;
            }
            None => {
                let device = self.device(self.names.bot()).await?;
                let requests = device.machine.decide(&flow, are_the_same).await?;
                drop(device);
                self.carry_steps(&requests).await?;
            }
        }
        self.crypto.verifying.ring();
        Ok(true)
    }
}

fn shown(emojis: &[(String, String)]) -> Answer {
    Answer::of("Your client shows seven pictures now. Mine are: ")
        .strong(&line(emojis))
        .text(". Are they the same, in the same order? Say ")
        .code("verify yes")
        .text(" or ")
        .code("verify no")
        .text(".")
}

fn line(emojis: &[(String, String)]) -> String {
    let all: Vec<String> = emojis.iter().map(|(symbol, name)| format!("{symbol} {name}")).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(id: &str) -> Flow {
        Flow { user_id: "@ann:test".to_owned(), id: id.to_owned() }
    }

    #[test]
    fn each_stage_is_told_once() {
        let verifying = Verifying::default();
        let compare = Verification::Compare(vec![("🐶".to_owned(), "Dog".to_owned())]);
        assert!(!verifying.is_news(&flow("1"), Some("!room"), &Verification::Going));
        assert!(verifying.is_news(&flow("1"), None, &compare));
        assert!(!verifying.is_news(&flow("1"), None, &compare));
        assert_eq!(verifying.room_of(&flow("1")).as_deref(), Some("!room"));
        assert_eq!(verifying.compared_by("@ann:test").map(|(flow, _)| flow.id).as_deref(), Some("1"));
        assert!(verifying.compared_by("@bob:test").is_none());
        assert!(verifying.is_news(&flow("1"), None, &Verification::Done));
        assert!(verifying.compared_by("@ann:test").is_none() && verifying.flows().is_empty());
    }

    #[test]
    fn the_pictures_stand_with_their_names() {
        let emojis = [("🐶", "Dog"), ("🔑", "Key")].map(|(one, two)| (one.to_owned(), two.to_owned()));
        assert!(shown(&emojis).plain().contains("🐶 Dog, 🔑 Key"));
    }
}
