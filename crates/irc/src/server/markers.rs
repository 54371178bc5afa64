//! What the service nick says and hears about markers in remarks, by which contacts are known after a sign-in.

use wxgate_contract::{ChatKey, Marker, Marking, Request};

use super::asking::Asking;
use super::registry::ClientId;
use super::session::Session;

/// Markers shown at once: those that need their owner come first. Chosen.
const MAX_SHOWN: usize = 30;

impl Session {
    /// Carries out a command about markers; `false` if it is none.
    pub(super) fn markers(&mut self, id: ClientId, word: &str, rest: &[&str]) -> bool {
        match (word, rest) {
            ("marker" | "markers", []) => self.ask_account(id, Request::Markers, Asking::Markers),
            ("marker", [verb @ ("put" | "take"), names @ ..]) if !names.is_empty() => {
                let marking = if *verb == "put" { Marking::Put } else { Marking::Take };
                self.mark(id, marking, names);
            }
            ("marker" | "markers", _) => self.service_says(id, "say: marker put|take <nick>… or all"),
            _ => return false,
        }
        true
    }

    pub(super) fn show_markers(&mut self, id: ClientId, markers: &[Marker]) {
        if markers.is_empty() {
            return self.service_says(id, "no contact has a marker");
        }
        for marker in markers.iter().take(MAX_SHOWN) {
            let here = self.shown_as(&marker.chat);
            self.service_says(id, &format!("\"{}\"{here}: {}", marker.title, marker.state));
            if !marker.wanted.is_empty() {
                self.service_says(id, &format!("   the remark to type: {}", marker.wanted));
            }
        }
        if markers.len() > MAX_SHOWN {
            self.service_says(id, &format!("and {} more", markers.len() - MAX_SHOWN));
        }
    }

    fn mark(&mut self, id: ClientId, marking: Marking, names: &[&str]) {
        let mut chats: Vec<ChatKey> = Vec::with_capacity(names.len());
        if names != ["all"] {
            for name in names {
                let Some(chat) = self.chat_or_say(id, name) else { return };
                chats.push(chat);
            }
        }
        self.ask_account(id, Request::Mark { chats, marking }, Asking::Marked);
    }
}
