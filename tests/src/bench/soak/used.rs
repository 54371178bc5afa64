//! What the program uses at one moment, and by how much that grows.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::SECTION;
use crate::bench::memory::mib;
use crate::bench::report::{Aim, Report};
use crate::gateway::Gateway;
use crate::postgres;

/// Files and directories below the data directory in which something lies only while it is worked on.
/// Source: ARCHITECTURE.md, "Where state lives".
const TEMPORARY: [&str; 3] = ["media/incoming", "convert.tmp", "snapshot.tmp"];
/// What one message may take in the database, its place in the timeline and in the indexes, its answer's and picture's
/// rows included. Chosen: three times what was measured, 610 bytes.
const MESSAGE_BYTES: f64 = 2_048.0;
/// What the log of SQLite may differ by: it is copied after so much. Source: `store/src/writer/checkpoint.rs`.
const LOG_MIB: f64 = 16.0;
/// Clients that come anew and polls that are begun anew are in the air at any moment.
const SOME: f64 = 5.0;
/// Sentences that say what is wrong come and go. Source: docs/metrics.md, `wxgate_account_reasons`.
const SENTENCES: f64 = 21.0;

/// What it uses.
#[derive(Clone, Copy, Default)]
pub(super) struct Use {
    rss: u64,
    files: u64,
    sockets: u64,
    threads: u64,
    tasks: u64,
    series: u64,
    database: u64,
    log: u64,
    /// Messages that were said by then.
    said: u64,
}

impl Use {
    /// Looks. `store`: the address of the server; empty: a file.
    pub(super) async fn of(gateway: &mut Gateway, store: &str, said: u32) -> Result<Self> {
        gateway.assert_up()?;
        let metrics = gateway.get("/metrics", &[]).await?.good("the metrics")?.text();
        let size = |name: &str| std::fs::metadata(gateway.data_dir().join(name)).map_or(0, |file| file.len());
        let (database, log) = match store {
            "" => (size("wxgate.db"), size("wxgate.db-wal")),
            url => (postgres::bytes(url).await?, 0),
        };
        let program = gateway.program()?;
        Ok(Self {
            rss: program.rss_bytes()?,
            files: program.open_files()? as u64,
            sockets: program.sockets()? as u64,
            threads: program.threads()? as u64,
            tasks: sum(&metrics, "wxgate_tasks") as u64,
            series: series(&metrics) as u64,
            database,
            log,
            said: u64::from(said),
        })
    }
}

/// Deliveries that are open.
pub(super) async fn queued(gateway: &Gateway) -> Result<f64> {
    let metrics = gateway.get("/metrics", &[]).await?.good("the metrics")?.text();
    Ok(sum(&metrics, "wxgate_deliveries_open"))
}

/// Lines that tell a value.
fn series(metrics: &str) -> usize {
    metrics.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

/// All values of one name together. Source: the Prometheus text format, version 0.0.4.
fn sum(metrics: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    };
    // Not `sum`, which is -0 of nothing.
    metrics.lines().filter_map(of).fold(0.0, |sum, value| sum + value)
}

/// Files that lie where there are some only while they are worked on.
pub(super) fn left_over(data_dir: &Path) -> Result<usize> {
    let mut left = 0;
    for dir in TEMPORARY.map(|name| data_dir.join(name)) {
        if dir.exists() {
            left += std::fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?.count();
        }
    }
    Ok(left)
}

/// The middle of each figure.
fn middle(used: &[Use]) -> Use {
    let median = |of: fn(&Use) -> u64| {
        let mut values: Vec<u64> = used.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Use {
        rss: median(|used| used.rss),
        files: median(|used| used.files),
        sockets: median(|used| used.sockets),
        threads: median(|used| used.threads),
        tasks: median(|used| used.tasks),
        series: median(|used| used.series),
        database: median(|used| used.database),
        log: median(|used| used.log),
        said: median(|used| used.said),
    }
}

/// What grew from the second quarter to the last: the first one fills what is kept for good, caches, pages, connections.
pub(super) fn tell(report: &mut Report, used: &[Use]) -> Result<()> {
    ensure!(used.len() >= 8, "too short to say anything: {} looks", used.len());
    let quarter = used.len() / 4;
    let early = middle(used.get(quarter..2 * quarter).unwrap_or_default());
    let late = middle(used.get(3 * quarter..).unwrap_or_default());
    report.add(SECTION, "memory in the second quarter", mib(early.rss), "MiB", Aim::None);
    report.add(SECTION, "memory in the last quarter", mib(late.rss), "MiB", Aim::None);
    let growth = (late.rss as f64 / early.rss as f64 - 1.0) * 100.0;
    report.add(SECTION, "growth of memory", growth, "%", Aim::AtMost(5.0));
    for (what, of, most) in [
        ("open files", (|used| used.files) as fn(&Use) -> u64, SOME),
        ("sockets", |used| used.sockets, SOME),
        ("threads", |used| used.threads, SOME),
        ("tasks", |used| used.tasks, 2.0 * SOME),
        ("numbers of /metrics", |used| used.series, SENTENCES),
    ] {
        let grown = of(&late) as f64 - of(&early) as f64;
        report.add(SECTION, format!("growth of {what}, of {}", of(&early)), grown, "", Aim::AtMost(most));
    }
    let messages = late.said.saturating_sub(early.said).max(1) as f64;
    let each = (late.database as f64 - early.database as f64) / messages;
    report.add(SECTION, "growth of the database, each message", each, "bytes", Aim::AtMost(MESSAGE_BYTES));
    let log = (late.log as f64 - early.log as f64) / f64::from(1 << 20);
    report.add(SECTION, "growth of the database's log", log, "MiB", Aim::AtMost(LOG_MIB));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP wxgate_deliveries_open x\n# TYPE wxgate_deliveries_open gauge\n\
        wxgate_deliveries_open{network=\"irc\"} 2\nwxgate_deliveries_open{network=\"wechat\"} 3\n\
        wxgate_deliveries_open_not 9\nwxgate_tasks 41\n";

    #[test]
    fn figures_of_one_name_are_summed_and_lines_that_tell_one_are_counted() {
        assert_eq!(sum(METRICS, "wxgate_deliveries_open"), 5.0);
        assert_eq!(sum(METRICS, "wxgate_tasks"), 41.0);
        assert_eq!(series(METRICS), 4);
    }

    #[test]
    fn what_grows_is_told_as_beyond_its_aim() {
        let at = |n: u64, leak: u64| Use { rss: 1000, tasks: 10 + leak * n, said: n, ..Use::default() };
        let told = |leak| {
            let mut report = Report::default();
            let used: Vec<Use> = (0..40).map(|n| at(n, leak)).collect();
            tell(&mut report, &used).unwrap();
            report.to_string()
        };
        assert!(!told(0).contains("FAIL"), "{}", told(0));
        assert!(told(1).contains("FAIL"), "{}", told(1));
    }
}
