//! The pages over HTTPS, asked by Python's own client, which checks the certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::http::{self, Place};
use wxgate_tests::program;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);

/// Prints the status and the cookie of an answer; ends with an error when the certificate is not the one of the file.
const ASK: &str = r#"
import http.client, ssl, sys
host, port, trusted, path = sys.argv[1:]
trust = ssl.create_default_context(cafile=trusted)
connection = http.client.HTTPSConnection(host, int(port), context=trust, timeout=20)
connection.request("GET", path)
answer = connection.getresponse()
print(answer.status, answer.getheader("set-cookie"), len(answer.read()))
"#;

struct Asker {
    python: PathBuf,
    address: String,
}

impl Asker {
    /// What was answered; `None` when the certificate is not trusted, or nobody is there.
    async fn ask(&self, trusted: &Path, path: &str) -> Result<Option<String>> {
        let (host, port) = self.address.split_once(':').context("no port")?;
        let mut command = Command::new(&self.python);
        command.args(["-c", ASK, host, port]).arg(trusted).arg(path).kill_on_drop(true);
        let done = command.output().await?;
        let told = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        Ok(done.status.success().then_some(told))
    }
}

/// What the doctor says of the pages' address, by somebody who trusts what is in `trusted`.
async fn diagnosis(gateway: &Gateway, trusted: &Path) -> Result<(String, String)> {
    let config = gateway.config.with_extension("public.toml");
    let listen = format!("listen = \"{}\"\n", gateway.web);
    let text = fs::read_to_string(&gateway.config)?;
    ensure!(text.contains(&listen), "no {listen} in {text}");
    let public = format!("{listen}public_url = \"https://{}\"\n", gateway.web);
    fs::write(&config, text.replace(&listen, &public))?;
    let mut command = Command::new(program::find("wxgate")?);
    command.arg("-c").arg(&config).args(["doctor", "--json"]).env("SSL_CERT_FILE", trusted);
    let done = command.kill_on_drop(true).output().await?;
    let findings: Vec<Value> = serde_json::from_slice(&done.stdout)?;
    let found = findings.iter().find(|finding| finding["check"] == "web.public_url");
    let found = found.with_context(|| format!("nothing about the pages: {findings:?}"))?;
    let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Ok((word("verdict"), word("found")))
}

/// A certificate of its own for this machine; `known` gets what a client is to trust.
fn renew(cert: &Path, key: &Path, known: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    write_secret(key, &made.signing_key.serialize_pem())?;
    fs::write(cert, made.cert.pem())?;
    fs::write(known, made.cert.pem())?;
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

async fn story(scratch: &Scratch, python: PathBuf) -> Result<()> {
    let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
    let (first, second) = (scratch.join("first.pem"), scratch.join("second.pem"));
    renew(&cert, &key, &first)?;
    let env = [("WXGATE__WEB__TLS_CERT", &cert), ("WXGATE__WEB__TLS_KEY", &key)];
    let env = env.map(|(name, path)| (name.to_owned(), path.display().to_string())).to_vec();
    let options = GatewayOptions { env, ..GatewayOptions::default() };
    let mut gateway = Gateway::prepare(scratch, "http://127.0.0.1:9", &options)?;
    gateway.launch()?;
    let asker = Asker { python, address: gateway.web.clone() };
    until("an answer over HTTPS", SOON, async || {
        gateway.assert_up()?;
        Ok(asker.ask(&first, "/readyz").await?.filter(|told| told.starts_with("200 ")))
    })
    .await?;
    let page = asker.ask(&first, "/").await?.context("no page")?;
    ensure!(page.starts_with("200 "), "{page}");
    let told = asker.ask(&first, "/language?to=zh").await?.context("no answer")?;
    ensure!(told.contains("; Secure"), "a cookie that plain HTTP may carry: {told}");
    // Whoever speaks no TLS gets nothing, and holds nobody up.
    let plain = Place::Tcp(gateway.web.clone());
    ensure!(http::ask(&plain, "GET", "/healthz", &[], "", SOON).await.is_err(), "answered in clear");

    let (verdict, found) = diagnosis(&gateway, &first).await?;
    ensure!(verdict == "ok", "{verdict}: {found}");

    renew(&cert, &key, &second)?;
    until("the new certificate", SOON, async || asker.ask(&second, "/healthz").await).await?;
    ensure!(asker.ask(&first, "/healthz").await?.is_none(), "the old certificate is still shown");
    let (verdict, found) = diagnosis(&gateway, &first).await?;
    ensure!(verdict == "wrong" && found.contains("certificate"), "{verdict}: {found}");
    // What is no certificate leaves the good one in place.
    fs::write(&cert, "garbage")?;
    ensure!(asker.ask(&second, "/healthz").await?.is_some(), "a damaged file took the certificate away");
    ensure!(gateway.logged().contains("the changed certificate of the web listener is not used"), "not told");
    ensure!(gateway.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_are_served_over_https_and_a_renewed_certificate_is_taken_up() -> Result<()> {
    let Some(python) = program::python("https") else { return Ok(()) };
    tell("https", LIMIT, async |scratch| story(scratch, python).await).await
}
