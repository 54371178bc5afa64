//! Somebody who types into one account, and the judgement over what became of each line.

use anyhow::{Context as _, Result, bail, ensure};
use wxgate_tests::fleet::name;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::sim::Sim;
use wxgate_tests::stage::Stage;
use wxgate_tests::truth::Entry;

/// Lines go to these by turns: a change of the target keeps two lines from becoming one message.
pub(crate) const LISTENERS: [&str; 2] = ["c1", "c2"];

/// One account's client, and the nicks it talks to.
pub(crate) struct Typist {
    pub(crate) at: u32,
    pub(crate) client: IrcClient,
    nicks: Vec<String>,
    typed: Vec<String>,
}

/// How many of the typed lines arrived, and how many left no trace.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) arrived: usize,
    pub(crate) unread: usize,
}

impl Typist {
    pub(crate) async fn sit_down(stage: &Stage, at: u32, mut client: IrcClient) -> Result<Self> {
        let mut nicks = Vec::new();
        for who in LISTENERS {
            stage.sim.say(&name(at), who, who, "talk to me").await?;
            nicks.push(client.expect_text("talk to me").await?.source.nick);
        }
        Ok(Self { at, client, nicks, typed: Vec::new() })
    }

    /// Types a line. Once the gateway is dead nobody listens; what is typed then is nobody's promise.
    pub(crate) async fn type_line(&mut self, mark: &str) {
        let n = self.typed.len();
        let text = format!("{mark}line {}-{n}-end", self.at);
        self.typed.push(text.clone());
        let _ = self.client.say(self.nick(n), &text).await;
    }

    pub(crate) fn nick(&self, n: usize) -> &str {
        self.nicks.get(n % LISTENERS.len()).map_or("", String::as_str)
    }

    /// A marker through each lane; it comes behind all that was committed before.
    pub(crate) async fn mark_lanes(&self, client: &IrcClient, mark: &str) -> Result<()> {
        for n in 0..LISTENERS.len() {
            client.say(self.nick(n), &format!("{mark}the end of {n}")).await?;
        }
        Ok(())
    }

    /// Waits for the markers; behind them nothing more comes.
    pub(crate) async fn await_lanes(client: &mut IrcClient, mark: &str) -> Result<()> {
        for n in 0..LISTENERS.len() {
            let marker = format!("{mark}the end of {n}");
            if !client.said().any(|line| line.last() == marker) {
                client.expect_text(&marker).await?;
            }
        }
        Ok(())
    }

    /// What became of the lines that were typed; `client` is the one that came after the end. Forgets them.
    pub(crate) fn judge(&mut self, client: &IrcClient, ledger: &[Entry]) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let mut last = [0; LISTENERS.len()];
        for (n, text) in std::mem::take(&mut self.typed).iter().enumerate() {
            let heard: Vec<usize> = (0..)
                .zip(ledger)
                .filter(|(_, entry)| entry.is_heard() && entry.text == *text)
                .map(|(place, _)| place)
                .collect();
            ensure!(heard.len() <= 1, "{text} was heard {} times", heard.len());
            let seen = self.client.seen().iter().chain(client.seen());
            let told: Vec<_> = seen.filter(|line| line.last().contains(text)).collect();
            match (heard.first(), told.first()) {
                (Some(place), Some(first)) => {
                    let is_honest = told.iter().all(|told| told.is_said() || told.last().contains("may not"));
                    ensure!(is_honest, "{text} arrived, but: {first}");
                    let last = last.get_mut(n % LISTENERS.len()).context("no such listener")?;
                    ensure!(*last <= *place, "{text} overtook another line");
                    *last = *place;
                    verdict.arrived += 1;
                }
                (Some(_), None) => bail!("{text} arrived, but nothing says so"),
                (None, Some(told)) => ensure!(!told.is_said(), "{text} did not arrive, but: {told}"),
                // Lost with the socket, before the gateway had read it: no echo ever said otherwise.
                (None, None) => verdict.unread += 1,
            }
        }
        Ok(verdict)
    }
}

/// The judgement over one typist after one end, with the whole ledger.
pub(crate) async fn judge(sim: &Sim, typist: &mut Typist, mut client: IrcClient) -> Result<Verdict> {
    typist.mark_lanes(&client, "").await?;
    Typist::await_lanes(&mut client, "").await?;
    let ledger = sim.ledger(&name(typist.at)).await?;
    typist.judge(&client, &ledger)
}
