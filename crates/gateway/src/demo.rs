//! `wxgate demo`: the simulated WeChat service, the gateway and people who talk, in one process.

mod screen;
mod sign_in;
mod stream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use wxgate_contract::{Command, StopHandle, UserName};
use wxgate_simulator::{AccountSpec, ServerHandle, World, WorldConfig, scenario, serve};

use crate::cli::{Hangup, Signals};
use crate::config::{self, LogFormat, Settings};
use crate::failure::Failure;
use crate::wiring::{self, Gateway};
use crate::{clock, telemetry};

use screen::Screen;

/// Who signs in to IRC.
const USER: &str = "demo";
/// Not a secret: everything here is on loopback, invented, and gone afterwards.
const PASSWORD: &str = "demo";
/// Names of the first accounts; the others are numbered.
const NAMES: [&str; 8] = ["lin", "mei", "hao", "anna", "bo", "yun", "tom", "xia"];
/// Simulated accounts up to this number get a full cast.
const FULL_CAST: u32 = 50;

/// What can be chosen.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many WeChat accounts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    accounts: u32,
    /// Messages per second, all accounts together
    #[arg(long, value_name = "MSGS_PER_S", default_value_t = 1.0, value_parser = rate)]
    rate: f64,
    /// End after so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
    /// No colours, no moving lines
    #[arg(long)]
    plain: bool,
    /// Address of the IRC server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6667")]
    irc: SocketAddr,
    /// Address of the web page
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8480")]
    web: SocketAddr,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0 to 100000".to_owned()),
    }
}

/// A directory that is removed with everything in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing of value is in it, and there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let random = clock::random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let path = std::env::temp_dir().join(format!("wxgate-demo-{random}"));
        std::fs::create_dir(&path)
            .map_err(|e| Failure::environment(format!("cannot make {}: {e}", path.display())))?;
        Ok(Self(path))
    }
}

/// Runs until Ctrl-C, or for as long as was asked.
pub(crate) async fn run(options: Options, is_json: bool) -> Result<(), Failure> {
    if !options.irc.ip().is_loopback() || !options.web.ip().is_loopback() {
        return Err(Failure::usage(
            "the demo has a password that everybody knows; it listens on loopback only",
        ));
    }
    telemetry::start(LogFormat::Pretty, "error", None);
    let mut signals = Signals::new(Hangup::Ends)?;
    let scratch = Scratch::new()?;
    let screen = Screen::new(options.plain, is_json);
    let started = tokio::select! {
        started = start(&options, &scratch.0, &screen) => started,
        () = signals.next() => return Ok(()),
    };
    let Stage { world, service, gateway, names } =
        started.map_err(|failure| say_which_option(failure, &options))?;
    let show = async {
        sign_in::all(&gateway.parts, &world, &names, &screen).await?;
        // Only now: how the accounts came online was shown already.
        let feed = wxgate_contract::Directory::subscribe(&*gateway.parts.bridge);
        screen.invite(&gateway, &names, USER, PASSWORD);
        let talk = scenario::demo(world.clone(), names.clone(), options.rate);
        let crossing = stream::show(&gateway.parts, feed, &screen);
        tokio::select! {
            ended = talk => ended.map_err(|e| Failure::bug(format!("the demo's people went away: {e}"))),
            () = crossing => Ok(()),
        }
    };
    let end = async {
        match options.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = Box::pin(show) => result,
        () = end => Ok(()),
        () = signals.next() => Ok(()),
        failure = gateway.failed() => return Err(failure),
    };
    screen.tell("Ending the demo …", json!({ "event": "ending" }));
    let stopping = async {
        gateway.stop().await;
        service.stop().await;
    };
    tokio::select! {
        () = Box::pin(stopping) => {}
        () = signals.next() => {}
    }
    result
}

/// Everything that was started.
struct Stage {
    world: World,
    service: ServerHandle,
    gateway: Gateway,
    names: Vec<String>,
}

async fn start(options: &Options, scratch: &Path, screen: &Screen) -> Result<Stage, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    screen.tell(
        &format!("wxgate {version} demo: everything here is invented and on this machine."),
        json!({ "event": "starting", "version": version }),
    );
    let world = World::new(WorldConfig::default());
    let names: Vec<String> = (0..options.accounts).map(name).collect();
    let (contacts, groups) = if options.accounts <= FULL_CAST { (50, 8) } else { (20, 4) };
    for (place, name) in (0..).zip(&names) {
        let spec = AccountSpec::new(name, place, contacts, groups);
        // Given their parts before anybody signs in, the groups have their proper names at once.
        let added = world.add_account(&spec).and_then(|()| scenario::Cast::new(&world, name));
        added.map_err(|e| Failure::bug(format!("the demo's cast: {e}")))?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|e| Failure::environment(format!("cannot listen on 127.0.0.1: {e}")))?;
    let service = serve(world.clone(), listener).await;
    let service = service.map_err(|e| Failure::environment(format!("the simulated service: {e}")))?;
    let settings = settings(options, scratch, &service.url())?;
    // Nobody else has a store that is made now.
    let (_handle, never) = StopHandle::new();
    let gateway = wiring::start(&settings, &never).await?;
    let gateway = gateway.ok_or_else(|| Failure::bug("the demo's gateway was told to stop"))?;
    let owner = UserName::from(USER);
    let store = gateway.parts.bridge.store();
    store.add_user(&owner, Some(PASSWORD), true).await.map_err(wiring::store_failure)?;
    for (done, name) in names.iter().enumerate() {
        let command = Command::AddAccount { owner: owner.clone(), name: name.clone() };
        let added = gateway.parts.bridge.control("demo", None).run(None, command).await;
        added.map_err(|e| Failure::bug(format!("the demo's account {name}: {e}")))?;
        screen.progress("Adding accounts", done + 1, names.len());
    }
    Ok(Stage { world, service, gateway, names })
}

fn name(place: u32) -> String {
    let known = usize::try_from(place).ok().and_then(|at| NAMES.get(at));
    known.map_or_else(|| format!("account{place:04}"), |name| (*name).to_owned())
}

fn settings(options: &Options, scratch: &Path, service: &str) -> Result<Settings, Failure> {
    let text = format!(
        "data_dir = {dir:?}\n\
         [wechat]\nservice = {service:?}\n\
         [irc.server]\nlisten = [{irc:?}]\n\
         [web]\nlisten = {web:?}\n\
         [limits]\naccounts_per_user = 10000\nsends_per_minute = 600\n",
        dir = scratch.display().to_string(),
        irc = options.irc.to_string(),
        web = options.web.to_string(),
    );
    Ok(config::built_in("demo", &text)?.settings)
}

/// In the demo the cure for a taken port is an option, not a key.
fn say_which_option(failure: Failure, options: &Options) -> Failure {
    let message = &failure.message;
    for (key, option, address) in
        [("irc.server.listen", "--irc", options.irc), ("web.listen", "--web", options.web)]
    {
        if message.contains(&format!("({key})")) && message.contains("another program") {
            let other = SocketAddr::new(address.ip(), address.port().saturating_add(1000));
            return Failure::environment(format!(
                "cannot listen on {address}: another program uses port {port}. \
                 Find it with: ss -ltnp 'sport = :{port}'; stop it, or run: wxgate demo {option} {other}",
                port = address.port()
            ));
        }
    }
    failure
}
