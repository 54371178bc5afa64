//! What comes late and in numbers goes as one text with a link, so that a channel is not told for hours what was said
//! before them.
//!
//! Nothing is settled before the line with the link is confirmed; its note on disk names all that it stands for, so
//! that a crash repeats at most this line. Source: the IRC notes, section 8.

use std::collections::HashSet;

use wxgate_contract::{Delivery, DeliveryId, FarError, Job, MediaError, Outcome, PostId, Say, Timestamp};

use super::LATER;
use crate::client::flights::{Flight, Step};
use crate::client::session::Session;
use crate::client::words;

/// Bytes of one text. Chosen: what a browser shows at once; the rest makes another.
const MOST_BYTES: usize = 1 << 20;

/// Several deliveries as one text.
#[derive(Debug, PartialEq)]
struct Backlog {
    text: String,
    /// How many messages are in it.
    count: usize,
    /// All that it stands for beyond the first.
    behind: Vec<DeliveryId>,
    first: Timestamp,
    last: Timestamp,
}

impl Session<'_> {
    /// True when more may wait behind a text than can be said in time.
    pub(super) fn is_late(&self, flight: &Flight, say: &Say) -> bool {
        let limits = &self.relay.config.limits;
        let age = self.relay.clock.now().since(say.post.at);
        let room = self.relay.rooms.by_key(flight.chat());
        !flight.goes_alone && age > limits.late && room.is_some_and(|room| !room.no_backlog)
    }

    /// Reads what stands behind the first flight.
    pub(super) fn look_behind(&mut self) {
        let Some(flight) = self.relay.flights.all.first_mut() else { return };
        flight.step = Step::Looking;
        let delivery = flight.delivery.clone();
        self.relay.look_behind(delivery);
    }

    /// What stands behind a flight was read.
    pub(in crate::client) fn found_behind(
        &mut self,
        id: DeliveryId,
        behind: Result<Vec<Delivery>, FarError>,
    ) {
        let most = self.relay.config.limits.many;
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else { return };
        let found = match behind {
            Ok(behind) => collect(&flight.delivery, &behind).filter(|found| found.behind.len() >= most),
            Err(error) => {
                tracing::warn!(%error, delivery = %id, "what waits in a channel cannot be counted");
                None
            }
        };
        let Some(found) = found else {
            (flight.step, flight.goes_alone) = (Step::Fresh, true);
            return;
        };
        flight.pieces = vec![found.line()];
        (flight.step, flight.behind) = (Step::Storing, found.behind);
        let post = flight.delivery.job.post();
        self.relay.store(id, post, "backlog.txt", found.text);
    }

    /// The text has a place.
    pub(super) fn stored_backlog(&mut self, id: DeliveryId, link: Result<Option<String>, MediaError>) {
        let Some(flight) = self.relay.flights.all.iter_mut().find(|f| f.delivery.id == id) else { return };
        let lines = std::mem::take(&mut flight.pieces);
        match link {
            Ok(Some(link)) => self.ready(id, lines.into_iter().map(|line| format!("{line}{link}")).collect()),
            // Nothing can hold it: each goes by itself, however long it takes.
            Ok(None) => {
                flight.behind.clear();
                (flight.step, flight.goes_alone) = (Step::Fresh, true);
            }
            Err(error) => {
                let why = format!("what waited for the channel could not be stored: {error}");
                flight.behind.clear();
                self.relay.settle(id, Outcome::TryLater { after: LATER, why });
            }
        }
    }
}

impl Backlog {
    /// What is said of it; the link follows.
    fn line(&self) -> String {
        let (first, last) = (minute(self.first), minute(self.last));
        format!("… {} messages waited too long to be said one by one ({first} to {last} UTC): ", self.count)
    }
}

/// Puts a delivery and what stands behind it together, up to what cannot be put into a text, and to what another
/// account brings: a text goes with the account that it belongs to. What was taken back meanwhile is left out of it.
fn collect(head: &Delivery, behind: &[Delivery]) -> Option<Backlog> {
    let mut posts: HashSet<PostId> = HashSet::new();
    let mut taken_back: HashSet<PostId> = HashSet::new();
    let mut lines: Vec<(PostId, Timestamp, String)> = Vec::new();
    let (mut covered, mut bytes, mut origin) = (Vec::new(), 0, None);
    for delivery in std::iter::once(head).chain(behind) {
        match &delivery.job {
            Job::Say(say) => {
                let network = &say.post.chat.network;
                if origin.get_or_insert(network) != &network {
                    break;
                }
                let Some(text) = line(say).filter(|text| bytes + text.len() <= MOST_BYTES) else { break };
                bytes += text.len();
                posts.insert(say.post_id);
                lines.push((say.post_id, say.post.at, text));
            }
            Job::Recall { post, .. } if posts.contains(post) => {
                taken_back.insert(*post);
            }
            // It is about something that stands in the channel.
            Job::Recall { .. } | Job::Report(_) => break,
        }
        covered.push(delivery.id);
    }
    lines.retain(|(post, ..)| !taken_back.contains(post));
    let (first, last) = (lines.iter().map(|line| line.1).min()?, lines.iter().map(|line| line.1).max()?);
    let text = lines.iter().map(|(_, _, text)| text.as_str()).collect();
    Some(Backlog { text, count: lines.len(), behind: covered.split_off(1), first, last })
}

/// One message of the text, its end of line with it; `None` for what a channel is not shown.
fn line(say: &Say) -> Option<String> {
    let (name, text) = (words::author(say), words::text(say)?);
    let name = if name.is_empty() { name } else { format!("<{name}> ") };
    let (at, second) = (minute(say.post.at), say.post.at.civil().second);
    // What somebody says in several lines does not look like the next one's words.
    let text = text.replace('\n', "\n    ");
    Some(format!("{at}:{second:02} {name}{text}\n"))
}

/// `2012-06-30 23:59`
fn minute(at: Timestamp) -> String {
    let c = at.civil();
    format!("{:04}-{:02}-{:02} {:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute)
}
