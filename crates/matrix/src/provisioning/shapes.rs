//! The shapes of answers. Source: the provisioning sheet.

use serde_json::{Value, json};
use wxgate_contract::{AccountView, Health};

use crate::shared::Shared;

/// How managers call what is bridged.
pub(super) fn network() -> Value {
    json!({
        "displayname": "WeChat",
        "network_url": "https://www.wechat.com",
        "network_icon": "",
        "network_id": "wechat",
        "beeper_bridge_type": "wechat",
    })
}

/// The ids of the ways to sign in: by a code, and by a question on the phone.
pub(super) const QR: &str = "qr";
pub(super) const PUSH: &str = "push";

/// Ways to sign in; `can_push` when there is a login that can be asked again on the phone.
pub(super) fn flows(can_push: bool) -> Value {
    let mut flows = vec![json!({
        "id": QR,
        "name": "QR code",
        "description": "Scan a QR code with WeChat on your phone; an account that was signed in before may ask the phone directly",
    })];
    if can_push {
        flows.push(json!({
            "id": PUSH,
            "name": "Confirm on the phone",
            "description": "An account that was signed in before asks the phone; a QR code follows if it does not agree",
        }));
    }
    Value::Array(flows)
}

/// Signed out, and signed in before: its phone can be asked.
pub(super) fn can_be_asked(view: &AccountView) -> bool {
    !view.own_name.is_empty() && view.health.is_signed_out()
}

/// One account.
pub(super) fn login(shared: &Shared, view: &AccountView) -> Value {
    let profile = match view.own_name.as_str() {
        "" => json!({}),
        name => json!({ "name": name }),
    };
    let name = if view.own_name.is_empty() { view.network.name() } else { &view.own_name };
    let since = shared.states.since(&view.network, &view.health, shared.clock.now());
    json!({
        "id": view.network.name(),
        "name": name,
        "state": state(&view.health, since.ms()),
        "profile": profile,
    })
}

fn state(health: &Health, timestamp: i64) -> Value {
    let (event, error, message) = match health {
        Health::Starting => ("CONNECTING", None, ""),
        Health::Up | Health::Partial { .. } => ("CONNECTED", None, ""),
        Health::Limited { why } | Health::Degraded { why } => {
            ("TRANSIENT_DISCONNECT", Some("wechat-degraded"), why.as_str())
        }
        Health::NeedsHuman { step } => ("BAD_CREDENTIALS", Some("wechat-needs-human"), step.as_str()),
        Health::Down { why } => ("UNKNOWN_ERROR", Some("wechat-down"), why.as_str()),
    };
    let mut state = json!({ "state_event": event, "timestamp": timestamp });
    if let Some(error) = error {
        state["error"] = json!(error);
        state["message"] = json!(message);
        state["reason"] = json!(message);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_is_wrong_and_what_to_do() {
        assert_eq!(state(&Health::Up, 5), json!({ "state_event": "CONNECTED", "timestamp": 5 }));
        let down = state(&Health::NeedsHuman { step: "sign in".to_owned() }, 5);
        assert_eq!(down["state_event"], "BAD_CREDENTIALS");
        assert_eq!(down["message"], "sign in");
    }
}
