//! What became of accounts: whoever is there hears of it once, and whoever comes hears how it stands.

use wxgate_contract::{AccountView, Health, NetworkId};

use super::Session;
use super::updates::state_word;

impl Session {
    /// What clients of this session know: they were greeted with it. An account that is not told of any more is
    /// not theirs any more.
    pub(super) fn accounts_are(&mut self, views: &[AccountView]) {
        let account = self.key.account.clone();
        let is_shown = |view: &&AccountView| account.as_ref().is_none_or(|account| *account == view.network);
        let mut told = std::mem::take(&mut self.told);
        self.told = views
            .iter()
            .filter(is_shown)
            .map(|view| {
                let known = told.remove(&view.network);
                (view.network.clone(), known.unwrap_or_else(|| as_known(&view.health)))
            })
            .collect();
    }

    /// Reads how accounts are, when it may have been missed; false when that cannot be read now.
    pub(super) async fn look_at_accounts(&mut self) -> bool {
        if self.key.guest.is_some() {
            return true;
        }
        let views = match self.shared.directory.accounts(&self.key.user).await {
            Ok(views) => views,
            Err(error) => {
                tracing::warn!(%error, user = %self.key.user, "the accounts could not be read again yet");
                return false;
            }
        };
        self.accounts_are(&views);
        for view in &views {
            self.account_is(&view.network, &view.health);
        }
        true
    }

    pub(super) fn account_is(&mut self, network: &NetworkId, health: &Health) {
        self.tell_health(network, health);
        if self.account() == Some(network) {
            self.health_changed(health);
        }
    }

    /// Tells everybody, if it is news for them. Accounts of others pass here too, and are nobody's business.
    fn tell_health(&mut self, network: &NetworkId, health: &Health) {
        let Some(told) = self.told.get_mut(network).filter(|told| health.is_news_after(told)) else { return };
        told.clone_from(health);
        let text = sentence(network, health);
        for id in self.client_ids() {
            self.service_says(id, &text);
        }
    }
}

/// What is on its way is expected to end well; only if it does not, somebody has to know.
fn as_known(health: &Health) -> Health {
    match health {
        Health::Starting => Health::Up,
        other => other.clone(),
    }
}

/// What happened, and what to do.
pub(super) fn sentence(network: &NetworkId, health: &Health) -> String {
    let (name, word) = (network.name(), state_word(health));
    match health {
        Health::Starting | Health::Up => format!("{name} is {word}"),
        Health::Degraded { why } => format!("{name} is {word}: {why}"),
        Health::Down { why } => format!("{name} is {word}: {why}; say \"login {name}\" to try again"),
        Health::NeedsHuman { step } if !health.is_signed_out() => format!("{name} is {word}: {step}"),
        Health::NeedsHuman { .. } => {
            let why = health.why_signed_out().map(|why| format!(": {why}")).unwrap_or_default();
            format!(
                "{name} is {word}{why}; say \"login {name}\" to sign in, until then its messages wait at WeChat"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_what_to_do_are_said_in_one_sentence() {
        let account = NetworkId::from("wechat:work");
        let say = |health: &Health| sentence(&account, health);
        assert_eq!(
            say(&Health::signed_out(Some("the phone signed this account out"))),
            "work is signed out: the phone signed this account out; say \"login work\" to sign in, until then its \
             messages wait at WeChat"
        );
        assert_eq!(
            say(&Health::signed_out(None)),
            "work is signed out; say \"login work\" to sign in, until then its messages wait at WeChat"
        );
        let step = "WeChat ended the session; confirm the sign-in on the phone".to_owned();
        assert_eq!(
            say(&Health::NeedsHuman { step }),
            "work is signed out: WeChat ended the session; confirm the sign-in on the phone"
        );
        assert_eq!(
            say(&Health::Down { why: "WeChat refused: 1203".to_owned() }),
            "work is down: WeChat refused: 1203; say \"login work\" to try again"
        );
    }
}
