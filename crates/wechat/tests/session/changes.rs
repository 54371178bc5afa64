//! What people ask of the account: groups, friend requests, pictures.

use tokio::sync::mpsc;
use wxgate_contract::{
    Answer, Ask, Body, ChatKey, CommandError, Health, MediaOwner, Order, Request, Subject, Verdict,
};
use wxgate_simulator::{AccountSpec, Change, Fault, FaultRule, Kind, Who};

use crate::stage::{ALICE, PATIENCE, Stage, world_config};

async fn ask(stage: &Stage, request: Request) -> Result<Answer, CommandError> {
    let (answer, mut answers) = mpsc::channel(1);
    stage.order(Order::Ask(Ask { request, answer })).await;
    answers.recv().await.unwrap()
}

#[tokio::test]
async fn a_group_gets_members_and_another_title() {
    let mut stage = Stage::online().await;
    let group = stage.chat(Who::Group(0));
    let person = stage.chat(Who::Contact(9)).as_str().into();
    let network = stage.network();
    let members = |stage: &Stage| {
        let state = stage.double.state();
        state
            .chats
            .get(&(network.clone(), group.clone()))
            .and_then(|chat| chat.members.clone())
            .unwrap_or_default()
    };
    let present = members(&stage).len();
    let bring = Request::Bring { group: group.clone(), people: vec![person], present };
    assert_eq!(ask(&stage, bring).await, Ok(Answer::Done));
    stage
        .wait(|state| {
            let chat = state.chats.get(&(network.clone(), group.clone()))?;
            (chat.members.as_ref()?.len() > present).then_some(())
        })
        .await;
    let retitle = Request::Retitle { group: group.clone(), title: "another title".to_owned() };
    assert_eq!(ask(&stage, retitle).await, Ok(Answer::Done));
    stage
        .wait(|state| {
            let chat = state.chats.get(&(network.clone(), group.clone()))?;
            (chat.title == "another title").then_some(())
        })
        .await;
    let empty = Request::Retitle { group: group.clone(), title: " ".to_owned() };
    assert!(matches!(ask(&stage, empty).await, Err(CommandError::Refused(_))));
    let nobody = Request::Bring { group: group.clone(), people: vec!["p-nobody".into()], present };
    assert!(matches!(ask(&stage, nobody).await, Err(CommandError::Refused(_))));
    let stranger = Request::Remove { group, people: vec!["p-nobody".into()] };
    assert!(matches!(ask(&stage, stranger).await, Err(CommandError::Refused(_))));
    stage.no_violation();
    stage.stop().await;
}

#[tokio::test]
async fn the_owner_of_a_group_removes_members() {
    let mut stage = Stage::online().await;
    let network = stage.network();
    // The simulated people own every sixth group, from the second on.
    let group = stage.chat(Who::Group(1));
    let members = stage.double.state().chats[&(network.clone(), group.clone())].members.clone().unwrap();
    let other = members.iter().find(|member| !member.is_self).unwrap().person.clone();
    let remove = Request::Remove { group: group.clone(), people: vec![other.clone()] };
    assert_eq!(ask(&stage, remove).await, Ok(Answer::Done));
    stage
        .wait(|state| {
            let members = state.chats.get(&(network.clone(), group.clone()))?.members.as_ref()?;
            (!members.iter().any(|member| member.person == other)).then_some(())
        })
        .await;
    let group = stage.chat(Who::Group(0));
    let members = stage.double.state().chats[&(network.clone(), group.clone())].members.clone().unwrap();
    let other = members.iter().find(|member| !member.is_self).unwrap().person.clone();
    let remove = Request::Remove { group, people: vec![other] };
    assert!(matches!(ask(&stage, remove).await, Err(CommandError::Refused(_))), "somebody else owns it");
    stage.stop().await;
}

#[tokio::test]
async fn a_group_is_left_for_good() {
    let mut stage = Stage::online().await;
    let (network, group) = (stage.network(), stage.chat(Who::Group(0)));
    assert_eq!(ask(&stage, Request::Leave { group: group.clone() }).await, Ok(Answer::Done));
    stage.wait(|state| state.chats.get(&(network.clone(), group.clone()))?.is_gone.then_some(())).await;
    let gone = Request::Leave { group };
    assert!(matches!(ask(&stage, gone).await, Err(CommandError::Refused(_))), "it was left already");
    let nowhere = Request::Leave { group: "g-nowhere".into() };
    assert!(matches!(ask(&stage, nowhere).await, Err(CommandError::Refused(_))));
    stage.no_violation();
    stage.stop().await;
}

#[tokio::test]
async fn a_friend_request_is_accepted_with_its_ticket() {
    let mut stage = Stage::online().await;
    let kind = Kind::FriendRequest { nick: "new".into(), greeting: "hi".into() };
    let post = stage.post(stage.said(Who::Contact(0), Who::Contact(0), kind)).await;
    assert!(matches!(post.body, Body::FriendRequest { .. }), "{post:?}");
    let befriend = |verdict| Request::Befriend { request: post.remote_id.clone(), verdict };
    assert_eq!(ask(&stage, befriend(Verdict::Accept)).await, Ok(Answer::Done));
    stage
        .wait(|state| {
            state.people.values().any(|person| person.nickname.starts_with("New friend")).then_some(())
        })
        .await;
    let unknown = Request::Befriend { request: "none".into(), verdict: Verdict::Decline };
    assert!(matches!(ask(&stage, unknown).await, Err(CommandError::Refused(_))));
    stage.no_violation();
    stage.stop().await;
}

#[tokio::test]
async fn requests_of_an_earlier_login_are_forgotten() {
    let mut stage = Stage::online().await;
    let kind = Kind::FriendRequest { nick: "new".into(), greeting: "hi".into() };
    stage.post(stage.said(Who::Contact(0), Who::Contact(0), kind)).await;
    let is_kept = |state: &wxgate_contract::conformance::State| {
        state.notes.keys().any(|(_, key)| key.starts_with("f/"))
    };
    assert!(is_kept(&stage.double.state()));
    crate::identity::new_login(&mut stage).await;
    stage.wait(|state| (!is_kept(state)).then_some(())).await;
    assert_eq!(ask(&stage, Request::FriendRequests).await, Ok(Answer::FriendRequests(Vec::new())));
    stage.stop().await;
}

#[tokio::test]
async fn a_group_that_one_is_removed_from_and_comes_back_to_is_one_chat() {
    for comes_at_once in [false, true] {
        let mut stage = Stage::online().await;
        let (group, member) = (Who::Group(0), Who::Stranger(0, 2));
        let (network, chat) = (stage.network(), stage.chat(group));
        let is_gone = |state: &wxgate_contract::conformance::State| {
            state.chats[&(network.clone(), chat.clone())].is_gone
        };
        if comes_at_once {
            stage.stop().await;
        }
        let removed = Change::RemoveMember { group: 0, who: "self".to_owned() };
        stage.world.change(ALICE, &removed).unwrap();
        if !comes_at_once {
            stage.wait(|state| is_gone(state).then_some(())).await;
        }
        let told = stage.said(group, member, Kind::system("你被\"A\"移出群聊"));
        if comes_at_once {
            stage.start();
        }
        assert_eq!(stage.post(told).await.chat.chat, chat, "at once: {comes_at_once}");
        assert!(is_gone(&stage.double.state()), "at once: {comes_at_once}");
        // One that makes us ask for the group: of one that we are not in nothing is told.
        let renamed = stage.said(group, member, Kind::system("\"A\"修改群名为“T”"));
        assert_eq!(stage.post(renamed).await.chat.chat, chat);
        assert!(is_gone(&stage.double.state()));

        let back = Change::AddMember { group: 0, who: "self".to_owned() };
        stage.world.change(ALICE, &back).unwrap();
        stage.wait(|state| (!is_gone(state)).then_some(())).await;
        assert_eq!(stage.post(stage.say(group, member, "welcome back")).await.chat.chat, chat);
        stage.no_violation();
        stage.stop().await;
    }
}

#[tokio::test]
async fn from_how_many_members_on_people_are_invited_is_what_the_service_says() {
    let config = wxgate_simulator::WorldConfig { invite_start: 9, ..world_config() };
    let mut stage = Stage::of(config, &AccountSpec::new(ALICE, 0, 12, 3)).await;
    stage.sign_in().await;
    // Also after a restart.
    for group in [0, 1] {
        let (who, group) = (Who::Contact(9), stage.chat(Who::Group(group)));
        let people = vec![stage.chat(who).as_str().into()];
        let answer = ask(&stage, Request::Bring { group, people, present: 8 }).await;
        assert_eq!(answer, Ok(Answer::Invited));
        stage.restart().await;
        stage.up().await;
    }
    stage.no_violation();
}

#[tokio::test]
async fn a_new_group_can_be_spoken_in_at_once() {
    let mut stage = Stage::online().await;
    let network = stage.network();
    let people: Vec<wxgate_contract::PersonKey> =
        [6, 9].map(|n| stage.chat(Who::Contact(n)).as_str().into()).into();
    let gather = |people: &[wxgate_contract::PersonKey], title: &str| Request::Gather {
        people: people.to_vec(),
        title: title.to_owned(),
    };
    let Ok(Answer::Chat(group)) = ask(&stage, gather(&people, " new group ")).await else { panic!() };
    let chat = stage.double.state().chats[&(network.clone(), group.clone())].clone();
    assert_eq!(chat.title, "new group");
    // The sync tells of it as well: it stays one group.
    let mut members = stage
        .wait(|state| {
            let chat = state.chats.get(&(network.clone(), group.clone()))?;
            chat.members.clone().filter(|members| members.len() == 3)
        })
        .await;
    members.retain(|member| !member.is_self);
    assert!(members.iter().all(|member| people.contains(&member.person)), "{members:?}");
    let made = stage.double.state().chats.values().filter(|chat| chat.title == "new group").count();
    assert_eq!(made, 1);
    assert!(matches!(ask(&stage, gather(&people[..1], "x")).await, Err(CommandError::Refused(_))));
    let strangers = ["p-nobody".into(), people[0].clone()];
    assert!(matches!(ask(&stage, gather(&strangers, "x")).await, Err(CommandError::Refused(_))));
    stage.no_violation();
    stage.stop().await;
}

#[tokio::test]
async fn a_picture_is_fetched_once_over_all_sign_ins_until_it_changes() {
    let mut stage = Stage::online().await;
    let person = stage.chat(Who::Contact(6));
    let avatar = || Request::Avatar(Subject::Person(person.as_str().into()));
    let Ok(Answer::Media(Some(first))) = ask(&stage, avatar()).await else { panic!("no picture") };
    assert!(!stage.ready(first).await.is_empty());
    assert_eq!(stage.double.media_owner(first), Some(MediaOwner::Network(stage.network())));
    // From now on the service gives none any more.
    stage
        .world
        .add_fault(FaultRule { count: None, ..FaultRule::next("webwxgeticon", Fault::Status(503), 1) });
    assert_eq!(ask(&stage, avatar()).await, Ok(Answer::Media(Some(first))));
    stage.order(Order::SignOut).await;
    stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    stage.sign_in().await;
    assert_eq!(stage.chat(Who::Contact(6)), person, "somebody else");
    assert_eq!(ask(&stage, avatar()).await, Ok(Answer::Media(Some(first))));
    assert_eq!(stage.struck(), 0);
    stage.stop().await;
}

#[tokio::test]
async fn what_people_ask_does_not_wait_behind_what_is_paced() {
    let account = AccountSpec::new(ALICE, 0, 30, 3);
    let mut stage = Stage::tuned(world_config(), &account, |config| config.sends_per_minute = 1).await;
    stage.sign_in().await;
    let chats: Vec<ChatKey> = {
        let state = stage.double.state();
        let contacts = state.people.values().filter(|person| person.is_contact);
        contacts.map(|person| ChatKey::from(person.person.as_str())).take(24).collect()
    };
    assert_eq!(chats.len(), 24);
    // Three go at once, each of the others waits a minute longer than the one before.
    for chat in chats {
        stage.order(Order::Deliver(Box::new(stage.delivery(&chat, Body::text("paced"))))).await;
    }
    stage.wait(|state| (state.outcomes.len() == 3).then_some(())).await;
    let answer = tokio::time::timeout(PATIENCE / 4, ask(&stage, Request::Questions)).await;
    assert_eq!(answer.expect("the question waits for its turn to send"), Ok(Answer::Questions(Vec::new())));
    assert_eq!(stage.double.state().outcomes.len(), 3, "the others still wait");
    stage.order(Order::SignOut).await;
    stage.health(Health::is_signed_out).await;
    stage.stop().await;
    stage.no_violation();
}
