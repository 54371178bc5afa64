//! What became of accounts: whoever is there hears of it once, and whoever comes hears how it stands.

use std::borrow::Cow;

use wxgate_contract::{AccountView, Health, NetworkId};

use super::Session;
use super::updates::state_word;
use crate::server::choices::Lang;

impl Session {
    /// What clients of this session know: they were greeted with it. An account that is not told of any more is
    /// not theirs any more.
    pub(super) fn accounts_are(&mut self, views: &[AccountView]) {
        let account = self.key.account.clone();
        if let Some(own) = views.iter().find(|view| Some(&view.network) == account.as_ref()) {
            self.own_name.clone_from(&own.own_name);
        }
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
            if *health == Health::Up {
                self.look_for_questions();
            }
        }
    }

    /// Tells everybody, if it is news for them. Accounts of others pass here too, and are nobody's business.
    fn tell_health(&mut self, network: &NetworkId, health: &Health) {
        let Some(told) = self.told.get_mut(network).filter(|told| health.is_news_after(told)) else { return };
        told.clone_from(health);
        let text = self.account_says(network, health);
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

impl Session {
    /// What happened, and what to do.
    pub(super) fn account_says(&self, network: &NetworkId, health: &Health) -> String {
        match self.choices.lang {
            Lang::English => in_english(network.name(), health),
            Lang::Chinese => in_chinese(network.name(), health, |sentence| self.in_language(sentence)),
        }
    }
}

fn in_english(name: &str, health: &Health) -> String {
    let word = state_word(health);
    match health {
        Health::Starting | Health::Up => format!("{name} is {word}"),
        Health::Limited { why } | Health::Partial { why, .. } | Health::Degraded { why } => {
            format!("{name} is {word}: {why}")
        }
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

fn in_chinese<'a>(name: &str, health: &'a Health, told: impl Fn(&'a str) -> Cow<'a, str>) -> String {
    match health {
        Health::Starting => format!("{name} 启动中"),
        Health::Up => format!("{name} 在线"),
        Health::Partial { why, .. } => format!("{name} 部分可用：{}", told(why)),
        Health::Limited { why } | Health::Degraded { why } => format!("{name} 有故障：{}", told(why)),
        Health::Down { why } => format!("{name} 不可用：{}；输入“login {name}”重试", told(why)),
        Health::NeedsHuman { step } if !health.is_signed_out() => {
            format!("{name} 已退出登录：{}", told(step))
        }
        Health::NeedsHuman { .. } => {
            let why = health.why_signed_out().map(|why| format!("：{}", told(why))).unwrap_or_default();
            format!("{name} 已退出登录{why}；输入“login {name}”登录，在此之前消息留在微信")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_what_to_do_are_said_in_one_sentence() {
        let account = NetworkId::from("wechat:work");
        let say = |health: &Health| in_english(account.name(), health);
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

    #[test]
    fn they_are_said_in_chinese_too() {
        fn told(sentence: &str) -> Cow<'_, str> {
            Cow::Borrowed(match sentence {
                "the phone signed this account out" => "手机已将此账号退出登录",
                other => other,
            })
        }
        let say = |health: &Health| in_chinese("work", health, told);
        assert_eq!(say(&Health::Up), "work 在线");
        assert_eq!(
            say(&Health::signed_out(Some("the phone signed this account out"))),
            "work 已退出登录：手机已将此账号退出登录；输入“login work”登录，在此之前消息留在微信"
        );
        assert_eq!(
            say(&Health::Down { why: "微信的原话".to_owned() }),
            "work 不可用：微信的原话；输入“login work”重试"
        );
    }
}
