//! How a network is doing: one value that dashboard, metrics, command line and faces all show.

use std::mem::discriminant;

use serde::{Deserialize, Serialize};

/// How a network is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    /// Not there yet.
    Starting,
    /// Works.
    Up,
    /// Messages pass; something beside them is missing.
    Limited {
        /// What is missing, as a clause for people.
        why: String,
    },
    /// Works, without some of its chats: it may not enter them.
    Partial {
        /// How many these are.
        missing: u32,
        /// One of them and why, as a clause for people.
        why: String,
    },
    /// Works badly, or is coming back by itself: messages may wait.
    Degraded {
        /// What is wrong, as a clause for people.
        why: String,
    },
    /// Somebody must do something.
    NeedsHuman {
        /// What, as a sentence for people.
        step: String,
    },
    /// Does not work and does not come back by itself.
    Down {
        /// Why, as a clause for people.
        why: String,
    },
}

/// How a step begins that ends a session for good. One wording, so that whoever is told can be told apart from
/// who is in the middle of signing in.
const SIGN_IN: &str = "sign the account in";

impl Health {
    /// Signed out for good, with the reason where there is one.
    pub fn signed_out(why: Option<&str>) -> Self {
        let step = why.map_or_else(|| SIGN_IN.to_owned(), |why| format!("{SIGN_IN} again: {why}"));
        Self::NeedsHuman { step }
    }

    /// True when only a new sign-in helps, and none is under way.
    pub fn is_signed_out(&self) -> bool {
        matches!(self, Self::NeedsHuman { step } if step.starts_with(SIGN_IN))
    }

    /// Why it is signed out for good, where that is known.
    pub fn why_signed_out(&self) -> Option<&str> {
        match self {
            Self::NeedsHuman { step } => step.strip_prefix(SIGN_IN)?.strip_prefix(" again: "),
            _ => None,
        }
    }

    /// Whether an owner has to hear of it who has last heard `told`: another state, or another end. Whether messages
    /// pass is the difference between two states; why they do not may change from minute to minute and is none. The
    /// steps of a sign-in are told to whoever follows it, and what is on its way when it has come to something.
    pub fn is_news_after(&self, told: &Self) -> bool {
        let is_final = self.is_signed_out() || matches!(self, Self::Down { .. });
        let is_on_its_way = *self == Self::Starting;
        !is_on_its_way && (discriminant(self) != discriminant(told) || (is_final && self != told))
    }

    /// True while what is handed to it gets where it may.
    pub fn works(&self) -> bool {
        matches!(self, Self::Up | Self::Limited { .. } | Self::Partial { .. })
    }

    /// The word for lists and metric labels; `degraded` whether messages pass or not.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Limited { .. } | Self::Degraded { .. } => "degraded",
            Self::Partial { .. } => "partial",
            Self::NeedsHuman { .. } => "needs_human",
            Self::Down { .. } => "down",
        }
    }

    /// What is wrong or what to do; empty when nothing is.
    pub fn detail(&self) -> &str {
        match self {
            Self::Starting | Self::Up => "",
            Self::Limited { why }
            | Self::Partial { why, .. }
            | Self::Degraded { why }
            | Self::Down { why } => why,
            Self::NeedsHuman { step } => step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_news_once_and_a_step_of_a_sign_in_is_none() {
        let step = |text: &str| Health::NeedsHuman { step: text.to_owned() };
        let ended = Health::signed_out(Some("the phone did not confirm"));
        assert_eq!(ended.why_signed_out(), Some("the phone did not confirm"));
        assert!(ended.is_news_after(&Health::Up));
        assert!(ended.is_news_after(&step("confirm the sign-in on the phone")));
        assert!(!ended.is_news_after(&ended));
        assert!(!step("scan the code with the phone").is_news_after(&ended));
        assert!(
            step("confirm the sign-in on the phone").is_news_after(&Health::Up),
            "the phone asks by itself"
        );
        assert!(Health::Up.is_news_after(&ended));
        let slow = |why: &str| Health::Degraded { why: why.to_owned() };
        assert!(!slow("one").is_news_after(&slow("another")));
        assert!(!Health::Starting.is_news_after(&Health::Up));
    }

    #[test]
    fn whoever_heard_that_messages_are_not_affected_hears_when_they_are_and_when_they_are_not_any_more() {
        let limited = |why: &str| Health::Limited { why: why.to_owned() };
        let slow = Health::Degraded { why: "WeChat cannot be reached".to_owned() };
        let names = limited("names may be missing; messages are not affected");
        assert!(names.is_news_after(&Health::Up));
        assert!(slow.is_news_after(&names), "a worse trouble behind a lesser one");
        assert!(names.is_news_after(&slow), "and that messages pass again");
        assert!(!limited("others are left out; messages are not affected").is_news_after(&names));
        assert!(Health::Up.is_news_after(&names));
        assert_eq!(
            (names.word(), names.detail()),
            ("degraded", "names may be missing; messages are not affected")
        );
    }
}
