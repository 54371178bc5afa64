//! Answers that are longer than what may wait for a client: LIST of many groups, WHO and NAMES of large
//! ones.
//!
//! An answer is a list of small steps, and each becomes lines when there is room for them: a client that
//! reads gets all of it, one that does not costs its queue and the steps. The client's next line is not
//! taken before the answer has ended, so nothing is answered out of turn.

use std::collections::VecDeque;

use tokio::sync::OwnedSemaphorePermit;

use super::caps::Caps;
use super::commands::query::Fields;
use super::outbound::MAX_AHEAD_BYTES;
use super::registry::ClientId;
use super::roster::{ChannelIx, PersonIx, Rank};
use super::session::Session;
use crate::wire::tags::escape_into;

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Step {
    /// A numeric and what stands behind the nick.
    Numeric(u16, String),
    /// A line as it is.
    Line(String),
    /// A group, as LIST tells it.
    Row(ChannelIx),
    /// NAMES of a group.
    Names(ChannelIx),
    /// NAMES of a local channel.
    LocalNames(String),
    /// A member of a group, or oneself, as WHO tells it.
    Who(ChannelIx, Option<PersonIx>, Rank),
}

/// What is still to be given.
#[derive(Debug)]
pub(super) struct Answer {
    steps: VecDeque<Step>,
    /// What a WHO asked for.
    fields: Option<Fields>,
    /// The batch around it, where the command had a label and the answer is a long one.
    batch: Option<String>,
    /// Kept until the end: the client's next line waits for it.
    turn: Option<OwnedSemaphorePermit>,
}

impl Session {
    /// Answers in steps, the first of them now.
    pub(super) fn answer_in_steps(
        &mut self,
        id: ClientId,
        steps: impl IntoIterator<Item = Step>,
        fields: Option<Fields>,
    ) {
        let steps: VecDeque<Step> = steps.into_iter().collect();
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.answer = Some(Answer { steps, fields, batch: None, turn: None });
        self.go_on(id);
    }

    /// True while a client is given an answer.
    pub(super) fn is_answering(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.answer.is_some())
    }

    /// Lets an answer that is not at its end outlive its command.
    pub(super) fn keep_answering(
        &mut self,
        id: ClientId,
        label: Option<&str>,
        turn: Option<OwnedSemaphorePermit>,
    ) {
        let server = self.shared.config.server_name.clone();
        let reference = format!("l{}", self.shared.next_number());
        let Some(client) = self.clients.get_mut(&id) else { return };
        let collected = client.capture.take().map(|capture| capture.lines).unwrap_or_default();
        let batch = label.filter(|_| client.has(Caps::BATCH)).map(|label| {
            let mut start = String::from("@label=");
            escape_into(&mut start, label);
            client.raw_line(&format!("{start} :{server} BATCH +{reference} labeled-response"));
            reference
        });
        collected.iter().for_each(|line| client.batched_line(batch.as_deref(), line));
        if let Some(answer) = &mut client.answer {
            (answer.batch, answer.turn) = (batch, turn);
        }
        self.go_on(id);
    }

    /// Gives as many steps as there is room for.
    pub(super) fn go_on(&mut self, id: ClientId) {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            let Some(answer) = &mut client.answer else { return };
            let collected = client.capture.as_ref().map_or(0, |capture| capture.bytes);
            if collected > MAX_AHEAD_BYTES || client.queue.is_ahead(MAX_AHEAD_BYTES - collected) {
                // The writer tells when it has written.
                return client.queue.wake();
            }
            let Some(step) = answer.steps.pop_front() else { return self.end_answer(id) };
            match answer.batch.clone() {
                None => self.step(id, step),
                Some(batch) => {
                    client.capture = Some(super::client::Capture::default());
                    self.step(id, step);
                    let Some(client) = self.clients.get_mut(&id) else { return };
                    let lines = client.capture.take().map(|capture| capture.lines).unwrap_or_default();
                    lines.iter().for_each(|line| client.batched_line(Some(&batch), line));
                }
            }
        }
    }

    fn end_answer(&mut self, id: ClientId) {
        let server = self.shared.config.server_name.clone();
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let Some(Answer { batch: Some(batch), .. }) = client.answer.take() {
            client.raw_line(&format!(":{server} BATCH -{batch}"));
        }
    }

    fn step(&mut self, id: ClientId, step: Step) {
        match step {
            Step::Numeric(code, rest) => self.numeric(id, code, &rest),
            Step::Line(line) => self.to(id, &line),
            Step::Row(ix) => self.list_row(id, ix),
            Step::Names(ix) => self.send_names(id, ix),
            Step::LocalNames(name) => {
                self.on_floor(id, |floor| floor.names(&name));
            }
            Step::Who(channel, person, rank) => {
                let nick = match person {
                    Some(ix) => self.roster.person(ix).map(|person| person.nick.clone()),
                    None => Some(self.nick.clone()),
                };
                let Some(who) = nick.and_then(|nick| self.who_is(&nick)) else { return };
                let (name, client) = (self.channel_name(channel), self.clients.get(&id));
                let fields = client.and_then(|client| client.answer.as_ref()?.fields.clone());
                self.who_line(id, (&name, rank.symbol()), &who, fields.as_ref());
            }
        }
    }
}
