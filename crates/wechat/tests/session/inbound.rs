//! What people say reaches the far end.

use std::time::Duration;

use tokio::sync::mpsc;
use wxgate_contract::conformance::State;
use wxgate_contract::conformance::stories::PATIENCE;
use wxgate_contract::{
    Answer, Ask, AttachmentKind, Author, Body, Directory, FeedEvent, MediaState, MediaVault, Order, Request,
    Timestamp,
};
use wxgate_simulator::{AccountSpec, Change, Fault, FaultRule, Kind, Who};

use crate::stage::{ALICE, Stage, world_config};

#[tokio::test]
async fn private_and_group_texts_come_with_their_authors() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    let private = stage.post(stage.say(anna, anna, "早 <b>&amp; \"hi\"\n😀")).await;
    assert_eq!(private.body, Body::text("早 <b>&amp; \"hi\"\n😀"));
    assert_eq!(private.chat.chat, stage.chat(anna));
    let Author::Person { person, .. } = &private.author else { panic!("{:?}", private.author) };
    assert_eq!(person.as_str(), private.chat.chat.as_str(), "a private chat is its person");

    let group = Who::Group(0);
    let members = stage.world.members(ALICE, 0).unwrap();
    let stranger = *members.iter().find(|who| matches!(who, Who::Stranger(..))).unwrap();
    let in_group = stage.post(stage.say(group, stranger, "大家好")).await;
    assert_eq!(in_group.chat.chat, stage.chat(group));
    let Author::Person { person, name } = &in_group.author else { panic!("{:?}", in_group.author) };
    assert!(!name.is_empty());
    let chat = stage.double.state().chats.values().find(|c| c.chat == in_group.chat.chat).cloned().unwrap();
    assert!(chat.members.unwrap().iter().any(|member| member.person == *person && member.name == *name));
    stage.no_violation();
}

#[tokio::test]
async fn own_messages_from_the_phone_are_the_owners() {
    let stage = Stage::online().await;
    let post = stage.post(stage.say(Who::Contact(2), Who::Own, "typed on the phone")).await;
    assert_eq!((post.author, post.body), (Author::Owner, Body::text("typed on the phone")));
    assert_eq!(post.chat.chat, stage.chat(Who::Contact(2)));
    let post = stage.post(stage.say(Who::Group(1), Who::Own, "in the group")).await;
    assert_eq!((post.author, post.chat.chat), (Author::Owner, stage.chat(Who::Group(1))));
}

#[tokio::test]
async fn a_recall_names_what_it_takes_back() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    let said = stage.say(anna, anna, "oops");
    let recall = stage.post(stage.said(anna, anna, Kind::Recall { msg_id: said })).await;
    let Body::Recall { target, .. } = recall.body else { panic!("{:?}", recall.body) };
    assert_eq!(target.unwrap().as_str(), said.to_string());
}

#[tokio::test]
async fn a_recall_that_names_nothing_takes_our_last_message_back() {
    let stage = Stage::online().await;
    let (anna, bo) = (Who::Contact(0), Who::Contact(1));
    stage.say(anna, Who::Own, "stays");
    let oops = stage.say(anna, Who::Own, "oops");
    stage.say(anna, anna, "what?");
    stage.post(stage.say(bo, Who::Own, "elsewhere")).await;
    let recall = stage.post(stage.said(anna, Who::Own, Kind::Recall { msg_id: 0 })).await;
    let Body::Recall { target, .. } = recall.body else { panic!("{:?}", recall.body) };
    assert_eq!(target.unwrap().as_str(), oops.to_string());
}

#[tokio::test]
async fn media_bytes_arrive_in_the_vault() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    let kinds = [
        (Kind::Image, AttachmentKind::Image),
        (Kind::Voice, AttachmentKind::Voice),
        (Kind::Video, AttachmentKind::Video),
        (Kind::Sticker { store: false }, AttachmentKind::Sticker),
        (Kind::File { name: "报告 2023.pdf".into() }, AttachmentKind::File),
    ];
    for (kind, wanted) in kinds {
        let id = stage.said(anna, anna, kind.clone());
        let post = stage.post(id).await;
        let Body::Attachment(attachment) = post.body else { panic!("{kind:?}: {:?}", post.body) };
        assert_eq!(attachment.kind, wanted);
        let bytes = stage.ready(attachment.media).await;
        assert_eq!(bytes, stage.world.media(ALICE, id).unwrap(), "{kind:?}");
        if wanted == AttachmentKind::File {
            assert_eq!(attachment.name, "报告 2023.pdf");
        }
        assert_eq!(attachment.poster.is_some(), wanted == AttachmentKind::Video);
        if let Some(cover) = attachment.poster {
            assert!(stage.ready(cover).await.starts_with(b"\xff\xd8\xff"));
        }
    }
    stage.no_violation();
}

#[tokio::test]
async fn a_file_in_a_group_is_fetched_as_the_groups() {
    let stage = Stage::online().await;
    let sender = stage.world.members(ALICE, 0).unwrap().into_iter().find(|who| *who != Who::Own).unwrap();
    let id = stage.said(Who::Group(0), sender, Kind::File { name: "a.txt".into() });
    let Body::Attachment(attachment) = stage.post(id).await.body else { panic!() };
    assert_eq!(stage.ready(attachment.media).await, stage.world.media(ALICE, id).unwrap());
    stage.no_violation();
}

#[tokio::test]
async fn a_file_with_an_endless_name_comes_and_harms_nobody_elses_message() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    let name = format!("{}.txt", "年".repeat(400));
    let file = stage.said(anna, anna, Kind::File { name: name.into() });
    let words = stage.say(Who::Contact(1), Who::Contact(1), "on the same day");
    let Body::Attachment(attachment) = stage.post(file).await.body else { panic!() };
    assert!(attachment.name.ends_with("年….txt"), "{}", attachment.name);
    assert_eq!(stage.ready(attachment.media).await, stage.world.media(ALICE, file).unwrap());
    assert_eq!(stage.post(words).await.body, Body::text("on the same day"));
    stage.no_violation();
}

#[tokio::test]
async fn what_was_announced_before_a_crash_is_fetched_after_it() {
    let mut stage = Stage::online().await;
    stage.world.add_fault(wxgate_simulator::FaultRule {
        count: None,
        ..wxgate_simulator::FaultRule::next("webwxgetmsgimg", wxgate_simulator::Fault::Hang, 1)
    });
    let id = stage.said(Who::Contact(0), Who::Contact(0), Kind::Image);
    let Body::Attachment(attachment) = stage.post(id).await.body else { panic!() };
    stage.restart().await;
    stage.world.clear_faults();
    stage.restart().await;
    assert_eq!(stage.ready(attachment.media).await, stage.world.media(ALICE, id).unwrap());
}

#[tokio::test]
async fn an_attachment_waits_until_the_service_is_well_again() {
    let stage = Stage::online().await;
    let rule = wxgate_simulator::FaultRule::next("webwxgetmsgimg", wxgate_simulator::Fault::Status(502), 4);
    stage.world.add_fault(rule);
    let id = stage.said(Who::Contact(0), Who::Contact(0), Kind::Image);
    let Body::Attachment(attachment) = stage.post(id).await.body else { panic!() };
    // More bad answers than an empty answer is asked again; what comes meanwhile does not wait for it.
    let other = stage.said(Who::Contact(0), Who::Contact(0), Kind::Voice);
    let Body::Attachment(voice) = stage.post(other).await.body else { panic!() };
    assert_eq!(stage.ready(voice.media).await, stage.world.media(ALICE, other).unwrap());
    assert_eq!(stage.ready(attachment.media).await, stage.world.media(ALICE, id).unwrap());
}

#[tokio::test]
async fn what_is_announced_during_a_long_download_does_not_wait_for_its_end() {
    let stage = Stage::online().await;
    let hangs = wxgate_simulator::FaultRule::next("webwxgetvideo", wxgate_simulator::Fault::Hang, 1);
    stage.world.add_fault(hangs);
    let id = stage.said(Who::Contact(0), Who::Contact(0), Kind::Video);
    let Body::Attachment(film) = stage.post(id).await.body else { panic!() };
    // The film is alone once its cover is there.
    stage.ready(film.poster.unwrap()).await;
    stage.until(|| stage.struck() > 0).await;
    for _ in 0..2 {
        let id = stage.said(Who::Contact(1), Who::Contact(1), Kind::Image);
        let Body::Attachment(picture) = stage.post(id).await.body else { panic!() };
        assert_eq!(stage.ready(picture.media).await, stage.world.media(ALICE, id).unwrap());
    }
}

#[tokio::test]
async fn an_attachment_above_the_limit_is_given_up_with_a_reason() {
    let mut stage = Stage::new().await;
    stage.stop().await;
    stage.config.max_media_bytes = 10;
    stage.start();
    stage.sign_in().await;
    let id = stage.said(Who::Contact(0), Who::Contact(0), Kind::Image);
    let Body::Attachment(attachment) = stage.post(id).await.body else { panic!() };
    let double = stage.double.clone();
    for _ in 0..2000 {
        if let Some(MediaState::Failed { why }) =
            double.info(attachment.media).await.unwrap().map(|info| info.state)
        {
            assert!(why.contains("larger than the limit"), "{why}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("never given up");
}

#[tokio::test]
async fn quotes_and_mentions_are_understood() {
    let stage = Stage::online().await;
    let group = Who::Group(0);
    let members = stage.world.members(ALICE, 0).unwrap();
    let stranger = *members.iter().find(|who| matches!(who, Who::Stranger(..))).unwrap();
    let own =
        stage.double.state().people.values().find(|p| p.person.as_str() == "me").unwrap().nickname.clone();
    let text = format!("@{own}\u{2005}带水了吗");
    let post = stage.post(stage.say(group, stranger, &text)).await;
    let mention = post.mentions.first().expect("a mention");
    assert!(mention.is_owner);
    assert_eq!(&text[mention.range.0..mention.range.1], format!("@{own}"));
    let old = "「Anna：明天爬山？」\n- - - - - - - - - - - - - - -\n好";
    let post = stage.post(stage.say(group, stranger, old)).await;
    assert_eq!(post.body, Body::text("好"));
    assert_eq!(post.quote.unwrap().excerpt, "明天爬山？");
    let kind = Kind::Quote { text: "行".into(), quoted: "几点".into(), msg_id: None };
    let post = stage.post(stage.said(group, stranger, kind)).await;
    assert_eq!((post.body, post.quote.unwrap().excerpt), (Body::text("行"), "几点".to_owned()));
}

#[tokio::test]
async fn item_24_a_burst_arrives_once_and_in_order() {
    let stage = Stage::of(world_config(), &AccountSpec::new(ALICE, 0, 30, 2)).await;
    let mut stage = stage;
    stage.sign_in().await;
    let mut last = 0;
    let texts: Vec<String> = (0..300).map(|at| format!("line {at}")).collect();
    for (at, text) in texts.iter().enumerate() {
        let from = Who::Contact(at as u32 % 3);
        last = stage.say(from, from, text);
    }
    stage.post(last).await;
    assert_eq!(stage.texts(), texts);
    stage.no_violation();
}

#[tokio::test]
async fn names_that_do_not_come_hold_nothing_up_for_long_and_are_not_asked_for_each_time() {
    let mut stage = Stage::of(world_config(), &AccountSpec::new(ALICE, 0, 12, 8)).await;
    stage.sign_in().await;
    // Of this group nothing is known before somebody speaks in it.
    let (group, first, second) = (Who::Group(7), Who::Stranger(7, 2), Who::Stranger(7, 3));
    let hang = FaultRule::next("webwxbatchgetcontact", Fault::Hang, 1);
    stage.world.add_fault(FaultRule { count: None, ..hang });
    let struck = stage.struck();
    for (at, who) in [first, second, first].into_iter().enumerate() {
        let said = stage.say(group, who, "hello");
        let came = tokio::time::timeout(Duration::from_secs(12), stage.post(said)).await;
        assert!(came.is_ok(), "message {at} waits for names");
    }
    assert!(stage.struck() - struck <= 2, "asked {} times", stage.struck() - struck);
}

#[tokio::test]
async fn every_kind_of_message_is_shown_as_something() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    let text = |text: &str| std::sync::Arc::<str>::from(text);
    let kinds = [
        Kind::MicroVideo,
        Kind::Sticker { store: true },
        Kind::Link { title: text("t"), url: text("http://example.com/") },
        Kind::Articles { count: 3 },
        Kind::Music { title: text("song") },
        Kind::Location { label: text("Example Street 1") },
        Kind::Card { nick: text("Bo") },
        Kind::System { text: text("You have added Bo as your WeChat contact. Start chatting!") },
        Kind::MiniProgram { title: text("mini") },
        Kind::Transfer { amount: text("50.00") },
    ];
    for kind in kinds {
        let post = stage.post(stage.said(anna, anna, kind.clone())).await;
        assert!(!matches!(&post.body, Body::Text { .. }), "{kind:?} came as {:?}", post.body);
    }
    let request = Kind::FriendRequest { nick: text("Cai"), greeting: text("我是蔡") };
    let post = stage.post(stage.said(anna, anna, request)).await;
    assert_eq!(post.body, Body::FriendRequest { name: "Cai".into(), greeting: "我是蔡".into() });
}

#[tokio::test]
async fn links_are_markup_in_texts_of_official_accounts_only() {
    let stage = Stage::online().await;
    let link = "see <a href=\"https://e.org/\">this</a>";
    let kind_of = |chat: &wxgate_contract::ChatKey| {
        stage.double.state().chats.values().find(|known| known.chat == *chat).unwrap().kind
    };
    let mut seen = std::collections::HashSet::new();
    for who in (0..12).map(Who::Contact) {
        let post = stage.post(stage.say(who, who, link)).await;
        let kind = kind_of(&post.chat.chat);
        let is_official = kind == wxgate_contract::ChatKind::Official;
        let shown = if is_official { "see this (https://e.org/)" } else { link };
        assert_eq!(post.body, Body::text(shown), "{who}");
        seen.insert(is_official);
    }
    assert_eq!(seen.len(), 2, "the world has both");
}

#[tokio::test]
async fn a_chat_that_is_opened_on_the_phone_is_read_here() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    stage.post(stage.say(anna, anna, "hi")).await;
    let mut feed = stage.double.subscribe();
    stage.said(anna, Who::Own, Kind::PhoneState { code: 2 });
    let read = async {
        loop {
            if let FeedEvent::Read(chat, at) = feed.recv().await.unwrap() {
                return (chat.chat, at);
            }
        }
    };
    let (chat, at) = tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert_eq!(chat, stage.chat(anna));
    assert!(at.ms() > 0);
}

#[tokio::test]
async fn a_chat_that_is_read_here_is_read_on_the_phone() {
    let stage = Stage::online().await;
    let anna = Who::Contact(0);
    stage.post(stage.say(anna, anna, "hi")).await;
    let request = Request::Read { chat: stage.chat(anna), at: Timestamp(1) };
    let (answer, mut answers) = mpsc::channel(1);
    stage.order(Order::Ask(Ask { request, answer })).await;
    assert_eq!(answers.recv().await, Some(Ok(Answer::Done)));
    let entries = stage.world.ledger(ALICE, 0, 1000).unwrap();
    assert!(entries.iter().any(|entry| entry.kind == "read" && entry.chat == anna));
    stage.no_violation();
}

#[tokio::test]
async fn what_the_owner_called_a_contact_who_is_deleted_stays_theirs() {
    let stage = Stage::online().await;
    let boss = Who::Contact(1);
    let own = wechat_proto::names::decode_name(&stage.world.nick(ALICE, boss).unwrap());
    let change = |change: Change| stage.world.change(ALICE, &change).unwrap();
    change(Change::Remark { who: boss.to_string(), name: "annoying boss".to_owned() });
    let is_named = |state: &mut State| {
        let found = state.people.values().find(|person| person.remark == "annoying boss")?;
        Some(found.person.clone())
    };
    let person = stage.wait(is_named).await;
    change(Change::Remove { who: boss.to_string() });
    let known = |state: &State| state.people.values().find(|known| known.person == person).cloned().unwrap();
    let left = stage.wait(|state| Some(known(state)).filter(|known| !known.is_contact)).await;
    assert_eq!((left.nickname, left.remark.as_str()), (own.clone(), ""));
    let group = stage.chat(Who::Group(0));
    change(Change::AddMember { group: 0, who: Who::Contact(9).to_string() });
    let member = stage
        .wait(|state| {
            let members = state.chats.values().find(|chat| chat.chat == group)?.members.clone()?;
            members.into_iter().find(|member| member.person == person && !member.is_contact)
        })
        .await;
    assert_eq!(member.name, own);
    assert_eq!(known(&stage.double.state()).nickname, own);
    stage.no_violation();
}
