//! Other networks on which a person is shown their chats: who is here hears that one of them needs somebody, because
//! there they do not hear it, and that it works again.

use wxgate_contract::{Health, NetworkId};

use super::Session;

impl Session {
    /// A network that is nobody's account is doing well or badly. Those on which the person is not are nobody's
    /// business here.
    pub(super) async fn elsewhere_is(&mut self, network: &NetworkId, health: &Health) {
        let Some(text) = self.news_from(network, health).await else { return };
        for id in self.client_ids() {
            self.service_says(id, &text);
        }
    }

    async fn news_from(&mut self, network: &NetworkId, health: &Health) -> Option<String> {
        if !is_ill(health) {
            // What is only on its way is told when it has arrived.
            let is_back = *health == Health::Up && self.ill_elsewhere.remove(network).is_some();
            return is_back.then(|| format!("{network} works again"));
        }
        if self.key.guest.is_some() || self.ill_elsewhere.get(network) == Some(health) {
            return None;
        }
        match self.shared.directory.person_of(&self.key.user, network).await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(%error, user = %self.key.user, "who somebody is elsewhere cannot be read now");
                return None;
            }
        }
        self.ill_elsewhere.insert(network.clone(), health.clone());
        Some(sentence(network, health))
    }

    /// Reads how they are: when a session begins, and when something may have been missed.
    pub(super) async fn look_elsewhere(&mut self) {
        for (network, health) in self.shared.directory.faces() {
            self.elsewhere_is(&network, &health).await;
        }
    }

    /// What whoever comes has to know of them.
    pub(super) fn ill_elsewhere(&self) -> Vec<String> {
        self.ill_elsewhere.iter().map(|(network, health)| sentence(network, health)).collect()
    }
}

/// It does not get well by itself.
fn is_ill(health: &Health) -> bool {
    matches!(health, Health::NeedsHuman { .. } | Health::Down { .. })
}

fn sentence(network: &NetworkId, health: &Health) -> String {
    match health {
        Health::NeedsHuman { step } => format!("{network} needs somebody: {step}"),
        health => format!("{network} does not work: {}", health.detail()),
    }
}
