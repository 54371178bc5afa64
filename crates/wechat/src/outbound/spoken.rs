//! What deliveries have said so far, so that a later attempt goes on where one ended.

use std::sync::PoisonError;

use wechat_proto::{MsgId, UserName};
use wxgate_contract::{DeliveryId, Outcome, RemoteId, Timestamp};

use super::{Errand, Outbound};

/// Deliveries whose pieces are remembered, so that a repetition says nothing twice even where the service would not
/// notice. Chosen: as many as are in hand at once; what is put off behind as many others has its ids for that.
const REMEMBERED: usize = 64;

/// What one delivery has said so far.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    delivery: DeliveryId,
    /// To whom, in which login.
    to: (u32, UserName),
    pieces: Vec<RemoteId>,
    at: Timestamp,
}

impl Outbound {
    pub(super) fn spoken_before(&self, delivery: DeliveryId) -> Vec<RemoteId> {
        let spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        spoken.iter().find(|spoken| spoken.delivery == delivery).map(|s| s.pieces.clone()).unwrap_or_default()
    }

    /// Whether nothing of a delivery was said, or may have been, to somebody else whom its chat stood for in this login:
    /// the rest would make no sense to anybody.
    pub(super) fn not_begun_elsewhere(&self, errand: &Errand<'_>) -> Result<(), Outcome> {
        let (delivery, to) = (errand.delivery.id, &errand.to);
        let spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        let said = spoken.iter().find(|spoken| spoken.delivery == delivery).map(|spoken| &spoken.to);
        let is_other = said.is_some_and(|(login, other)| *login == errand.generation && other != to);
        if is_other || self.unanswered.may_have_reached_another(delivery, to) {
            let why =
                "it turned out meanwhile that this chat is somebody else than it was sent to".to_owned();
            return Err(Outcome::Uncertain { why });
        }
        Ok(())
    }

    pub(super) fn note_spoken(&self, errand: &Errand<'_>, id: &RemoteId) {
        let (at, delivery) = (self.live.now(), errand.delivery.id);
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = spoken.iter_mut().find(|spoken| spoken.delivery == delivery) {
            known.pieces.push(id.clone());
            known.at = at;
            return;
        }
        if spoken.len() >= REMEMBERED {
            spoken.pop_front();
        }
        let to = (errand.generation, errand.to.clone());
        spoken.push_back(Spoken { delivery, to, pieces: vec![id.clone()], at });
    }

    pub(super) fn sent_at(&self, ids: &[MsgId]) -> Option<Timestamp> {
        let spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        spoken
            .iter()
            .find(|spoken| {
                spoken.pieces.iter().any(|id| ids.iter().any(|known| known.as_str() == id.as_str()))
            })
            .map(|spoken| spoken.at)
    }
}
