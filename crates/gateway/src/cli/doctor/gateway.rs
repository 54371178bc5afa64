//! What a gateway that runs says of itself.

use hyper::Method;
use serde_json::Value;

use super::super::client::Client;
use super::{Finding, Globals, far, ok, warning, wrong};
use crate::failure::Failure;

const ACCOUNTS: &str = "accounts";

/// Whether the running gateway can do its work, as it tells everybody who watches it.
pub(super) async fn check_readiness(globals: &Globals) -> Finding {
    const CHECK: &str = "readiness";
    let told = async {
        let client = Client::new(globals)?;
        let late = |_| Failure::asked(format!("the gateway did not answer in {} s", far::PATIENCE.as_secs()));
        tokio::time::timeout(far::PATIENCE, client.readiness()).await.map_err(late)?
    };
    match told.await {
        Ok(reasons) if reasons.is_empty() => ok(CHECK, "the gateway is ready, and its store answers"),
        Ok(reasons) => wrong(CHECK, reasons.join("\n"), "see what it says, and the log of the gateway"),
        Err(failure) => wrong(CHECK, failure.message, "look into the log of the gateway, and restart it"),
    }
}

/// How the running gateway says that one of its networks is doing: for Matrix, whether the
/// homeserver was reached and reached us.
pub(super) async fn check_network(globals: &Globals, check: &'static str, network: &str) -> Option<Finding> {
    let client = Client::new(globals).ok()?;
    let status: Value = client.call(Method::GET, "/api/v1/status", None).await.ok()?;
    let found = status["networks"].as_array()?.iter().find(|row| row["network"] == network)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let (state, detail) = (text("state"), text("detail"));
    Some(match state.as_str() {
        "up" => ok(check, "works, in both directions"),
        "starting" => warning(check, "is still starting", "look again in a moment"),
        _ => wrong(check, format!("{state}: {detail}"), "do what it says; the log has more"),
    })
}

/// The accounts of the running gateway that do not work until somebody does something.
pub(super) async fn check_accounts(globals: &Globals) -> Finding {
    accounts(globals).await.unwrap_or_else(|failure| {
        wrong(ACCOUNTS, failure.message, "see what it says, and the log of the gateway")
    })
}

async fn accounts(globals: &Globals) -> Result<Finding, Failure> {
    let client = Client::new(globals)?;
    let all: Vec<Value> = client.call(Method::GET, "/api/v1/accounts", None).await?;
    let is_out = |row: &&Value| matches!(row["state"].as_str(), Some("needs_human" | "down"));
    let mut out = all.iter().filter(is_out);
    let Some(first) = out.next() else { return Ok(ok(ACCOUNTS, format!("{} work or begin", all.len()))) };
    let text = |key: &str| first[key].as_str().unwrap_or_default();
    let found = format!(
        "{} of {} do not work until somebody does something; {}: {}",
        out.count() + 1,
        all.len(),
        text("name"),
        text("detail")
    );
    Ok(warning(ACCOUNTS, found, "wxgate account list names them all, and what each needs"))
}
