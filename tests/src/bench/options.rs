//! What to measure, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::gateway::GatewayOptions;
use crate::sim::SimOptions;

/// How to call the program.
pub const USAGE: &str = "\
wxgate-bench [SECTION…] [OPTION…]

Sections (all but encrypted and soak without one): memory throughput active latency fairness matcher matrix
                                       synapse irc soak, encrypted (with the feature encryption)
  --quick       less of everything, under two minutes
  --accounts N  memory: half as many accounts, and so many
  --tls         memory: the service speaks TLS
  --postgres    memory, throughput, active, latency, fairness, soak: the store is PostgreSQL
  --minutes N   soak: so long (default: 60)
  --json FILE   write the numbers there as well
  --dir DIR     where databases and journals lie (default: the system's directory for temporary files)
";

/// How long the service holds an idle poll. Accounts that signed in together also poll together, so
/// that processor time is only right over whole multiples of it.
pub(super) const HOLD: Duration = Duration::from_secs(25);

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Idle memory per account, and processor time when idle.
    Memory,
    /// Messages per second.
    Throughput,
    /// From the service to the client.
    Latency,
    /// The application service against a homeserver that costs nothing.
    Matrix,
    /// A first sign-in against a real homeserver, beside that homeserver alone.
    Synapse,
    /// Encrypted rooms on a real homeserver.
    Encrypted,
    /// The IRC server, beside others.
    Irc,
    /// The latency of others while one account is flooded.
    Fairness,
    /// Rate, latency and what is written, at few and at many active accounts.
    Active,
    /// Who is who after a sign-in of a large account.
    Matcher,
    /// Whether anything grows in an hour of talk, faults, ends of sessions and clients that come and go.
    Soak,
}

impl Section {
    const ALL: [Self; 11] = [
        Self::Latency,
        Self::Fairness,
        Self::Throughput,
        Self::Active,
        Self::Matcher,
        Self::Matrix,
        Self::Synapse,
        Self::Encrypted,
        Self::Irc,
        Self::Memory,
        Self::Soak,
    ];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::Matrix => "matrix",
            Self::Synapse => "synapse",
            Self::Encrypted => "encrypted",
            Self::Irc => "irc",
            Self::Fairness => "fairness",
            Self::Active => "active",
            Self::Matcher => "matcher",
            Self::Soak => "soak",
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which parts, in this order.
    pub sections: Vec<Section>,
    /// Where to write the numbers.
    pub json: Option<PathBuf>,
    /// Where files lie.
    pub dir: PathBuf,
    /// Sizes at which memory is measured, growing.
    pub sizes: Vec<u32>,
    /// These sizes were asked for; processor time is measured at each.
    pub is_exact: bool,
    /// The size at which processor time is measured.
    pub idle_size: u32,
    /// For how long, in whole polls.
    pub idle_time: Duration,
    /// How long the growth to the largest size may take.
    pub growth: Duration,
    /// Accounts with a client each, for throughput.
    pub fleets: Vec<u32>,
    /// Messages in all, per fleet.
    pub messages: u32,
    /// Messages of the chat whose history is asked for.
    pub history: u32,
    /// Messages of the floor, and as many of the gateway.
    pub samples: u32,
    /// Messages of each flood on one account while others are measured.
    pub flood: u32,
    /// Numbers of accounts that are all spoken to.
    pub active: Vec<u32>,
    /// The service speaks TLS where memory is measured.
    pub tls: bool,
    /// The store is PostgreSQL.
    pub postgres: bool,
    /// How long the soak takes.
    pub soak: Duration,
    /// A look, and not a measurement.
    pub is_quick: bool,
}

/// A world in which messages are measured and not rosters.
pub(super) fn small_world(accounts: u32) -> SimOptions {
    SimOptions {
        accounts,
        contacts: 20,
        groups: 2,
        hold_seconds: HOLD.as_secs_f64(),
        ..SimOptions::default()
    }
}

impl Options {
    /// A gateway that logs little, on the chosen store.
    pub(super) async fn quiet_gateway(&self) -> Result<GatewayOptions> {
        let store = match self.postgres {
            true => crate::postgres::fresh().await?.context("no PostgreSQL server to measure on")?,
            false => String::new(),
        };
        Ok(GatewayOptions { log_filter: "warn".to_owned(), store, ..GatewayOptions::default() })
    }

    /// Reads the command line; `None` when help was asked for.
    pub fn read(args: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            sections: Vec::new(),
            json: None,
            dir: std::env::temp_dir(),
            sizes: vec![100, 1_000, 5_000],
            idle_size: 1_000,
            is_exact: false,
            idle_time: 2 * HOLD,
            growth: Duration::from_secs(900),
            fleets: vec![50, 500],
            messages: 50_000,
            samples: 1_000,
            history: 1_000_000,
            flood: 100_000,
            active: vec![1, 10, 100, 1_000],
            tls: false,
            postgres: false,
            soak: Duration::from_secs(3_600),
            is_quick: false,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-h" | "--help" => return Ok(None),
                "--quick" => {
                    options.is_quick = true;
                    options.sizes = vec![100, 300];
                    options.idle_size = 300;
                    options.idle_time = HOLD;
                    options.growth = Duration::from_secs(40);
                    options.fleets = vec![50];
                    options.messages = 10_000;
                    options.samples = 300;
                    options.history = 50_000;
                    options.flood = 30_000;
                    options.active = vec![1, 10];
                    options.soak = Duration::from_secs(60);
                }
                "--tls" => options.tls = true,
                "--postgres" => options.postgres = true,
                "--accounts" => {
                    let most: u32 = number(&mut args, "--accounts")?;
                    options.sizes = vec![most / 2, most];
                    options.is_exact = true;
                    options.growth = Duration::from_secs(3_600);
                }
                "--minutes" => {
                    options.soak = Duration::from_secs(60 * number::<u64>(&mut args, "--minutes")?)
                }
                "--json" => options.json = Some(args.next().context("--json needs a file")?.into()),
                "--dir" => options.dir = args.next().context("--dir needs a directory")?.into(),
                word => match Section::ALL.into_iter().find(|section| section.word() == word) {
                    Some(section) => options.sections.push(section),
                    None => bail!("no section or option '{word}'\n\n{USAGE}"),
                },
            }
        }
        if options.sections.is_empty() {
            let is_asked_for = |section: &Section| matches!(section, Section::Soak | Section::Encrypted);
            options.sections = Section::ALL.into_iter().filter(|section| !is_asked_for(section)).collect();
        }
        Ok(Some(options))
    }
}

fn number<T: std::str::FromStr>(args: &mut impl Iterator<Item = String>, option: &str) -> Result<T> {
    let text = args.next().with_context(|| format!("{option} needs a number"))?;
    text.parse().ok().with_context(|| format!("{option} needs a number and not '{text}'"))
}
