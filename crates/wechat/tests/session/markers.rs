//! Markers in remarks: written slowly, read back at the next login, edited by people, taken away.

use std::time::Duration;

use wxgate_contract::{Answer, ChatKey, CommandError, Marker, Marking, Request};
use wxgate_simulator::{AccountSpec, Change, Who, WorldConfig};

use crate::identity::{ask, new_login, questions};
use crate::stage::{ALICE, Stage, world_config};

const WHO: Who = Who::Contact(5);
/// Has a remark of the owner's.
const NAMED: Who = Who::Contact(2);

pub(crate) async fn online(keeps_remarks: bool, call_timeout: Option<Duration>) -> Stage {
    let world = WorldConfig { keeps_remarks, permanent_ids: false, ..world_config() };
    let account = AccountSpec::new(ALICE, 0, 12, 3);
    let mut stage = Stage::tuned(world, &account, |config| {
        config.remark_markers = true;
        config.timings.call_timeout = call_timeout;
    })
    .await;
    stage.sign_in().await;
    stage
}

pub(crate) async fn mark(stage: &Stage, who: Who, marking: Marking) -> Result<Answer, CommandError> {
    ask(stage, Request::Mark { chats: vec![stage.chat(who)], marking }).await
}

async fn markers(stage: &Stage) -> Vec<Marker> {
    match ask(stage, Request::Markers).await {
        Ok(Answer::Markers(markers)) => markers,
        other => panic!("{other:?}"),
    }
}

/// What the account says about the only marker, once it says this.
pub(crate) async fn state(stage: &Stage, words: &str) -> Marker {
    let waiting = async {
        loop {
            let markers = markers(stage).await;
            assert!(markers.len() == 1, "{markers:?}");
            if markers[0].state.contains(words) {
                return markers[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::stage::PATIENCE, waiting).await.expect("it is said")
}

fn remark(stage: &Stage, who: Who) -> String {
    stage.world.remark(ALICE, who).unwrap()
}

fn title(stage: &Stage, chat: &ChatKey) -> String {
    stage.double.state().chats.values().find(|known| known.chat == *chat).unwrap().title.clone()
}

/// Nickname and motto change between two logins, weeks apart: without a marker it is a question who this is.
async fn changed_meanwhile(stage: &mut Stage) {
    stage.world.end_session(ALICE, 1100).unwrap();
    stage.health(|health| matches!(health, wxgate_contract::Health::NeedsHuman { .. })).await;
    stage.advance(Duration::from_secs(40 * 24 * 3600));
    let name = "Somebody else".to_owned();
    stage.world.change(ALICE, &Change::Rename { who: WHO.to_string(), name: name.clone() }).unwrap();
    stage.world.change(ALICE, &Change::Signature { who: WHO.to_string(), text: name }).unwrap();
    stage.sign_in().await;
}

async fn chat_of_next_post(stage: &Stage, text: &str) -> ChatKey {
    stage.post(stage.say(WHO, WHO, text)).await.chat.chat
}

#[tokio::test]
async fn a_marked_contact_is_known_again_whatever_changed() {
    let mut stage = online(true, None).await;
    let (chat, name) = (stage.chat(WHO), stage.world.nick(ALICE, WHO).unwrap());
    let told = mark(&stage, WHO, Marking::Put).await;
    assert!(matches!(&told, Ok(Answer::Text(words)) if words.contains("1 contact")), "{told:?}");
    stage.until(|| remark(&stage, WHO).starts_with(&format!("{name} #"))).await;
    let written = state(&stage, "was written").await;
    assert_eq!(
        (written.chat, written.title),
        (chat.clone(), name.clone()),
        "the marker is no part of the name"
    );
    assert_eq!(title(&stage, &chat), name);

    changed_meanwhile(&mut stage).await;
    assert_eq!(chat_of_next_post(&stage, "it is me").await, chat);
    assert_eq!(questions(&stage).await, []);
    assert!(state(&stage, "is in the remark").await.wanted.is_empty());
    let why = ask(&stage, Request::Why(chat.clone())).await;
    assert!(matches!(&why, Ok(Answer::Text(words)) if words.contains("your marker")), "{why:?}");
    stage.no_violation();
}

#[tokio::test]
async fn a_marker_that_the_service_did_not_keep_can_be_typed_on_the_phone() {
    let mut stage = online(false, None).await;
    let chat = stage.chat(NAMED);
    let before = remark(&stage, NAMED);
    mark(&stage, NAMED, Marking::Put).await.unwrap();
    state(&stage, "was written").await;
    assert_eq!(remark(&stage, NAMED), before, "answered, and not done");
    new_login(&mut stage).await;
    let lost = state(&stage, "type it on the phone").await;
    assert!(lost.wanted.starts_with(&format!("{before} #")), "{lost:?}");
    let typed = Change::Remark { who: NAMED.to_string(), name: lost.wanted.clone() };
    stage.world.change(ALICE, &typed).unwrap();
    new_login(&mut stage).await;
    let there = state(&stage, "is in the remark").await;
    assert_eq!((there.chat, there.wanted.as_str()), (chat.clone(), ""));
    assert_eq!(title(&stage, &chat), before);
    stage.no_violation();
}

#[tokio::test]
async fn a_remark_that_the_owner_edits_is_theirs() {
    let mut stage = online(true, None).await;
    let chat = stage.chat(NAMED);
    mark(&stage, NAMED, Marking::Put).await.unwrap();
    stage.until(|| remark(&stage, NAMED).contains(" #")).await;
    state(&stage, "was written").await;
    // Another name in front of the marker.
    let code = remark(&stage, NAMED).rsplit_once('#').unwrap().1.to_owned();
    let edit = |name: String| Change::Remark { who: NAMED.to_string(), name };
    stage.world.change(ALICE, &edit(format!("Boss #{code}"))).unwrap();
    stage.until(|| title(&stage, &chat) == "Boss").await;
    new_login(&mut stage).await;
    state(&stage, "is in the remark").await;
    // The marker is wiped out: nobody writes it again, and everybody is known all the same.
    stage.world.change(ALICE, &edit("Boss".to_owned())).unwrap();
    new_login(&mut stage).await;
    let lost = state(&stage, "not in the remark").await;
    assert_eq!((lost.chat, lost.wanted), (chat, format!("Boss #{code}")));
    assert_eq!(remark(&stage, NAMED), "Boss");
    stage.no_violation();
}

#[tokio::test]
async fn a_marker_is_taken_away_and_the_remark_is_what_it_was() {
    let mut stage = online(true, None).await;
    for (who, left) in [(WHO, String::new()), (NAMED, remark(&stage, NAMED))] {
        mark(&stage, who, Marking::Put).await.unwrap();
        stage.until(|| remark(&stage, who).contains('#')).await;
        new_login(&mut stage).await;
        state(&stage, "is in the remark").await;
        mark(&stage, who, Marking::Take).await.unwrap();
        stage.until(|| remark(&stage, who) == left).await;
        new_login(&mut stage).await;
        assert_eq!(markers(&stage).await, []);
    }
    assert!(matches!(mark(&stage, WHO, Marking::Take).await, Err(CommandError::Refused(_))));
    stage.no_violation();
}

#[tokio::test]
async fn what_is_left_to_write_is_written_after_a_restart() {
    let mut stage = online(true, None).await;
    let told = ask(&stage, Request::Mark { chats: Vec::new(), marking: Marking::Put }).await;
    assert!(matches!(told, Ok(Answer::Text(_))), "{told:?}");
    let marked = |stage: &Stage| (0..12).filter(|at| remark(stage, Who::Contact(*at)).contains(" #")).count();
    // A burst, and then one after the other.
    stage.until(|| marked(&stage) >= 3).await;
    stage.restart().await;
    stage.up().await;
    let at_restart = marked(&stage);
    assert!(at_restart < 10, "all at once: {at_restart}");
    stage.until(|| marked(&stage) > at_restart).await;
    stage.no_violation();
}

#[tokio::test]
async fn nothing_is_written_where_the_operator_does_not_allow_it() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let told = mark(&stage, WHO, Marking::Put).await;
    assert!(
        matches!(&told, Err(CommandError::Refused(why)) if why.contains("wechat.remark_markers")),
        "{told:?}"
    );
    assert_eq!(remark(&stage, WHO), "");
    assert_eq!(markers(&stage).await, []);
}

#[tokio::test]
async fn only_contacts_have_markers() {
    let stage = online(true, None).await;
    let told = mark(&stage, Who::Group(0), Marking::Put).await;
    assert!(matches!(&told, Err(CommandError::Refused(why)) if why.contains("only contacts")), "{told:?}");
}
