//! A bridge for tests that look inside, and an adapter that does nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::conformance::Double;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, BoxFuture, Capabilities, NetworkId, Stopped, Timestamp,
};
use wxgate_store::{SealKey, Store, StoreConfig};

use crate::{AdapterFactory, Bridge, BridgeConfig};

/// Runs until it is told to stop.
pub(crate) struct Idle(pub(crate) NetworkId);

impl Adapter for Idle {
    fn network(&self) -> &NetworkId {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: false,
            mirrors: false,
            max_text_chars: 1,
            carries_files: false,
            can_recall: false,
            shows_authors: false,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(async move {
            ctx.stop.stopping().await;
            Ok(Stopped)
        })
    }
}

/// A bridge on a store in `dir`, whose clock stands.
pub(crate) async fn bridge(dir: &Path, factory: AdapterFactory) -> Arc<Bridge> {
    let config = StoreConfig {
        url: "sqlite".parse().unwrap(),
        data_dir: dir.to_owned(),
        seal_key: SealKey::from_bytes(&[7; 32]).unwrap(),
        max_media_bytes: 1,
        restored: String::new(),
        instance: wxgate_store::Instance::default(),
    };
    let store = Store::open(config, Arc::new(|| Timestamp(1))).await.unwrap();
    let config = BridgeConfig {
        store,
        vault: Arc::new(Double::new()),
        clock: Arc::new(|| Timestamp(1)),
        seed: [3; 32],
        account_kind: "net",
        factory,
        accounts_per_user: 1,
        pages: Arc::new(|_, _| None),
        grace: Duration::from_secs(1),
    };
    Bridge::new(config).await.unwrap()
}
