//! Sign-in, resume, push login, the end of a session.

use std::time::Duration;

use wxgate_contract::conformance::State;
use wxgate_contract::{Body, Health, Loading, LoadingPart, Order, Outcome, SignInStep};
use wxgate_simulator::{AccountSpec, Admission, Change, Fault, FaultRule, Who};

use crate::stage::{ALICE, Stage, world_config};

#[tokio::test]
async fn how_far_the_contacts_are_is_told_at_the_first_reading_and_not_after_a_restart() {
    let mut stage = Stage::online().await;
    let told: Vec<Option<Loading>> = stage.double.state().loading.drain(..).map(|(_, how)| how).collect();
    let (last, before) = told.split_last().unwrap();
    assert_eq!(*last, None, "and that it is over");
    let before: Vec<Loading> = before.iter().map(|how| how.unwrap()).collect();
    let of = |part| before.iter().filter(move |how| how.part == part).collect::<Vec<_>>();
    let contacts = of(LoadingPart::Contacts);
    assert!(!contacts.is_empty() && contacts.iter().all(|how| how.done >= 1 && how.of.is_none()));
    assert!(of(LoadingPart::Groups).iter().any(|how| how.of >= Some(3) && how.of == Some(how.done)));
    let stored = of(LoadingPart::Storing);
    assert!(stored.iter().any(|how| how.of >= Some(15) && how.of == Some(how.done)), "{before:?}");
    assert_eq!(contacts.len() + of(LoadingPart::Groups).len() + stored.len(), before.len());
    stage.restart().await;
    stage.up().await;
    assert!(stage.double.state().loading.is_empty(), "everything is known already");
    stage.stop().await;
}

#[tokio::test]
async fn a_code_is_scanned_confirmed_and_the_roster_is_there() {
    let stage = Stage::online().await;
    let state = stage.double.state();
    let steps: Vec<&SignInStep> = state.steps.iter().map(|(_, step)| step).collect();
    assert!(
        matches!(
            steps.as_slice(),
            [
                SignInStep::Starting,
                SignInStep::ShowQr { number: 1, .. },
                SignInStep::ConfirmOnPhone { is_push: false, picture: Some(_) },
                SignInStep::Loading,
                SignInStep::Done
            ]
        ),
        "{steps:?}"
    );
    let groups = state.chats.values().filter(|chat| chat.key_is_group()).count();
    assert_eq!(groups, 3);
    let contacts = state.people.values().filter(|person| person.is_contact).count();
    assert!(contacts >= 12, "{contacts}");
    let with_members =
        state.chats.values().filter(|chat| chat.members.as_ref().is_some_and(|m| m.len() == 8)).count();
    assert_eq!(with_members, 3);
    let text = format!("{:?}", state.chats.keys().chain(state.chats.keys()).collect::<Vec<_>>());
    assert!(!text.contains('@'), "a session name left the adapter: {text}");
    drop(state);
    stage.no_violation();
}

trait IsGroup {
    fn key_is_group(&self) -> bool;
}

impl IsGroup for wxgate_contract::ChatProfile {
    fn key_is_group(&self) -> bool {
        self.kind == wxgate_contract::ChatKind::Group
    }
}

#[tokio::test]
async fn while_the_list_of_contacts_is_read_again_messages_come() {
    let mut stage = Stage::of(world_config(), &AccountSpec::new(ALICE, 0, 12, 4)).await;
    stage.sign_in().await;
    let hangs = FaultRule { count: None, ..FaultRule::next("webwxgetcontact", Fault::Hang, 1) };
    stage.world.add_fault(hangs);
    // A group that is in no list.
    stage.post(stage.say(Who::Group(3), Who::Stranger(3, 2), "who is this")).await;
    stage.until(|| stage.struck() > 0).await;
    let anna = Who::Contact(0);
    for text in ["one", "two"] {
        stage.post(stage.say(anna, anna, text)).await;
    }
    let delivery = stage.delivery(&stage.chat(anna), Body::text("answer"));
    assert!(matches!(stage.deliver(&delivery).await, Outcome::Sent { .. }));
    stage.no_violation();
}

#[tokio::test]
async fn what_changes_while_the_list_of_contacts_is_read_is_newer_than_the_list() {
    let mut stage = Stage::of(world_config(), &AccountSpec::new(ALICE, 0, 12, 4)).await;
    stage.sign_in().await;
    let chat = stage.chat(Who::Contact(1));
    // The last that a reading asks for.
    stage.world.add_fault(FaultRule::next("webwxbatchgetcontact", Fault::Delay(Duration::from_secs(4)), 1));
    stage.post(stage.say(Who::Group(3), Who::Stranger(3, 2), "who is this")).await;
    stage.until(|| stage.struck() == 1).await;
    let renamed = Change::Rename { who: "c1".to_owned(), name: "renamed".to_owned() };
    stage.world.change(ALICE, &renamed).unwrap();
    let titled = |state: &State| state.chats.values().find(|known| known.chat == chat).unwrap().title.clone();
    stage.wait(|state| (titled(state) == "renamed").then_some(())).await;
    // It is read once more, however many pages it has.
    stage.world.add_fault(FaultRule::next("webwxgetcontact", Fault::Delay(Duration::from_millis(1)), 1));
    stage.until(|| stage.struck() == 2).await;
    assert_eq!(titled(&stage.double.state()), "renamed");
    stage.stop().await;
}

#[tokio::test]
async fn nobody_is_shown_a_code_who_did_not_ask() {
    let stage = Stage::new().await;
    stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    assert!(stage.double.state().steps.is_empty());
}

#[tokio::test]
async fn a_store_that_is_away_at_a_start_is_waited_for() {
    let mut stage = Stage::online().await;
    stage.stop().await;
    stage.double.state().cannot_be_read = true;
    stage.start();
    let told = stage.health(|health| matches!(health, Health::Degraded { .. })).await;
    assert_eq!(told.detail(), "what is stored cannot be read: the disk is away");
    stage.double.state().cannot_be_read = false;
    // The same run goes on: nobody has to begin it again.
    stage.up().await;
    stage.no_violation();
}

#[tokio::test]
async fn a_session_that_is_sealed_with_another_key_stays_until_the_account_signs_in_again() {
    let mut stage = Stage::online().await;
    let anna = Who::Contact(0);
    let first = stage.say(anna, anna, "before");
    stage.post(first).await;
    stage.stop().await;
    let stored = |stage: &Stage| {
        let state = stage.double.state();
        ["session", "sync"].map(|key| state.notes.get(&(stage.network(), key.to_owned())).cloned())
    };
    let (before, logins) = (stored(&stage), generations(&stage));
    assert!(before.iter().all(Option::is_some) && logins.len() == 1, "{logins:?}");
    stage.double.state().sealed = Some("session".to_owned());
    stage.start();
    let told = stage.health(|health| health.why_signed_out().is_some()).await;
    assert!(told.detail().contains("sealed with another key"), "{told:?}");
    // A sign-in that comes to nothing leaves it as it is: the key may be put back.
    let seen = stage.double.state().steps.len();
    stage.order(Order::SignIn).await;
    let SignInStep::ShowQr { .. } = stage.asked_after(seen).await else { panic!("no code") };
    stage.stop().await;
    assert_eq!(stored(&stage), before);
    stage.start();
    stage.sign_in().await;
    let second = stage.say(anna, anna, "after");
    stage.post(second).await;
    assert_ne!(stored(&stage), before);
    let now = generations(&stage);
    assert!(now.len() == 1 && now != logins, "names of the login before: {now:?} after {logins:?}");
    stage.no_violation();
}

/// Of the logins whose names of contacts and groups are kept.
fn generations(stage: &Stage) -> std::collections::BTreeSet<String> {
    let state = stage.double.state();
    let names = state.notes.keys().filter_map(|(_, key)| key.strip_prefix("u/"));
    names.map(|rest| rest.split('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_restart_costs_no_scan_and_loses_nothing() {
    let mut stage = Stage::online().await;
    let anna = Who::Contact(0);
    let first = stage.say(anna, anna, "before");
    stage.post(first).await;
    stage.stop().await;
    let missed = stage.say(anna, anna, "meanwhile");
    let steps = stage.double.state().steps.len();
    stage.start();
    stage.post(missed).await;
    stage.up().await;
    assert_eq!(stage.texts(), ["before", "meanwhile"]);
    assert_eq!(stage.double.state().steps.len(), steps, "a sign-in was told");
    stage.no_violation();
}

#[tokio::test]
async fn an_ended_session_asks_the_phone_and_goes_on() {
    let stage = Stage::online().await;
    let seen = stage.double.state().steps.len();
    stage.world.end_session(ALICE, 1101).unwrap();
    stage
        .step_after(seen, |step| {
            matches!(step, SignInStep::ConfirmOnPhone { is_push: true, .. }).then_some(())
        })
        .await;
    stage.world.confirm(&stage.pushed()).unwrap();
    stage.step_after(seen, |step| (*step == SignInStep::Done).then_some(())).await;
    stage.up().await;
    let anna = Who::Contact(0);
    let id = stage.say(anna, anna, "after the push login");
    assert_eq!(stage.post(id).await.body, Body::text("after the push login"));
    stage.no_violation();
}

#[tokio::test]
async fn a_sign_out_on_the_phone_ends_it_until_somebody_asks() {
    let mut stage = Stage::online().await;
    stage.world.end_session(ALICE, 1100).unwrap();
    let health = stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    assert!(health.detail().contains("signed this account out"), "{health:?}");
    // A restart tells the same again, which is no news, until somebody signs in or out.
    stage.restart().await;
    let again = stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    assert_eq!(again, health);
    stage.sign_in().await;
    stage.restart().await;
    stage.up().await;
    stage.order(Order::SignOut).await;
    stage.health(Health::is_signed_out).await;
    stage.restart().await;
    stage.health(|health| *health == Health::signed_out(None)).await;
    stage.no_violation();
}

#[tokio::test]
async fn a_declined_push_login_needs_a_human() {
    let stage = Stage::online().await;
    let seen = stage.double.state().steps.len();
    stage.world.end_session(ALICE, 1102).unwrap();
    stage
        .step_after(seen, |step| {
            matches!(step, SignInStep::ConfirmOnPhone { is_push: true, .. }).then_some(())
        })
        .await;
    stage.world.cancel(&stage.pushed()).unwrap();
    stage.step_after(seen, |step| matches!(step, SignInStep::Failed { .. }).then_some(())).await;
    stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
}

#[tokio::test]
async fn who_signs_in_again_after_signing_out_confirms_on_the_phone_or_is_shown_a_code() {
    let mut stage = Stage::online().await;
    for confirms in [true, false] {
        stage.order(Order::SignOut).await;
        stage.health(Health::is_signed_out).await;
        if confirms {
            // What a push login needs outlives the sign-out and a restart.
            stage.restart().await;
            stage.health(Health::is_signed_out).await;
        }
        let seen = stage.double.state().steps.len();
        stage.order(Order::SignIn).await;
        let asked = stage.asked_after(seen).await;
        assert!(matches!(asked, SignInStep::ConfirmOnPhone { is_push: true, .. }), "{asked:?}");
        if confirms {
            stage.world.confirm(&stage.pushed()).unwrap();
        } else {
            stage.world.cancel(&stage.pushed()).unwrap();
            let uuid = stage.qr_after(seen).await;
            stage.world.scan(&uuid, ALICE).unwrap();
            stage.world.confirm(&uuid).unwrap();
        }
        stage.step_after(seen, |step| (*step == SignInStep::Done).then_some(())).await;
        stage.up().await;
    }
    stage.no_violation();
}

#[tokio::test]
async fn a_ticket_that_is_sent_to_another_host_is_taken_there() {
    let mut stage = Stage::new().await;
    stage.world.set_admission(ALICE, Admission::Elsewhere).unwrap();
    stage.sign_in().await;
    stage.no_violation();
}

#[tokio::test]
async fn codes_that_nobody_scans_run_out() {
    let stage = Stage::new().await;
    stage.order(Order::SignIn).await;
    for number in 1..=5 {
        let uuid = stage
            .step_after(0, |step| match step {
                SignInStep::ShowQr { text, number: n } if *n == number => {
                    Some(text.rsplit_once("/l/")?.1.to_owned())
                }
                _ => None,
            })
            .await;
        stage.world.expire(&uuid).unwrap();
    }
    stage.step_after(0, |step| matches!(step, SignInStep::Failed { .. }).then_some(())).await;
    stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    assert_eq!(
        stage.double.state().steps.iter().filter(|(_, s)| matches!(s, SignInStep::ShowQr { .. })).count(),
        5
    );
}

#[tokio::test]
async fn item_09_a_refused_account_hears_the_services_own_words() {
    let mut stage = Stage::new().await;
    let words = "为了你的帐号安全，此微信号不能登录网页微信";
    stage.world.set_admission(ALICE, Admission::Refused(1203, words.to_owned())).unwrap();
    stage.order(Order::SignIn).await;
    let uuid = stage.qr_after(0).await;
    stage.world.scan(&uuid, ALICE).unwrap();
    stage.world.confirm(&uuid).unwrap();
    let health = stage.health(|health| matches!(health, Health::Down { .. })).await;
    assert_eq!(health.detail(), words);
    stage
        .step_after(0, |step| matches!(step, SignInStep::Failed { why } if why == words).then_some(()))
        .await;
    stage.restart().await;
    stage.health(|health| *health == Health::Down { why: words.to_owned() }).await;
}

#[tokio::test]
async fn signed_out_for_good_nothing_is_sent_any_more() {
    let mut stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    stage.order(Order::SignOut).await;
    stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    let outcome = stage.deliver(&stage.delivery(&chat, Body::text("late"))).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("signed out")), "{outcome:?}");
    stage.until(|| !stage.world.is_online(ALICE).unwrap()).await;
    stage.restart().await;
    stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
    stage.sign_in().await;
    stage.no_violation();
}

#[tokio::test]
async fn a_sign_out_that_has_begun_is_carried_out_although_the_run_ends() {
    let mut stage = Stage::online().await;
    stage.order(Order::SignOut).await;
    stage.health(Health::is_signed_out).await;
    // As when the account is removed: its run is ended at once.
    stage.stop().await;
    assert!(!stage.world.is_online(ALICE).unwrap(), "the phone still shows a session");
    stage.no_violation();
}

#[tokio::test]
async fn a_service_that_goes_away_and_comes_back_is_waited_for() {
    let mut stage = Stage::online().await;
    let addr = stage.server.as_ref().unwrap().addr();
    stage.server.take().unwrap().stop().await;
    stage.health(|health| matches!(health, Health::Degraded { .. })).await;
    let anna = Who::Contact(0);
    let id = stage.say(anna, anna, "while away");
    let listener = loop {
        match tokio::net::TcpListener::bind(addr).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    stage.server = Some(wxgate_simulator::serve(stage.world.clone(), listener).await.unwrap());
    stage.post(id).await;
    stage.up().await;
    stage.no_violation();
}
