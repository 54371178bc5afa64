//! Each account of a person as a network that their client lists and binds.
//! Source: soju.im/bouncer-networks, as its specification in soju describes it.

use wxgate_contract::{AccountView, Command, CommandError, Health, Reply};

use super::caps::Caps;
use super::commands::Turn;
use super::registry::ClientId;
use super::session::Session;
use crate::wire::message::Line;
use crate::wire::tags::{escape_into, unescape};

/// `name=work;state=connected;…`, as tags are written.
fn attributes(view: &AccountView) -> String {
    let state = match view.health {
        Health::Up | Health::Limited { .. } | Health::Partial { .. } | Health::Degraded { .. } => "connected",
        Health::Starting => "connecting",
        Health::NeedsHuman { .. } | Health::Down { .. } => "disconnected",
    };
    let mut text = String::from("name=");
    escape_into(&mut text, view.network.name());
    text.push_str(";state=");
    text.push_str(state);
    if !view.own_name.is_empty() {
        text.push_str(";nickname=");
        escape_into(&mut text, &view.own_name);
    }
    if matches!(view.health, Health::NeedsHuman { .. } | Health::Down { .. })
        && !view.health.detail().is_empty()
    {
        text.push_str(";error=");
        escape_into(&mut text, view.health.detail());
    }
    text
}

/// One attribute of `name=a;host=b`.
fn attribute(text: &str, key: &str) -> Option<String> {
    let mut values = text.split(';').filter_map(|pair| pair.split_once('='));
    values.rfind(|(name, _)| *name == key).map(|(_, value)| unescape(value).into_owned())
}

impl Session {
    /// `BOUNCER subcommand …` of a registered client.
    pub(super) async fn bouncer(&mut self, turn: &Turn<'_>) {
        let id = turn.client;
        let word = turn.param(0).to_ascii_uppercase();
        match word.as_str() {
            "LISTNETWORKS" => self.list_networks(id).await,
            "ADDNETWORK" => self.add_network(id, turn.param(1)).await,
            "DELNETWORK" => self.delete_network(id, turn.param(1)).await,
            "BIND" => {
                let text = "The connection is registered already";
                self.fails(id, "BOUNCER", "REGISTRATION_IS_COMPLETED", &["BIND"], text);
            }
            "CHANGENETWORK" => {
                let text = "An account has nothing that could be changed here";
                self.fails(id, "BOUNCER", "READ_ONLY_ATTRIBUTE", &["CHANGENETWORK", turn.param(1)], text);
            }
            _ => self.fails(id, "BOUNCER", "UNKNOWN_COMMAND", &[&word], "There is no such subcommand"),
        }
    }

    /// The accounts of the person; none of a guest.
    async fn networks(&self) -> Vec<AccountView> {
        if self.key.guest.is_some() {
            return Vec::new();
        }
        self.shared.directory.accounts(&self.key.user).await.unwrap_or_default()
    }

    async fn list_networks(&mut self, id: ClientId) {
        let server = self.shared.config.server_name.clone();
        let networks = self.networks().await;
        let reference = format!("b{}", self.shared.next_number());
        let Some(client) = self.clients.get_mut(&id) else { return };
        let with_batch = client.has(Caps::BATCH);
        if with_batch {
            client.line(&format!(":{server} BATCH +{reference} soju.im/bouncer-networks"));
        }
        for view in &networks {
            let mut line = Line::new();
            if with_batch {
                line = line.tag("batch", &reference);
            }
            let line = line.source(&server).command("BOUNCER").param("NETWORK").param(view.network.name());
            client.line(&line.param(&attributes(view)).build());
        }
        if with_batch {
            client.line(&format!(":{server} BATCH -{reference}"));
        }
    }

    async fn add_network(&mut self, id: ClientId, given: &str) {
        let Some(name) = attribute(given, "name").filter(|name| !name.is_empty()) else {
            let text = "An account needs a name";
            return self.fails(id, "BOUNCER", "NEED_ATTRIBUTE", &["ADDNETWORK", "name"], text);
        };
        if self.key.guest.is_some() {
            return self.fails(id, "BOUNCER", "ACCOUNT_REQUIRED", &["ADDNETWORK"], "Guests have no accounts");
        }
        let owner = self.key.user.clone();
        let command = Command::AddAccount { owner: owner.clone(), name: name.clone() };
        match self.shared.control.run(Some(owner), command).await {
            Ok(Reply::Added(network)) => {
                let line = Line::new().source(&self.shared.config.server_name).command("BOUNCER");
                self.to(id, &line.param("ADDNETWORK").param(network.name()).build());
            }
            Ok(_) => {}
            Err(CommandError::Refused(why)) => {
                self.fails(id, "BOUNCER", "INVALID_ATTRIBUTE", &["ADDNETWORK", "*", "name"], &why);
            }
            Err(error) => {
                self.fails(id, "BOUNCER", "UNKNOWN_ERROR", &["ADDNETWORK"], &error.to_string());
            }
        }
    }

    /// An account is more than a network of a bouncer: a client's button must not end it.
    async fn delete_network(&mut self, id: ClientId, name: &str) {
        let is_known = self.networks().await.iter().any(|view| view.network.name() == name);
        if !is_known {
            let text = "There is no such account";
            return self.fails(id, "BOUNCER", "INVALID_NETID", &["DELNETWORK", name], text);
        }
        let text = "An account is removed with the command line or the dashboard, not from here";
        self.fails(id, "BOUNCER", "UNKNOWN_ERROR", &["DELNETWORK", name], text);
    }

    /// Tells clients that want to know how the accounts are. Source: soju.im/bouncer-networks-notify.
    pub(super) async fn networks_changed(&mut self) {
        if !self.clients.values().any(|client| client.has(Caps::BOUNCER_NOTIFY)) {
            return;
        }
        let server = self.shared.config.server_name.clone();
        let told: Vec<(String, String)> = self
            .networks()
            .await
            .iter()
            .map(|view| (view.network.name().to_owned(), attributes(view)))
            .collect();
        let gone: Vec<String> =
            self.told_networks.keys().filter(|name| !told.iter().any(|(n, _)| n == *name)).cloned().collect();
        let mut lines: Vec<String> =
            gone.iter().map(|name| format!(":{server} BOUNCER NETWORK {name} *")).collect();
        for (name, attributes) in &told {
            if self.told_networks.get(name) != Some(attributes) {
                lines.push(format!(":{server} BOUNCER NETWORK {name} {attributes}"));
            }
        }
        self.told_networks = told.into_iter().collect();
        for client in self.clients.values_mut().filter(|client| client.has(Caps::BOUNCER_NOTIFY)) {
            lines.iter().for_each(|line| client.line(line));
        }
    }

    /// What a new client is told at once.
    pub(super) async fn show_networks(&mut self, id: ClientId) {
        if !self.clients.get(&id).is_some_and(|client| client.has(Caps::BOUNCER_NOTIFY)) {
            return;
        }
        let server = self.shared.config.server_name.clone();
        for view in self.networks().await {
            let (name, attributes) = (view.network.name().to_owned(), attributes(&view));
            self.to(id, &format!(":{server} BOUNCER NETWORK {name} {attributes}"));
            self.told_networks.insert(name, attributes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_and_read_as_tags() {
        let view = AccountView {
            network: "wechat:work".into(),
            owner: "ann".into(),
            health: Health::NeedsHuman { step: "scan; then confirm".to_owned() },
            own_name: "Ann Lee".to_owned(),
        };
        let text = attributes(&view);
        assert_eq!(text, "name=work;state=disconnected;nickname=Ann\\sLee;error=scan\\:\\sthen\\sconfirm");
        assert_eq!(attribute(&text, "nickname").as_deref(), Some("Ann Lee"));
        assert_eq!(attribute(&text, "host"), None);
    }
}
