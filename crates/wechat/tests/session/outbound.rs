//! What the far end wants said reaches people.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wxgate_contract::{
    Answer, Attachment, AttachmentKind, Author, Body, ChatKey, Delivery, Health, Job, MediaId, Order,
    Outcome, PostFate, PostId, Request,
};
use wxgate_convert::Converter;
use wxgate_simulator::{AccountSpec, Change, Fault, FaultRule, Kind, Who};

use crate::stage::{ALICE, Stage, world_config};

fn ids(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Sent { remote_ids } => remote_ids.iter().map(ToString::to_string).collect(),
        other => panic!("not sent: {other:?}"),
    }
}

pub(crate) fn attachment(media: MediaId, kind: AttachmentKind, name: &str, mime: &str) -> Body {
    Body::Attachment(Attachment {
        media,
        kind,
        name: name.to_owned(),
        mime: mime.to_owned(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    })
}

#[tokio::test]
async fn texts_are_said_as_they_are() {
    let stage = Stage::online().await;
    for who in [Who::Contact(1), Who::Group(0), Who::filehelper()] {
        let text = "你好 <b>&amp;\n\"x\" 😀";
        let chat = if who == Who::filehelper() { "filehelper".into() } else { stage.chat(who) };
        let outcome = stage.deliver(&stage.delivery(&chat, Body::text(text))).await;
        assert_eq!(ids(&outcome).len(), 1);
        assert_eq!(stage.heard().last().unwrap().1, text);
    }
    stage.no_violation();
}

#[tokio::test]
async fn the_owners_remark_about_a_contact_is_never_said_in_a_group() {
    let stage = Stage::online().await;
    let (group, who) = (Who::Group(1), Who::Contact(2));
    let nick = wechat_proto::names::decode_name(&stage.world.nick(ALICE, who).unwrap());
    let remark = wechat_proto::names::decode_name(&stage.world.remark(ALICE, who).unwrap());
    assert!(!remark.is_empty() && remark != nick);
    let renamed = Change::Rename { who: "g1".to_owned(), name: "renamed".to_owned() };
    // As the list of a sign-in tells of the group, then as a sync does.
    for change in [None, Some(renamed)] {
        if let Some(change) = change {
            stage.world.change(ALICE, &change).unwrap();
            stage.wait(|state| state.chats.values().find(|chat| chat.title == "renamed").map(drop)).await;
        }
        let post = stage.post(stage.say(group, who, "hello")).await;
        let Author::Person { person, name } = &post.author else { panic!("{post:?}") };
        assert_eq!(*name, nick, "the author's name crosses into linked channels");
        let mut delivery = stage.delivery(&post.chat.chat, Body::text("you: hello"));
        let Job::Say(say) = &mut delivery.job else { panic!() };
        say.mentions = vec![(person.clone(), (0, 3))];
        assert!(matches!(stage.deliver(&delivery).await, Outcome::Sent { .. }));
        assert_eq!(stage.heard().last().unwrap().1, format!("@{nick} hello"));
        // And who is named by it in the group is known.
        let other =
            stage.world.members(ALICE, 1).unwrap().into_iter().find(|m| matches!(m, Who::Stranger(..)));
        let post = stage.post(stage.say(group, other.unwrap(), &format!("@{nick}\u{2005}hi"))).await;
        assert_eq!(post.mentions.first().and_then(|mention| mention.person.clone()).as_ref(), Some(person));
    }
    stage.no_violation();
}

#[tokio::test]
async fn a_long_text_becomes_several_and_each_has_its_id() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let text = "这是一个很长的句子。".repeat(450);
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text(text.as_str()))).await;
    assert_eq!(ids(&outcome).len(), 3);
    let heard: Vec<String> = stage.heard().into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard.concat(), text);
    stage.no_violation();
}

#[tokio::test]
async fn files_of_each_kind_are_uploaded_and_sent() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let files = [
        ("a.jpg", "image/jpeg", AttachmentKind::Image, "image", 3000),
        ("b.gif", "image/gif", AttachmentKind::Sticker, "sticker", 3000),
        ("c.mp4", "video/mp4", AttachmentKind::Video, "video", 700_000),
        ("说明 & co.pdf", "application/pdf", AttachmentKind::File, "file", 1_500_000),
    ];
    for (at, (name, mime, kind, _, bytes)) in files.iter().enumerate() {
        let media = MediaId([at as u8 + 1; 16]);
        let content: Vec<u8> = (0..*bytes).map(|i| (i % 251) as u8).collect();
        stage.double.put_media(media, name, mime, Bytes::from(content.clone()));
        let outcome = stage.deliver(&stage.delivery(&chat, attachment(media, *kind, name, mime))).await;
        let id: u64 = ids(&outcome)[0].parse().unwrap();
        assert_eq!(stage.world.media(ALICE, id).unwrap(), Bytes::from(content), "{name}");
    }
    let kinds: Vec<String> = stage.heard().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, files.map(|file| file.3.to_owned()));
    stage.no_violation();
}

#[tokio::test]
async fn an_empty_file_is_refused_with_a_reason() {
    let stage = Stage::online().await;
    let media = MediaId([9; 16]);
    stage.double.put_media(media, "empty.txt", "text/plain", Bytes::new());
    let chat = stage.chat(Who::Contact(1));
    let outcome =
        stage.deliver(&stage.delivery(&chat, attachment(media, AttachmentKind::File, "empty.txt", ""))).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("empty")), "{outcome:?}");
}

#[tokio::test]
async fn item_70_a_repetition_is_heard_once_and_has_the_same_id() {
    let mut stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let delivery = stage.delivery(&chat, Body::text("once"));
    let first = stage.deliver(&delivery).await;
    // After a restart nothing is remembered but the delivery's id.
    stage.restart().await;
    stage.up().await;
    let second = stage.deliver(&Delivery { attempt: 2, ..delivery }).await;
    assert_eq!(first, second);
    assert_eq!(stage.heard().len(), 1);
}

#[tokio::test]
async fn another_message_under_a_number_that_was_used_is_heard_too() {
    let mut stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let delivery = stage.delivery(&chat, Body::text("yes"));
    let first = ids(&stage.deliver(&delivery).await);
    // An older copy of the database was put back: it gives the number again, and the session lived on.
    stage.restart().await;
    stage.up().await;
    let mut another = stage.delivery(&chat, Body::text("no"));
    another.id = delivery.id;
    if let Job::Say(say) = &mut another.job {
        say.post.remote_id = "elsewhere-2".into();
    }
    let second = ids(&stage.deliver(&another).await);
    assert_ne!(first, second, "reported as sent under the id of another message");
    let heard: Vec<String> = stage.heard().into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, ["yes", "no"]);
    stage.no_violation();
}

#[tokio::test]
async fn an_answer_that_is_lost_once_is_asked_for_again_with_the_same_id() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::DropAfterBody, 1));
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("lost answer"))).await;
    assert_eq!(ids(&outcome).len(), 1);
    assert_eq!(stage.heard().len(), 1);
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::DropAfterBody, 2));
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("nobody can tell"))).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_refusal_of_the_repetition_does_not_say_that_nothing_arrived() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::DropAfterBody, 1));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Ret(1), 1));
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("it was heard"))).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
    assert_eq!(stage.heard().len(), 1);
}

#[tokio::test]
async fn what_was_said_in_part_is_not_told_as_lost() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    stage.world.add_fault(FaultRule { skip: 1, ..FaultRule::next("webwxsendmsg", Fault::Ret(1), 1) });
    let text = "这是一个很长的句子。".repeat(450);
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text(text.as_str()))).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
    assert_eq!(stage.heard().len(), 1);
}

/// A message that was heard, though the answer was lost and its repetition put off.
async fn put_off(stage: &Stage) -> Delivery {
    let chat = stage.chat(Who::Contact(1));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::DropAfterBody, 1));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Ret(3), 1));
    let delivery = stage.delivery(&chat, Body::text("it was heard"));
    let outcome = stage.deliver(&delivery).await;
    assert!(matches!(outcome, Outcome::TryLater { .. }), "{outcome:?}");
    Delivery { attempt: 2, ..delivery }
}

#[tokio::test]
async fn what_may_have_arrived_before_a_sign_out_is_not_told_as_lost() {
    for restarts in [false, true] {
        let mut stage = Stage::online().await;
        let again = put_off(&stage).await;
        if restarts {
            stage.restart().await;
            stage.up().await;
        }
        stage.order(Order::SignOut).await;
        stage.health(Health::is_signed_out).await;
        let outcome = stage.deliver(&again).await;
        assert!(matches!(outcome, Outcome::Uncertain { .. }), "restarts: {restarts}, {outcome:?}");
        let never = Delivery { attempt: 2, ..stage.delivery(&again.chat, Body::text("never left")) };
        let outcome = stage.deliver(&never).await;
        assert!(matches!(outcome, Outcome::Refused { .. }), "restarts: {restarts}, {outcome:?}");
    }
}

#[tokio::test]
async fn what_may_have_arrived_is_said_again_in_the_same_session_only() {
    let mut stage = Stage::online().await;
    let again = put_off(&stage).await;
    stage.restart().await;
    stage.up().await;
    assert_eq!(ids(&stage.deliver(&again).await).len(), 1);
    let another = put_off(&stage).await;
    stage.order(Order::SignOut).await;
    stage.health(Health::is_signed_out).await;
    stage.sign_in().await;
    let outcome = stage.deliver(&another).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
    assert_eq!(stage.heard().len(), 2, "somebody heard it twice");
    stage.no_violation();
}

#[tokio::test]
async fn a_send_that_a_stop_cuts_short_may_have_arrived() {
    let mut stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Hang, 1));
    let (delivery, struck) = (stage.delivery(&chat, Body::text("cut short")), stage.struck());
    stage.order(Order::Deliver(Box::new(delivery.clone()))).await;
    stage.until(|| stage.struck() > struck).await;
    stage.restart().await;
    stage.up().await;
    stage.order(Order::SignOut).await;
    stage.health(Health::is_signed_out).await;
    let outcome = stage.deliver(&Delivery { attempt: 2, ..delivery }).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
}

#[tokio::test]
async fn refusals_of_the_service_become_outcomes() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    for (ret, times, is_later) in
        [(1204, 1, true), (1204, 2, false), (3, 1, true), (1, 1, false), (1101, 1, true)]
    {
        let delivery = stage.delivery(&chat, Body::text("x"));
        let mut outcome = Outcome::Sent { remote_ids: Vec::new() };
        for attempt in 1..=times {
            stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Ret(ret), 1));
            outcome = stage.deliver(&Delivery { attempt, ..delivery.clone() }).await;
        }
        assert_eq!(matches!(outcome, Outcome::TryLater { .. }), is_later, "{ret}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Refused { .. }), !is_later, "{ret}: {outcome:?}");
    }
    // The phone is back as far as anybody can tell.
    assert_eq!(ids(&stage.deliver(&stage.delivery(&chat, Body::text("w"))).await).len(), 1);
    stage.up().await;
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Ret(1205), 1));
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("x"))).await;
    assert!(matches!(outcome, Outcome::TryLater { .. }), "{outcome:?}");
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("y"))).await;
    assert!(
        matches!(&outcome, Outcome::TryLater { after, .. } if after.as_secs() > 30),
        "the pause holds for the whole account: {outcome:?}"
    );
}

/// What the service says of `who` from now on, when it is asked for them by name.
fn says_of(stage: &Stage, who: Who, more: &serde_json::Value) {
    let mut record = serde_json::json!({"UserName": stage.world.user_name(ALICE, who).unwrap()});
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let said =
        serde_json::json!({"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "Count": 1, "ContactList": [record]});
    let body = Fault::Body(Bytes::from(said.to_string()));
    stage.world.add_fault(FaultRule { count: None, ..FaultRule::next("webwxbatchgetcontact", body, 1) });
}

#[tokio::test]
async fn whom_a_message_did_not_reach_is_looked_at_once_before_the_outcome() {
    let stage = Stage::online().await;
    let (anna, group) = (stage.chat(Who::Contact(1)), stage.chat(Who::Group(0)));
    let say = async |chat: &ChatKey, ret: i32| {
        stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Ret(ret), 1));
        let struck = stage.struck();
        let outcome = stage.deliver(&stage.delivery(chat, Body::text("x"))).await;
        // The refusal itself was a fault as well.
        (outcome, stage.struck() - struck - 1)
    };
    // A refusal for any other reason asks for nobody.
    says_of(&stage, Who::Contact(1), &serde_json::json!({"NickName": "Anna anew", "ContactFlag": 3}));
    assert_eq!(say(&anna, 1).await.1, 0);
    for (ret, looks) in [(-1, 1), (-1, 0), (1201, 0)] {
        let (outcome, looked) = say(&anna, ret).await;
        assert!(matches!(outcome, Outcome::TryLater { .. }), "{ret}: {outcome:?}");
        assert_eq!(looked, looks, "{ret}");
        let person =
            stage.double.state().people.values().find(|p| p.person.as_str() == anna.as_str()).cloned();
        assert_eq!(person.unwrap().nickname, "Anna anew", "it is known by the time of the outcome");
    }
    // A group of which the service tells nobody: asked for twice, as a large one may come without its members.
    stage.world.clear_faults();
    let title = stage.double.state().chats.values().find(|chat| chat.chat == group).unwrap().title.clone();
    says_of(&stage, Who::Group(0), &serde_json::json!({"NickName": "", "MemberList": []}));
    assert_eq!(say(&group, 1204).await.1, 2);
    let known = stage.double.state().chats.values().find(|chat| chat.chat == group).unwrap().clone();
    assert!(known.is_gone && known.title == title, "{known:?}");
    // Somebody speaks in it: we are in it again.
    stage.world.clear_faults();
    stage.post(stage.say(Who::Group(0), Who::Stranger(0, 1), "still here")).await;
    stage
        .wait(|state| state.chats.values().find(|chat| chat.chat == group).filter(|c| !c.is_gone).cloned())
        .await;
    stage.no_violation();
}

#[tokio::test]
async fn an_owner_whose_phone_is_off_is_told_what_waits_and_for_how_long() {
    let stage = Stage::online().await;
    let (chat, other) = (stage.chat(Who::Contact(1)), stage.chat(Who::Contact(2)));
    stage.world.set_phone_offline(ALICE, true).unwrap();
    let early = stage.delivery(&chat, Body::text("I am late"));
    assert!(matches!(stage.deliver(&early).await, Outcome::TryLater { .. }));
    let told = stage.health(|health| matches!(health, Health::Degraded { .. })).await;
    assert!(told.detail().contains("open WeChat on it") && told.detail().contains("four hours"), "{told:?}");
    stage.advance(Duration::from_secs(3 * 3600));
    assert!(matches!(stage.deliver(&early).await, Outcome::TryLater { .. }));
    stage.advance(Duration::from_secs(3600));
    let late = stage.deliver(&early).await;
    assert!(matches!(&late, Outcome::Refused { why } if why.contains("open WeChat")), "{late:?}");
    // Whoever says something now has four hours of their own.
    let mut fresh = stage.delivery(&other, Body::text("and now?"));
    let Job::Say(say) = &mut fresh.job else { panic!() };
    say.post.at = say.post.at.after(Duration::from_secs(4 * 3600));
    assert!(matches!(stage.deliver(&fresh).await, Outcome::TryLater { .. }));
    stage.world.set_phone_offline(ALICE, false).unwrap();
    assert_eq!(ids(&stage.deliver(&fresh).await).len(), 1);
    stage.up().await;
    stage.no_violation();
}

#[tokio::test]
async fn the_phone_is_back_when_the_owner_uses_it() {
    for is_said in [true, false] {
        let stage = Stage::online().await;
        let anna = Who::Contact(1);
        let chat = stage.chat(anna);
        stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::Ret(3), 1));
        assert!(matches!(
            stage.deliver(&stage.delivery(&chat, Body::text("x"))).await,
            Outcome::TryLater { .. }
        ));
        stage.health(|health| matches!(health, Health::Degraded { .. })).await;
        // What others say may come without it.
        stage.post(stage.say(anna, anna, "hello?")).await;
        let health = stage.double.state().health.get(&stage.network()).cloned();
        assert!(matches!(health, Some(Health::Degraded { .. })), "{health:?}");
        match is_said {
            true => drop(stage.say(anna, Who::Own, "by hand")),
            false => drop(stage.said(anna, Who::Own, Kind::PhoneState { code: 2 })),
        }
        stage.up().await;
    }
}

#[tokio::test]
async fn one_pause_is_told_to_nobody_and_a_second_one_is() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let too_much = FaultRule::next("webwxsendmsg", Fault::Ret(1205), 1);
    stage.world.add_fault(too_much.clone());
    let delivery = stage.delivery(&chat, Body::text("x"));
    assert!(matches!(stage.deliver(&delivery).await, Outcome::TryLater { .. }));
    assert_eq!(stage.double.state().health.get(&stage.network()), Some(&Health::Up));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    stage.world.add_fault(too_much);
    assert!(matches!(stage.deliver(&delivery).await, Outcome::TryLater { .. }));
    let told = stage.health(|health| matches!(health, Health::Degraded { .. })).await;
    assert!(told.detail().contains("sends too much"), "{told:?}");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(121)).await;
    tokio::time::resume();
    assert_eq!(ids(&stage.deliver(&delivery).await).len(), 1);
    stage.up().await;
}

#[tokio::test]
async fn who_waits_for_a_turn_when_the_service_wants_to_be_left_alone_does_not_ask_it() {
    let account = wxgate_simulator::AccountSpec::new(ALICE, 0, 17, 1);
    let mut stage = Stage::tuned(crate::stage::world_config(), &account, |config| {
        // Three at once, and the last of twelve after two seconds.
        config.sends_per_minute = 300;
    })
    .await;
    stage.sign_in().await;
    let chats: Vec<wxgate_contract::ChatKey> = (4..16).map(|at| stage.chat(Who::Contact(at))).collect();
    let too_much = FaultRule { count: None, ..FaultRule::next("webwxsendmsg", Fault::Ret(1205), 1) };
    stage.world.add_fault(too_much);
    let struck = stage.struck();
    for chat in &chats {
        stage.order(Order::Deliver(Box::new(stage.delivery(chat, Body::text("hello"))))).await;
    }
    let outcomes = stage.wait(|state| (state.outcomes.len() == 12).then(|| state.outcomes.clone())).await;
    for (_, outcome) in outcomes {
        let Outcome::TryLater { after, .. } = outcome else { panic!("{outcome:?}") };
        assert!(after.as_secs() <= 60, "the pause grew to {after:?}");
    }
    assert!(stage.struck() - struck <= 6, "asked {} times", stage.struck() - struck);
}

#[tokio::test]
async fn too_much_said_to_an_upload_or_a_recall_is_a_pause_for_all() {
    let media = MediaId([8; 16]);
    for endpoint in ["webwxuploadmedia", "webwxrevokemsg"] {
        let stage = Stage::online().await;
        stage.double.put_media(media, "a.jpg", "image/jpeg", Bytes::from(vec![1; 3000]));
        let chat = stage.chat(Who::Contact(1));
        let said = stage.deliver(&stage.delivery(&chat, Body::text("typo"))).await;
        let Outcome::Sent { remote_ids } = said else { panic!("{said:?}") };
        let image = attachment(media, AttachmentKind::Image, "a.jpg", "image/jpeg");
        let mut delivery = stage.delivery(&chat, image);
        if endpoint == "webwxrevokemsg" {
            delivery.job = Job::Recall { post: PostId(1), remote_ids };
        }
        stage.world.add_fault(FaultRule::next(endpoint, Fault::Ret(1205), 1));
        for delivery in [delivery.clone(), delivery, stage.delivery(&chat, Body::text("hello"))] {
            let outcome = stage.deliver(&delivery).await;
            assert!(
                matches!(&outcome, Outcome::TryLater { after, .. } if after.as_secs() > 30),
                "{endpoint}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_message_is_taken_back_within_two_minutes() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let said = stage.deliver(&stage.delivery(&chat, Body::text("typo"))).await;
    let Outcome::Sent { remote_ids } = said else { panic!("{said:?}") };
    let mut recall = stage.delivery(&chat, Body::text(""));
    // A face's words that are known here only since their chat was answered for.
    let elsewhere = vec!["moved-matrix:local-$event".into()];
    recall.job = Job::Recall { post: PostId(1), remote_ids: elsewhere };
    let outcome = stage.deliver(&recall).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("never confirmed")), "{outcome:?}");
    // What was moved into another chat is at the service under its first id.
    let moved = remote_ids.iter().map(|id| format!("moved-{id}").as_str().into()).collect();
    recall.job = Job::Recall { post: PostId(1), remote_ids: moved };
    let outcome = stage.deliver(&recall).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    assert_eq!(stage.heard().last().unwrap(), &("recall".to_owned(), remote_ids[0].to_string()));
    stage.advance(std::time::Duration::from_secs(300));
    let outcome = stage.deliver(&recall).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("two minutes")), "{outcome:?}");
    stage.no_violation();
}

#[tokio::test]
async fn item_72_an_echo_is_no_second_message() {
    let config = wxgate_simulator::WorldConfig { echo_before_answer: true, ..crate::stage::world_config() };
    let mut stage = Stage::of(config, &wxgate_simulator::AccountSpec::new(ALICE, 0, 5, 1)).await;
    stage.at_the_worlds_time();
    stage.sign_in().await;
    let chat = stage.chat(Who::Contact(1));
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("echoed"))).await;
    let ids = ids(&outcome);
    let anna = Who::Contact(0);
    let after = stage.say(anna, anna, "after");
    stage.post(after).await;
    let _: Option<PostFate> = None;
    let state = stage.double.state();
    for (_, _, post) in &state.posts {
        let is_echo = ids.contains(&post.remote_id.to_string());
        assert!(!is_echo || post.echo_of.is_some(), "the echo came as a post of its own");
    }
}

#[tokio::test]
async fn an_echo_that_could_not_be_stored_at_once_is_no_second_message_either() {
    let config = wxgate_simulator::WorldConfig { echo_before_answer: true, ..crate::stage::world_config() };
    let mut stage = Stage::of(config, &wxgate_simulator::AccountSpec::new(ALICE, 0, 5, 1)).await;
    stage.at_the_worlds_time();
    stage.sign_in().await;
    let chat = stage.chat(Who::Contact(1));
    let delivery = stage.delivery(&chat, Body::text("echoed"));
    stage.world.add_fault(FaultRule::next("webwxsendmsg", Fault::DropAfterBody, 2));
    let commits = {
        let mut state = stage.double.state();
        state.store_is_down = true;
        state.commits
    };
    let outcome = stage.deliver(&delivery).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
    stage.wait(|state| (state.commits >= commits + 2).then_some(())).await;
    stage.double.state().store_is_down = false;
    let anna = Who::Contact(0);
    let after = stage.say(anna, anna, "after");
    stage.post(after).await;
    assert_eq!(stage.texts(), ["after"], "the echo came as a message of its own");
}

#[tokio::test]
async fn what_the_owner_says_on_the_phone_is_no_echo_of_what_may_have_arrived() {
    let mut stage = Stage::new().await;
    stage.at_the_worlds_time();
    stage.sign_in().await;
    let (who, media) = (Who::Contact(1), MediaId([7; 16]));
    stage.double.put_media(media, "a.jpg", "image/jpeg", Bytes::from(vec![1; 3000]));
    let image = attachment(media, AttachmentKind::Image, "a.jpg", "image/jpeg");
    for (endpoint, body, on_the_phone) in
        [("webwxsendmsgimg", image, Kind::Image), ("webwxsendmsg", Body::text("ok"), Kind::text("ok"))]
    {
        stage.world.add_fault(FaultRule::next(endpoint, Fault::DropAfterBody, 2));
        let outcome = stage.deliver(&stage.delivery(&stage.chat(who), body)).await;
        assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
        // Another photo at once; the same words only when they were not tried within minutes.
        let said = stage.said(who, Who::Own, on_the_phone);
        assert_eq!(stage.post(said).await.echo_of, None, "{endpoint}: swallowed");
        stage.advance(std::time::Duration::from_secs(600));
    }
}

#[tokio::test]
async fn what_waited_for_its_turn_when_the_session_ended_was_never_said_and_is_told_so() {
    let account = wxgate_simulator::AccountSpec::new(ALICE, 0, 12, 1);
    let mut stage =
        Stage::tuned(crate::stage::world_config(), &account, |config| config.sends_per_minute = 1).await;
    stage.sign_in().await;
    // Three at once, the fourth after a minute.
    let deliveries: Vec<Delivery> =
        (4..8).map(|at| stage.delivery(&stage.chat(Who::Contact(at)), Body::text("x"))).collect();
    for delivery in &deliveries {
        stage.order(Order::Deliver(Box::new(delivery.clone()))).await;
    }
    stage.wait(|state| (state.outcomes.len() == 3).then_some(())).await;
    stage.order(Order::SignOut).await;
    let outcome = stage.outcome(deliveries[3].id, 3).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    assert_eq!(stage.heard().len(), 3);
}

/// A chat of the account that was linked by an answer, and what is to be said there as the fourth thing at once.
async fn linked_and_waiting(body: Body) -> (Stage, Delivery) {
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    // Three at once, the fourth after five seconds.
    let mut stage = Stage::tuned(world_config(), &account, |config| config.sends_per_minute = 12).await;
    stage.sign_in().await;
    let (old, open) = crate::identity::unclear(&mut stage).await;
    let same = Request::Resolve { chat: open, same_as: Some(old.clone()) };
    assert_eq!(crate::identity::ask(&stage, same).await, Ok(Answer::Done));
    let waits = stage.delivery(&old, body);
    (stage, waits)
}

#[tokio::test]
async fn what_waits_for_its_turn_does_not_go_to_whom_the_chat_stood_for_before_an_undo() {
    let (stage, delivery) = linked_and_waiting(Body::text("private")).await;
    for at in 7..10 {
        let other = stage.delivery(&stage.chat(Who::Contact(at)), Body::text("x"));
        stage.order(Order::Deliver(Box::new(other))).await;
    }
    stage.wait(|state| (state.outcomes.len() == 3).then_some(())).await;
    stage.order(Order::Deliver(Box::new(delivery.clone()))).await;
    stage.orders_taken().await;
    let undo = Request::Undo(delivery.chat.clone());
    assert_eq!(crate::identity::ask(&stage, undo).await, Ok(Answer::Done));
    let outcome = stage.outcome(delivery.id, 3).await;
    assert!(matches!(outcome, Outcome::TryLater { .. }), "{outcome:?}");
    let outcome = stage.deliver(&Delivery { attempt: 2, ..delivery }).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "nothing of it was said: {outcome:?}");
    assert_eq!(stage.heard().iter().filter(|(_, text)| text == "private").count(), 0, "to a stranger");
}

#[tokio::test]
async fn what_was_begun_with_one_person_is_not_gone_on_with_to_another() {
    let long = "word ".repeat(3000);
    let (stage, delivery) = linked_and_waiting(Body::text(long)).await;
    for at in 7..9 {
        let other = stage.delivery(&stage.chat(Who::Contact(at)), Body::text("x"));
        stage.order(Order::Deliver(Box::new(other))).await;
    }
    stage.wait(|state| (state.outcomes.len() == 2).then_some(())).await;
    stage.order(Order::Deliver(Box::new(delivery.clone()))).await;
    stage.until(|| stage.heard().len() == 3).await;
    let undo = Request::Undo(delivery.chat.clone());
    assert_eq!(crate::identity::ask(&stage, undo).await, Ok(Answer::Done));
    let outcome = stage.outcome(delivery.id, 2).await;
    assert!(matches!(outcome, Outcome::TryLater { .. }), "{outcome:?}");
    // The chat is linked with somebody else meanwhile.
    let other = stage.world.user_name(ALICE, Who::Contact(9)).unwrap();
    let lasting = serde_json::json!({ "u": other, "l": 2 }).to_string();
    stage.double.state().notes.insert((stage.network(), format!("k/{}", delivery.chat)), lasting.into());
    let outcome = stage.deliver(&Delivery { attempt: 2, ..delivery }).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
    assert_eq!(stage.heard().len(), 3);
}

#[tokio::test]
async fn an_unknown_chat_is_refused() {
    let stage = Stage::online().await;
    let outcome = stage.deliver(&stage.delivery(&"p-nobody".into(), Body::text("x"))).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_long_wait_for_the_account_counts_for_no_failure() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    let late = |delivery: Delivery| Delivery { attempt: 30, ..delivery };
    let media = MediaId([9; 16]);
    stage.double.put_media(media, "a.jpg", "image/jpeg", Bytes::from(vec![1; 3000]));
    let image = attachment(media, AttachmentKind::Image, "a.jpg", "image/jpeg");
    let upload = late(stage.delivery(&chat, image));
    let said = stage.deliver(&stage.delivery(&chat, Body::text("typo"))).await;
    let Outcome::Sent { remote_ids } = said else { panic!("{said:?}") };
    let mut recall = late(stage.delivery(&chat, Body::text("")));
    recall.job = Job::Recall { post: PostId(1), remote_ids };
    for (endpoint, delivery) in [("webwxuploadmedia", upload), ("webwxrevokemsg", recall)] {
        stage.world.add_fault(FaultRule::next(endpoint, Fault::Status(502), 1));
        let outcome = stage.deliver(&delivery).await;
        assert!(matches!(outcome, Outcome::TryLater { .. }), "{endpoint}: {outcome:?}");
        let outcome = stage.deliver(&delivery).await;
        assert!(matches!(outcome, Outcome::Sent { .. }), "{endpoint}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_account_has_one_file_converted_at_a_time() {
    let dir = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("one_at_a_time");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let program = dir.join("program");
    // Says so when it runs beside another one of its kind.
    let script = format!(
        "#!/bin/sh\nmkdir {0}/busy || : > {0}/two\nsleep 0.2\nrmdir {0}/busy\nprintf sound > out\n",
        dir.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let converter = Converter::new(program, dir.join("scratch")).unwrap();
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    let mut stage = Stage::tuned(world_config(), &account, |config| {
        config.converter = Some(Arc::new(converter));
    })
    .await;
    stage.sign_in().await;
    let before = stage.double.state().outcomes.len();
    let mut ids = Vec::new();
    for at in [1, 2, 5_u8] {
        let media = MediaId([at; 16]);
        stage.double.put_media(media, "a.ogg", "audio/ogg", Bytes::from(vec![at; 3000]));
        let voice = attachment(media, AttachmentKind::Voice, "a.ogg", "audio/ogg");
        let delivery = stage.delivery(&stage.chat(Who::Contact(u32::from(at))), voice);
        ids.push(delivery.id);
        stage.order(Order::Deliver(Box::new(delivery))).await;
    }
    for id in ids {
        let outcome = stage.outcome(id, before).await;
        assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    }
    assert!(std::fs::read_dir(dir.join("scratch")).unwrap().next().is_none(), "all is done");
    assert!(!dir.join("two").exists(), "two at once");
}

#[tokio::test]
async fn files_that_wait_for_each_other_hold_up_no_text() {
    let stage = Stage::online().await;
    stage.world.add_fault(FaultRule { count: None, ..FaultRule::next("webwxuploadmedia", Fault::Hang, 1) });
    let media = MediaId([9; 16]);
    stage.double.put_media(media, "a.jpg", "image/jpeg", Bytes::from(vec![1; 3000]));
    let image = attachment(media, AttachmentKind::Image, "a.jpg", "image/jpeg");
    let chat = stage.chat(Who::Contact(1));
    // More than wait here: the bridge gets some back.
    let mut last = None;
    for _ in 0..40 {
        let delivery = stage.delivery(&chat, image.clone());
        last = Some(delivery.id);
        stage.order(Order::Deliver(Box::new(delivery))).await;
    }
    let outcome = stage.outcome(last.unwrap(), 0).await;
    assert!(matches!(&outcome, Outcome::TryLater { why, .. } if why.contains("go first")), "{outcome:?}");
    let outcome = stage.deliver(&stage.delivery(&stage.chat(Who::Contact(2)), Body::text("ok"))).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
}
