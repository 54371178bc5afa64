//! People sign in with what the commands gave them.

use std::time::Duration;

use anyhow::{Result, ensure};
use wxgate_tests::fleet::USER;
use wxgate_tests::gateway::{Gateway, GatewayOptions, login};
use wxgate_tests::irc::{IrcClient, Login};
use wxgate_tests::program;
use wxgate_tests::prompt::Prompt;
use wxgate_tests::scratch::tell;

const LIMIT: Duration = Duration::from_secs(60);
/// Nothing listens there; nobody signs in to WeChat in these stories.
const NO_SERVICE: &str = "http://127.0.0.1:9";

/// What `wxgate user token` prints: a token, and nothing else.
async fn token(gateway: &Gateway) -> Result<String> {
    let told = gateway.cli(&["user", "token", USER], None).await?;
    ensure!(told.starts_with("wxgate_") && told.split_whitespace().count() == 1, "{told}");
    Ok(told.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_irc_like_a_password_until_the_next_one() -> Result<()> {
    tell("token", LIMIT, async |scratch| {
        let mut gateway = Gateway::start(scratch, NO_SERVICE, &GatewayOptions::default()).await?;
        gateway.add_user(USER).await?;
        gateway.add_account("account0", USER).await?;
        let first = token(&gateway).await?;
        let with = |secret| Login { password: secret, ..login(USER, "account0", "x") };
        IrcClient::login(&gateway.irc, &with(&first)).await?;
        IrcClient::login_sasl(&gateway.irc, &with(&first)).await?;
        let second = token(&gateway).await?;
        IrcClient::login_sasl(&gateway.irc, &with(&second)).await?;
        ensure!(IrcClient::login(&gateway.irc, &with(&first)).await.is_err(), "PASS takes the old token");
        ensure!(
            IrcClient::login_sasl(&gateway.irc, &with(&first)).await.is_err(),
            "SASL takes the old token"
        );
        // The password goes on beside it.
        IrcClient::login(&gateway.irc, &login(USER, "account0", "x")).await?;
        for secret in [&first, &second] {
            ensure!(!gateway.logged().contains(secret.as_str()), "a token is in the log");
            for file in std::fs::read_dir(gateway.data_dir())? {
                let path = file?.path();
                let bytes = if path.is_file() { std::fs::read(&path)? } else { Vec::new() };
                let shows = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                ensure!(!shows, "a token is in {}", path.display());
            }
        }
        ensure!(gateway.stop().await?.success(), "it did not end well");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_added_and_taken_away() -> Result<()> {
    tell("certificates", LIMIT, async |scratch| {
        let mut gateway = Gateway::start(scratch, NO_SERVICE, &GatewayOptions::default()).await?;
        gateway.add_user(USER).await?;
        // As openssl prints it.
        let print = ["AB"; 32].join(":");
        let kept = "ab".repeat(32);
        let user = |more: &[&'static str]| [&["user", "certificate", USER], more].concat();
        ensure!(gateway.cli(&user(&[]), None).await?.contains("No certificate"), "there is one already");
        gateway.cli(&["user", "certificate", USER, "--add", &print], None).await?;
        ensure!(gateway.cli(&user(&[]), None).await?.trim() == kept, "another form of it is kept");
        let (status, _, told) = gateway.try_cli(&["user", "certificate", USER, "--add", &kept], None).await?;
        ensure!(status.code() == Some(1) && told.contains("opens a door already"), "{told}");
        gateway.cli(&["user", "certificate", USER, "--remove", &print], None).await?;
        ensure!(gateway.cli(&user(&["--json"]), None).await?.trim() == "[]", "it is still there");
        for bad in ["--add", "--remove"] {
            let (status, _, told) = gateway.try_cli(&["user", "certificate", USER, bad, "abc"], None).await?;
            ensure!(status.code() == Some(1) && !told.is_empty(), "{bad}: {told}");
        }
        let (status, _, told) = gateway.try_cli(&["user", "certificate", "nobody"], None).await?;
        ensure!(status.code() == Some(1) && told.contains("there is no user nobody"), "{told}");
        ensure!(gateway.stop().await?.success(), "it did not end well");
        Ok(())
    })
    .await
}

/// Nobody who looks at the screen reads it, and the second time is to agree with the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_typed_on_a_terminal_is_not_shown() -> Result<()> {
    tell("typed-password", LIMIT, async |scratch| {
        let mut gateway = Gateway::start(scratch, NO_SERVICE, &GatewayOptions::default()).await?;
        let program = program::find("wxgate")?;
        let command = format!(
            "exec '{}' -c '{}' user add {USER} --password-stdin",
            program.display(),
            gateway.config.display()
        );
        for (again, is_taken) in [("a slip", false), ("open sesame", true)] {
            let mut prompt = Prompt::open(&command)?;
            for (question, line) in [("not shown", "open sesame"), ("Once more", again)] {
                prompt.answer(question, 1, &format!("{line}\n")).await?;
            }
            let (ended, shown) = prompt.end().await?;
            ensure!(!shown.contains("sesame") && !shown.contains("slip"), "it is shown: {shown}");
            ensure!(ended.success() == is_taken, "{ended}: {shown}");
        }
        let typed = Login { password: "open sesame", ..login(USER, "account0", "x") };
        gateway.add_account("account0", USER).await?;
        IrcClient::login(&gateway.irc, &typed).await?;
        ensure!(gateway.stop().await?.success(), "it did not end well");
        Ok(())
    })
    .await
}
