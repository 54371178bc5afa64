//! `test`: the layers, from words to crashes.
//!
//! Everything is built once, by one cargo call, and the test programs are then run one by one: so a layer is a
//! list of programs, each with its time and a limit, and building never hides in a layer's time.

mod build;
mod clients;
mod identity;
mod postgres;
mod scratch;
mod sdk;
mod sim;
pub(crate) mod summary;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::run::{Cmd, End, now};
use crate::setup::{self, Need};
use crate::tree::Root;
use build::{Built, TestProgram};
pub(crate) use postgres::Postgres;
use scratch::Scratch;
use summary::Sum;

/// A test program that is still running then is stuck: the budget of the slowest layer is a minute and a half.
const PROGRAM_LIMIT: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Unit,
    Sim,
    Conformance,
    Store,
    Stories,
    Matrix,
    Clients,
    Crash,
    Identity,
}

pub(crate) const ALL: [Layer; 9] = [
    Layer::Unit,
    Layer::Sim,
    Layer::Conformance,
    Layer::Store,
    Layer::Stories,
    Layer::Matrix,
    Layer::Clients,
    Layer::Crash,
    Layer::Identity,
];

impl Layer {
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Unit => "1 2",
            Self::Sim => "2",
            Self::Conformance => "3",
            Self::Store => "4",
            Self::Stories | Self::Matrix | Self::Clients => "5",
            Self::Crash => "6",
            Self::Identity => "7",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Sim => "sim",
            Self::Conformance => "conformance",
            Self::Store => "store",
            Self::Stories => "stories",
            Self::Matrix => "matrix",
            Self::Clients => "clients",
            Self::Crash => "crash",
            Self::Identity => "identity",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Unit => "words and machines: beside the code, and each crate's own tests",
            Self::Sim => {
                "lanes, supervisor and session machine under seeds: --seeds N plays so many, --seed N that one"
            }
            Self::Conformance => "each adapter on the in-memory far end, the shared stories among them",
            Self::Store => "the store's contract on SQLite and PostgreSQL",
            Self::Stories => "the real program, told from outside (package wxgate-tests)",
            Self::Matrix => {
                "the real program with a real homeserver and a client of others (tests named matrix)"
            }
            Self::Clients => "clients written by others against the simulator (tests/clients)",
            Self::Crash => "kill and compare with the ledger (tests named crash…)",
            Self::Identity => {
                "the matcher of contacts against the required scores: three seeds; --seeds N of each model, --long 20 and 6"
            }
        }
    }

    fn needs(self) -> &'static [Need] {
        match self {
            Self::Unit | Self::Sim | Self::Conformance | Self::Identity => &[],
            Self::Store | Self::Crash => &[Need::Postgres],
            Self::Stories => &[
                Need::Postgres,
                Need::Terminals,
                Need::IrcServers,
                Need::Browser,
                Need::WebClient,
                Need::NodeClients,
                Need::Fuzzer,
            ],
            Self::Matrix => &[Need::Homeserver, Need::Converter],
            Self::Clients => &[Need::PythonClients, Need::NodeClients],
        }
    }

    fn takes(self, program: &TestProgram) -> bool {
        let of = match (program.package.as_str(), program.target.as_str()) {
            ("wxgate-wechat" | "wxgate-irc" | "wxgate-matrix", _) if program.is_integration => {
                Self::Conformance
            }
            ("wxgate-store", _) if program.is_integration => Self::Store,
            ("wxgate-tests", target) if target.starts_with("crash") => Self::Crash,
            ("wxgate-tests", "matrix") => Self::Matrix,
            ("wxgate-tests", _) if program.is_integration => Self::Stories,
            _ => Self::Unit,
        };
        of == self
    }
}

/// In the long run the crash suite ends the gateway so often, at two to three seconds each; each story of ends on
/// Matrix a fifth as often.
const LONG_KILLS: u32 = 500;
const LONG_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// In the long run a process is stopped for so long, and the network is away for so long.
const LONG_STOP: Duration = Duration::from_secs(60);
const LONG_OUTAGE: Duration = Duration::from_secs(3600);
/// In the long run so many people of one group speak in an encrypted room.
const LONG_CROWD: u32 = 200;

/// How much of a suite is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Everyday,
    Long,
    /// So many seeds of the simulation, or of each model of the identity data set.
    Seeds(u64),
    /// This seed of it.
    Seed(u64),
}

/// `cargo xtask test`.
pub(crate) fn test(root: &Root, args: &[String]) -> Result<bool> {
    let (length, layers) = wanted(args)?;
    let layers = match length {
        Length::Seeds(_) | Length::Seed(_) if layers.is_empty() => vec![Layer::Sim],
        _ => chosen(&layers)?,
    };
    run(root, &layers, length)
}

/// Takes the options out of the arguments.
fn wanted(args: &[String]) -> Result<(Length, Vec<String>)> {
    let (mut length, mut layers) = (Length::Everyday, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || match args.next().map(|text| text.parse::<u64>()) {
            Some(Ok(number)) => Ok(number),
            _ => bail!("{arg} needs a number"),
        };
        match arg.as_str() {
            "--long" => length = Length::Long,
            "--seeds" => length = Length::Seeds(number()?),
            "--seed" => length = Length::Seed(number()?),
            layer => layers.push(layer.to_owned()),
        }
    }
    Ok((length, layers))
}

fn chosen(args: &[String]) -> Result<Vec<Layer>> {
    if args.is_empty() {
        return Ok(ALL.to_vec());
    }
    let known = |arg: &str| {
        ALL.iter().any(|layer| layer.name() == arg || layer.number().split(' ').any(|n| n == arg))
    };
    if let Some(odd) = args.iter().find(|arg| !known(arg)) {
        let names: Vec<&str> = ALL.iter().map(|layer| layer.name()).collect();
        bail!("no test layer '{odd}'; there are {} and the numbers 1 to 7", names.join(", "));
    }
    let asked = |layer: &Layer| {
        args.iter().any(|arg| layer.name() == arg || layer.number().split(' ').any(|number| number == arg))
    };
    Ok(ALL.into_iter().filter(asked).collect())
}

/// Runs the layers in order, all of them, and ends with the closing line.
pub(crate) fn run(root: &Root, layers: &[Layer], length: Length) -> Result<bool> {
    let begin = now();
    let built = build::build(root)?;
    println!("built in {:.1} s", begin.elapsed().as_secs_f64());
    let scratch = Scratch::new()?;
    let mut total = Sum::default();
    let mut table = Vec::new();
    let mut postgres = None;
    for &layer in layers {
        let begin = now();
        println!("\n== {} {}: {}", layer.number(), layer.name(), layer.about());
        // What is missing fails this layer and leaves the others to say what they have to say.
        let sum =
            run_layer((root, &scratch), (layer, length), &built, &mut postgres).unwrap_or_else(|error| {
                println!("{}: {error:#}", layer.name());
                Sum::one_failed()
            });
        table.push((layer, sum, begin.elapsed()));
        total += sum;
    }
    drop(postgres);
    scratch.end(total.good());
    println!();
    for (layer, sum, took) in table {
        println!("{:<3} {:<12} {:>7.1} s   {sum}", layer.number(), layer.name(), took.as_secs_f64());
    }
    println!("\n{total}");
    Ok(total.good())
}

fn run_layer(
    (root, scratch): (&Root, &Scratch),
    (layer, length): (Layer, Length),
    built: &Built,
    postgres: &mut Option<Postgres>,
) -> Result<Sum> {
    if !layer.needs().is_empty() {
        setup::needs(root, layer.needs())?;
    }
    if layer.needs().contains(&Need::Postgres) && postgres.is_none() {
        *postgres = Some(Postgres::start()?);
    }
    let url = postgres.as_ref().map(Postgres::url);
    let mut sum = Sum::default();
    for program in built.programs.iter().filter(|program| layer.takes(program)) {
        sum += run_program((root, scratch), built, (program, length), url.as_deref())?;
        if layer == Layer::Matrix {
            sum += sdk::run((root, scratch), built, (program, length))?;
        }
    }
    match layer {
        Layer::Unit => sum += doc_tests(root)?,
        Layer::Sim => sum += sim::run(root, built, length)?,
        Layer::Clients => sum += clients::run((root, scratch), built)?,
        Layer::Identity => sum += identity::run(root, built, length)?,
        _ => {}
    }
    if sum.ran() == 0 && !sum.has_skipped() {
        bail!("this layer has no tests, and a layer without tests proves nothing");
    }
    Ok(sum)
}

/// A test program with what it has to know of the tree and of what was built.
fn environment((root, scratch): (&Root, &Scratch), built: &Built, program: &TestProgram) -> Cmd {
    let mut cmd = Cmd::new(&program.executable).dir(&program.dir).env("CARGO_MANIFEST_DIR", &program.dir);
    for (key, path) in [("WXGATE_BIN", &built.gateway), ("WXGATE_SIMULATOR_BIN", &built.simulator)] {
        if let Some(path) = path {
            cmd = cmd.env(key, path);
        }
    }
    if Layer::Matrix.takes(program) {
        cmd = cmd.env("WXGATE_MATRIX_PYTHON", setup::MATRIX.python(root));
    }
    if Layer::Stories.takes(program) {
        cmd = cmd.env("WXGATE_API_PYTHON", setup::FUZZER.python(root));
    }
    scratch.holds(cmd).env("WXGATE_ROOT", root.path())
}

fn run_program(
    place: (&Root, &Scratch),
    built: &Built,
    (program, length): (&TestProgram, Length),
    postgres: Option<&str>,
) -> Result<Sum> {
    let mut cmd = environment(place, built, program);
    if let Some(url) = postgres {
        cmd = cmd.env("WXGATE_TEST_POSTGRES", url);
    }
    let (cmd, limit) = lengthened(cmd, (program, length));
    let ran = cmd.watch(limit)?;
    let sum = Sum::read(&ran.output).with_end(ran.end);
    if sum.ran() > 0 || !sum.good() {
        let name = format!("{} {}", program.package, program.target);
        println!("{:<40} {:>7.1} s   {sum}", name, ran.took.as_secs_f64());
    }
    show_ends(&ran.output, sum, length);
    show_if_bad(&ran.output, sum, ran.end);
    Ok(sum)
}

/// In the long run what lasts for a while lasts for as long as is wanted, and a program that ends the gateway does so as
/// often; each has the time for it.
fn lengthened(cmd: Cmd, (program, length): (&TestProgram, Length)) -> (Cmd, Duration) {
    if Layer::Stories.takes(program) && length == Length::Long {
        let stretched = [("WXGATE_STOPPED_SECONDS", LONG_STOP), ("WXGATE_OUTAGE_SECONDS", LONG_OUTAGE)];
        let cmd = stretched.iter().fold(cmd, |cmd, (key, time)| cmd.env(key, time.as_secs().to_string()));
        return (cmd, PROGRAM_LIMIT + LONG_OUTAGE);
    }
    let has_ends = Layer::Crash.takes(program) || Layer::Matrix.takes(program);
    if has_ends && length == Length::Long {
        let cmd = cmd.env("WXGATE_CRASH_KILLS", LONG_KILLS.to_string());
        return (cmd.env("WXGATE_CROWD", LONG_CROWD.to_string()).args(["--nocapture"]), LONG_LIMIT);
    }
    (cmd, PROGRAM_LIMIT)
}

fn show_ends(output: &str, sum: Sum, length: Length) {
    if length == Length::Long && sum.good() {
        output.lines().filter(|line| line.contains(" ends: ")).for_each(|line| println!("  {line}"));
    }
}

fn doc_tests(root: &Root) -> Result<Sum> {
    let ran = Cmd::cargo(root)
        .args(["test", "--doc", "--workspace", "--all-features", "--no-fail-fast"])
        .watch(PROGRAM_LIMIT)?;
    let sum = Sum::read(&ran.output).with_end(ran.end);
    println!("{:<40} {:>7.1} s   {sum}", "examples in the documentation", ran.took.as_secs_f64());
    show_if_bad(&ran.output, sum, ran.end);
    Ok(sum)
}

fn show_if_bad(output: &str, sum: Sum, end: End) {
    if !sum.good() {
        print!("{output}");
    }
    if end == End::TimedOut {
        println!("it was still running at its limit and was ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Vec<&'static str> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        chosen(&args).unwrap().into_iter().map(Layer::name).collect()
    }

    #[test]
    fn layers_go_by_number_or_name() {
        assert_eq!(names(&["2"]), ["unit", "sim"]);
        assert_eq!(names(&["crash", "5"]), ["stories", "matrix", "clients", "crash"]);
        assert_eq!(names(&[]).len(), 9);
        assert!(chosen(&["8".to_owned()]).is_err());
    }

    #[test]
    fn seeds_are_asked_for_by_number() {
        let read = |args: &[&str]| wanted(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&["sim", "--seed", "7"]).unwrap(), (Length::Seed(7), vec!["sim".to_owned()]));
        assert_eq!(read(&["--seeds", "100"]).unwrap(), (Length::Seeds(100), Vec::new()));
        assert_eq!(read(&["crash", "--long"]).unwrap(), (Length::Long, vec!["crash".to_owned()]));
        assert!(read(&["--seed"]).is_err() && read(&["--seeds", "x"]).is_err());
    }

    #[test]
    fn a_program_belongs_to_one_layer() {
        let layer = |package: &str, target: &str, is_integration| {
            let program = TestProgram {
                package: package.into(),
                target: target.into(),
                is_integration,
                ..TestProgram::default()
            };
            let taking: Vec<&str> = ALL.iter().filter(|l| l.takes(&program)).map(|l| l.name()).collect();
            assert_eq!(taking.len(), 1);
            taking[0]
        };
        assert_eq!(layer("wxgate-store", "wxgate_store", false), "unit");
        assert_eq!(layer("wxgate-store", "contract", true), "store");
        assert_eq!(layer("wxgate-wechat", "session", true), "conformance");
        assert_eq!(layer("wxgate-irc", "served", true), "conformance");
        assert_eq!(layer("wechat-proto", "transcript", true), "unit");
        assert_eq!(layer("wxgate-tests", "stories", true), "stories");
        assert_eq!(layer("wxgate-tests", "matrix", true), "matrix");
        assert_eq!(layer("wxgate-tests", "crash", true), "crash");
        assert_eq!(layer("wxgate-tests", "wxgate_tests", false), "unit");
    }
}
