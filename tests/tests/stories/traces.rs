//! Messages traced through the pipe, as a collector hears it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::ports;
use wxgate_tests::program::{self, Program};
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(30);

/// Reads what is sent with the classes that OpenTelemetry publishes.
struct Collector {
    program: Program,
    log: PathBuf,
}

impl Collector {
    fn start(scratch: &Scratch, python: &Path, port: u16) -> Result<Self> {
        let root = std::env::var_os("WXGATE_ROOT").context("WXGATE_ROOT")?;
        let script = Path::new(&root).join("tests/api/collector.py");
        let log = scratch.join("collector.log");
        let args = [script.into_os_string(), port.to_string().into()];
        let program = Program::start_other("collector", python, &args, scratch.path(), &log)?;
        Ok(Self { program, log })
    }

    fn spans(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        // The last line may still be in the making.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The trace of a message, when these steps of it have come: name, network, outcome.
    async fn trace(&self, steps: &[(&str, &str, &str)]) -> Result<Vec<Value>> {
        let is = |span: &Value, (name, network, outcome): (&str, &str, &str)| {
            let tells = &span["tells"];
            let outcome_is = tells["wxgate.outcome"].as_str().unwrap_or_default() == outcome;
            span["name"] == name && tells["wxgate.network"] == network && outcome_is
        };
        let found = until("the trace of a message", SOON, async || {
            let all = self.spans();
            let traces = all.iter().filter(|span| is(span, steps[0])).map(|span| &span["trace"]);
            for trace in traces {
                let of: Vec<Value> = all.iter().filter(|span| span["trace"] == *trace).cloned().collect();
                if steps.iter().all(|step| of.iter().any(|span| is(span, *step))) {
                    return Ok(Some(of));
                }
            }
            Ok(None)
        });
        found.await.with_context(|| format!("{steps:?} of {:#?}", self.spans()))
    }
}

/// One span without a parent, the commit; all others hang on it.
fn assert_whole(trace: &[Value]) -> Result<()> {
    let roots: Vec<&Value> = trace.iter().filter(|span| span["parent"] == "").collect();
    let [root] = roots.as_slice() else { anyhow::bail!("not one beginning: {trace:#?}") };
    ensure!(root["name"] == "commit" && root["service"] == "wxgate", "{root:#?}");
    ensure!(root["took_ns"].as_i64().is_some_and(|took| took > 0), "{root:#?}");
    for span in trace.iter().filter(|span| span["parent"] != "") {
        ensure!(span["parent"] == root["span"], "{span:#?} hangs on nothing");
        ensure!(span["tells"]["wxgate.post"] == root["tells"]["wxgate.post"], "{trace:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_one_trace_over_all_its_steps_and_over_a_restart() -> Result<()> {
    let Some(python) = program::python("traces") else { return Ok(()) };
    tell("traces", LIMIT, async |scratch| {
        let port = ports::free()?;
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let options = GatewayOptions { env, ..GatewayOptions::default() };
        let mut stage = Stage::set_with(scratch, 1, &options).await?;
        let mut client = stage.client(0, "irssi").await?;
        // The collector is not there yet: the messages go on, and the log says it once.
        stage.sim.say("account0", "c1", "c1", "nobody traces this").await?;
        let nick = client.expect_text("nobody traces this").await?.source.nick;
        let told = "traces do not reach the collector";
        until("the log to say so", SOON, async || Ok(stage.gateway().logged().contains(told).then_some(())))
            .await?;

        let mut collector = Collector::start(scratch, &python, port)?;
        until("the collector", SOON, async || {
            stage.sim.say("account0", "c1", "c1", "is anybody there").await?;
            Ok((!collector.spans().is_empty()).then_some(()))
        })
        .await?;
        ensure!(stage.gateway().logged().matches(told).count() == 1, "said more than once");
        stage.sim.say("account0", "c1", "c1", "to IRC").await?;
        client.expect_text("to IRC").await?;
        let wechat = "wechat:account0";
        assert_whole(&collector.trace(&[("commit", wechat, ""), ("show", wechat, "")]).await?)?;

        client.say(&nick, "to WeChat").await?;
        stage.sim.heard("account0", "to WeChat").await?;
        let steps = [("commit", "irc:local", ""), ("deliver", wechat, "sent"), ("show", wechat, "")];
        assert_whole(&collector.trace(&steps).await?)?;

        // Said before an end, delivered after the next start: still one trace.
        let fault =
            json!({"account": "account0", "endpoint": "webwxsendmsg", "fault": {"ret": 1201}, "count": 1});
        stage.sim.fault(&fault).await?;
        client.say(&nick, "over a restart").await?;
        let late = collector.trace(&[("deliver", wechat, "later")]).await?;
        stage.gateway_mut()?.stop().await?;
        stage.gateway_mut()?.run().await?;
        stage.sim.heard("account0", "over a restart").await?;
        let whole = collector.trace(&[("deliver", wechat, "later"), ("deliver", wechat, "sent")]).await?;
        assert_whole(&whole)?;
        ensure!(whole[0]["trace"] == late[0]["trace"], "another message: {whole:#?}");
        collector.program.kill().await?;
        stage.end().await
    })
    .await
}
