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

/// The id of the one way to sign in.
pub(super) const QR: &str = "qr";

/// Ways to sign in.
pub(super) fn flows() -> Value {
    json!([{
        "id": QR,
        "name": "QR code",
        "description": "Scan a QR code with WeChat on your phone; an account that was signed in before may ask the phone directly",
    }])
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
        Health::Up => ("CONNECTED", None, ""),
        Health::Degraded { why } => ("TRANSIENT_DISCONNECT", Some("wechat-degraded"), why.as_str()),
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
