use super::*;
use serde_json::json;
use wxgate_contract::{AttachmentKind, CardKind};

fn event(kind: &str, content: Value) -> Event {
    let event = json!({
        "event_id": "$1", "room_id": "!r", "sender": "@me:x", "type": kind, "content": content,
    });
    serde_json::from_value(event).unwrap()
}

fn sentence(kind: &str, content: Value) -> Sentence {
    match hear(&event(kind, content), EditForm::Answer) {
        Heard::Said(sentence) => *sentence,
        Heard::Nothing => panic!("nothing was heard"),
        Heard::NotHere(why) => panic!("not here: {why}"),
    }
}

fn text(content: Value) -> String {
    match sentence("m.room.message", content).body {
        Body::Text { text } => text,
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn the_fallback_of_a_reply_is_taken_off() {
    let relation = json!({ "m.in_reply_to": { "event_id": "$0" } });
    let body = "> <@a:x> one\n> two\n\nmine\n> and this";
    assert_eq!(
        text(json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation })),
        "mine\n> and this"
    );
    assert_eq!(text(json!({ "msgtype": "m.text", "body": "> a proverb\nsays he" })), "> a proverb\nsays he");
}

#[test]
fn a_message_of_a_thread_answers_to_its_root() {
    let falling = json!({ "m.relates_to": {
        "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true, "m.in_reply_to": { "event_id": "$last" },
    }});
    assert_eq!(reply_to(&falling), Some("$root"));
    let direct = json!({ "m.relates_to": {
        "rel_type": "m.thread", "event_id": "$root", "m.in_reply_to": { "event_id": "$one" },
    }});
    assert_eq!(reply_to(&direct), Some("$one"));
}

#[test]
fn a_command_begins_with_the_whole_prefix() {
    let say = |body: &str| event("m.room.message", json!({ "msgtype": "m.text", "body": body }));
    assert_eq!(command(&say("!wechat sync now")), Some("sync now"));
    assert_eq!(command(&say("!wechat")), Some(""));
    assert_eq!(command(&say("!wx help")), Some("help"));
    assert_eq!(command(&say("!wxyz")), None);
    assert_eq!(command(&say("!wechatter")), None);
}

#[test]
fn notices_do_not_cross() {
    let notice = event("m.room.message", json!({ "msgtype": "m.notice", "body": "beep" }));
    assert!(matches!(hear(&notice, EditForm::Answer), Heard::Nothing));
}

#[test]
fn what_was_taken_back_is_told_from_what_takes_it_back() {
    for kind in ["m.room.message", "m.sticker", "m.reaction", "m.room.encrypted"] {
        assert!(event(kind, json!({})).is_taken_back(), "{kind}");
        assert!(!event(kind, json!({ "body": "" })).is_taken_back(), "{kind}");
    }
    let old = Event { redacts: Some("$0".to_owned()), ..event("m.room.redaction", json!({})) };
    let state = Event { state_key: Some(String::new()), ..event("m.room.topic", json!({})) };
    for other in [old, event("m.room.redaction", json!({ "redacts": "$0" })), state] {
        assert!(!other.is_taken_back());
    }
}

#[test]
fn a_redaction_names_its_event_in_old_and_new_rooms() {
    let mut old = event("m.room.redaction", json!({}));
    old.redacts = Some("$0".to_owned());
    for redaction in [old, event("m.room.redaction", json!({ "redacts": "$0" }))] {
        let Heard::Said(sentence) = hear(&redaction, EditForm::Answer) else { panic!("nothing was heard") };
        assert!(
            matches!(sentence.body, Body::Recall { target: Some(target), .. } if target.as_str() == "$0")
        );
    }
}

#[test]
fn html_is_read_and_pills_are_kept() {
    let html = "hi <a href=\"https://matrix.to/#/@wechat_a_b:x\">Bo</a>, <b>look</b>";
    let said = sentence(
        "m.room.message",
        json!({ "msgtype": "m.text", "body": "hi [Bo](…), **look**", "format": "org.matrix.custom.html", "formatted_body": html }),
    );
    assert_eq!(said.body, Body::text("hi @Bo, look"));
    assert_eq!(said.pills, [("@wechat_a_b:x".to_owned(), (3, 6))]);
}

#[test]
fn an_edit_is_said_as_an_answer_to_what_it_changes() {
    let said = sentence(
        "m.room.message",
        json!({
            "msgtype": "m.text", "body": "* better", "m.new_content": { "msgtype": "m.text", "body": "better" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": "$0" },
        }),
    );
    assert_eq!((said.body, said.reply_to.as_deref()), (Body::text("(edit) better"), Some("$0")));
}

#[test]
fn a_reaction_is_a_short_answer() {
    let relation = json!({ "rel_type": "m.annotation", "event_id": "$0", "key": "👍️" });
    let said = sentence("m.reaction", json!({ "m.relates_to": relation }));
    assert_eq!((said.body, said.reply_to.as_deref()), (Body::text("[👍️]"), Some("$0")));
}

#[test]
fn a_poll_is_its_question_and_its_answers() {
    let start = json!({ "question": { "m.text": [{ "body": "Where?" }] }, "answers": [
        { "org.matrix.msc1767.text": "here" }, { "m.text": "there" },
    ]});
    let said = sentence("org.matrix.msc3381.poll.start", json!({ "org.matrix.msc3381.poll.start": start }));
    assert_eq!(said.body, Body::text("[Poll] Where?\n1. here\n2. there"));
}

#[test]
fn a_place_is_a_card_with_a_map() {
    let said = sentence(
        "m.room.message",
        json!({ "msgtype": "m.location", "body": "Home", "geo_uri": "geo:52.5,13.4;u=35" }),
    );
    let Body::Card(card) = said.body else { panic!("no card") };
    assert_eq!(
        (card.kind, card.title.as_str(), card.place),
        (CardKind::Location, "Home", Some((52.5, 13.4)))
    );
    let far =
        event("m.room.message", json!({ "msgtype": "m.location", "body": "x", "geo_uri": "geo:952.5,13.4" }));
    assert!(matches!(hear(&far, EditForm::Answer), Heard::NotHere(_)));
}

#[test]
fn a_file_has_a_name_a_caption_and_a_place() {
    let said = sentence(
        "m.room.message",
        json!({
            "msgtype": "m.image", "body": "look!", "filename": "../a/照片.jpg", "url": "mxc://x/abc",
            "info": { "mimetype": "image/jpeg", "size": 1000, "w": 640, "h": 480 },
        }),
    );
    let Body::Attachment(file) = said.body else { panic!("no file") };
    assert_eq!(
        (file.kind, file.name.as_str(), file.caption.as_str()),
        (AttachmentKind::Image, "照片.jpg", "look!")
    );
    assert_eq!((file.size_bytes, file.width_px, file.height_px), (1000, 640, 480));
    let heard = said.file.unwrap();
    assert_eq!((heard.url.as_str(), heard.media), ("mxc://x/abc", file.media));
}

#[test]
fn voice_messages_and_stickers_are_told_from_files() {
    let kind = |kind: &str, content: Value| match sentence(kind, content).body {
        Body::Attachment(file) => file.kind,
        other => panic!("no file: {other:?}"),
    };
    let voice =
        json!({ "msgtype": "m.audio", "body": "v.ogg", "url": "mxc://x/v", "org.matrix.msc3245.voice": {} });
    let music = json!({ "msgtype": "m.audio", "body": "v.ogg", "url": "mxc://x/v" });
    let sticker = json!({ "body": "a cat", "url": "mxc://x/s" });
    assert_eq!(kind("m.room.message", voice), AttachmentKind::Voice);
    assert_eq!(kind("m.room.message", music), AttachmentKind::File);
    assert_eq!(kind("m.sticker", sticker), AttachmentKind::Sticker);
}

#[test]
fn what_cannot_cross_says_why() {
    let encrypted = json!({ "msgtype": "m.image", "body": "x", "file": { "url": "mxc://x/y" } });
    for (kind, content) in [
        ("m.room.encrypted", json!({})),
        ("m.room.message", encrypted),
        ("m.room.message", json!({ "msgtype": "m.image", "body": "x", "url": "http://x/y" })),
        ("m.room.message", json!({ "msgtype": "org.example.strange", "body": "x" })),
        ("m.poll.response", json!({})),
        ("m.call.invite", json!({})),
    ] {
        assert!(matches!(hear(&event(kind, content), EditForm::Answer), Heard::NotHere(_)), "{kind}");
    }
}

#[test]
fn signs_are_no_words_and_everything_else_is() {
    let has = |kind: &str, content| has_words(&event(kind, content));
    let reacts = |key: &str| has("m.reaction", json!({ "m.relates_to": { "event_id": "$1", "key": key } }));
    for sign in ["👍", "👍🏽", "❤️", "🏳️‍🌈", "🇨🇳", "1️⃣", "#️⃣", "!", ""] {
        assert!(!reacts(sign), "{sign}");
    }
    for words in ["yes", "好的", "да", "1234", "👍 ok", "transfer 1\u{20e3}", "mxc://x/y"] {
        assert!(reacts(words), "{words}");
    }
    for kind in ["m.room.message", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"] {
        assert!(has(kind, json!({})), "{kind}");
    }
    assert!(!has("m.room.redaction", json!({ "redacts": "$1" })));
}
