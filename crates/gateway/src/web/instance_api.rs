//! The instances that share the accounts of one database.

use axum::extract::State;
use serde_json::{Value, json};

use super::api::{Answer, Caller, Shared, ok};
use crate::wiring::Parts;

/// All instances, the one with the database first. A gateway on a file is the only one, and says nothing about itself.
pub(super) async fn list(State(parts): Shared, caller: Caller) -> Answer {
    caller.administers()?;
    ok(&Value::from(rows(&parts)))
}

fn rows(parts: &Parts) -> Vec<Value> {
    let all = parts.lead.as_ref().map(|lead| lead.all()).unwrap_or_default();
    let row = |instance: crate::wiring::instances::InstanceView| {
        json!({
            "name": instance.name,
            "role": if instance.is_leader { "leader" } else { "worker" },
            "address": instance.address,
            "since_ms": instance.since.ms(),
            "accounts": instance.accounts,
        })
    };
    all.into_iter().map(row).collect()
}
