//! The language in which the owner of an account hears what happens to it: the words that come unasked. What is typed to
//! the bot, and what it answers, is in English.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wxgate_contract::{AccountView, Fate, Health};

use crate::inbound::PREFIX;
use crate::management::answer::Answer;
use crate::management::described;

/// A sentence of an account in Chinese; `None` for what is not one of its own.
pub type Translate = fn(&str) -> Option<String>;

/// A language that an owner may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lang {
    #[default]
    English,
    Chinese,
}

impl Lang {
    /// What an account or the gateway says, as far as it is among what is said in this language.
    fn told(self, sentence: &str, in_chinese: Translate) -> Cow<'_, str> {
        match self {
            Self::English => Cow::Borrowed(sentence),
            Self::Chinese => in_chinese(sentence).map_or(Cow::Borrowed(sentence), Cow::Owned),
        }
    }

    /// What became of a message that did not surely arrive, for whoever said it; `None` for one that did.
    pub(crate) fn fate(self, fate: &Fate, in_chinese: Translate) -> Option<String> {
        let (Fate::NotDelivered { why } | Fate::MaybeDelivered { why }) = fate else { return None };
        let why = self.told(why, in_chinese);
        Some(match (self, fate) {
            (Self::English, Fate::MaybeDelivered { .. }) => format!(
                "Your message may not have been delivered: {why}. Look on the phone before you send it again."
            ),
            (Self::English, _) => format!(
                "Your message was not delivered, because {why}. Answer with {PREFIX} retry to send it again."
            ),
            (Self::Chinese, Fate::MaybeDelivered { .. }) => {
                format!("你的消息可能没有送达：{why}。重新发送之前请先在手机上查看。")
            }
            (Self::Chinese, _) => {
                format!("你的消息没有送达，原因：{why}。回复 {PREFIX} retry 可重新发送。")
            }
        })
    }

    /// What became of an account, and what to do.
    pub(crate) fn tidings(self, view: &AccountView, in_chinese: Translate) -> Answer {
        match self {
            Self::English => in_english(view),
            Self::Chinese => self.state_in_chinese(view, in_chinese),
        }
    }

    fn state_in_chinese(self, view: &AccountView, in_chinese: Translate) -> Answer {
        let name = view.network.name();
        let login = format!("login {name}");
        let answer = Answer::default().strong(name);
        let own = if view.own_name.is_empty() { " ".to_owned() } else { format!("（{}）", view.own_name) };
        let told = |why: &str| self.told(why, in_chinese).into_owned();
        match &view.health {
            Health::Up => answer.text(" 已恢复在线。"),
            Health::Starting => answer.text(&format!("{own}启动中。")),
            Health::Partial { why, .. } => answer.text(&format!("{own}部分可用：{}。", told(why))),
            Health::Limited { why } | Health::Degraded { why } => {
                answer.text(&format!("{own}有故障，正在重试：{}。", told(why)))
            }
            Health::Down { why } => {
                answer.text(&format!("{own}不可用：{}。输入 ", told(why))).code(&login).text(" 重试。")
            }
            health @ Health::NeedsHuman { step } => {
                let answer = answer.text(&format!("{own}需要你处理：{}。", told(step)));
                match health.is_signed_out() {
                    true => answer.text("在此之前消息留在微信。输入 ").code(&login).text(" 登录。"),
                    false => answer,
                }
            }
        }
    }
}

fn in_english(view: &AccountView) -> Answer {
    let health = &view.health;
    if *health == Health::Up {
        return Answer::default().strong(view.network.name()).text(" is online again.");
    }
    let answer = described(Answer::default(), view).text(".");
    let login = format!("login {}", view.network.name());
    match health {
        _ if health.is_signed_out() => {
            answer.text(" Its messages wait at WeChat until then. Say ").code(&login).text(" to sign it in.")
        }
        Health::Down { .. } => answer.text(" Say ").code(&login).text(" to try again."),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chinese(sentence: &str) -> Option<String> {
        (sentence == "the disk is full").then(|| "磁盘已满".to_owned())
    }

    #[test]
    fn what_did_not_arrive_is_told_in_the_language_that_was_chosen() {
        let not = |why: &str| Fate::NotDelivered { why: why.to_owned() };
        let maybe = Fate::MaybeDelivered { why: "the disk is full".to_owned() };
        let told = |lang: Lang, fate: &Fate| lang.fate(fate, chinese).unwrap_or_default();
        assert!(
            told(Lang::Chinese, &not("the disk is full")).starts_with("你的消息没有送达，原因：磁盘已满。")
        );
        assert!(told(Lang::Chinese, &not("WeChat's own words")).contains("WeChat's own words"), "they stay");
        assert!(told(Lang::Chinese, &maybe).contains("可能没有送达：磁盘已满"));
        assert!(told(Lang::English, &maybe).contains("may not have been delivered: the disk is full"));
        assert_eq!(Lang::Chinese.fate(&Fate::Said, chinese), None);
    }

    #[test]
    fn every_state_is_told_in_chinese() {
        let why = || "the disk is full".to_owned();
        for (health, wanted) in [
            (Health::Up, "work 已恢复在线。"),
            (Health::Starting, "work（安娜）启动中。"),
            (Health::Partial { missing: 1, why: why() }, "work（安娜）部分可用：磁盘已满。"),
            (Health::Degraded { why: why() }, "work（安娜）有故障，正在重试：磁盘已满。"),
            (Health::Down { why: why() }, "work（安娜）不可用：磁盘已满。输入 `login work` 重试。"),
            (Health::NeedsHuman { step: why() }, "work（安娜）需要你处理：磁盘已满。"),
        ] {
            let (network, owner) = ("wechat:work".into(), "anna".into());
            let view = AccountView { network, owner, health, own_name: "安娜".to_owned() };
            let content = Lang::Chinese.tidings(&view, chinese).content();
            assert_eq!(content["body"], wanted);
        }
    }
}
