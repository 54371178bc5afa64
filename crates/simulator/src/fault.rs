//! Faults: ways to misbehave, as values, scheduled per endpoint by count or by a seeded coin.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::seed::Dice;

/// One way to misbehave. Unless it says otherwise the request has no effect on the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers properly, but this much later.
    Delay(Duration),
    /// Never answers; the connection stays open until the client closes it.
    Hang,
    /// Answers with this status and a small HTML page.
    Status(u16),
    /// Answers 200 with these bytes instead of what belongs there.
    Body(Bytes),
    /// Does what was asked, promises the whole body and closes after this many bytes of it.
    Truncate(usize),
    /// Does what was asked and answers with a body of this many bytes of padding.
    Oversized(usize),
    /// Sends the head of an answer and closes before any of its body.
    CloseBeforeBody,
    /// Does what was asked and closes without answering: the client cannot know.
    DropAfterBody,
    /// Writes these bytes in place of an HTTP answer and closes.
    Raw(Bytes),
    /// Refuses with this result code in the endpoint's own form.
    Ret(i32),
    /// Does what was asked and answers 200 with nothing.
    EmptyBody,
}

/// When a fault strikes.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// Only this account (by name), or all.
    pub account: Option<String>,
    /// The last segment of the path, such as `webwxsync`; `*` is every endpoint.
    pub endpoint: String,
    /// What happens.
    pub fault: Fault,
    /// How often, or without end.
    pub count: Option<u32>,
    /// With which probability per request.
    pub probability: f64,
    /// How many requests pass before the rule begins to strike.
    pub skip: u32,
}

impl FaultRule {
    /// A fault that strikes the next `count` requests to `endpoint`.
    #[must_use]
    pub fn next(endpoint: &str, fault: Fault, count: u32) -> Self {
        Self {
            account: None,
            endpoint: endpoint.to_owned(),
            fault,
            count: Some(count),
            probability: 1.0,
            skip: 0,
        }
    }

    /// The same for one account only.
    #[must_use]
    pub fn of(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }
}

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<FaultRule>,
    dice: Dice,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), dice: Dice::new(seed ^ 0xfa17) }
    }

    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The fault that strikes this request, if one does.
    pub(crate) fn strike(&mut self, endpoint: &str, account: Option<&str>) -> Option<Fault> {
        let dice = &mut self.dice;
        let at = self.rules.iter_mut().position(|rule| {
            let fits = (rule.endpoint == "*" || rule.endpoint == endpoint)
                && rule.account.as_deref().is_none_or(|wanted| Some(wanted) == account);
            if fits && rule.skip > 0 {
                rule.skip -= 1;
                return false;
            }
            fits && (rule.probability >= 1.0 || dice.chance(rule.probability))
        })?;
        let rule = self.rules.get_mut(at)?;
        let fault = rule.fault.clone();
        if let Some(left) = &mut rule.count {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.rules.remove(at);
            }
        }
        Some(fault)
    }
}

/// A rule as the control API writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleForm {
    account: Option<String>,
    endpoint: String,
    fault: FaultForm,
    count: Option<u32>,
    probability: Option<f64>,
    #[serde(default)]
    skip: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultForm {
    DelayMs(u64),
    Hang,
    Status(u16),
    Body(String),
    Truncate(usize),
    Oversized(usize),
    CloseBeforeBody,
    DropAfterBody,
    Raw(String),
    Ret(i32),
    EmptyBody,
}

impl From<RuleForm> for FaultRule {
    fn from(form: RuleForm) -> Self {
        let fault = match form.fault {
            FaultForm::DelayMs(ms) => Fault::Delay(Duration::from_millis(ms)),
            FaultForm::Hang => Fault::Hang,
            FaultForm::Status(status) => Fault::Status(status),
            FaultForm::Body(text) => Fault::Body(text.into()),
            FaultForm::Truncate(bytes) => Fault::Truncate(bytes),
            FaultForm::Oversized(bytes) => Fault::Oversized(bytes),
            FaultForm::CloseBeforeBody => Fault::CloseBeforeBody,
            FaultForm::DropAfterBody => Fault::DropAfterBody,
            FaultForm::Raw(text) => Fault::Raw(text.into()),
            FaultForm::Ret(code) => Fault::Ret(code),
            FaultForm::EmptyBody => Fault::EmptyBody,
        };
        // Without a count a certain fault strikes once, an uncertain one for ever.
        let count = match (form.count, form.probability) {
            (Some(0), _) | (None, Some(_)) => None,
            (Some(count), _) => Some(count),
            (None, None) => Some(1),
        };
        Self {
            account: form.account,
            endpoint: form.endpoint,
            fault,
            count,
            probability: form.probability.unwrap_or(1.0),
            skip: form.skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultRule, Faults};

    #[test]
    fn faults_strike_as_often_as_asked_and_where_asked() {
        let mut faults = Faults::new(1);
        faults.add(FaultRule::next("webwxsync", Fault::Hang, 2).of("a"));
        assert_eq!(faults.strike("webwxsync", Some("b")), None);
        assert_eq!(faults.strike("synccheck", Some("a")), None);
        assert_eq!(faults.strike("webwxsync", Some("a")), Some(Fault::Hang));
        assert_eq!(faults.strike("webwxsync", Some("a")), Some(Fault::Hang));
        assert_eq!(faults.strike("webwxsync", Some("a")), None);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_seeded_coin_falls_the_same_way_again() {
        let run = || {
            let mut faults = Faults::new(7);
            faults.add(FaultRule {
                account: None,
                endpoint: "*".to_owned(),
                fault: Fault::EmptyBody,
                count: None,
                probability: 0.3,
                skip: 0,
            });
            (0..100).map(|_| faults.strike("login", None).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        let hits = run().into_iter().filter(|hit| *hit).count();
        assert!((15..45).contains(&hits), "{hits}");
    }
}
