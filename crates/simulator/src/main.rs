//! Runs the simulated service until it is stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use wxgate_simulator::{
    AccountSpec, Redirect, ServerHandle, World, WorldConfig, scenario, serve, serve_control,
};

/// A Web WeChat service that runs on loopback.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where the service listens.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Where the control API listens; it is under /_sim/ of the service as well.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// How many accounts there are, named account0, account1, ….
    #[arg(long, default_value_t = 1)]
    accounts: u32,
    /// Contacts of each account.
    #[arg(long, default_value_t = 50)]
    contacts: u32,
    /// Groups of each account.
    #[arg(long, default_value_t = 8)]
    groups: u32,
    /// Members of each group.
    #[arg(long, default_value_t = 8)]
    members: u32,
    /// How long idle polls are held.
    #[arg(long, default_value_t = 25.0)]
    hold_seconds: f64,
    /// Everything made up follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave permanent ids out of the conversation list, as the service has done since 2017.
    #[arg(long)]
    no_permanent_ids: bool,
    /// Answer changes of remarks and do not make them, as reported since 2023.
    #[arg(long)]
    forget_remarks: bool,
    /// Scan and confirm each QR code for the next account.
    #[arg(long)]
    auto_confirm: bool,
    /// Send confirmed logins to the listener's own address instead of a family host.
    #[arg(long)]
    redirect_to_listener: bool,
    /// The family host that confirmed logins are sent to.
    #[arg(long, default_value = "wx2.qq.com")]
    family: String,
    /// Speak HTTPS with a certificate made at start (feature `tls`).
    #[arg(long)]
    tls: bool,
    /// Write that certificate there, in PEM, for clients that are to trust it.
    #[arg(long, requires = "tls")]
    certificate: Option<PathBuf>,
    /// Let people talk and answer.
    #[arg(long)]
    demo: bool,
    /// Messages per second of the demo.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let hold = Duration::try_from_secs_f64(options.hold_seconds)?;
    let world = World::new(WorldConfig {
        seed: options.seed,
        hold,
        login_hold: hold,
        auto_confirm: options.auto_confirm,
        permanent_ids: !options.no_permanent_ids,
        keeps_remarks: !options.forget_remarks,
        redirect: if options.redirect_to_listener {
            Redirect::Listener
        } else {
            Redirect::Family(options.family.clone())
        },
        ..WorldConfig::default()
    });
    for at in 0..options.accounts {
        let mut spec = AccountSpec::new(&format!("account{at}"), at, options.contacts, options.groups);
        spec.members_per_group = options.members;
        world.add_account(&spec)?;
    }
    let listener = TcpListener::bind(options.listen).await?;
    let service = if options.tls {
        start_tls(world.clone(), listener, options.certificate.as_deref())?
    } else {
        serve(world.clone(), listener).await?
    };
    let control = serve_control(world.clone(), TcpListener::bind(options.control).await?).await?;
    let scheme = if options.tls { "https" } else { "http" };
    println!(
        "{}",
        serde_json::json!({
            "service": format!("{scheme}://{}", service.addr()),
            "control": control.url(),
            "accounts": options.accounts,
        })
    );
    let demo = async {
        if options.demo {
            scenario::demo(world.clone(), world.account_names(), options.rate).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        ended = demo => ended?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    service.stop().await;
    control.stop().await;
    Ok(())
}

#[cfg(feature = "tls")]
fn start_tls(
    world: World,
    listener: TcpListener,
    certificate: Option<&Path>,
) -> Result<ServerHandle, Failure> {
    let (handle, pem) = wxgate_simulator::serve_tls(world, listener)?;
    if let Some(path) = certificate {
        std::fs::write(path, pem).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(handle)
}

#[cfg(not(feature = "tls"))]
fn start_tls(
    _world: World,
    _listener: TcpListener,
    _certificate: Option<&Path>,
) -> Result<ServerHandle, Failure> {
    Err("this program was built without TLS: build it with --features tls".into())
}
