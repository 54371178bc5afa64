//! Throughput, as a floor that even a slow debug build passes; the release figure is printed.

use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::Body;

use crate::client::{Client, config, said, serve, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_takes_many_lines_a_second() {
    const LINES: usize = 20_000;
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "server-time message-tags batch").await;
    let start = Instant::now();
    let double = served.double.clone();
    let talking = tokio::task::spawn_blocking(move || {
        for at in 0..LINES {
            double.show(said(
                "g-test",
                "p-zhang",
                &format!("b{at}"),
                Body::text(format!("message number {at}")),
            ));
        }
    });
    let mut next = 0;
    while next < LINES {
        let line = client.next().await.unwrap();
        if let Some((_, text)) = line.split_once(" :message number ") {
            assert_eq!(text.parse(), Ok(next), "in order, each once");
            next += 1;
        }
    }
    talking.await.unwrap();
    let taken = start.elapsed();
    println!("{LINES} lines in {taken:?}");
    assert!(taken < Duration::from_secs(30), "{taken:?}");
}
