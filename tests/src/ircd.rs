//! Real IRC networks: servers that others wrote, and people on them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::net::TcpStream;

use crate::irc::IrcClient;
use crate::ports;
use crate::program::Program;
use crate::scratch::Scratch;
use crate::wait::until;

/// Start and stop of a server, and people's ways in and out.
const SOON: Duration = Duration::from_secs(20);
/// The password of the operators and of linked servers.
const PASSWORD: &str = "sesame";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An old network: no tags, no echo, and a throttle.
    Ngircd,
    /// A modern one: tags, ids, labels, echo, MONITOR.
    Inspircd,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Ngircd => "/usr/sbin/ngircd",
            Self::Inspircd => "/usr/sbin/inspircd",
        }
    }
}

/// One server.
#[derive(Debug)]
pub struct Ircd {
    /// Where people connect.
    pub address: String,
    /// What it calls itself.
    pub name: String,
    kind: Kind,
    dir: PathBuf,
    config: PathBuf,
    log: PathBuf,
    program: Option<Program>,
}

/// How a server differs from others.
#[derive(Debug, Clone, Default)]
struct Options {
    /// Its throttle is on.
    is_throttled: bool,
    /// The other server of its network.
    peer: Option<Peer>,
}

/// Another server of the network.
#[derive(Debug, Clone)]
struct Peer {
    name: &'static str,
    /// Where it listens for servers, and where it is to find us.
    port: u16,
    own_port: u16,
    /// Our own number in the network.
    own_id: &'static str,
}

impl Ircd {
    /// Writes its configuration and starts it.
    pub async fn start(scratch: &Scratch, kind: Kind) -> Result<Self> {
        Self::start_with(scratch, kind, ("irc-a.test", ports::free()?), &Options::default()).await
    }

    /// The same with its throttle on.
    pub async fn start_throttled(scratch: &Scratch, kind: Kind) -> Result<Self> {
        let options = Options { is_throttled: true, ..Options::default() };
        Self::start_with(scratch, kind, ("irc-a.test", ports::free()?), &options).await
    }

    /// Two servers that know each other, and are not connected: `irc-a.test` and `irc-b.test`.
    pub async fn start_two(scratch: &Scratch, kind: Kind) -> Result<(Self, Self)> {
        let ((a, port_a), (b, port_b)) = (("irc-a.test", ports::free()?), ("irc-b.test", ports::free()?));
        // The one takes people and servers at one port, the other does not.
        let (link_a, link_b) = match kind {
            Kind::Ngircd => (port_a, port_b),
            Kind::Inspircd => (ports::free()?, ports::free()?),
        };
        let knows = |name, port, own_port, own_id| Options {
            peer: Some(Peer { name, port, own_port, own_id }),
            ..Options::default()
        };
        let server_a = Self::start_with(scratch, kind, (a, port_a), &knows(b, link_b, link_a, "0AA")).await?;
        let server_b = Self::start_with(scratch, kind, (b, port_b), &knows(a, link_a, link_b, "0AB")).await?;
        Ok((server_a, server_b))
    }

    async fn start_with(
        scratch: &Scratch,
        kind: Kind,
        (name, port): (&str, u16),
        options: &Options,
    ) -> Result<Self> {
        ensure!(Path::new(kind.program()).is_file(), "{} is missing; run: cargo xtask setup", kind.program());
        let dir = scratch.path().to_owned();
        let config = dir.join(format!("{name}.conf"));
        let text = match kind {
            Kind::Ngircd => ngircd(name, port, options),
            Kind::Inspircd => inspircd(name, port, &dir, options),
        };
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        // ngircd gives up being root, and reads the file again afterwards.
        let log = dir.join(format!("{name}.log"));
        let address = format!("127.0.0.1:{port}");
        let mut server = Self { address, name: name.to_owned(), kind, dir, config, log, program: None };
        server.run().await?;
        Ok(server)
    }

    /// Starts it as it was configured and waits until it takes connections.
    pub async fn run(&mut self) -> Result<()> {
        ensure!(self.program.is_none(), "{} runs already", self.name);
        let config = self.config.to_string_lossy().into_owned();
        let args = match self.kind {
            Kind::Ngircd => vec!["-n".to_owned(), "-f".to_owned(), config],
            Kind::Inspircd => {
                vec!["--nofork".to_owned(), "--runasroot".to_owned(), format!("--config={config}")]
            }
        };
        let path = Path::new(self.kind.program());
        self.program = Some(Program::start_other("the IRC server", path, &args, &self.dir, &self.log)?);
        let up = until("the IRC server to listen", SOON, async || {
            if let Some(status) = self.program.as_mut().context("not started")?.ended()? {
                return Ok(Some(Err(anyhow!("it ended with {status}, see {}", self.log.display()))));
            }
            Ok(TcpStream::connect(&self.address).await.is_ok().then_some(Ok(())))
        });
        up.await?
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> Result<()> {
        self.program.take().context("the IRC server does not run")?.kill().await
    }

    /// The lines of a `[[irc.network]]` for it.
    pub fn entry(&self, name: &str, more: &str) -> String {
        let address = &self.address;
        format!(
            "[[irc.network]]\nname = {name:?}\naddress = {address:?}\ntls = false\nnick = \"relay\"\n\
             colours = false\n{more}\n"
        )
    }

    /// Somebody on it, in `channel`.
    pub async fn person(&self, nick: &str, channel: &str) -> Result<IrcClient> {
        IrcClient::guest(&self.address, nick, channel).await
    }

    /// What it takes of memory now.
    pub fn rss_bytes(&self) -> Result<u64> {
        self.program.as_ref().context("the IRC server does not run")?.rss_bytes()
    }

    /// Somebody with an operator's rights.
    pub async fn operator(&self) -> Result<IrcClient> {
        let mut person = self.person("oper", "").await?;
        person.send(&format!("OPER oper {PASSWORD}")).await?;
        person.expect("an operator's rights", |line| line.verb == "381").await?;
        Ok(person)
    }

    /// Waits until `nick` is in `channel`, as `looker` sees it.
    pub async fn wait_there(looker: &mut IrcClient, channel: &str, nick: &str) -> Result<()> {
        let end = tokio::time::Instant::now() + SOON * 3;
        loop {
            looker.send(&format!("NAMES {channel}")).await?;
            let mut names = String::new();
            loop {
                let line =
                    looker.expect("NAMES", |line| ["353", "366"].contains(&line.verb.as_str())).await?;
                if line.verb == "366" {
                    break;
                }
                names.push(' ');
                names.push_str(line.last());
            }
            let is_there = names.split_whitespace().any(|name| name.trim_start_matches(['@', '+']) == nick);
            if is_there {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < end, "{nick} does not come to {channel}; there are{names}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn ngircd(name: &str, port: u16, options: &Options) -> String {
    let penalty = if options.is_throttled { "" } else { "MaxPenaltyTime = 0\n" };
    let peer = options.peer.as_ref().map_or(String::new(), |peer| {
        format!(
            "[Server]\nName = {}\nHost = 127.0.0.1\nPort = {}\nMyPassword = {PASSWORD}\nPeerPassword = {PASSWORD}\n\
             Passive = yes\n",
            peer.name, peer.port
        )
    });
    format!(
        "[Global]\nName = {name}\nInfo = test\nListen = 127.0.0.1\nPorts = {port}\nMotdPhrase = hello\n\
         [Limits]\nMaxConnectionsIP = 0\nMaxNickLength = 30\n{penalty}\
         [Options]\nDNS = no\nIdent = no\nPAM = no\n\
         [Operator]\nName = oper\nPassword = {PASSWORD}\n{peer}"
    )
}

/// Source: the InspIRCd 3 documentation, "Configuration".
fn inspircd(name: &str, port: u16, dir: &Path, options: &Options) -> String {
    let mut modules = vec![
        "ircv3",
        "cap",
        "ircv3_servertime",
        "ircv3_msgid",
        "ircv3_echomessage",
        "ircv3_labeledresponse",
        "ircv3_batch",
        "ircv3_ctctags",
        "ircv3_accounttag",
        "monitor",
        "botmode",
        "blockcolor",
    ];
    let (mut id, mut link) = ("0AA", String::new());
    if let Some(Peer { name, port, own_port, own_id }) = &options.peer {
        modules.push("spanningtree");
        id = own_id;
        link = format!(
            "<bind address=\"127.0.0.1\" port=\"{own_port}\" type=\"servers\">\n\
             <link name=\"{name}\" ipaddr=\"127.0.0.1\" port=\"{port}\" allowmask=\"127.0.0.0/8\" timeout=\"15\" \
             sendpass=\"{PASSWORD}\" recvpass=\"{PASSWORD}\">\n"
        );
    }
    // With the throttle a line is let through when its second has come, and what is sent faster waits at the server.
    let pace = match options.is_throttled {
        true => "fakelag=\"yes\" commandrate=\"1000\" threshold=\"3\"",
        false => "fakelag=\"no\" commandrate=\"100000\" threshold=\"1000\"",
    };
    let modules: String = modules.iter().map(|module| format!("<module name=\"{module}\">\n")).collect();
    let dir = dir.display();
    format!(
        "<server name=\"{name}\" description=\"test\" network=\"Test\" id=\"{id}\">\n\
         <admin name=\"t\" nick=\"t\" email=\"t@example.org\">\n\
         <bind address=\"127.0.0.1\" port=\"{port}\" type=\"clients\">\n\
         <connect allow=\"*\" timeout=\"20\" pingfreq=\"60\" {pace} \
         hardsendq=\"1M\" softsendq=\"100K\" recvq=\"64K\" localmax=\"2000\" globalmax=\"2000\" \
         resolvehostnames=\"no\" useident=\"no\" limit=\"2000\">\n\
         <class name=\"All\" commands=\"*\" privs=\"*\" usermodes=\"*\" chanmodes=\"*\" snomasks=\"*\">\n\
         <type name=\"NetAdmin\" classes=\"All\">\n{link}\
         <oper name=\"oper\" password=\"{PASSWORD}\" host=\"*@*\" type=\"NetAdmin\">\n{modules}\
         <options prefixquit=\"\">\n<performance softlimit=\"4000\">\n\
         <log method=\"file\" type=\"* -USERINPUT -USEROUTPUT\" level=\"default\" target=\"{dir}/{name}.out.log\">\n\
         <pid file=\"{dir}/{name}.pid\">\n<files motd=\"/dev/null\">\n"
    )
}
