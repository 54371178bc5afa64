use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::conformance::Double;
use wxgate_contract::{Attachment, AttachmentKind, Body, MediaId, MediaOwner, MediaVault, Post};
use wxgate_irc::{Filehost, IrcServerConfig};

use crate::client::{Client, PATIENCE, Served, chat, config, said, serve, world};

const ONE: &str = "http://files.test/media/ONE/a.jpg";
const TWO: &str = "http://files.test/media/TWO/b.pdf";

async fn keep(double: &Double, media: MediaId, name: &str, mime: &str) {
    let mut writer = double.writer(media, name, mime, MediaOwner::Posts).await.unwrap();
    writer.write(bytes::Bytes::from_static(b"byte")).await.unwrap();
    writer.finish().await.unwrap();
}

/// A server to which two files were handed over.
async fn with_uploads(hold: Duration) -> Served {
    let double = world();
    keep(&double, MediaId([1; 16]), "a.jpg", "image/jpeg").await;
    keep(&double, MediaId([2; 16]), "b.pdf", "application/pdf").await;
    let follow = Arc::new(|link: &str| match link {
        ONE => Some(MediaId([1; 16])),
        TWO => Some(MediaId([2; 16])),
        _ => None,
    });
    let mut config: IrcServerConfig = config();
    config.limits.hold = hold;
    config.filehost = Some(Filehost { url: "http://files.test/upload".to_owned(), is_local: false, follow });
    serve(double, config).await
}

/// What was said so far, in short: `name|caption` for a file, else the text.
fn all_said(served: &Served) -> Vec<String> {
    let state = served.double.state();
    let short = |body: &Body| match body {
        Body::Attachment(file) => format!("{}|{}", file.name, file.caption),
        Body::Text { text } => text.clone(),
        other => format!("{other:?}"),
    };
    state.posts.iter().map(|(_, _, post)| short(&post.body)).collect()
}

async fn nth_post(served: &Served, at: usize) -> Post {
    served.double.wait_for(PATIENCE, |state| state.posts.get(at).map(|p| p.2.clone())).await
}

#[tokio::test]
async fn a_link_that_was_shown_is_sent_as_the_file() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let media = MediaId([7; 16]);
    keep(&served.double, media, "a.jpg", "image/jpeg").await;
    let attachment = Attachment {
        media,
        kind: AttachmentKind::Sticker,
        name: "a.jpg".to_owned(),
        mime: "image/jpeg".to_owned(),
        size_bytes: 4,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    };
    served.double.show(said("g-home", "p-li", "1", Body::Attachment(attachment.clone())));
    let line = client.next().await.unwrap();
    let link = line.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
    client.send(&format!("PRIVMSG 张三 :{link}")).await;
    assert_eq!(nth_post(&served, 1).await.body, Body::Attachment(attachment.clone()));
    client.send(&format!("PRIVMSG 张三 :{link} 这张是谁拍的？")).await;
    let asked = Attachment { caption: "这张是谁拍的？".to_owned(), ..attachment };
    assert_eq!(nth_post(&served, 2).await.body, Body::Attachment(asked));
    let unknown = "http://127.0.0.1:8480/media/08080808080808080808080808080808/a.jpg";
    client.send(&format!("PRIVMSG 张三 :{unknown} who?")).await;
    assert_eq!(nth_post(&served, 3).await.body, Body::text(format!("{unknown} who?")), "never shown");
}

#[tokio::test]
async fn words_around_a_link_go_along_with_its_file() {
    let served = with_uploads(Duration::ZERO).await;
    let mut client = Client::login(&served, "", "echo-message").await;
    for (typed, wanted) in [
        (ONE.to_owned(), "a.jpg|".to_owned()),
        (format!("{ONE} 这张是谁拍的？"), "a.jpg|这张是谁拍的？".to_owned()),
        (format!("look: <{TWO}> nice"), "b.pdf|look: nice".to_owned()),
        (format!("{ONE}?x=1 is something else"), format!("{ONE}?x=1 is something else")),
        (
            format!("\x01ACTION looks at {ONE}\x01"),
            format!("{:?}", Body::Action { text: format!("looks at {ONE}") }),
        ),
    ] {
        let count = all_said(&served).len();
        client.ask(&format!("PRIVMSG 张三 :{typed}")).await;
        assert_eq!(all_said(&served)[count..], [wanted], "{typed}");
    }
    client.send(&format!("PRIVMSG #测试群 :{ONE} 张三: is it you, @王五?")).await;
    let line = client.until("PRIVMSG #测试群").await.pop().unwrap();
    let Body::Attachment(file) = nth_post(&served, 5).await.body else { panic!("no file") };
    assert_eq!(file.caption, "@张三 is it you, @王五?");
    let post = nth_post(&served, 5).await;
    let named: Vec<&str> = post.mentions.iter().map(|m| &file.caption[m.range.0..m.range.1]).collect();
    assert_eq!(named, ["@张三", "@王五"]);
    assert!(line.contains(" PRIVMSG #测试群 :[image] 张三: is it you, @王五? http"), "{line}");
}

#[tokio::test]
async fn two_links_in_one_line_are_two_files() {
    let served = with_uploads(Duration::ZERO).await;
    let mut client = Client::login(&served, "", "labeled-response echo-message message-tags batch").await;
    let lines = client.ask(&format!("@label=7 PRIVMSG 张三 :first {ONE} and\tthen {TWO} done")).await;
    assert_eq!(all_said(&served), ["a.jpg|first and then", "b.pdf|done"]);
    assert_eq!(lines.iter().filter(|line| line.contains("label=7")).count(), 1, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains(" PRIVMSG 张三 :[")).count(), 2, "{lines:#?}");
}

#[tokio::test]
async fn of_lines_that_come_together_none_is_lost() {
    for (typed, wanted) in [
        (vec![ONE, TWO], vec!["a.jpg|", "b.pdf|"]),
        (vec![ONE, "the caption", "goes on"], vec!["a.jpg|the caption\ngoes on"]),
        (vec!["words first", ONE], vec!["words first", "a.jpg|"]),
        (vec![ONE, "one", TWO, "two"], vec!["a.jpg|one", "b.pdf|two"]),
    ] {
        let served = with_uploads(Duration::from_secs(60)).await;
        let mut client = Client::login(&served, "", "").await;
        let lines: String = typed.iter().map(|line| format!("PRIVMSG 张三 :{line}\r\n")).collect();
        client.bytes(lines.as_bytes()).await;
        client.sync().await;
        assert_eq!(all_said(&served), wanted, "{typed:?}");
    }
    // A client cut the line itself: caption and file belong together.
    let served = with_uploads(Duration::from_secs(60)).await;
    let mut client = Client::login(&served, "", "").await;
    let long = "字".repeat(140);
    client.bytes(format!("PRIVMSG 张三 :{long}\r\nPRIVMSG 张三 :尾{ONE}\r\n").as_bytes()).await;
    client.sync().await;
    assert_eq!(all_said(&served), [format!("a.jpg|{long}尾")]);
}

#[tokio::test]
async fn a_message_in_several_lines_keeps_all_of_them() {
    let served = with_uploads(Duration::from_secs(60)).await;
    let mut client = Client::login(&served, "", "batch draft/multiline message-tags echo-message").await;
    for (lines, wanted) in [
        (vec![ONE, "the caption", "goes on"], vec!["a.jpg|the caption\ngoes on"]),
        (vec!["before", ONE, "after"], vec!["a.jpg|before\nafter"]),
        (vec![ONE, TWO, "both"], vec!["a.jpg|", "b.pdf|both"]),
    ] {
        let before = all_said(&served).len();
        client.send("BATCH +m draft/multiline 张三").await;
        for line in lines {
            client.send(&format!("@batch=m PRIVMSG 张三 :{line}")).await;
        }
        client.send("BATCH -m").await;
        // Whoever said it sees all of it.
        for word in wanted.iter().flat_map(|said| said.split('|').nth(1)).flat_map(str::lines) {
            client.until(word).await;
        }
        assert_eq!(all_said(&served)[before..], wanted);
    }
}

#[tokio::test]
async fn a_line_that_waits_is_written_down_with_its_words() {
    let served = with_uploads(Duration::from_secs(60)).await;
    let mut client = Client::login(&served, "", "").await;
    client.bytes(format!("PRIVMSG 张三 :{ONE} what is it?\r\n").as_bytes()).await;
    let note = served
        .double
        .wait_for(PATIENCE, |state| {
            let mut notes = state.notes.iter().filter(|((_, key), _)| key.starts_with("held/"));
            notes.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        })
        .await;
    assert!(note.contains("what is it?") && note.contains("a.jpg"), "{note}");
}

#[tokio::test]
async fn what_a_line_begins_with_counts_in_lines_that_come_together() {
    let served = with_uploads(Duration::from_secs(60)).await;
    let mut client = Client::login(&served, "", "").await;
    for (at, text) in ["one", "two"].iter().enumerate() {
        served.double.show(said("g-test", "p-zhang", &at.to_string(), Body::text(*text)));
    }
    client.until(":two").await;
    let shown = client.ask("PRIVMSG wechat :show ids #测试群").await;
    let id = |text: &str| -> String {
        let line = shown.iter().find(|line| line.ends_with(&format!("张三: {text}"))).unwrap();
        line.split(" :").nth(1).unwrap()[..4].to_owned()
    };
    let lines = [
        format!(">{} yes", id("one")),
        format!(">{} no", id("two")),
        ">nono is no id".to_owned(),
        "张三: hi".to_owned(),
        "nobody: hi".to_owned(),
    ];
    let lines: String = lines.iter().map(|line| format!("PRIVMSG #测试群 :{line}\r\n")).collect();
    client.bytes(lines.as_bytes()).await;
    client.sync().await;
    let posts: Vec<Post> =
        served.double.state().posts.iter().map(|(_, _, post)| post.clone()).skip(2).collect();
    let short: Vec<_> = posts
        .iter()
        .map(|post| {
            let Body::Text { text } = &post.body else { panic!("{post:?}") };
            (post.quote.as_ref().map(|quote| quote.excerpt.as_str()), text.as_str(), post.mentions.len())
        })
        .collect();
    assert_eq!(
        short,
        [(Some("one"), "yes", 0), (Some("two"), "no\n>nono is no id", 0), (None, "@张三 hi\nnobody: hi", 1)]
    );
    assert_eq!(posts[0].chat, chat("g-test"));
}
