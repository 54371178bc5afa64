//! What people ask of the bot and the bot of accounts, without an account.

use serde_json::{Value, json};
use wxgate_contract::conformance::State;
use wxgate_contract::{
    Answer, Body, Candidate, Command, CommandError, Fate, FeedEvent, Health, Job, Marker, Marking, Post,
    PostId, Question, Report, Request, SignInStep, Verdict,
};

use super::scene::{ACCOUNT, ALICE, Scene, by, post};
use super::stub::PATIENCE;

const BOT: &str = "@wechatbot:test";
const DESK: &str = "!desk";

/// A private chat of somebody with the bot, who has said something in it.
pub(crate) async fn desk(scene: &Scene, user_id: &str, room_id: &str) {
    scene.stub().human(user_id);
    scene.stub().wait_for(|world| world.users.contains_key(BOT).then_some(())).await;
    scene.stub().invite(user_id, room_id, BOT);
    scene.stub().wait_for(|world| world.is_in(room_id, BOT).then_some(())).await;
    ask(scene, user_id, room_id, json!({ "body": "version" })).await;
}

/// Says something to the bot and gives its answer.
async fn ask(scene: &Scene, user_id: &str, room_id: &str, mut content: Value) -> String {
    content["msgtype"] = json!("m.text");
    let asked = scene.stub().send(user_id, room_id, "m.room.message", content);
    let answer = scene.stub().wait_for(|world| {
        let all = world.events(room_id, "m.room.message");
        let to =
            |event: &&Value| event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == asked.as_str();
        all.iter().filter(|event| event["sender"] == BOT).find(to).cloned()
    });
    answer.await["content"]["body"].as_str().unwrap().to_owned()
}

fn says(text: &str) -> Value {
    json!({ "body": text })
}

fn friend_request(id: &str) -> Post {
    let body = Body::FriendRequest { name: "新 <b>".to_owned(), greeting: "我是新".to_owned() };
    post("fmessage", id, by("fmessage", ""), body)
}

fn asked_of_accounts(scene: &Scene) -> Vec<Request> {
    let state = scene.double.state();
    let asked = state.commands.iter().filter_map(|command| match command {
        Command::Ask { account, request } => {
            assert_eq!(account.as_str(), ACCOUNT);
            Some(request.clone())
        }
        _ => None,
    });
    asked.filter(|request| !matches!(request, Request::Avatar(_))).collect()
}

#[tokio::test]
async fn a_friend_request_is_a_card_at_the_desk_and_answered_there_once() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    desk(&scene, "@bob:test", "!bobs").await;
    scene.double.state().answer = Some(Answer::Done);
    let ids = scene.deliver(friend_request("r1")).await;
    let card = scene.stub().world().events(DESK, "m.room.message").pop().unwrap();
    assert_eq!(card["event_id"], ids[0].as_str());
    let html = card["content"]["formatted_body"].as_str().unwrap();
    assert!(html.contains("新 &lt;b&gt;") && html.contains("我是新"), "{html}");
    let number = card["content"]["wxgate.request"].as_str().unwrap();
    assert!(html.contains(&format!("<code>accept {number}</code>")), "{html}");
    let foreign = ask(&scene, "@bob:test", "!bobs", says(&format!("accept {number}"))).await;
    assert!(foreign.contains("no request of that number"), "{foreign}");
    let nothing = ask(&scene, ALICE, DESK, says("accept")).await;
    assert!(nothing.contains("Which request?"), "{nothing}");
    let reply = json!({ "body": "accept", "m.relates_to": { "m.in_reply_to": { "event_id": ids[0] } } });
    let answer = ask(&scene, ALICE, DESK, reply.clone()).await;
    assert_eq!(answer, "新 <b> is your contact now.");
    let befriend = Request::Befriend { request: "r1".into(), verdict: Verdict::Accept };
    assert_eq!(asked_of_accounts(&scene), [befriend]);
    let again = ask(&scene, ALICE, DESK, reply).await;
    assert!(again.contains("no request of that number"), "{again}");
    scene.end().await;
}

#[tokio::test]
async fn a_friend_request_without_a_desk_is_answered_in_its_chat_also_after_a_restart() {
    let scene = Scene::start().await;
    scene.double.state().answer = Some(Answer::Done);
    scene.deliver(friend_request("r1")).await;
    let room_id = scene.stub().world().room_of("wechat_alice_fmessage").unwrap();
    scene.stub().join(ALICE, &room_id);
    let card = scene.stub().world().events(&room_id, "m.room.message").pop().unwrap();
    let number = card["content"]["wxgate.request"].as_str().unwrap().to_owned();
    let body = card["content"]["body"].as_str().unwrap();
    assert!(body.contains(&format!("`!wx decline {number}`")), "{body}");
    let scene = scene.restart().await;
    let answer = ask(&scene, ALICE, &room_id, says(&format!("!wx decline {number}"))).await;
    assert_eq!(answer, "The request of 新 <b> was declined.");
    let befriend = Request::Befriend { request: "r1".into(), verdict: Verdict::Decline };
    assert_eq!(asked_of_accounts(&scene), [befriend]);
    scene.end().await;
}

#[tokio::test]
async fn a_request_that_was_refused_can_be_answered_again() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    scene.deliver(friend_request("r1")).await;
    let card = scene.stub().world().events(DESK, "m.room.message").pop().unwrap();
    let number = card["content"]["wxgate.request"].as_str().unwrap();
    // The account is away: the double knows no answer.
    let failed = ask(&scene, ALICE, DESK, says(&format!("accept {number}"))).await;
    assert!(failed.contains("I could not do that"), "{failed}");
    scene.double.state().answer = Some(Answer::Done);
    let done = ask(&scene, ALICE, DESK, says(&format!("accept #{number}"))).await;
    assert!(done.contains("your contact now"), "{done}");
    scene.end().await;
}

#[tokio::test]
async fn open_questions_are_shown_with_their_evidence_and_answered_by_number() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    let room_id = scene.open_group().await;
    let early = ask(&scene, ALICE, DESK, says("same 1 1")).await;
    assert!(early.contains("no question of that number"), "{early}");
    let candidate = |chat: &str, title: &str, evidence: &str| Candidate {
        chat: chat.into(),
        title: title.to_owned(),
        evidence: evidence.to_owned(),
    };
    let candidates =
        vec![candidate("g1", "Family", "the same name"), candidate("g2", "Familie", "8 members")];
    let question = Question { chat: "open1".into(), title: "Family (unconfirmed)".to_owned(), candidates };
    scene.double.state().answer = Some(Answer::Questions(vec![question]));
    let shown = ask(&scene, ALICE, DESK, says("resolve")).await;
    assert!(shown.contains("1. Family (unconfirmed)"), "{shown}");
    assert!(shown.contains("2) Familie: 8 members") && shown.contains(&room_id), "{shown}");
    scene.double.state().answer = Some(Answer::Done);
    let wrong = ask(&scene, ALICE, DESK, says("same 1 3")).await;
    assert!(wrong.contains("no candidate"), "{wrong}");
    let noted = ask(&scene, ALICE, DESK, says("same 1 2")).await;
    assert!(noted.starts_with("Noted"), "{noted}");
    ask(&scene, ALICE, DESK, says("new 1")).await;
    scene.double.state().answer = Some(Answer::Text("because of its name".to_owned()));
    let why = ask(&scene, ALICE, &room_id, says("!wx why")).await;
    assert_eq!(why, "This chat: because of its name");
    let undone = ask(&scene, ALICE, DESK, says("undo family")).await;
    assert!(undone.contains("Undone"), "{undone}");
    let resolve =
        |same_as: Option<&str>| Request::Resolve { chat: "open1".into(), same_as: same_as.map(Into::into) };
    let expected = [
        Request::Questions,
        resolve(Some("g2")),
        resolve(None),
        Request::Why("g1".into()),
        Request::Undo("g1".into()),
    ];
    assert_eq!(asked_of_accounts(&scene), expected);
    scene.end().await;
}

#[tokio::test]
async fn markers_are_listed_put_and_taken_by_name_in_a_room_and_for_everybody() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    let room_id = scene.open_group().await;
    scene.double.state().answer = Some(Answer::Markers(Vec::new()));
    assert_eq!(ask(&scene, ALICE, DESK, says("marker")).await, "No contact has a marker.");
    let marker = |at: u32, wanted: &str| Marker {
        chat: format!("p{at}").into(),
        title: format!("Bob {at}"),
        state: "WeChat did not keep it".to_owned(),
        wanted: wanted.to_owned(),
    };
    let many = (0..31).map(|at| marker(at, if at == 0 { "Bob <0> ·a1b2c3" } else { "" })).collect();
    scene.double.state().answer = Some(Answer::Markers(many));
    let list = ask(&scene, ALICE, DESK, says("marker")).await;
    let first = "Bob 0: WeChat did not keep it; the remark to type: `Bob <0> ·a1b2c3`";
    assert!(list.contains(first) && list.contains("Bob 29: WeChat did not keep it"), "{list}");
    assert!(!list.contains("Bob 30") && list.contains("And 1 more."), "{list}");

    scene.double.state().answer = Some(Answer::Text("it is written".to_owned()));
    assert_eq!(ask(&scene, ALICE, DESK, says("marker put family")).await, "Family: it is written");
    assert_eq!(ask(&scene, ALICE, &room_id, says("!wx marker take")).await, "This chat: it is written");
    let all = ask(&scene, ALICE, DESK, says("marker PUT all")).await;
    assert!(all.ends_with("alice: it is written"), "{all}");
    // What is not understood, or meant for nobody, asks no account.
    let unknown = ask(&scene, ALICE, DESK, says("marker give family")).await;
    assert!(unknown.starts_with("Say `marker put <name or id>`"), "{unknown}");
    let nobody = ask(&scene, ALICE, DESK, says("marker put somebody else")).await;
    assert_eq!(nobody, "Nobody and no group has that name.");
    ask(&scene, ALICE, DESK, says("marker take")).await;
    // An account that cannot answer is told of beside the others.
    scene.double.state().answer = None;
    let trouble = ask(&scene, ALICE, DESK, says("marker take all")).await;
    assert!(trouble.contains("alice: ") && !trouble.contains("it is written"), "{trouble}");

    let mark = |chats: &[&str], marking| Request::Mark {
        chats: chats.iter().map(|chat| (*chat).into()).collect(),
        marking,
    };
    let expected = [
        Request::Markers,
        Request::Markers,
        mark(&["g1"], Marking::Put),
        mark(&["g1"], Marking::Take),
        mark(&[], Marking::Put),
        mark(&[], Marking::Take),
    ];
    assert_eq!(asked_of_accounts(&scene), expected);
    scene.end().await;
}

#[tokio::test]
async fn a_group_is_made_of_people_by_name_and_has_its_room_at_once() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    for (text, told) in [
        ("create-group Trip Bob", "say `create-group"),
        ("create-group Trip: ,", "Say `create-group"),
        ("create-group Trip: Bob, Nobody", "Nobody and no group"),
        ("create-group Trip: Bob, Family", "Family is a group."),
    ] {
        let answer = ask(&scene, ALICE, DESK, says(text)).await;
        assert!(answer.to_lowercase().contains(&told.to_lowercase()), "{text}: {answer}");
    }
    assert_eq!(asked_of_accounts(&scene), []);
    let made = super::scene::group("g9", "Trip", &["p-bob", "p-eve"]);
    scene.double.state().chats.insert((ACCOUNT.into(), "g9".into()), made);
    scene.double.state().answer = Some(Answer::Chat("g9".into()));
    let answer = ask(&scene, ALICE, DESK, says("create-group Trip： Bob， eve，bob")).await;
    let room_id = scene.stub().world().room_of("wechat_alice_g9").unwrap();
    assert!(answer.contains(&room_id), "{answer}");
    assert_eq!(scene.stub().world().membership(&room_id, ALICE), Some("invite"));
    let people = vec!["p-bob".into(), "p-eve".into()];
    assert_eq!(asked_of_accounts(&scene), [Request::Gather { people, title: "Trip".to_owned() }]);
    scene.end().await;
}

#[tokio::test]
async fn the_owner_is_told_once_that_something_is_to_be_settled() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    let open = |chat: &str| Question { chat: chat.into(), title: chat.to_owned(), candidates: Vec::new() };
    let told = |world: &mut super::stub::World| {
        world.texts(DESK).iter().filter(|(_, text)| text.contains("not settled who is who")).count()
    };
    let online = || scene.double.tell(FeedEvent::Health(ACCOUNT.into(), Health::Up.into()));
    let asks = |command: &&Command| matches!(command, Command::Ask { request: Request::Questions, .. });
    let asked = async |times: usize| {
        let often = |state: &mut State| (state.commands.iter().filter(asks).count() == times).then_some(());
        scene.double.wait_for(PATIENCE, often).await;
    };
    // When the account comes up nobody has spoken yet.
    scene.double.state().answer = Some(Answer::Questions(Vec::new()));
    let before = scene.double.state().commands.iter().filter(asks).count();
    online();
    asked(before + 1).await;
    scene.double.state().answer = Some(Answer::Questions(vec![open("a")]));
    scene.double.tell(FeedEvent::Asks(ACCOUNT.into()));
    scene.stub().wait_for(|world| (told(world) == 1).then_some(())).await;
    // The same again is no news, nor that another one is settled; one more is.
    online();
    asked(before + 3).await;
    scene.double.state().answer = Some(Answer::Questions(vec![open("a"), open("b")]));
    scene.double.tell(FeedEvent::Asks(ACCOUNT.into()));
    scene.stub().wait_for(|world| (told(world) == 2).then_some(())).await;
    let texts = scene.stub().texts(DESK);
    assert!(texts.last().unwrap().1.contains("in 2 of its chats"), "{texts:?}");
    let is_kept = |state: &mut State| {
        let kept = state.notes.iter().find(|((_, key), _)| key.starts_with("asked/"));
        kept.is_some_and(|(_, value)| value.contains(&b' ')).then_some(())
    };
    scene.double.wait_for(PATIENCE, is_kept).await;
    scene.double.state().answer = Some(Answer::Questions(vec![open("b")]));
    online();
    asked(before + 5).await;
    // What the desk says goes in order: it has said nothing about that.
    ask(&scene, ALICE, DESK, says("set")).await;
    assert_eq!(told(&mut scene.stub().world()), 2);
    scene.end().await;
}

#[tokio::test]
async fn the_owner_is_told_once_what_became_of_an_account_and_when_it_is_back() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    let tell = |scene: &Scene, health: Health| {
        for view in &mut scene.double.state().accounts {
            view.health = health.clone();
        }
        scene.double.tell(FeedEvent::Health(ACCOUNT.into(), health.into()));
    };
    let told = async |scene: &Scene, count: usize| -> Vec<String> {
        let of_it = |texts: Vec<(String, String)>| -> Vec<String> {
            texts.into_iter().map(|(_, text)| text).filter(|text| text.starts_with("alice")).collect()
        };
        let all = |world: &mut super::stub::World| {
            let texts = of_it(world.texts(DESK));
            (texts.len() >= count).then_some(texts)
        };
        scene.stub().wait_for(all).await
    };
    // That it works is no news for whoever has just begun.
    tell(&scene, Health::Up);
    tell(&scene, Health::signed_out(Some("the phone signed this account out")));
    let first = told(&scene, 1).await;
    assert_eq!(
        first,
        [
            "alice (alice) needs you: sign the account in again: the phone signed this account out. Its messages wait \
          at WeChat until then. Say `login alice` to sign it in."
        ]
    );
    // What was told is remembered behind the telling.
    let is_kept =
        |state: &mut State| state.notes.keys().any(|(_, key)| key.starts_with("told/")).then_some(());
    scene.double.wait_for(PATIENCE, is_kept).await;
    // The same again, the steps of a sign-in and a restart of ours are none.
    tell(&scene, Health::signed_out(Some("the phone signed this account out")));
    tell(&scene, Health::NeedsHuman { step: "scan the code with the phone".to_owned() });
    tell(&scene, Health::Starting);
    let scene = scene.restart().await;
    // It listens again.
    ask(&scene, ALICE, DESK, says("set")).await;
    tell(&scene, Health::signed_out(Some("the phone signed this account out")));
    tell(&scene, Health::Up);
    assert_eq!(told(&scene, 2).await[1..], ["alice is online again."]);
    tell(&scene, Health::Degraded { why: "WeChat cannot be reached; still trying".to_owned() });
    let third = told(&scene, 3).await;
    assert_eq!(
        third[2..],
        ["alice (alice) is in trouble and tries again: WeChat cannot be reached; still trying."]
    );
    tell(&scene, Health::Up);
    assert_eq!(told(&scene, 4).await.len(), 4);
    // Who was told that messages are not affected hears when they are.
    tell(&scene, Health::Limited { why: "names may be missing; messages are not affected".to_owned() });
    told(&scene, 5).await;
    tell(&scene, Health::Degraded { why: "WeChat cannot be reached; still trying".to_owned() });
    assert!(told(&scene, 6).await[5].contains("cannot be reached"));
    tell(&scene, Health::Up);
    told(&scene, 7).await;
    // The phone is asked by itself, and in vain; then the account is refused.
    let ended = "WeChat ended the session";
    tell(&scene, Health::Starting);
    tell(&scene, Health::NeedsHuman { step: format!("{ended}; confirm the sign-in on the phone") });
    told(&scene, 8).await;
    tell(
        &scene,
        Health::signed_out(Some("WeChat ended the session, and the phone did not confirm a new sign-in")),
    );
    told(&scene, 9).await;
    tell(&scene, Health::Down { why: "WeChat refused: 1203 (this account may not use the web)".to_owned() });
    assert_eq!(
        told(&scene, 10).await[7..],
        [
            "alice (alice) needs you: WeChat ended the session; confirm the sign-in on the phone.",
            "alice (alice) needs you: sign the account in again: WeChat ended the session, and the phone did not \
             confirm a new sign-in. Its messages wait at WeChat until then. Say `login alice` to sign it in.",
            "alice (alice) is offline: WeChat refused: 1203 (this account may not use the web). Say `login alice` to \
             try again.",
        ]
    );
    // From now on in another language, where the sentence is one of ours.
    ask(&scene, ALICE, DESK, says("set language chinese")).await;
    tell(&scene, Health::Up);
    assert_eq!(told(&scene, 11).await[10], "alice 已恢复在线。");
    tell(&scene, Health::Down { why: "不能登录网页微信".to_owned() });
    assert_eq!(
        told(&scene, 12).await[11],
        "alice（alice）不可用：不能登录网页微信。输入 `login alice` 重试。"
    );
    scene.end().await;
}

/// What the web pages ask and order, for all accounts of whoever owns the one that is named.
#[tokio::test]
async fn what_is_chosen_elsewhere_is_what_the_bot_lists() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    let choose = async |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        scene.ask(Request::Choose { account: ACCOUNT.into(), name, value }).await
    };
    assert_eq!(choose("recalls", "keep").await, Ok(Answer::Done));
    let list = ask(&scene, ALICE, DESK, says("set")).await;
    assert!(list.contains("`set recalls keep`"), "{list}");
    ask(&scene, ALICE, DESK, says("set edits replace")).await;
    let Ok(Answer::Choices(choices)) = scene.ask(Request::Choices(ACCOUNT.into())).await else { panic!() };
    let chosen: Vec<_> = choices.iter().map(|choice| (choice.name.as_str(), choice.value.as_str())).collect();
    let wanted = [
        ("recalls", "keep"),
        ("edits", "replace"),
        ("reactions", "say"),
        ("receipts", "on"),
        ("notices", "on"),
        ("language", "english"),
    ];
    assert_eq!(chosen, wanted);
    for (name, value) in [("recalls", "burn"), ("colour", "red")] {
        assert!(matches!(choose(name, value).await, Err(CommandError::Refused(_))), "{name} {value}");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_somebody_chose_holds_for_their_rooms_and_over_a_restart() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    desk(&scene, ALICE, DESK).await;
    let list = ask(&scene, ALICE, DESK, says("set")).await;
    assert!(list.contains("`set recalls remove`") && list.contains("`set receipts on`"), "{list}");
    for (text, told) in [
        ("set colour", "There is no option colour"),
        ("set edits", "`set edits quote`: an edit is said in WeChat as an answer to the old message (now)"),
        ("set edits never", "For edits you can say:"),
        ("set recalls keep", "From now on: it stays, and I say that it was recalled."),
        ("set edits replace", "From now on: within two minutes"),
        ("set reactions drop", "From now on: reactions stay in the room."),
        ("set receipts off", "From now on: I do not."),
    ] {
        let answer = ask(&scene, ALICE, DESK, says(text)).await;
        assert!(answer.contains(told), "{text}: {answer}");
    }
    let scene = scene.restart().await;
    // A recall of WeChat's stays, with a word about it.
    let ids = scene.deliver(post("g1", "1", by("p-bob", "Bob"), Body::text("said too soon"))).await;
    let mut recall = scene.delivery(post("g1", "2", by("p-bob", "Bob"), Body::text("")));
    recall.job = Job::Recall { remote_ids: vec![ids[0].as_str().into()], post: PostId(2) };
    scene.hand(&recall).await;
    scene.outcome(recall.id, 0).await;
    let world = scene.stub().world().events(&room_id, "m.room.redaction");
    assert!(world.is_empty(), "{world:?}");
    assert_eq!(scene.stub().texts(&room_id).pop().unwrap().1, "This message was recalled.");
    // A reaction does not cross, and an edit takes the place of what it edits, again and again.
    let stub = scene.stub().clone();
    let first = stub.say(ALICE, &room_id, "at seven");
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": ids[0], "key": "👍" } });
    stub.send(ALICE, &room_id, "m.reaction", reaction);
    let edit = |text: &str| {
        let relates = json!({ "rel_type": "m.replace", "event_id": first });
        let new = json!({ "msgtype": "m.text", "body": text });
        let content =
            json!({ "msgtype": "m.text", "body": "* x", "m.new_content": new, "m.relates_to": relates });
        stub.send(ALICE, &room_id, "m.room.message", content)
    };
    let second = edit("at eight");
    scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 3).then_some(())).await;
    // Which event stands for the message now is not forgotten.
    let scene = scene.kill().await;
    let third = edit("at nine");
    let posts =
        scene.double.wait_for(PATIENCE, |state| (state.posts.len() == 5).then(|| state.posts.clone())).await;
    let posts: Vec<Post> = posts.into_iter().map(|(_, _, post)| post).collect();
    let recalls = |id: &str| Body::Recall { target: Some(id.into()), notice: String::new() };
    let bodies: Vec<Body> = posts.iter().map(|post| post.body.clone()).collect();
    let nine = Body::text("at nine");
    let wanted = [Body::text("at seven"), recalls(&first), Body::text("at eight"), recalls(&second), nine];
    assert_eq!(bodies, wanted);
    assert!(posts.iter().all(|post| post.quote.is_none()));
    assert_eq!(posts[4].remote_id.as_str(), third);
    // What was delivered is not marked; the recall of an earlier version is worth a word when it failed.
    let report = |remote_id: &str, fate| {
        let mut delivery = scene.delivery(post("g1", "x", by("p-bob", "Bob"), Body::text("")));
        delivery.job = Job::Report(Report {
            post: PostId(1),
            remote_id: remote_id.into(),
            fate,
            native_ids: Vec::new(),
        });
        delivery
    };
    let why = "it is too late".to_owned();
    for (id, fate) in [
        (first.as_str(), Fate::Said),
        (posts[1].remote_id.as_str(), Fate::Said),
        (posts[3].remote_id.as_str(), Fate::NotDelivered { why }),
    ] {
        let delivery = report(id, fate);
        scene.hand(&delivery).await;
        scene.outcome(delivery.id, 0).await;
    }
    assert_eq!(scene.stub().world().rooms[&room_id].receipts, []);
    // Taken back is what stands now.
    stub.send(ALICE, &room_id, "m.room.redaction", json!({ "redacts": first }));
    let last = |state: &mut State| state.posts.get(5).map(|(_, _, post)| post.body.clone());
    assert_eq!(scene.double.wait_for(PATIENCE, last).await, recalls(&third));
    let told = scene.stub().world().events(&room_id, "m.room.message").pop().unwrap();
    assert_eq!(
        told["content"]["body"],
        "The earlier version still stands in WeChat, because it is too late."
    );
    assert_eq!(told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], third.as_str());
    scene.end().await;
}

#[tokio::test]
async fn small_questions_have_plain_answers() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    desk(&scene, ALICE, DESK).await;
    for (text, told) in [
        ("list-groups", "Your groups:\n• Family (group) – its room"),
        ("groups nothing", "I know of no such group."),
        ("ping-matrix", "shown as said by somebody with your name"),
        ("logout-matrix", "I have no token of yours."),
        (
            "login-matrix token of @alice:test",
            "From now on what you say on the phone is shown as said by you.",
        ),
        ("ping-matrix", "with the token that you gave me"),
        ("logout-matrix", "I have forgotten your token"),
        ("ping-matrix", "shown as said by somebody with your name"),
        ("sync", "Your rooms are being brought up to date."),
        ("id", "Say that in the room of a WeChat chat."),
    ] {
        let answer = ask(&scene, ALICE, DESK, says(text)).await;
        assert!(answer.contains(told), "{text}: {answer}");
    }
    for (text, told) in [
        ("!wx id", "This room shows Family (`g1`) of your account alice. Only you speak here through it."),
        ("!wx set-relay", "From now on everybody here with permission speaks"),
        ("!wx info", "Others with permission speak here through it."),
    ] {
        let answer = ask(&scene, ALICE, &room_id, says(text)).await;
        assert!(answer.contains(told), "{text}: {answer}");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_was_not_delivered_is_sent_again_when_its_author_asks() {
    let scene = Scene::start().await;
    let room_id = scene.open_group().await;
    let stub = scene.stub();
    let first = stub.say(ALICE, &room_id, "at seven");
    let answer = |user: &str, to: &str| {
        let relates = json!({ "m.in_reply_to": { "event_id": to } });
        let content = json!({ "msgtype": "m.text", "body": "!wx retry", "m.relates_to": relates });
        stub.send(user, &room_id, "m.room.message", content)
    };
    let posts = async |count: usize| {
        let all = |state: &mut State| {
            (state.posts.len() == count).then(|| state.posts.iter().map(|(.., post)| post.clone()).collect())
        };
        scene.double.wait_for::<Vec<Post>>(PATIENCE, all).await
    };
    posts(1).await;
    let mut delivery = scene.delivery(post("g1", "x", by("p-bob", "Bob"), Body::text("")));
    let fate = Fate::NotDelivered { why: "the account is signed out".to_owned() };
    delivery.job = Job::Report(Report {
        post: PostId(1),
        remote_id: first.as_str().into(),
        fate,
        native_ids: Vec::new(),
    });
    scene.hand(&delivery).await;
    let told = |world: &mut super::stub::World| {
        let ends = |event: &Value| {
            event["content"]["body"].as_str().unwrap().ends_with("!wx retry to send it again.")
        };
        world.events(&room_id, "m.room.message").into_iter().rfind(ends)
    };
    let notice = stub.wait_for(told).await["event_id"].as_str().unwrap().to_owned();
    // An answer to the bot's words, and one to the try itself, which failed as well.
    let second = answer(ALICE, &notice);
    let third = answer(ALICE, &second);
    let posts = posts(3).await;
    let said: Vec<(&str, &Body)> = posts.iter().map(|post| (post.remote_id.as_str(), &post.body)).collect();
    let words = Body::text("at seven");
    assert_eq!(said, [(first.as_str(), &words), (second.as_str(), &words), (third.as_str(), &words)]);
    // Somebody else's words, and nothing.
    let of_bob = scene.deliver(post("g1", "2", by("p-bob", "Bob"), Body::text("mine"))).await;
    for (to, why) in [(of_bob[0].as_str(), "only whoever said it"), ("$none", "nothing was found")] {
        answer(ALICE, to);
        let refused = |world: &mut super::stub::World| {
            world.texts(&room_id).into_iter().find(|(_, text)| text.contains(why))
        };
        stub.wait_for(refused).await;
    }
    assert_eq!(scene.double.state().posts.len(), 3);
    scene.end().await;
}

#[tokio::test]
async fn giving_up_a_sign_in_ends_that_one_and_no_account_that_is_only_starting() {
    let scene = Scene::start().await;
    desk(&scene, ALICE, DESK).await;
    scene.double.add_account("alice", "pw", "wechat:resuming");
    for view in scene.double.state().accounts.iter_mut().filter(|view| view.network.name() == "resuming") {
        view.health = Health::Starting;
    }
    let nothing = ask(&scene, ALICE, DESK, says("cancel")).await;
    assert_eq!(nothing, "No sign-in is under way.");
    scene.double.set_sign_in(SignInStep::ShowQr { text: "https://login.example/x".to_owned(), number: 1 });
    let begun = ask(&scene, ALICE, DESK, says("login new")).await;
    assert!(begun.starts_with("Signing new in"), "{begun}");
    assert_eq!(ask(&scene, ALICE, DESK, says("cancel")).await, "The sign-in was given up.");
    assert_eq!(ask(&scene, ALICE, DESK, says("cancel")).await, nothing);
    let ended = |command: &Command| match command {
        Command::SignOut { account } => Some(account.name().to_owned()),
        _ => None,
    };
    let ended: Vec<String> = scene.double.state().commands.iter().filter_map(ended).collect();
    assert_eq!(ended, ["new"]);
    scene.end().await;
}
