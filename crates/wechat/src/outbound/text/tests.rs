use proptest::prelude::*;
use wxgate_contract::{Author, ChatRef, PersonKey, Post, PostId, Quote, Timestamp};

use super::*;

fn compose(say: &Say, names: &[Option<String>]) -> Words {
    super::compose(say, names, Emoji::Kept)
}

fn say(body: Body, author_prefix: &str) -> Say {
    let chat = ChatRef { network: "wechat:a".into(), chat: "p-1".into() };
    let post = Post {
        remote_id: "1".into(),
        chat,
        author: Author::Owner,
        at: Timestamp(0),
        body,
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    };
    Say {
        post_id: PostId(1),
        post,
        author_prefix: author_prefix.to_owned(),
        quoted: None,
        quoted_remote_id: None,
        mentions: Vec::new(),
        native_ids: Vec::new(),
    }
}

#[test]
fn the_author_is_named_when_it_is_not_the_owner() {
    assert_eq!(compose(&say(Body::text("hi"), ""), &[]).before, "hi");
    assert_eq!(compose(&say(Body::text("hi"), "Bo"), &[]).before, "Bo: hi");
    assert_eq!(compose(&say(Body::Action { text: "waves".into() }, "Bo"), &[]).before, "* Bo waves");
}

#[test]
fn item_62_no_text_is_magic() {
    for text in ["@img@/etc/passwd", "@fil@x", "<b>&amp;</b>"] {
        assert_eq!(compose(&say(Body::text(text), ""), &[]).before, text);
    }
}

#[test]
fn mentions_are_written_as_phones_show_them() {
    let mut said = say(Body::text("bo: come, anna"), "");
    said.mentions = vec![(PersonKey::from("p-bo"), (0, 2)), (PersonKey::from("p-anna"), (10, 14))];
    let names = [Some("Bo Bei".to_owned()), Some("安娜".to_owned())];
    assert_eq!(compose(&said, &names).before, "@Bo Bei come, @安娜 ");
    assert_eq!(compose(&said, &[None, None]).before, "bo: come, anna", "unknown people stay as written");
    said.mentions[0].1 = (1, 900);
    assert_eq!(compose(&said, &names).before, "bo: come, @安娜 ", "a range outside the text is ignored");
}

#[test]
fn emoji_become_faces_where_that_is_wanted_and_names_stay() {
    let mut said = say(Body::text("🙂 bo, 👋"), "Zoë🙂");
    said.mentions = vec![(PersonKey::from("p-bo"), (5, 7))];
    let names = [Some("Bo🙂".to_owned())];
    let written = |emoji| super::compose(&said, &names, emoji).before;
    assert_eq!(written(Emoji::Faces), "Zoë🙂: [微笑] @Bo🙂 [再见]");
    assert_eq!(written(Emoji::Kept), "Zoë🙂: 🙂 @Bo🙂 👋");
    let action = super::compose(&say(Body::Action { text: "waves 👋".into() }, ""), &[], Emoji::Faces);
    assert_eq!(action.before, "* waves [再见]");
}

#[test]
fn who_is_named_in_a_caption_is_mentioned() {
    let file = wxgate_contract::Attachment {
        media: wxgate_contract::MediaId([1; 16]),
        kind: wxgate_contract::AttachmentKind::Image,
        name: "a.jpg".to_owned(),
        mime: String::new(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: "@bo look".to_owned(),
        poster: None,
    };
    for (author, before, after) in [("", "", "@Bo Bei look"), ("Anna", "Anna: @Bo Bei look", "")] {
        let mut said = say(Body::Attachment(file.clone()), author);
        said.mentions = vec![(PersonKey::from("p-bo"), (0, 3))];
        let words = compose(&said, &[Some("Bo Bei".to_owned())]);
        assert_eq!((words.before.as_str(), words.after.as_str()), (before, after));
    }
}

#[test]
fn a_quotation_has_the_form_of_the_page() {
    let mut said = say(Body::text("好"), "");
    said.post.quote = Some(Quote { target: None, author_name: "Anna".into(), excerpt: "明天?".into() });
    let words = compose(&said, &[]).before;
    assert_eq!(words, "「Anna: 明天?」\n—————————\n好");
    assert_eq!(wechat_proto::quote::split(&words).map(|quote| quote.reply), Some("好".to_owned()));
}

#[test]
fn long_texts_are_cut_at_good_places() {
    let line = "0123456789 ".repeat(170);
    let text = format!("{line}\n{line}");
    let pieces = split(&text);
    assert_eq!(pieces, [line.trim_end(), line.trim_end()]);
    let family = "👨‍👩‍👧".repeat(1000);
    for piece in split(&family) {
        assert!(!piece.starts_with('\u{200d}') && !piece.ends_with('\u{200d}'));
    }
    assert!(split("").is_empty() && split(" \n").is_empty());
}

proptest! {
    #[test]
    fn no_piece_is_too_long_and_no_character_is_lost(text in "([a-z 。\n👍🏽]{0,40}|[^ \n]{0,30}){0,200}") {
        let pieces = split(&text);
        for piece in &pieces {
            prop_assert!(piece.chars().count() <= MAX_CHARS && !piece.is_empty());
        }
        let dense = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(dense(&pieces.concat()), dense(&text));
    }
}
