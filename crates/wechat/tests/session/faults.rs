//! Every fault on every endpoint ends in the right state and recovers.

use std::time::Duration;

use bytes::Bytes;
use wxgate_contract::{Body, Order, Outcome, SignInStep};
use wxgate_simulator::{Fault, FaultRule, Kind, Who};

use crate::stage::{ALICE, Stage};

fn faults() -> Vec<Fault> {
    vec![
        Fault::Delay(Duration::from_millis(50)),
        Fault::Status(502),
        Fault::Status(302),
        Fault::Body(Bytes::from_static(b"<html>\xff\xfe nonsense {{{")),
        Fault::Body(Bytes::from_static(b"")),
        Fault::Truncate(10),
        Fault::CloseBeforeBody,
        Fault::DropAfterBody,
        Fault::Raw(Bytes::from_static(b"0 -\r\n\x00\x01\x02garbage\r\n\r\n")),
        Fault::EmptyBody,
        Fault::Ret(-1),
        Fault::Ret(4711),
    ]
}

async fn still_works(stage: &Stage, label: &str) {
    let anna = Who::Contact(0);
    let id = stage.say(anna, anna, label);
    assert_eq!(stage.post(id).await.body, Body::text(label));
    stage.up().await;
}

#[tokio::test]
async fn the_sync_road_survives_every_fault() {
    let stage = Stage::online().await;
    for endpoint in ["synccheck", "webwxsync"] {
        for fault in faults() {
            let label = format!("{endpoint} {fault:?}");
            stage.world.add_fault(FaultRule::next(endpoint, fault, 2));
            still_works(&stage, &label).await;
        }
    }
    assert_eq!(
        stage.double.state().steps.iter().filter(|(_, s)| *s == SignInStep::Done).count(),
        1,
        "no new login"
    );
}

#[tokio::test]
async fn polls_that_hang_are_given_up() {
    let stage = Stage::online().await;
    stage.world.add_fault(FaultRule::next("synccheck", Fault::Hang, 1));
    still_works(&stage, "hang").await;
    stage.world.add_fault(FaultRule::next("synccheck", Fault::Oversized(1 << 20), 1));
    stage.world.add_fault(FaultRule::next("webwxsync", Fault::Oversized(40 << 20), 1));
    still_works(&stage, "oversized").await;
}

#[tokio::test]
async fn item_19_one_110x_that_the_sync_denies_is_no_end() {
    let stage = Stage::online().await;
    for code in [1100, 1101, 1102] {
        stage.world.add_fault(FaultRule::next("synccheck", Fault::Ret(code), 1));
        still_works(&stage, &format!("poll says {code}")).await;
        stage.world.add_fault(FaultRule::next("webwxsync", Fault::Ret(code), 1));
        still_works(&stage, &format!("sync says {code}")).await;
    }
    assert!(stage.world.is_online(ALICE).unwrap());
    stage.no_violation();
}

#[tokio::test]
async fn item_21_endless_news_without_any_keep_the_session() {
    let stage = Stage::online().await;
    for selector in [2, 3, 4, 6, 7] {
        stage.world.force_selector(ALICE, selector, 8).unwrap();
        still_works(&stage, &format!("selector {selector}")).await;
    }
}

#[tokio::test]
async fn signing_in_survives_every_fault() {
    for endpoint in [
        "jslogin",
        "login",
        "webwxnewloginpage",
        "webwxinit",
        "webwxstatusnotify",
        "webwxgetcontact",
        "webwxbatchgetcontact",
    ] {
        for fault in faults() {
            // A code that cannot be read is a code that is gone, and a ticket is used once: those
            // end in another code, which is the next case's matter.
            let is_fatal = match endpoint {
                "login" => !matches!(fault, Fault::Delay(_)),
                "webwxnewloginpage" => !matches!(fault, Fault::Delay(_)),
                _ => matches!(fault, Fault::Ret(4711)) && endpoint == "webwxinit",
            };
            if is_fatal {
                continue;
            }
            let mut stage = Stage::new().await;
            stage.world.add_fault(FaultRule::next(endpoint, fault.clone(), 1));
            let label = format!("{endpoint} {fault:?}");
            stage.sign_in().await;
            still_works(&stage, &label).await;
            stage.stop().await;
        }
    }
}

#[tokio::test]
async fn faults_of_the_login_poll_end_in_a_new_attempt_or_a_reason() {
    for endpoint in ["login", "webwxnewloginpage"] {
        for fault in faults() {
            let mut stage = Stage::new().await;
            stage.world.add_fault(FaultRule::next(endpoint, fault.clone(), 1));
            stage.order(Order::SignIn).await;
            if let SignInStep::Failed { why } = stage.follow(0).await {
                assert!(!why.is_empty(), "{endpoint} {fault:?}");
                let seen = stage.double.state().steps.len();
                stage.order(Order::SignIn).await;
                assert_eq!(stage.follow(seen).await, SignInStep::Done, "{endpoint} {fault:?}");
            }
            still_works(&stage, &format!("{endpoint} {fault:?}")).await;
            stage.stop().await;
        }
    }
}

#[tokio::test]
async fn sends_survive_every_fault() {
    let stage = Stage::online().await;
    let chat = stage.chat(Who::Contact(1));
    for fault in faults() {
        let text = format!("{fault:?}");
        stage.world.add_fault(FaultRule::next("webwxsendmsg", fault.clone(), 1));
        let outcome = stage.deliver_until_settled(&stage.delivery(&chat, Body::text(text.as_str()))).await;
        if matches!(fault, Fault::Ret(4711)) {
            assert!(matches!(outcome, Outcome::Refused { .. }), "{fault:?}: {outcome:?}");
        } else {
            assert!(matches!(outcome, Outcome::Sent { .. }), "{fault:?}: {outcome:?}");
            let times = stage.heard().iter().filter(|(_, heard)| *heard == text).count();
            assert_eq!(times, 1, "{fault:?}");
        }
    }
    stage.up().await;
}

#[tokio::test]
async fn downloads_survive_every_fault() {
    let stage = Stage::online().await;
    for fault in faults() {
        stage.world.add_fault(FaultRule::next("webwxgetmsgimg", fault.clone(), 1));
        let id = stage.said(Who::Contact(0), Who::Contact(0), Kind::Image);
        let Body::Attachment(attachment) = stage.post(id).await.body else { panic!() };
        let wanted = stage.world.media(ALICE, id).unwrap();
        assert_eq!(stage.ready(attachment.media).await, wanted, "{fault:?}");
    }
}
