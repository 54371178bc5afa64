//! Numbers for Prometheus. Every name is a constant here; dashboards are checked against them.
//!
//! Source: the Prometheus text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use wxgate_bridge::COMMIT_BOUNDS_US;
use wxgate_contract::{Health, NetworkId, Timestamp};
use wxgate_store::{LaneStats, StoreError};

use crate::clock;
use crate::wiring::{Parts, is_guest};

const BUILD_INFO: &str = "wxgate_build_info";
const ACCOUNTS: &str = "wxgate_accounts";
const REASONS: &str = "wxgate_account_reasons";
const NETWORK_UP: &str = "wxgate_network_up";
const BARRED: &str = "wxgate_channels_barred";
const STORE_UP: &str = "wxgate_store_up";
const DELIVERIES: &str = "wxgate_deliveries_total";
const POSTS: &str = "wxgate_posts_total";
const LANE_AGE: &str = "wxgate_lane_age_seconds";
const LANE_OPEN: &str = "wxgate_deliveries_open";
const COMMIT: &str = "wxgate_commit_seconds";
const SYNC: &str = "wxgate_sync_seconds";
const RESTARTS: &str = "wxgate_restarts_total";
const PANICS: &str = "wxgate_panics_total";
const MEDIA_SENT: &str = "wxgate_media_sent_bytes_total";
const TASKS: &str = "wxgate_tasks";
const INSTANCE_ACCOUNTS: &str = "wxgate_instance_accounts";
#[cfg(feature = "postgres")]
const WORKER_ACCOUNTS: &str = "wxgate_worker_accounts";
#[cfg(feature = "postgres")]
const WORKER_UP: &str = "wxgate_worker_up";
const MEMORY: &str = "process_resident_memory_bytes";

/// Panics of any thread since the start. A static, because the hook that sees them all is one of the process.
static BUGS: AtomicU64 = AtomicU64::new(0);

/// Counts a panic.
pub(crate) fn came_upon_a_bug() {
    BUGS.fetch_add(1, Ordering::Relaxed);
}

/// How many there were.
pub(crate) fn bugs() -> u64 {
    BUGS.load(Ordering::Relaxed)
}

/// States an account can be in; all are always told, so that a graph has no holes.
const STATES: [&str; 5] = ["starting", "up", "degraded", "needs_human", "down"];

/// Reasons that are told apart; the rest are one. Chosen: there are a dozen sentences, and the service may add words
/// of its own, of which nobody knows how many there are.
const MAX_REASONS: usize = 20;
/// What the rest are called.
const OTHER_REASONS: &str = "other";

/// Upper bounds of the sync time histogram, in microseconds. Chosen around one request to the service and back
/// (30 to 300 ms) and one durable write; ten seconds is the limit of a call.
const SYNC_BOUNDS_US: [u64; 8] = [5_000, 20_000, 50_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

/// What the program itself counts beside the pipe.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    media_sent_bytes: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BOUNDS_US.len()],
}

impl Counters {
    /// An answer with so many bytes of an attachment was begun.
    pub(crate) fn media_sent(&self, bytes: u64) {
        self.media_sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What a sync brought is on disk, so long after it was asked for.
    pub(crate) fn synced(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.fetch_add(us, Ordering::Relaxed);
        for (bound, bucket) in SYNC_BOUNDS_US.iter().zip(&self.sync_buckets) {
            if us <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The page.
pub(crate) async fn page(State(parts): State<Arc<Parts>>) -> Response {
    let text = render(&parts).await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    (StatusCode::OK, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], text)
        .into_response()
}

/// Writes one family of values.
struct Family<'a>(&'a mut String, &'static str);

impl<'a> Family<'a> {
    fn new(out: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Self(out, name)
    }

    fn value(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        // Writing into a text cannot fail.
        let _ = writeln!(self.0, "{}{labels} {value}", self.1);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

async fn render(parts: &Parts) -> String {
    let mut out = String::new();
    build(&mut out);
    instances(&mut out, parts);
    networks(&mut out, parts);
    let is_up = store_troubles(parts).await.is_empty();
    Family::new(&mut out, STORE_UP, "gauge", "Whether the store answers and keeps what it is given.")
        .value(&[], u8::from(is_up));
    pipe(&mut out, parts);
    lanes(&mut out, parts).await;
    Family::new(&mut out, MEDIA_SENT, "counter", "Bytes of attachments in answers that were begun.")
        .value(&[], parts.counters.media_sent_bytes.load(Ordering::Relaxed));
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    Family::new(&mut out, TASKS, "gauge", "Tasks that the program has under way.").value(&[], tasks);
    memory(&mut out);
    out
}

/// The page of an instance that has not the database. `accounts`: how many it runs; `None` without a line to the one that
/// has it.
#[cfg(feature = "postgres")]
pub(crate) fn standby(counters: &Counters, accounts: Option<usize>) -> String {
    let mut out = String::new();
    build(&mut out);
    Family::new(
        &mut out,
        WORKER_UP,
        "gauge",
        "Whether there is a line to the instance that has the database.",
    )
    .value(&[], u8::from(accounts.is_some()));
    Family::new(
        &mut out,
        WORKER_ACCOUNTS,
        "gauge",
        "Accounts that run here for the instance with the database.",
    )
    .value(&[], accounts.unwrap_or_default());
    syncs(&mut out, counters);
    panics(&mut out);
    memory(&mut out);
    out
}

fn build(out: &mut String) {
    Family::new(out, BUILD_INFO, "gauge", "The version, as a label; always 1.")
        .value(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn memory(out: &mut String) {
    if let Some(bytes) = wxgate_heap::resident_bytes() {
        Family::new(out, MEMORY, "gauge", "Memory of this process that is in RAM.").value(&[], bytes);
    }
}

fn panics(out: &mut String) {
    Family::new(out, PANICS, "counter", "Bugs that ended a part of the program.").value(&[], bugs());
}

fn instances(out: &mut String, parts: &Parts) {
    let Some(lead) = &parts.lead else { return };
    let mut accounts =
        Family::new(out, INSTANCE_ACCOUNTS, "gauge", "Accounts by the instance that runs them.");
    for instance in lead.all() {
        let role = if instance.is_leader { "leader" } else { "worker" };
        accounts.value(&[("instance", &instance.name), ("role", role)], instance.accounts);
    }
}

fn networks(out: &mut String, parts: &Parts) {
    let mut states = BTreeMap::from(STATES.map(|state| (state, 0_u64)));
    let (mut faces, mut barred, mut reasons) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (network, owner, health) in parts.bridge.healths() {
        match owner {
            Some(_) => {
                *states.entry(health.word()).or_default() += 1;
                if !health.detail().is_empty() {
                    *reasons.entry((health.word(), health.detail().to_owned())).or_insert(0_u64) += 1;
                }
            }
            None => {
                let missing = if let Health::Partial { missing, .. } = &health { *missing } else { 0 };
                barred.extend(is_guest(&network).then(|| (network.clone(), missing)));
                faces.push((network, u8::from(health.works())));
            }
        }
    }
    let mut accounts = Family::new(out, ACCOUNTS, "gauge", "Accounts by state.");
    for (state, count) in states {
        accounts.value(&[("state", state)], count);
    }
    let mut told =
        Family::new(out, REASONS, "gauge", "Accounts by what is wrong with them or has to be done.");
    for ((state, reason), count) in bounded(reasons) {
        told.value(&[("state", state), ("reason", &reason)], count);
    }
    let mut up = Family::new(out, NETWORK_UP, "gauge", "Whether a network that is no account works.");
    for (network, is_up) in faces {
        up.value(&[("network", network.as_str())], is_up);
    }
    let mut missing = Family::new(out, BARRED, "gauge", "Channels of an IRC network that do not let us in.");
    for (network, count) in barred {
        missing.value(&[("network", network.as_str())], count);
    }
}

/// The reasons of most accounts, and the rest of each state together.
fn bounded(reasons: BTreeMap<(&'static str, String), u64>) -> BTreeMap<(&'static str, String), u64> {
    let mut all: Vec<_> = reasons.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut kept = BTreeMap::new();
    for (at, ((state, reason), count)) in all.into_iter().enumerate() {
        let reason = if at < MAX_REASONS { reason } else { OTHER_REASONS.to_owned() };
        *kept.entry((state, reason)).or_insert(0) += count;
    }
    kept
}

fn pipe(out: &mut String, parts: &Parts) {
    let meter = parts.bridge.meter();
    let (kept, known) = meter.posts();
    let mut posts = Family::new(out, POSTS, "counter", "Posts at intake, by whether they were new.");
    posts.value(&[("fate", "kept")], kept);
    posts.value(&[("fate", "known")], known);
    let mut deliveries =
        Family::new(out, DELIVERIES, "counter", "Outcomes of deliveries by kind of network.");
    for row in meter.outcomes() {
        let outcomes = [
            ("sent", row.sent),
            ("refused", row.refused),
            ("later", row.later),
            ("uncertain", row.uncertain),
        ];
        for (outcome, count) in outcomes {
            deliveries.value(&[("network", row.kind.as_str()), ("outcome", outcome)], count);
        }
    }
    let (count, sum_us, buckets) = meter.commits();
    let buckets = COMMIT_BOUNDS_US.into_iter().zip(buckets);
    histogram(out, (COMMIT, "Time of one durable commit."), buckets, (count, sum_us));
    syncs(out, &parts.counters);
    let restarts = meter.restarts();
    Family::new(out, RESTARTS, "counter", "Runs of networks that ended by themselves.").value(&[], restarts);
    panics(out);
}

fn syncs(out: &mut String, counters: &Counters) {
    let buckets = counters.sync_buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
    let all = (counters.syncs.load(Ordering::Relaxed), counters.sync_us.load(Ordering::Relaxed));
    let help = "From asking WeChat for what is new to its being on disk.";
    histogram(out, (SYNC, help), SYNC_BOUNDS_US.into_iter().zip(buckets), all);
}

/// Writes a histogram of times; `buckets` are bounds in microseconds with how many took at most as long, `all` the
/// count and the sum of everything.
fn histogram(
    out: &mut String,
    (name, help): (&str, &str),
    buckets: impl Iterator<Item = (u64, u64)>,
    (count, sum_us): (u64, u64),
) {
    out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} histogram\n"));
    for (bound_us, at_most) in buckets {
        out.push_str(&format!("{name}_bucket{{le=\"{}\"}} {at_most}\n", seconds(bound_us)));
    }
    out.push_str(&format!("{name}_bucket{{le=\"+Inf\"}} {count}\n"));
    out.push_str(&format!("{name}_sum {}\n{name}_count {count}\n", seconds(sum_us)));
}

/// How long the store may take to say what waits. Chosen: whoever asks has ten seconds for the whole answer (Prometheus)
/// or fewer, and a store that is away must not take all other numbers with it.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// What the store answers, unless it takes too long.
pub(crate) async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(STORE_PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer in {} s", STORE_PATIENCE.as_secs())),
    }
}

/// How long a commit that failed speaks against the store. Chosen: on a full disk small ones succeed between
/// large ones that do not, and accounts try again at least once a minute.
const FAILURE_COUNTS: Duration = Duration::from_secs(60);

/// What is wrong with the store, in words.
pub(crate) async fn store_troubles(parts: &Parts) -> Vec<String> {
    let store = parts.bridge.store();
    let away = in_time(store.answers()).await.err();
    let recent = store.last_failure().filter(counts);
    let away = away.map(|why| format!("the store does not answer: {why}"));
    let recent = recent.map(|(_, why)| format!("the store keeps nothing: {why}"));
    away.into_iter().chain(recent).collect()
}

/// Why the store needs somebody to look at it although it keeps everything.
pub(crate) fn copy_trouble(parts: &Parts) -> Option<String> {
    let (_, why) = parts.bridge.store().last_copy_failure().filter(counts)?;
    Some(format!("the log of the database cannot be copied into it, and grows; nothing is lost yet: {why}"))
}

/// Whether a failure is not over yet.
fn counts((at, _): &(Timestamp, String)) -> bool {
    clock::now().since(*at) < FAILURE_COUNTS
}

async fn lanes(out: &mut String, parts: &Parts) {
    // Without the store there is nothing to tell, and /readyz says why.
    let Ok(stats) = in_time(parts.bridge.store().lane_stats()).await else { return };
    let mut open = Family::new(out, LANE_OPEN, "gauge", "Deliveries that wait or are under way.");
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &stats {
        *kinds.entry(row.network.kind()).or_default() += row.open;
    }
    for (kind, count) in kinds {
        open.value(&[("network", kind)], count);
    }
    let mut age = Family::new(out, LANE_AGE, "gauge", "Age of the oldest delivery that is open.");
    let waits_for_owner = |network: &NetworkId| {
        parts.bridge.health_of(network).is_some_and(|(owner, health)| owner.is_some() && is_owners(&health))
    };
    for ((kind, waits_for), seconds) in ages(&stats, clock::now(), waits_for_owner) {
        age.value(&[("network", kind), ("waits_for", waits_for)], seconds);
    }
}

/// Whether an account works only when its owner did something: nobody else can, and no work of others waits for it.
fn is_owners(health: &Health) -> bool {
    matches!(health, Health::NeedsHuman { .. } | Health::Down { .. })
}

/// The age in seconds of the oldest delivery of each kind of network, apart by what it waits for.
fn ages(
    stats: &[LaneStats],
    now: Timestamp,
    waits_for_owner: impl Fn(&NetworkId) -> bool,
) -> BTreeMap<(&str, &'static str), f64> {
    let mut ages = BTreeMap::new();
    for row in stats {
        let waits_for = if waits_for_owner(&row.network) { "owner" } else { "network" };
        let age: &mut f64 = ages.entry((row.network.kind(), waits_for)).or_default();
        *age = age.max(now.since(row.oldest).as_secs_f64());
    }
    ages
}

fn seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_costs_two_seconds_of_the_ten_that_there_are() {
        let asked = tokio::time::Instant::now();
        let away = in_time(std::future::pending::<Result<(), StoreError>>()).await;
        assert_eq!(away, Err("no answer in 2 s".to_owned()));
        assert!(asked.elapsed() < Duration::from_secs(3));
        assert_eq!(in_time(async { Ok(7) }).await, Ok(7));
    }

    #[test]
    fn who_does_not_sign_in_hides_no_delivery_that_waits_for_the_network() {
        let row = |network: &str, oldest_s: i64| LaneStats {
            network: network.into(),
            open: 1,
            oldest: Timestamp(oldest_s * 1_000),
        };
        let stats =
            [row("wechat:gone", 0), row("wechat:a", 400), row("wechat:b", 700), row("irc:libera", 900)];
        let of = ages(&stats, Timestamp(1_000_000), |network| network.name() == "gone");
        let wanted =
            [(("irc", "network"), 100.0), (("wechat", "network"), 600.0), (("wechat", "owner"), 1000.0)];
        assert_eq!(of.into_iter().collect::<Vec<_>>(), wanted);
        assert!(is_owners(&Health::signed_out(None)) && !is_owners(&Health::Degraded { why: String::new() }));
    }
}
