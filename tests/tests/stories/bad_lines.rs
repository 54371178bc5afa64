//! Garbage on the IRC port disturbs nobody.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wxgate_tests::scratch::tell;

use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(120);
const CLOSE: Duration = Duration::from_secs(20);
/// A line without an end, far longer than anything that may be kept.
const ENDLESS_BYTES: usize = 64 << 20;

/// Writes until the server has had enough or everything is out; what it said.
async fn pour(address: &str, piece: &[u8], total: usize) -> Result<(usize, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut read, mut write) = stream.into_split();
    let pouring = async {
        let mut out = 0;
        while out < total {
            match write.write(piece).await {
                Ok(count) => out += count,
                Err(_) => break,
            }
        }
        // The other side may be gone already.
        let _ = write.shutdown().await;
        out
    };
    let reading = async {
        let mut said = Vec::new();
        // An error is a reset: the server closed with our bytes unread.
        let _ = read.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    };
    let both = async { tokio::join!(pouring, reading) };
    tokio::time::timeout(CLOSE, both).await.map_err(|_| anyhow::anyhow!("the server neither read nor closed"))
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap_or(0)
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_endless_lines_disturb_nobody() -> Result<()> {
    tell("lines", LIMIT, async |scratch| {
        let mut stage = Stage::set(scratch, 1).await?;
        let mut good = stage.client(0, "good").await?;
        let irc = stage.gateway().irc.clone();
        let before = stage.gateway_mut()?.program()?.rss_bytes()?;

        let (out, said) = pour(&irc, &vec![b'a'; 64 << 10], ENDLESS_BYTES).await?;
        ensure!(
            out < ENDLESS_BYTES && said.contains("ERROR"),
            "an endless line was read on: {out} bytes, {said:?}"
        );
        for seed in 0..8 {
            pour(&irc, &noise(seed, 64 << 10), 1 << 20).await?;
        }
        pour(&irc, &vec![0; 32 << 10], 1 << 20).await?;
        pour(&irc, &b"\r\n".repeat(16 << 10), 1 << 20).await?;
        pour(&irc, &b"@".repeat(9_000), 1 << 20).await?;
        pour(&irc, b"CAP LS\r\nCAP REQ :\r\nAUTHENTICATE\r\nNICK\r\nUSER\r\nJOIN :\r\n", 1 << 18).await?;

        // The same from somebody who has signed in.
        let mut rude = stage.client(0, "rude").await?;
        for bytes in
            [b"PRIVMSG \xff\xfe :\xc3\x28\r\n".as_slice(), b"\0\0\0\r\n", b"PRIVMSG\r\n", b":\r\n", b"@\r\n"]
        {
            rude.send_bytes(bytes).await?;
        }
        rude.send(&format!("PRIVMSG nobody :{}", "x".repeat(6_000))).await?;
        rude.send(&format!("JOIN {}", "#a,".repeat(150))).await?;
        rude.send("PRIVMSG no_such_nick :hello").await?;
        rude.expect("401", |line| line.verb == "401").await?;
        rude.drain().await?;
        rude.send_bytes(&vec![b'z'; 1 << 16]).await?;
        rude.expect_close(CLOSE).await?;

        stage.sim.say("account0", "c1", "c1", "still here").await?;
        good.expect_text("still here").await?;
        let after = stage.gateway_mut()?.program()?.rss_bytes()?;
        ensure!(after < before + (32 << 20), "memory went from {before} to {after} bytes");
        ensure!(!stage.gateway().logged().contains("panicked"), "a task panicked");
        stage.end().await
    })
    .await
}
