//! Signs the demo's accounts in; the phones are simulated.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use wxgate_contract::{Command, NetworkId, Reply, SignInStep, SignInWatch};
use wxgate_simulator::World;

use super::screen::Screen;
use crate::failure::Failure;
use crate::wiring::{ACCOUNT_KIND, Parts};

/// Sign-ins under way at once.
const AT_ONCE: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a person needs to see the code, and then to press the button.
const LOOK: Duration = Duration::from_millis(600);
const PRESS: Duration = Duration::from_millis(300);

/// Signs everybody in, the first one for all to see.
pub(super) async fn all(
    parts: &Arc<Parts>,
    world: &World,
    names: &[String],
    screen: &Screen,
) -> Result<(), Failure> {
    let Some((first, others)) = names.split_first() else { return Ok(()) };
    one(parts, world, first, Some(screen)).await?;
    let mut ended = stream::iter(others).map(|name| one(parts, world, name, None)).buffer_unordered(AT_ONCE);
    let mut done = 1;
    while let Some(result) = ended.next().await {
        result?;
        done += 1;
        screen.progress("Signing in", done, names.len());
    }
    Ok(())
}

async fn one(parts: &Parts, world: &World, name: &str, screen: Option<&Screen>) -> Result<(), Failure> {
    let account = NetworkId::new(format!("{ACCOUNT_KIND}:{name}"));
    let reply = parts.bridge.control("demo", None).run(None, Command::SignIn { account }).await;
    let watch = match reply {
        Ok(Reply::SignIn(watch)) => watch,
        Ok(_) => return Err(Failure::bug(format!("the sign-in of {name} cannot be followed"))),
        Err(e) => return Err(Failure::bug(format!("{name} cannot sign in: {e}"))),
    };
    match tokio::time::timeout(PATIENCE, follow(watch, world, name, screen)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::bug(format!("{name} was not online after {} s", PATIENCE.as_secs()))),
    }
}

async fn follow(
    mut watch: SignInWatch,
    world: &World,
    name: &str,
    screen: Option<&Screen>,
) -> Result<(), Failure> {
    let say = |step: &str, text: &str| {
        if let Some(screen) = screen {
            screen.tell(text, json!({ "event": "sign_in", "account": name, "step": step }));
        }
    };
    loop {
        let step = watch.borrow_and_update().clone();
        match step {
            SignInStep::Starting => {}
            SignInStep::ShowQr { text, .. } => {
                let uuid = text.rsplit("/l/").next().unwrap_or_default().to_owned();
                if let Some(screen) = screen {
                    screen.qr(name, &text);
                    tokio::time::sleep(LOOK).await;
                }
                // A code that ran out meanwhile is followed by another one.
                let _ = world.scan(&uuid, name);
                if screen.is_some() {
                    tokio::time::sleep(PRESS).await;
                }
                let _ = world.confirm(&uuid);
            }
            SignInStep::ConfirmOnPhone { .. } => {
                say("confirm_on_phone", "Scanned; confirmed on the phone.");
            }
            SignInStep::Loading => say("loading", "Loading contacts …"),
            SignInStep::Done => {
                say("done", &format!("{name} is online."));
                return Ok(());
            }
            SignInStep::Failed { why } => {
                return Err(Failure::bug(format!("{name} was not signed in: {why}")));
            }
        }
        if watch.changed().await.is_err() {
            return Err(Failure::bug(format!("the sign-in of {name} was given up")));
        }
    }
}
