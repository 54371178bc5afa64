//! The load bench: memory, processor time, throughput and latency, each beside its aim.

mod active;
mod encrypted;
mod fairness;
pub mod floor;
mod irc;
mod latency;
mod matcher;
mod matrix;
mod memory;
mod options;
mod report;
mod soak;
mod stub;
mod synapse;
mod throughput;
mod wire;

use anyhow::{Context as _, Result};

pub use options::{Options, Section, USAGE};
pub use report::Report;

/// Runs the chosen sections and says what came of them.
pub async fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    for section in &options.sections {
        eprintln!("bench: {}", section.word());
        let done = match section {
            Section::Memory => Box::pin(memory::measure(options, &mut report)).await,
            Section::Throughput => Box::pin(throughput::measure(options, &mut report)).await,
            Section::Irc => Box::pin(irc::measure(options, &mut report)).await,
            Section::Fairness => Box::pin(fairness::measure(options, &mut report)).await,
            Section::Latency => Box::pin(latency::measure(options, &mut report)).await,
            Section::Active => Box::pin(active::measure(options, &mut report)).await,
            Section::Matcher => Box::pin(matcher::measure(options, &mut report)).await,
            Section::Soak => Box::pin(soak::measure(options, &mut report)).await,
            Section::Matrix => Box::pin(matrix::measure(options, &mut report)).await,
            Section::Encrypted => Box::pin(encrypted::measure(options, &mut report)).await,
            Section::Synapse => Box::pin(synapse::measure(options, &mut report)).await,
        };
        if let Err(error) = done.with_context(|| format!("section {}", section.word())) {
            // The other sections are worth having all the same.
            report.fail(section.word(), &format!("{error:#}"));
        }
    }
    Ok(report)
}
