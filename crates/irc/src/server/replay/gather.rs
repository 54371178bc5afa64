//! Collecting what a client name has missed.
//!
//! The timeline is read backwards from its end. Where that reading ends before the place that the client
//! name had, the chats it did not come to are read one by one: busy chats take nothing away from quiet ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use wxgate_contract::{ChatKey, FarError, HistoryRange, NetworkId, TimelineItem};

use super::PAGE;
use crate::server::client::Piece;
use crate::server::outbound::Window;
use crate::server::session::Session;

/// Items looked at for one arrival before chats are read one by one. Chosen.
const MAX_SCANNED: usize = 10_000;
/// Items looked at for a client name that was never seen.
const MAX_SCANNED_FIRST: usize = 2_000;
/// Chats looked at one by one. Chosen: more than anybody has.
const MAX_CHATS: usize = 10_000;
/// Items read from chats one by one, for one arrival; of what lies behind them it is only told that it is
/// there. Chosen: some hundred chats in full.
const MAX_FILLED: usize = 20_000;

/// What an arriving client gets.
pub(in crate::server) struct Gathered {
    pub(in crate::server) pieces: VecDeque<Piece>,
    /// Chats that spoke.
    pub(in crate::server) active: Vec<ChatKey>,
    /// The position up to which the pieces tell everything; what is behind it is read from the timeline.
    pub(in crate::server) top_seq: i64,
}

/// What was missed of one chat.
#[derive(Default)]
struct Missed {
    /// Newest first.
    items: Vec<Arc<TimelineItem>>,
    older: usize,
    /// There may be more older ones than were counted.
    is_more: bool,
    newest_seq: i64,
}

impl Missed {
    /// Takes the next older item of the chat.
    fn take(&mut self, item: TimelineItem, per_chat: usize) {
        self.newest_seq = self.newest_seq.max(item.seq);
        if self.items.len() < per_chat {
            self.items.push(Arc::new(item));
        } else {
            self.older += 1;
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Scan {
    chats: HashMap<ChatKey, Missed>,
    top_seq: i64,
    /// Everything from here on was read.
    from_seq: i64,
    /// It came to the place that the client name had, or to the beginning.
    is_whole: bool,
}

impl Session {
    /// Collects what a client at `cursor` has not been given, per chat, oldest first.
    ///
    /// Where the timeline cannot be read, a client name with a place goes on from there: it is then given the
    /// timeline itself, and nothing is passed over.
    pub(in crate::server) async fn gather(&self, cursor: Option<i64>, with_batches: bool) -> Gathered {
        let top_seq = cursor.unwrap_or(0);
        let mut gathered = Gathered { pieces: VecDeque::new(), active: Vec::new(), top_seq };
        let Some(account) = self.account() else { return gathered };
        let mut scan = Scan { top_seq, from_seq: i64::MAX, ..Scan::default() };
        let read = self.scan(account, cursor, &mut scan).await;
        gathered.active = scan.chats.keys().cloned().collect();
        if let Err(error) = read {
            tracing::warn!(%error, "missed lines could not be read");
            if cursor.is_some() {
                return gathered;
            }
        }
        gathered.top_seq = scan.top_seq;
        // The chat that spoke last comes last, as in a list of open windows.
        let mut ordered: Vec<(ChatKey, Missed)> = scan.chats.into_iter().collect();
        ordered.sort_by_key(|(_, missed)| missed.newest_seq);
        for (chat, missed) in ordered {
            gathered.pieces.extend(self.pieces_of(chat, missed, cursor.is_some(), with_batches));
        }
        gathered
    }

    async fn scan(&self, account: &NetworkId, cursor: Option<i64>, scan: &mut Scan) -> Result<(), FarError> {
        self.scan_timeline(account, cursor, scan).await?;
        match cursor {
            Some(cursor) if !scan.is_whole => self.scan_chats(account, cursor, scan).await,
            _ => Ok(()),
        }
    }

    async fn scan_timeline(
        &self,
        account: &NetworkId,
        cursor: Option<i64>,
        scan: &mut Scan,
    ) -> Result<(), FarError> {
        let limits = &self.shared.config.limits;
        let (per_chat, max_scanned) = match cursor {
            Some(_) => (limits.replay_per_chat, MAX_SCANNED),
            None => (limits.first_replay_per_chat, MAX_SCANNED_FIRST),
        };
        let mut scanned = 0;
        while scanned < max_scanned {
            let range = HistoryRange::Before(scan.from_seq);
            let page = self.shared.directory.history(account, None, range, PAGE).await?;
            let count = page.len();
            scanned += count;
            for item in page.into_iter().rev() {
                scan.top_seq = scan.top_seq.max(item.seq);
                if cursor.is_some_and(|cursor| item.seq <= cursor) {
                    scan.is_whole = true;
                    return Ok(());
                }
                scan.from_seq = item.seq;
                let missed = scan.chats.entry(item.post.chat.chat.clone()).or_default();
                missed.take(item, per_chat);
            }
            if count < PAGE {
                scan.is_whole = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fills up what the timeline was not read far enough for, the chat that spoke last first.
    async fn scan_chats(&self, account: &NetworkId, cursor: i64, scan: &mut Scan) -> Result<(), FarError> {
        let per_chat = self.shared.config.limits.replay_per_chat;
        let spoken = self.shared.directory.spoken(account, MAX_CHATS).await?;
        let mut filled = 0;
        for spoken in spoken {
            if spoken.seq <= cursor {
                // The newest come first.
                break;
            }
            let missed = scan.chats.entry(spoken.chat.clone()).or_default();
            if missed.newest_seq == 0 {
                missed.newest_seq = spoken.seq.min(scan.from_seq - 1);
            }
            if missed.older > 0 {
                missed.is_more = true;
                continue;
            }
            // One more than is shown tells whether there are older ones.
            let wanted = (per_chat + 1).saturating_sub(missed.items.len());
            if filled >= MAX_FILLED {
                (missed.older, missed.is_more) = (1, true);
                continue;
            }
            let range = HistoryRange::Before(scan.from_seq);
            let page = self.shared.directory.history(account, Some(&spoken.chat), range, wanted).await?;
            filled += page.len();
            missed.is_more = page.len() == wanted;
            for item in page.into_iter().rev() {
                if item.seq <= cursor {
                    missed.is_more = false;
                    break;
                }
                missed.take(item, per_chat);
            }
        }
        scan.chats.retain(|_, missed| !missed.items.is_empty() || missed.older > 0);
        Ok(())
    }

    fn pieces_of(&self, chat: ChatKey, mut missed: Missed, is_known: bool, with_batches: bool) -> Vec<Piece> {
        if let Some(window) = self.roster.by_private_chat(&chat).map(Window::Query) {
            missed.items.retain(|item| !self.is_muted(window, item));
        }
        let reference = with_batches.then(|| format!("h{}", self.shared.next_number()));
        let mut pieces = Vec::with_capacity(missed.items.len() + 3);
        if missed.older > 0 && is_known {
            let (count, is_more) = (missed.older, missed.is_more);
            pieces.push(Piece::Older { chat: chat.clone(), count, is_more });
        }
        if missed.items.is_empty() {
            return pieces;
        }
        pieces.extend(
            reference
                .iter()
                .map(|reference| Piece::BatchStart { reference: reference.clone(), chat: chat.clone() }),
        );
        let items = missed.items.into_iter().rev();
        pieces.extend(items.map(|item| Piece::Item(item, reference.clone())));
        pieces.extend(reference.map(Piece::BatchEnd));
        pieces
    }
}
