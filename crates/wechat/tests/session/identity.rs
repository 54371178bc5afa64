//! Who is who over a new login.

use std::time::Duration;

use wxgate_contract::conformance::{Bug, State};
use wxgate_contract::{
    Answer, Author, Batch, Body, ChatKey, CommandError, Directory, FarEnd, FeedEvent, Note, Outcome, Post,
    Request, SignInStep,
};
use wxgate_simulator::{AccountSpec, Change, Fault, FaultRule, Kind, Who, WorldConfig};

use crate::stage::{ALICE, Stage, world_config};

pub(crate) async fn new_login(stage: &mut Stage) {
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    stage.sign_in().await;
}

#[tokio::test]
async fn item_32_chats_keep_their_keys_over_a_new_login() {
    let mut stage = Stage::online().await;
    let before: Vec<_> = [Who::Contact(0), Who::Contact(5), Who::Group(0)].map(|who| stage.chat(who)).into();
    let names: Vec<String> =
        [Who::Contact(0), Who::Group(0)].map(|who| stage.world.user_name(ALICE, who).unwrap()).into();
    new_login(&mut stage).await;
    let renamed: Vec<String> =
        [Who::Contact(0), Who::Group(0)].map(|who| stage.world.user_name(ALICE, who).unwrap()).into();
    assert_ne!(names, renamed, "the world gave new names");
    for (at, who) in [Who::Contact(0), Who::Contact(5), Who::Group(0)].into_iter().enumerate() {
        let post =
            stage.post(stage.say(who, if who.is_group() { Who::Stranger(0, 0) } else { who }, "again")).await;
        assert_eq!(post.chat.chat, before[at], "{who}");
        assert!(matches!(post.author, Author::Person { .. }));
        let delivery = stage.delivery(&before[at], wxgate_contract::Body::text("answer"));
        assert!(matches!(stage.deliver(&delivery).await, wxgate_contract::Outcome::Sent { .. }), "{who}");
    }
    stage.no_violation();
}

#[tokio::test]
async fn names_of_an_earlier_login_are_swept() {
    let mut stage = Stage::online().await;
    let network = stage.network();
    // Where earlier versions kept names from inside of media.
    let unproven =
        Note { key: "who/n/0000000000000007".to_owned(), value: Some("x".into()), is_secret: false };
    stage.double.commit(&network, Batch { notes: vec![unproven], ..Batch::default() }).await.unwrap();
    new_login(&mut stage).await;
    stage
        .wait(|state| {
            let old =
                |key: &str| ["u/00000001", "m/00000001", "who/n/"].iter().any(|old| key.starts_with(old));
            (!state.notes.keys().any(|(n, key)| *n == network && old(key))).then_some(())
        })
        .await;
    assert!(stage.double.state().notes.keys().any(|(_, key)| key.starts_with("u/00000002")));
}

#[tokio::test]
async fn another_persons_phone_is_refused_and_nothing_is_matched() {
    let mut stage = Stage::online().await;
    stage.world.add_account(&wxgate_simulator::AccountSpec::new("mallory", 7, 3, 1)).unwrap();
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    let chats = stage.double.state().chats.len();
    let seen = stage.double.state().steps.len();
    stage.order(wxgate_contract::Order::SignIn).await;
    stage.asked_after(seen).await;
    stage.world.cancel(&stage.pushed()).unwrap();
    let uuid = stage.qr_after(seen).await;
    stage.world.scan(&uuid, "mallory").unwrap();
    stage.world.confirm(&uuid).unwrap();
    let why = stage
        .step_after(seen, |step| match step {
            SignInStep::Failed { why } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("another WeChat account"), "{why}");
    assert_eq!(stage.world.stats().sessions, 0, "their phone shows that they are signed in");
    assert_eq!(stage.double.state().chats.len(), chats);
    stage.sign_in().await;
    stage.no_violation();
}

/// Somebody is renamed and their version moves while nobody looks, and little else is known of them.
async fn away_and_made_over(stage: &mut Stage, who: Who) {
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    stage.advance(Duration::from_secs(40 * 24 * 3600));
    let name = "Somebody else".to_owned();
    let renamed = Change::Rename { who: who.to_string(), name: name.clone() };
    stage.world.change(ALICE, &renamed).unwrap();
    stage.world.change(ALICE, &Change::Signature { who: who.to_string(), text: name }).unwrap();
}

/// The chats of somebody who was made over, before and after.
pub(crate) async fn unclear(stage: &mut Stage) -> (ChatKey, ChatKey) {
    let who = Who::Contact(5);
    let old = stage.chat(who);
    away_and_made_over(stage, who).await;
    stage.sign_in().await;
    let post = stage.post(stage.say(who, who, "it is me")).await;
    (old, post.chat.chat)
}

pub(crate) async fn ask(stage: &Stage, request: Request) -> Result<Answer, CommandError> {
    let (answer, mut answers) = tokio::sync::mpsc::channel(1);
    stage.order(wxgate_contract::Order::Ask(wxgate_contract::Ask { request, answer })).await;
    tokio::time::timeout(crate::stage::PATIENCE, answers.recv()).await.expect("in time").expect("an answer")
}

pub(crate) async fn questions(stage: &Stage) -> Vec<wxgate_contract::Question> {
    match ask(stage, Request::Questions).await {
        Ok(Answer::Questions(questions)) => questions,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn faces_are_told_to_ask_when_a_chat_that_is_open_first_speaks_and_not_again() {
    let mut stage = Stage::online().await;
    let who = Who::Contact(5);
    let old = stage.chat(who);
    away_and_made_over(&mut stage, who).await;
    stage.sign_in().await;
    assert_eq!(questions(&stage).await, [], "there is nothing to ask when the account comes up");
    let mut feed = stage.double.subscribe();
    let mut asked = || {
        let mut count = 0;
        while let Ok(event) = feed.try_recv() {
            count += usize::from(matches!(event, FeedEvent::Asks(network) if network == stage.network()));
        }
        count
    };
    let anna = Who::Contact(0);
    stage.post(stage.say(anna, anna, "who I am is known")).await;
    assert_eq!(asked(), 0);
    stage.post(stage.say(who, who, "it is me")).await;
    stage.post(stage.say(anna, anna, "what came before is told by now")).await;
    assert_eq!(asked(), 1);
    assert_eq!(questions(&stage).await.len(), 1);
    stage.post(stage.say(who, who, "it is still me")).await;
    stage.post(stage.say(anna, anna, "and again")).await;
    assert_eq!(asked(), 0);
    // Who speaks to the old chat hears what to do.
    let outcome = stage.deliver(&stage.delivery(&old, Body::text("are you there?"))).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("identity")), "{outcome:?}");
}

#[tokio::test]
async fn the_picture_of_whoever_wrote_is_still_there_when_it_is_asked_who_they_are() {
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    let tune = |config: &mut wxgate_wechat::WechatConfig| {
        config.timings.look_for_pictures = Duration::from_millis(20);
    };
    // With a permanent name nobody would be asked.
    let config = WorldConfig { permanent_ids: false, ..world_config() };
    let mut stage = Stage::tuned(config, &account, tune).await;
    stage.sign_in().await;
    let who = Who::Contact(5);
    let post = stage.post(stage.say(who, who, "before")).await;
    // Nobody looks at it in this login.
    let mine = wxgate_contract::MediaOwner::Network(stage.network());
    stage.until(|| stage.double.has_media_of(&mine)).await;
    let (old, open) = unclear(&mut stage).await;
    assert_eq!(old, post.chat.chat);
    let picture = |chat: &ChatKey| Request::Avatar(wxgate_contract::Subject::Chat(chat.clone()));
    let Ok(Answer::Media(Some(kept))) = ask(&stage, picture(&old)).await else { panic!("it is gone") };
    assert!(!stage.ready(kept).await.is_empty());
    let now = ask(&stage, picture(&open)).await;
    assert!(matches!(now, Ok(Answer::Media(Some(now))) if now != kept), "{now:?}");
    // What is here is shown while the account is signed out too.
    stage.order(wxgate_contract::Order::SignOut).await;
    stage.health(|health| health.is_signed_out()).await;
    assert_eq!(ask(&stage, picture(&old)).await, Ok(Answer::Media(Some(kept))));
    stage.no_violation();
    stage.stop().await;
}

#[tokio::test]
async fn a_chat_of_which_nobody_knows_who_it_is_stands_apart_until_the_owner_says() {
    let mut stage = Stage::online().await;
    assert_eq!(questions(&stage).await, []);
    let (old, open) = unclear(&mut stage).await;
    assert_ne!(open, old, "no delivery into an old chat");
    let title = stage.double.state().chats.values().find(|chat| chat.chat == open).unwrap().title.clone();
    assert!(title.ends_with("(unconfirmed)"), "{title}");
    let asked = questions(&stage).await;
    assert_eq!(asked.len(), 1, "nothing is asked about silent chats");
    assert_eq!(asked[0].chat, open);
    assert!(asked[0].candidates.iter().any(|of| of.chat == old && !of.evidence.is_empty()), "{asked:?}");
    let nobody = Request::Resolve { chat: open.clone(), same_as: Some("p-nobody".into()) };
    assert!(matches!(ask(&stage, nobody).await, Err(CommandError::Refused(_))));

    let same = Request::Resolve { chat: open.clone(), same_as: Some(old.clone()) };
    assert_eq!(ask(&stage, same).await, Ok(Answer::Done));
    let follows = stage.double.state().follows.clone();
    assert_eq!(follows, [(stage.network(), open.clone(), old.clone())], "links made meanwhile go along");
    assert_eq!(questions(&stage).await, []);
    let moved: Vec<_> = stage
        .double
        .state()
        .posts
        .iter()
        .filter(|(_, _, post)| post.chat.chat == old && post.body == wxgate_contract::Body::text("it is me"))
        .cloned()
        .collect();
    assert_eq!(moved.len(), 1, "what was said meanwhile moved on");
    let contacts = |key: &ChatKey| {
        let state = stage.double.state();
        state.people.values().filter(|p| p.person.as_str() == key.as_str() && p.is_contact).count()
    };
    assert_eq!([contacts(&old), contacts(&open)], [1, 0], "two contacts");
    let who = Who::Contact(5);
    let post = stage.post(stage.say(who, who, "again")).await;
    assert_eq!(post.chat.chat, old);
    let delivery = stage.delivery(&old, wxgate_contract::Body::text("answer"));
    assert!(matches!(stage.deliver(&delivery).await, wxgate_contract::Outcome::Sent { .. }));

    new_login(&mut stage).await;
    let post = stage.post(stage.say(who, who, "after another login")).await;
    assert_eq!(post.chat.chat, old, "the answer is final");
    stage.no_violation();
}

#[tokio::test]
async fn somebody_new_keeps_the_chat_and_loses_the_mark() {
    let mut stage = Stage::online().await;
    let (old, open) = unclear(&mut stage).await;
    let new = Request::Resolve { chat: open.clone(), same_as: None };
    assert_eq!(ask(&stage, new).await, Ok(Answer::Done));
    let who = Who::Contact(5);
    let post = stage.post(stage.say(who, who, "again")).await;
    assert_eq!(post.chat.chat, open);
    let title = stage.double.state().chats.values().find(|chat| chat.chat == open).unwrap().title.clone();
    assert_eq!(title, "Somebody else");
    assert_ne!(open, old);
    new_login(&mut stage).await;
    let post = stage.post(stage.say(who, who, "after another login")).await;
    assert_eq!(post.chat.chat, open);
}

#[tokio::test]
async fn that_somebody_is_new_can_be_taken_back_and_is_asked_again() {
    let mut stage = Stage::online().await;
    let (old, open) = unclear(&mut stage).await;
    let new = Request::Resolve { chat: open.clone(), same_as: None };
    assert_eq!(ask(&stage, new).await, Ok(Answer::Done));
    let who = Who::Contact(5);
    stage.post(stage.say(who, who, "while they were new")).await;
    assert_eq!(ask(&stage, Request::Undo(open.clone())).await, Ok(Answer::Done));
    let title = |stage: &Stage, of: &ChatKey| {
        stage.double.state().chats.values().find(|chat| chat.chat == *of).map(|chat| chat.title.clone())
    };
    assert_eq!(title(&stage, &open).as_deref(), Some("Somebody else (unconfirmed)"));
    let asked = questions(&stage).await;
    assert!(asked.len() == 1 && asked[0].candidates.iter().any(|of| of.chat == old), "{asked:?}");
    // What is asked and not answered cannot be taken back.
    assert!(matches!(ask(&stage, Request::Undo(open.clone())).await, Err(CommandError::Refused(_))));

    let same = Request::Resolve { chat: open.clone(), same_as: Some(old.clone()) };
    assert_eq!(ask(&stage, same).await, Ok(Answer::Done));
    let texts: Vec<_> = {
        let state = stage.double.state();
        let moved = state.posts.iter().filter(|(_, _, post)| post.chat.chat == old);
        moved.map(|(_, _, post)| post.body.clone()).collect()
    };
    let said = ["it is me", "while they were new"].map(wxgate_contract::Body::text);
    assert_eq!(texts, said, "in the order in which it was said");
    assert_eq!(questions(&stage).await, []);
    let post = stage.post(stage.say(who, who, "again")).await;
    assert_eq!(post.chat.chat, old);
    stage.no_violation();
}

#[tokio::test]
async fn an_answer_can_be_looked_at_and_taken_back() {
    let mut stage = Stage::online().await;
    let (old, open) = unclear(&mut stage).await;
    let same = Request::Resolve { chat: open.clone(), same_as: Some(old.clone()) };
    assert_eq!(ask(&stage, same).await, Ok(Answer::Done));
    assert!(matches!(ask(&stage, Request::Why(old.clone())).await, Ok(Answer::Text(_))));
    assert_eq!(ask(&stage, Request::Undo(old.clone())).await, Ok(Answer::Done));
    let who = Who::Contact(5);
    let post = stage.post(stage.say(who, who, "again")).await;
    assert_eq!(post.chat.chat, open, "the record goes by its own chat again");
    new_login(&mut stage).await;
    let post = stage.post(stage.say(who, who, "after another login")).await;
    assert_eq!(post.chat.chat, open);
}

#[tokio::test]
async fn a_recall_answers_the_question_by_itself() {
    let mut stage = Stage::online().await;
    let who = Who::Contact(5);
    let (msg_id, old) = {
        let msg_id = stage.say(who, who, "oops");
        (msg_id, stage.post(msg_id).await.chat.chat)
    };
    let recall = stage.said(who, who, wxgate_simulator::Kind::Recall { msg_id });
    stage.post(recall).await;
    let (_, open) = unclear(&mut stage).await;
    assert_ne!(open, old);
    let msg_id = stage.say(who, who, "oops");
    stage.post(msg_id).await;
    let recall = stage.said(who, who, wxgate_simulator::Kind::Recall { msg_id });
    stage.post(recall).await;
    stage
        .wait(|state| {
            let says = |(_, _, post): &&(_, _, wxgate_contract::Post)| {
                post.chat.chat == old && post.body == wxgate_contract::Body::text("it is me")
            };
            state.posts.iter().find(says).map(|_| ())
        })
        .await;
    assert_eq!(questions(&stage).await, []);
}

#[tokio::test]
async fn a_proof_that_a_crash_cut_off_is_taken_in_by_the_next_run() {
    // Nothing but the recalls shows permanent names.
    let config = WorldConfig { permanent_ids: false, ..world_config() };
    let mut stage = Stage::of(config, &AccountSpec::new(ALICE, 0, 12, 3)).await;
    stage.sign_in().await;
    let who = Who::Contact(5);
    let msg_id = stage.say(who, who, "oops");
    let old = stage.post(msg_id).await.chat.chat;
    let recall = stage.said(who, who, Kind::Recall { msg_id });
    stage.post(recall).await;
    let (_, open) = unclear(&mut stage).await;
    assert_ne!(open, old);
    let msg_id = stage.say(who, who, "oops");
    stage.post(msg_id).await;
    // The first thing that the proof does is to move what was said.
    stage.double.state().bug = Some(Bug::CommitOf("it is me".to_owned()));
    let recall = stage.said(who, who, Kind::Recall { msg_id });
    stage.post(recall).await;
    stage.until(|| stage.double.state().bug.is_none()).await;
    stage.start();
    stage.up().await;
    let moved = |state: &mut State| {
        let says =
            |(_, _, post): &&(_, _, Post)| post.chat.chat == old && post.body == Body::text("it is me");
        state.posts.iter().find(says).map(|_| ())
    };
    stage.wait(moved).await;
    assert_eq!(questions(&stage).await, []);
    assert_eq!(stage.post(stage.say(who, who, "later")).await.chat.chat, old);
    let is_left = stage.double.state().notes.keys().any(|(_, key)| key.starts_with("who/shown/"));
    assert!(!is_left, "it would be taken in at each start");
    stage.no_violation();
}

#[tokio::test]
async fn a_namesake_of_somebody_who_left_is_somebody_else() {
    let mut stage = Stage::online().await;
    let who = Who::Contact(5);
    let (old, name) = (stage.chat(who), stage.world.nick(ALICE, who).unwrap());
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    stage.world.change(ALICE, &Change::Remove { who: who.to_string() }).unwrap();
    stage.world.change(ALICE, &Change::AddContact { name }).unwrap();
    stage.sign_in().await;
    let newcomer = Who::Contact(12);
    let post = stage.post(stage.say(newcomer, newcomer, "hello")).await;
    assert_ne!(post.chat.chat, old);
}

#[tokio::test]
async fn who_speaks_before_the_contacts_can_be_read_is_who_they_were() {
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    let mut stage = Stage::tuned(world_config(), &account, |config| {
        config.timings.unasked_sync = Duration::from_millis(50);
    })
    .await;
    stage.sign_in().await;
    let (anna, group) = (Who::Contact(0), Who::Group(0));
    let before = [stage.chat(anna), stage.chat(group)];
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    let unreadable = FaultRule::next("webwxgetcontact", Fault::Status(502), 1);
    stage.world.add_fault(FaultRule { count: None, ..unreadable });
    stage.enter().await;
    let early = [stage.say(anna, anna, "early"), stage.say(group, Who::Stranger(0, 2), "early too")];
    let mut stand_ins = Vec::new();
    for (said, before) in early.into_iter().zip(&before) {
        let chat = stage.post(said).await.chat.chat;
        assert_ne!(chat, *before, "nobody can know yet");
        stand_ins.push(chat);
    }
    stage.world.clear_faults();
    stage.up().await;
    assert_eq!(questions(&stage).await, []);
    for (at, who) in [anna, group].into_iter().enumerate() {
        let from = if who.is_group() { Who::Stranger(0, 2) } else { who };
        assert_eq!(stage.post(stage.say(who, from, "later")).await.chat.chat, before[at], "{who}");
        let state = stage.double.state();
        let said = |chat: &ChatKey| {
            let posts = state.posts.iter().filter(|(_, _, post)| post.chat.chat == *chat);
            posts.map(|(_, _, post)| post.body.clone()).collect::<Vec<_>>()
        };
        assert_eq!(said(&before[at]).len(), 2, "what was said meanwhile is here");
        let left = state.chats.values().find(|chat| chat.chat == stand_ins[at]).unwrap();
        assert!(left.is_gone, "{who}: two chats");
    }
    stage.no_violation();
}

#[tokio::test]
async fn a_recall_before_the_contacts_can_be_read_says_who_it_is_once_they_are() {
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    let mut stage = Stage::tuned(world_config(), &account, |config| {
        config.timings.unasked_sync = Duration::from_millis(50);
    })
    .await;
    stage.sign_in().await;
    let who = Who::Contact(5);
    let msg_id = stage.say(who, who, "oops");
    let before = stage.post(msg_id).await.chat.chat;
    let recall = stage.said(who, who, Kind::Recall { msg_id });
    stage.post(recall).await;
    let unreadable = FaultRule::next("webwxgetcontact", Fault::Status(502), 1);
    stage.world.add_fault(FaultRule { count: None, ..unreadable });
    away_and_made_over(&mut stage, who).await;
    stage.enter().await;
    let msg_id = stage.say(who, who, "early");
    let early = stage.post(msg_id).await.chat.chat;
    assert_ne!(early, before, "nobody can know yet");
    let recall = stage.said(who, who, Kind::Recall { msg_id });
    stage.post(recall).await;
    stage.world.clear_faults();
    stage.up().await;
    assert_eq!(questions(&stage).await, []);
    assert_eq!(stage.post(stage.say(who, who, "later")).await.chat.chat, before);
    let gone = stage.double.state().chats.values().any(|chat| chat.chat == early && chat.is_gone);
    assert!(gone, "two chats");
    stage.no_violation();
}

#[tokio::test]
async fn a_member_who_is_no_contact_keeps_the_key_over_a_new_login() {
    let mut stage = Stage::online().await;
    let author = |post: wxgate_contract::Post| match post.author {
        Author::Person { person, .. } => person,
        other => panic!("{other:?}"),
    };
    let say = |stage: &Stage| stage.say(Who::Group(0), Who::Stranger(0, 2), "from a stranger");
    let before = author(stage.post(say(&stage)).await);
    new_login(&mut stage).await;
    assert_eq!(author(stage.post(say(&stage)).await), before);
}

#[tokio::test]
async fn a_group_that_is_in_no_list_is_the_one_it_was_once_it_speaks_after_a_new_login() {
    let mut stage = Stage::of(world_config(), &AccountSpec::new(ALICE, 0, 12, 4)).await;
    stage.sign_in().await;
    let unlisted = Who::Group(3);
    let say = |stage: &Stage, text: &str| stage.say(unlisted, Who::Stranger(3, 2), text);
    let before = stage.post(say(&stage, "first")).await.chat.chat;
    let others = [Who::Contact(0), Who::Group(0)].map(|who| stage.chat(who));
    for login in 1..=2 {
        new_login(&mut stage).await;
        let text = format!("after login {login}");
        let early = stage.post(say(&stage, &text)).await.chat.chat;
        assert_ne!(early, before, "nobody can know yet");
        let moved = |state: &mut State| {
            let is_it =
                |(_, _, post): &&(_, _, Post)| post.chat.chat == before && post.body == Body::text(&text);
            let gone = state.chats.values().any(|chat| chat.chat == early && chat.is_gone);
            state.posts.iter().find(is_it).filter(|_| gone).map(|_| ())
        };
        stage.wait(moved).await;
        assert_eq!(stage.post(say(&stage, "later")).await.chat.chat, before);
        let delivery = stage.delivery(&before, Body::text("answer"));
        assert!(matches!(stage.deliver(&delivery).await, Outcome::Sent { .. }));
        for (who, chat) in [Who::Contact(0), Who::Group(0)].into_iter().zip(&others) {
            let from = if who.is_group() { Who::Stranger(0, 2) } else { who };
            assert_eq!(stage.post(stage.say(who, from, "still me")).await.chat.chat, *chat, "{who}");
        }
        assert_eq!(questions(&stage).await, []);
    }
    stage.no_violation();
}

#[tokio::test]
async fn what_is_sent_while_the_contacts_cannot_be_read_waits_for_them() {
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    let mut stage = Stage::tuned(world_config(), &account, |config| {
        config.timings.unasked_sync = Duration::from_millis(50);
    })
    .await;
    stage.sign_in().await;
    let chat = stage.chat(Who::Contact(0));
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    let unreadable = FaultRule::next("webwxgetcontact", Fault::Status(502), 1);
    stage.world.add_fault(FaultRule { count: None, ..unreadable });
    stage.enter().await;
    let delivery = stage.delivery(&chat, Body::text("answer"));
    let outcome = stage.deliver(&delivery).await;
    assert!(matches!(outcome, Outcome::TryLater { .. }), "{outcome:?}");
    stage.world.clear_faults();
    stage.up().await;
    assert!(matches!(stage.deliver(&delivery).await, Outcome::Sent { .. }));
    stage.no_violation();
}

#[tokio::test]
async fn what_one_answer_says_twice_of_somebody_is_kept_as_a_whole() {
    let config = WorldConfig { permanent_ids: false, ..world_config() };
    let mut stage = Stage::of(config, &AccountSpec::new(ALICE, 0, 12, 3)).await;
    stage.sign_in().await;
    let anna = Who::Contact(0);
    let said = stage.say(anna, anna, "oops");
    let key = stage.post(said).await.chat.chat;
    let kept = |stage: &Stage| -> serde_json::Value {
        let note = (stage.network(), format!("who/p/{key}"));
        serde_json::from_slice(stage.double.state().notes.get(&note).unwrap()).unwrap()
    };
    let before = kept(&stage);
    let away = FaultRule::next("webwxsync", Fault::Status(502), 1);
    stage.world.add_fault(FaultRule { count: None, ..away });
    let change = Change::Rename { who: anna.to_string(), name: "Anna anew".to_owned() };
    stage.world.change(ALICE, &change).unwrap();
    let recall = stage.said(anna, anna, Kind::Recall { msg_id: said });
    stage.world.clear_faults();
    stage.post(recall).await;
    let after = kept(&stage);
    assert_ne!(after["sight"], before["sight"], "the new name");
    assert!(before.get("proof").is_none() && after["proof"].is_u64(), "what the recall showed: {after}");
}
