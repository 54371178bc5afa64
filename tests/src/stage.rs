//! What most stories begin with: a service, a gateway, accounts that are online.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::fleet::{self, USER, name};
use crate::gateway::{Gateway, GatewayOptions};
use crate::irc::{IrcClient, Line};
use crate::scratch::Scratch;
use crate::sim::{Sim, SimOptions};
use anyhow::{Context as _, Result, bail, ensure};

/// How long sign-ins may take, all together.
const SIGN_IN: Duration = Duration::from_secs(90);

/// A service, a gateway, accounts that are online.
#[derive(Debug)]
pub struct Stage {
    /// The simulated service.
    pub sim: Arc<Sim>,
    gateway: Arc<Gateway>,
}

impl Stage {
    /// `accounts` accounts of [`USER`], online.
    pub async fn set(scratch: &Scratch, accounts: u32) -> Result<Self> {
        Self::set_with(scratch, accounts, &GatewayOptions::default()).await
    }

    /// The same with another configuration.
    pub async fn set_with(scratch: &Scratch, accounts: u32, options: &GatewayOptions) -> Result<Self> {
        Self::set_in(scratch, &SimOptions { accounts, ..SimOptions::default() }, options).await
    }

    /// The same in another world.
    pub async fn set_in(scratch: &Scratch, world: &SimOptions, options: &GatewayOptions) -> Result<Self> {
        Self::set_some(scratch, world, options, 0..world.accounts).await
    }

    /// The same with only some of the world's accounts online.
    pub async fn set_some(
        scratch: &Scratch,
        world: &SimOptions,
        options: &GatewayOptions,
        online: Range<u32>,
    ) -> Result<Self> {
        let sim = Arc::new(Sim::start(scratch, world).await?);
        let gateway = Arc::new(Gateway::start(scratch, &sim.url(), options).await?);
        gateway.add_user(USER).await?;
        fleet::sign_in(&gateway, &sim, online, SIGN_IN).await?;
        Ok(Self { sim, gateway })
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The gateway, to be held by tasks.
    pub fn shared(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The gateway, to be ended or started; nobody else may hold it.
    pub fn gateway_mut(&mut self) -> Result<&mut Gateway> {
        Arc::get_mut(&mut self.gateway).context("the gateway is in use")
    }

    /// A client on account `at`.
    pub async fn client(&self, at: u32, client_name: &str) -> Result<IrcClient> {
        self.gateway.client(USER, &name(at), client_name).await
    }

    /// The owner does what they were told: confirms on the phone, or scans a code.
    pub async fn sign_in_again(&self, account: &str) -> Result<()> {
        let mut sign_in = self.gateway.begin_sign_in(account).await?;
        loop {
            let step = sign_in.step().await?;
            match step["step"].as_str() {
                Some("done") => return Ok(()),
                Some("failed") => bail!("the sign-in of {account} failed: {step}"),
                Some("confirm_on_phone") => confirm_pushed(&self.sim).await?,
                Some("show_qr") => {
                    let code = step["text"].as_str().and_then(|text| text.rsplit_once("/l/"));
                    let (_, uuid) = code.context("no uuid")?;
                    self.sim.scan(uuid, account).await?;
                    self.sim.confirm(uuid).await?;
                }
                _ => {}
            }
        }
    }

    /// What every story ends with: the gateway lives and broke no rule of the protocol.
    pub async fn end(mut self) -> Result<()> {
        self.gateway_mut()?.assert_up()?;
        self.sim.assert_no_violations().await
    }

    /// The same where the gateway was killed, and a cookie of its last moment may be lost.
    pub async fn end_after_kills(mut self) -> Result<()> {
        self.gateway_mut()?.assert_up()?;
        self.sim.assert_no_violations_but_lost_cookies().await
    }
}

/// The owners confirm on their phones whatever asks them.
pub async fn confirm_pushed(sim: &Sim) -> Result<()> {
    for login in sim.logins().await? {
        if login["push"] == true && login["step"] == "waiting" {
            sim.confirm(login["uuid"].as_str().context("no uuid")?).await?;
        }
    }
    Ok(())
}

/// A message as clients with tags must get it.
pub fn assert_tagged(line: &Line) -> Result<()> {
    ensure!(!line.tag("msgid").is_empty(), "no msgid on {line}");
    let time = line.tag("time");
    ensure!(time.len() == 24 && time.ends_with('Z') && time.contains('T'), "no server time on {line}");
    Ok(())
}
