//! Answers made of what others wrote, however much that is, leave who asks connected.

use wxgate_contract::Body;

use crate::client::{Client, config, said, serve, world};
use crate::local::{guest, open};

const CAPS: &str = "soju.im/search draft/chathistory message-tags server-time batch";

#[tokio::test]
async fn what_local_users_wrote_fills_nobodys_queue() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", CAPS).await;
    ann.ask("JOIN #room").await;
    let tag = "y".repeat(4000);
    for at in 0..400 {
        ann.send(&format!("@+x={tag} PRIVMSG #room :line {at}")).await;
    }
    ann.sync().await;
    for (question, end) in
        [("CHATHISTORY LATEST #room * 500", " BATCH -h"), ("SEARCH limit=500", " BATCH -s")]
    {
        ann.send(question).await;
        let lines = ann.until(end).await;
        assert!(lines[lines.len() - 2].ends_with(" :line 399"), "{question}: the newest is there");
        assert!(lines.iter().map(String::len).sum::<usize>() < 400_000, "{question}");
    }
}

#[tokio::test]
async fn what_was_said_in_wechat_fills_no_queue_when_it_is_found() {
    let double = world();
    for at in 0..300 {
        let text = format!("{at} {}", "words ".repeat(1000));
        double.show(said("g-test", "p-zhang", &format!("w{at}"), Body::text(text)));
    }
    let served = serve(double, config()).await;
    let mut ann = Client::login(&served, "", CAPS).await;
    for (question, number) in
        [("text=words", " :299 words"), ("text=words;after=2023-01-01T00:00:00.000Z", " :0 words")]
    {
        ann.send(&format!("SEARCH limit=500;{question}")).await;
        let lines = ann.until(" BATCH -s").await;
        assert!(lines.iter().any(|line| line.contains(number)), "{question}");
        assert!(lines.iter().map(String::len).sum::<usize>() < 400_000, "{question}");
    }
}
