//! Gives transactions to the application service: one at a time, each until it is taken.

use std::time::Duration;

use super::{HS_TOKEN, Stub};

/// Synapse waits two seconds and more; a test does not have them.
const RETRY: Duration = Duration::from_millis(20);

pub(super) async fn run(stub: Stub) {
    loop {
        let next = {
            let world = stub.world();
            let ready = world.bridge.filter(|_| !world.is_down);
            ready.zip(world.queue.front().cloned())
        };
        let Some((bridge, (id, body))) = next else {
            stub.0.pushed.notified().await;
            continue;
        };
        let url = format!("http://{bridge}/_matrix/app/v1/transactions/{id}");
        let request = stub.0.http.put(url).bearer_auth(HS_TOKEN).body(body.to_string());
        let status = match request.send().await {
            Ok(reply) => reply.status().as_u16(),
            Err(_) => 0,
        };
        {
            let mut world = stub.world();
            world.given.push((id.clone(), status));
            if status == 200 && world.queue.front().is_some_and(|front| front.0 == id) {
                world.last_txn = world.queue.pop_front();
            }
        }
        stub.0.changed.notify_waiters();
        if status != 200 {
            tokio::time::sleep(RETRY).await;
        }
    }
}
