//! Where the log goes. It carries names of accounts and networks, never texts or secrets.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::LogFormat;

/// Where matrix-sdk, in builds that have it, logs its requests.
const SDK_CALLS: &str = "matrix_sdk::http_client";
/// The library that encrypts.
const ENCRYPTION: &str = "matrix_sdk_crypto";

/// Somebody who hears what the program does.
pub(crate) type Listener = Box<dyn Layer<Registry> + Send + Sync>;

/// Whether programs read the log.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Says in the log, where programs read it, what would otherwise stand beside it in plain words. `false`: nothing was
/// said.
pub(crate) fn tell(sentence: &str) -> bool {
    let is_json = IS_JSON.load(Ordering::Relaxed);
    if is_json {
        tracing::error!("{sentence}");
    }
    is_json
}

/// Sends the log to standard error, and what `other` hears to it. Called once; a second call changes nothing.
pub(crate) fn start(format: LogFormat, filter: &str, other: Option<Listener>) {
    // The filter was judged with the configuration; without one the usual level is right.
    let targets: Targets = filter.parse().unwrap_or_else(|_| Targets::new());
    // It calls every answer an error that is no 200, also the many that are expected; whoever asked tells those that
    // count. A filter that names it is heard.
    let targets = match filter.contains(SDK_CALLS) {
        true => targets,
        false => targets.with_target(SDK_CALLS, LevelFilter::OFF),
    };
    // It tells each step of each key, and as warnings what is ordinary; whoever names it hears it.
    let targets = match filter.contains(ENCRYPTION) {
        true => targets,
        false => targets.with_target(ENCRYPTION, LevelFilter::ERROR),
    };
    let log: Listener = match format {
        LogFormat::Pretty => {
            let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            Box::new(fmt::layer().with_writer(stderr).with_ansi(colours).with_target(false))
        }
        LogFormat::Json => {
            let layer = fmt::layer().json().log_internal_errors(false);
            Box::new(layer.with_writer(stderr).with_ansi(false))
        }
    };
    // An error means that a log is there already, which is what is wanted.
    let mut all = vec![log.with_filter(targets).boxed()];
    all.extend(other);
    let is_begun = Registry::default().with(all).try_init().is_ok();
    IS_JSON.fetch_or(is_begun && format == LogFormat::Json, Ordering::Relaxed);
}
