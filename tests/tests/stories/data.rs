//! What the operator owes to people: secrets that nobody reads, their data when they ask for them, and nothing
//! left when they go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);

/// Everything below a directory, the key files aside.
fn bytes_below(dir: &Path) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(bytes_below(&path)?);
        } else if path.is_file() && path.extension().is_none_or(|ending| ending != "key") {
            all.extend(std::fs::read(&path)?);
        }
    }
    Ok(all)
}

fn holds(all: &[u8], part: &str) -> bool {
    all.windows(part.len()).any(|window| window == part.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_seal_key_costs_nobody_a_scan_and_the_files_tell_no_secret() -> Result<()> {
    tell("rotate", LIMIT, async |scratch| {
        let mut stage = Stage::set(scratch, 2).await?;
        let key_file = stage.gateway().data_dir().join("seal.key");
        let old = std::fs::read(&key_file)?;
        let said = stage.gateway().cli(&["key", "rotate"], None).await?;
        ensure!(said.contains("sealed with a new key") && said.contains("seal.key"), "{said}");
        let new = std::fs::read(&key_file)?;
        ensure!(new != old && new.len() == old.len(), "the key file does not hold one new key");
        stage.gateway_mut()?.kill().await?;
        let files = bytes_below(stage.gateway().data_dir())?;
        ensure!(holds(&files, "account0"), "the files that are searched are the right ones");
        // Names of the cookies, and how the service's keys begin.
        for secret in ["webwx_data_ticket", "wxsid", "@crypt_"] {
            ensure!(!holds(&files, secret), "{secret} lies in the data directory");
        }
        stage.gateway_mut()?.run().await?;
        for at in 0..2 {
            stage.gateway().wait_state(&name(at), "up", SOON).await?;
            ensure!(stage.sim.logins_of(&name(at)).await? == 1, "the new key cost a scan");
        }
        // The same without a running gateway.
        stage.gateway_mut()?.stop().await?;
        let told = stage.gateway().cli(&["--json", "key", "rotate"], None).await?;
        let told: Value = serde_json::from_str(&told)?;
        ensure!(told["resealed"].as_u64() >= Some(2) && told["unreadable"] == 0, "{told}");
        ensure!(std::fs::read(&key_file)? != new, "the key is the same");
        stage.gateway_mut()?.run().await?;
        stage.gateway().wait_state(&name(0), "up", SOON).await?;
        stage.sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}

/// What `tar` says about an archive.
fn tar(args: &[&str], archive: &Path) -> Result<Vec<u8>> {
    let done = Command::new("tar").args(args).arg(archive).output().context("run tar")?;
    ensure!(done.status.success(), "tar {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(done.stdout)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_everything_of_theirs_and_leaves_nothing_behind() -> Result<()> {
    tell("export", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 2).await?;
        let gateway = stage.gateway();
        gateway.add_user("bob").await?;
        gateway.add_account("other", "bob").await?;
        let mut client = stage.client(0, "x").await?;
        for n in 0..150 {
            stage.sim.say(&name(0), "c1", "c1", &format!("private words {n}")).await?;
        }
        let nick = client.expect_text("private words 149").await?.source.nick;
        client.say(&nick, "words of mine").await?;
        client.expect_text("words of mine").await?;
        let picture = stage.sim.tell(&name(0), "c1", "c1", json!({"kind": "image", "size": 5_000})).await?;
        let bytes = stage.sim.media(&name(0), picture).await?;
        let line = client.expect("a link", |line| line.is_said() && line.last().contains("/media/")).await?;
        let link = line.last().split_whitespace().find(|word| word.starts_with("http")).unwrap_or_default();
        until("the picture to be here", SOON, async || {
            Ok((gateway.open_link(link).await?.body == bytes).then_some(()))
        })
        .await?;

        let file: PathBuf = scratch.join("ann.tar");
        let path = file.display().to_string();
        let said = gateway.cli(&["user", "export", USER, &path], None).await?;
        ensure!(said.contains("everything of ann"), "{said}");
        check_archive(&file, &bytes)?;
        let (status, _, told) = gateway.try_cli(&["user", "export", USER, &path], None).await?;
        ensure!(status.code() == Some(1) && told.contains("exists already"), "{status}: {told}");
        let (status, _, told) = gateway.try_cli(&["user", "remove", USER], None).await?;
        ensure!(status.code() == Some(1) && told.contains("account"), "{status}: {told}");

        gateway.cli(&["user", "remove", USER, "--everything"], None).await?;
        let users = gateway.cli(&["user", "list"], None).await?;
        ensure!(!users.contains(USER) && users.contains("bob"), "{users}");
        let accounts = gateway.cli(&["account", "list"], None).await?;
        ensure!(!accounts.contains(&name(0)) && accounts.contains("other"), "{accounts}");
        let left = bytes_below(gateway.data_dir())?;
        for part in ["private words", "words of mine"] {
            ensure!(!holds(&left, part), "{part:?} is still in the data directory");
        }
        ensure!(!left.windows(bytes.len()).any(|window| window == bytes), "the picture is still there");
        stage.end().await
    })
    .await
}

fn check_archive(file: &Path, picture: &[u8]) -> Result<()> {
    let names = String::from_utf8(tar(&["-tf"], file)?)?;
    let messages: Vec<&str> = names.lines().filter(|name| name.contains("/messages-")).collect();
    ensure!(messages.len() >= 2, "the messages are not in pages: {names}");
    let mut texts = Vec::new();
    let mut media = None;
    for page in messages {
        for line in String::from_utf8(tar(&["-xO", page, "-f"], file)?)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            media = media.or_else(|| message["file"].as_str().map(str::to_owned));
            texts.extend(message["body"]["text"].as_str().map(str::to_owned));
        }
    }
    let wanted = (0..150).map(|n| format!("private words {n}")).collect::<Vec<_>>();
    let theirs: Vec<&String> = texts.iter().filter(|text| text.starts_with("private")).collect();
    ensure!(theirs == wanted.iter().collect::<Vec<_>>(), "{} of 150 messages", theirs.len());
    ensure!(texts.iter().any(|text| text == "words of mine"), "what they said themselves is missing");
    let media = media.context("no message names the picture's file")?;
    ensure!(tar(&["-xO", &media, "-f"], file)? == picture, "the picture is another");
    let about: Value = serde_json::from_slice(&tar(&["-xO", "about.json", "-f"], file)?)?;
    ensure!(
        about["user"] == USER && about["accounts"].as_array().is_some_and(|all| all.len() == 2),
        "{about}"
    );
    let all = std::fs::read(file)?;
    ensure!(!holds(&all, "webwx_data_ticket") && !holds(&all, "wxsid"), "the archive holds a session");
    use std::os::unix::fs::PermissionsExt as _;
    ensure!(std::fs::metadata(file)?.permissions().mode() & 0o777 == 0o600, "others may read it");
    Ok(())
}
