//! Who has to go because what they came in with opens nothing any more.

use tokio::time::Instant;
use wxgate_contract::{Command, CommandError, Credential, UserName};

use super::{RETRY_AFTER, Session};
use crate::server::registry::ClientId;
use crate::wire::message::Line;

impl Session {
    /// Closes the connections, or this one, that came in with what opens nothing any more.
    pub(super) async fn look_at_doors(&mut self, only: Option<ClientId>) {
        if only.is_none() {
            self.look_again_at = None;
        }
        let Some(user) = self.account_name().map(UserName::from) else { return };
        let theirs = self.clients.values().filter(|client| only.is_none_or(|id| id == client.id));
        let theirs: Vec<(ClientId, Credential)> =
            theirs.filter_map(|client| Some((client.id, client.credential.clone()?))).collect();
        for (id, credential) in theirs {
            let command = Command::StillOpens { user: user.clone(), credential: credential.clone() };
            match self.shared.control.run(None, command).await {
                Ok(_) => {}
                Err(CommandError::Denied) => self.turn_out(id, &credential),
                Err(error) => {
                    tracing::warn!(%error, %user, "it is not known whether an IRC client may stay; asking again");
                    self.look_again_at = Some(Instant::now() + RETRY_AFTER);
                }
            }
        }
    }

    fn turn_out(&mut self, id: ClientId, credential: &Credential) {
        let why = match credential {
            Credential::Password(_) => "the password was changed or removed",
            Credential::Token(_) => "the token was ended",
            Credential::Certificate(_) => "the certificate was removed",
            Credential::Identity(_) => "that is not you any more",
        };
        if let Some(client) = self.clients.get_mut(&id) {
            let text = format!("Closing link: {why}; log in again");
            let line = Line::new().command("ERROR").last(&text).build();
            client.capture = None;
            client.queue.close(format!("{line}\r\n").as_bytes());
        }
    }
}
