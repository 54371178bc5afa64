//! Polls and syncs that contradict each other. What single faults do is in the table of every endpoint.

use wxgate_contract::Body;
use wxgate_simulator::{Fault, FaultRule, Who};

use crate::stage::{ALICE, Stage};

async fn still_works(stage: &Stage, label: &str) {
    let anna = Who::Contact(0);
    let id = stage.say(anna, anna, label);
    assert_eq!(stage.post(id).await.body, Body::text(label));
    stage.up().await;
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
