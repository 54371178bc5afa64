//! Many accounts at once.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::irc::IrcClient;
use crate::sim::Sim;
use crate::wait::until;

/// Whose accounts they are.
pub const USER: &str = "ann";
/// Sign-ins under way at once.
const SIGN_INS: usize = 32;
/// Clients that sign in at once: the server admits three unregistered connections per address.
const LOGINS: usize = 2;

/// The name of an account, the same on both sides.
pub fn name(at: u32) -> String {
    format!("account{at}")
}

/// Signs accounts in, many at once, and waits until the service is polled for all of them.
pub async fn sign_in(
    gateway: &Arc<Gateway>,
    sim: &Arc<Sim>,
    which: Range<u32>,
    limit: Duration,
) -> Result<()> {
    let work = async {
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        for at in which.clone() {
            if tasks.len() >= SIGN_INS {
                tasks.join_next().await.context("no task")???;
            }
            let (gateway, sim) = (gateway.clone(), sim.clone());
            tasks.spawn(async move {
                let name = name(at);
                gateway.add_account(&name, USER).await?;
                let sign_in = gateway.begin_sign_in(&name).await?.with_patience(limit);
                let done = sign_in.complete(&sim, &name).await;
                if let Err(error) = done {
                    let state = gateway.state(&name).await;
                    return Err(error.context(format!("{name} is {state:?}")));
                }
                Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        polling(sim, which.end, limit).await
    };
    let done = tokio::time::timeout(limit, work).await;
    done.with_context(|| format!("{} sign-ins did not end within {limit:?}", which.len()))?
}

/// Waits until `accounts` polls are held by the service: nobody has anything left to do.
pub async fn polling(sim: &Sim, accounts: u32, limit: Duration) -> Result<()> {
    until(&format!("{accounts} open polls"), limit, async || {
        let open = sim.stats().await?["polls_open"].as_u64().unwrap_or(0);
        ensure!(open >= u64::from(accounts), "{open} polls are open");
        Ok(Some(()))
    })
    .await
}

/// A client for each account, in the order of the accounts.
pub async fn clients(
    gateway: &Arc<Gateway>,
    which: Range<u32>,
    client_name: &'static str,
) -> Result<Vec<(u32, IrcClient)>> {
    let mut tasks: JoinSet<Result<(u32, IrcClient)>> = JoinSet::new();
    let mut clients = Vec::new();
    for at in which {
        if tasks.len() >= LOGINS {
            clients.push(tasks.join_next().await.context("no task")???);
        }
        let gateway = gateway.clone();
        tasks.spawn(async move {
            let mut client = gateway.client(USER, &name(at), client_name).await?;
            client.drain().await?;
            Ok((at, client))
        });
    }
    while let Some(done) = tasks.join_next().await {
        clients.push(done??);
    }
    // They logged in side by side, and whoever was first stood first.
    clients.sort_by_key(|(at, _)| *at);
    Ok(clients)
}
