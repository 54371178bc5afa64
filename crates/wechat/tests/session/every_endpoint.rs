//! Every endpoint under every fault: one table of what becomes of it.
//!
//! Twice for each row. *Passing* trouble strikes one request: what was under way succeeds all the
//! same, or ends in a reason and succeeds when it is asked for again. *Lasting* trouble strikes
//! every request: it ends in an outcome or a health with a reason, after a number of requests that
//! the row states, nothing that was said is lost, and all is well once the trouble is over.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wxgate_contract::{
    Answer, Ask, AttachmentKind, Body, Delivery, Health, Job, Marking, MediaId, MediaState, MediaVault,
    Order, Outcome, PostId, Request, SignInStep, Subject, Verdict,
};
use wxgate_simulator::{AccountSpec, Fault, FaultRule, Kind, Who};

use crate::markers;
use crate::outbound::attachment;
use crate::stage::{ALICE, PATIENCE, Stage, world_config};

/// Limit of a call where one of many requests hangs: above what a loaded machine takes for the others.
const CALL: Duration = Duration::from_secs(10);
/// The same where all hang.
const SHORT: Duration = Duration::from_secs(1);
const CONTACTS: u32 = 6;
const GROUPS: u32 = 2;
/// Limit of attachments in these tests.
const MAX_MEDIA_BYTES: u64 = 1 << 20;
/// Where `webwxcheckupload` begins. Source: the protocol sheet, section 2.20.
const LARGE_BYTES: usize = 26_214_401;
const PIECE_BYTES: usize = 512 << 10;

/// What an endpoint is called for, and how lasting trouble of it ends.
#[derive(Clone, Copy)]
enum Scene {
    /// A part of the sign-in, which fails with a reason after so many requests at most.
    SignInFails(u64),
    /// A part of the sign-in, which is tried on while people are told.
    SignInWaits,
    /// A part of the sign-in that it can do without, after so many requests.
    SignInGoesOn(u64),
    /// The phone is asked to approve again.
    Push,
    /// The poll: news come without it.
    Poll,
    /// The sync: news wait for it.
    Sync,
    /// The service is told; the account is signed out here in any case.
    Logout,
    /// The last step of saying something. Uncertain after the one repetition with the same id.
    Send(fn(&Stage, u8) -> Body),
    /// A step before anything is said: refused after five attempts. With the number of requests
    /// that pass before the trouble begins.
    Upload(fn(&Stage, u8) -> Body, u32),
    Recall,
    Download(fn() -> Kind),
    /// The face of a person or a group, for whoever asks.
    Face(Who),
    /// Something that is changed because somebody asks for it: said once, and told how it went.
    Change(Change),
    /// A remark that is written by the way: tried again, and told when it cannot be had.
    Remark,
}

/// What somebody asks for.
#[derive(Clone, Copy)]
enum Change {
    Title,
    Friend,
    Group,
}

/// Module of `wechat-proto`, last segment of the path, what it is for.
fn table() -> Vec<(&'static str, &'static str, Scene)> {
    let file = || Kind::File { name: "说明.pdf".into() };
    vec![
        ("js_login", "jslogin", Scene::SignInFails(21)),
        ("login", "login", Scene::SignInFails(21)),
        ("new_login_page", "webwxnewloginpage", Scene::SignInFails(3)),
        ("init", "webwxinit", Scene::SignInWaits),
        ("status_notify", "webwxstatusnotify", Scene::SignInGoesOn(1)),
        ("get_contact", "webwxgetcontact", Scene::SignInGoesOn(3)),
        ("batch_get_contact", "webwxbatchgetcontact", Scene::SignInGoesOn(6)),
        ("push_login", "webwxpushloginurl", Scene::Push),
        ("sync_check", "synccheck", Scene::Poll),
        ("sync", "webwxsync", Scene::Sync),
        ("logout", "webwxlogout", Scene::Logout),
        ("send_text", "webwxsendmsg", Scene::Send(|_, at| Body::text(format!("line {at}")))),
        ("send_image", "webwxsendmsgimg", Scene::Send(|stage, at| picture(stage, at, 3_000))),
        ("send_emoticon", "webwxsendemoticon", Scene::Send(emoticon)),
        ("send_video", "webwxsendvideomsg", Scene::Send(video)),
        ("send_app", "webwxsendappmsg", Scene::Send(|stage, at| document(stage, at, 4_000))),
        ("upload_media", "webwxuploadmedia", Scene::Upload(|stage, at| picture(stage, at, 3_000), 0)),
        // The second of three pieces.
        (
            "upload_media",
            "webwxuploadmedia",
            Scene::Upload(|stage, at| document(stage, at, 2 * PIECE_BYTES + 7), 1),
        ),
        ("check_upload", "webwxcheckupload", Scene::Upload(|stage, _| document(stage, 0, LARGE_BYTES), 0)),
        ("revoke_msg", "webwxrevokemsg", Scene::Recall),
        ("get_msg_img", "webwxgetmsgimg", Scene::Download(|| Kind::Image)),
        ("get_voice", "webwxgetvoice", Scene::Download(|| Kind::Voice)),
        ("get_video", "webwxgetvideo", Scene::Download(|| Kind::Video)),
        ("get_media", "webwxgetmedia", Scene::Download(file)),
        ("get_icon", "webwxgeticon", Scene::Face(Who::Contact(0))),
        ("get_head_img", "webwxgetheadimg", Scene::Face(Who::Group(0))),
        ("update_chatroom", "webwxupdatechatroom", Scene::Change(Change::Title)),
        ("verify_user", "webwxverifyuser", Scene::Change(Change::Friend)),
        ("create_chatroom", "webwxcreatechatroom", Scene::Change(Change::Group)),
        ("oplog", "webwxoplog", Scene::Remark),
    ]
}

/// Endpoints of the library that an account never calls, with the types that would be named if it
/// did. Their answers are thrown at the parsers in the library's own tests (`smoke_fuzz`).
const NEVER_CALLED: [(&str, &[&str]); 6] = [
    ("get_location_map", &["GetLocationMap"]),
    ("oplog", &["SetPin"]),
    ("preview", &["Preview"]),
    ("search_contact", &["SearchContact"]),
    ("send_card", &["SendCard"]),
    ("send_location", &["SendLocation"]),
];

/// Modules that are no endpoint: what several of them share.
const SHARED: [&str; 3] = ["envelope", "fixture", "media"];

/// Every way in which one answer goes wrong.
fn passing() -> Vec<Fault> {
    let mut faults = vec![
        Fault::Delay(Duration::from_millis(50)),
        Fault::Status(302),
        Fault::Status(404),
        Fault::Status(500),
        Fault::Body(Bytes::from_static(b"")),
        Fault::Body(Bytes::from_static(b"{\"BaseResponse\":{\"Ret\":0}}")),
        Fault::Truncate(10),
        // Above every limit of an answer.
        Fault::Oversized(33 << 20),
        Fault::CloseBeforeBody,
        Fault::Raw(Bytes::from_static(b"0 -\r\n\x00\x01\x02garbage\r\n\r\n")),
        Fault::EmptyBody,
        Fault::Ret(-1),
        Fault::Ret(4711),
    ];
    faults.extend(lasting());
    faults
}

/// The kinds of trouble that may last: nonsense, a server that is broken, connections that break
/// after the request was carried out, and no answer at all.
fn lasting() -> Vec<Fault> {
    vec![
        Fault::Body(Bytes::from_static(b"<html>\xff\xfe nonsense {{{")),
        Fault::Status(503),
        Fault::DropAfterBody,
        Fault::Hang,
    ]
}

fn for_ever(endpoint: &str, fault: &Fault, skip: u32) -> FaultRule {
    FaultRule { count: None, skip, ..FaultRule::next(endpoint, fault.clone(), 1) }
}

async fn signed_out(call_timeout: Option<Duration>) -> Stage {
    Stage::tuned(world_config(), &AccountSpec::new(ALICE, 0, CONTACTS, GROUPS), |config| {
        config.timings.call_timeout = call_timeout;
        config.max_media_bytes = MAX_MEDIA_BYTES;
    })
    .await
}

async fn online(call_timeout: Option<Duration>) -> Stage {
    let mut stage = signed_out(call_timeout).await;
    stage.sign_in().await;
    stage
}

/// Calls have a short limit only where they hang: elsewhere a busy machine would add trouble of its own.
fn limit_for(fault: &Fault) -> Option<Duration> {
    (*fault == Fault::Hang).then_some(SHORT)
}

fn put(stage: &Stage, at: u8, bytes: usize, kind: AttachmentKind, name: &str) -> Body {
    let media = MediaId([at + 1; 16]);
    let line: Vec<u8> = (0..251).map(|i| i ^ at).collect();
    let mut content = line.repeat(bytes / line.len() + 1);
    content.truncate(bytes);
    stage.double.put_media(media, name, "", Bytes::from(content));
    attachment(media, kind, name, "")
}

fn picture(stage: &Stage, at: u8, bytes: usize) -> Body {
    put(stage, at, bytes, AttachmentKind::Image, "a.jpg")
}

fn emoticon(stage: &Stage, at: u8) -> Body {
    put(stage, at, 3_000, AttachmentKind::Sticker, "b.gif")
}

fn video(stage: &Stage, at: u8) -> Body {
    put(stage, at, 5_000, AttachmentKind::Video, "c.mp4")
}

fn document(stage: &Stage, at: u8, bytes: usize) -> Body {
    put(stage, at, bytes, AttachmentKind::File, "d.pdf")
}

async fn still_works(stage: &Stage, label: &str) {
    let anna = Who::Contact(0);
    let id = stage.say(anna, anna, label);
    assert_eq!(stage.post(id).await.body, Body::text(label), "{label}");
    stage.usable().await;
}

/// Requests of lasting trouble do not come faster than the cap of the waits allows.
async fn is_gentle(stage: &Stage, label: &str) {
    const COUNT: u32 = 5;
    // At first the waits still grow.
    let grown = stage.struck() + 6;
    stage.until(|| stage.struck() >= grown).await;
    let (from, begin) = (stage.struck(), Instant::now());
    stage.until(|| stage.struck() >= from + u64::from(COUNT)).await;
    // Half of the cap is the shortest wait, and the first request was under way already.
    let least = stage.config.timings.retry_cap / 2 * (COUNT - 1);
    assert!(begin.elapsed() >= least, "{label}: {COUNT} requests within {:?}", begin.elapsed());
}

#[test]
fn every_endpoint_of_the_library_is_in_the_table() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(root.join("../wechat-proto/src/endpoint")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_known = table().iter().any(|row| row.0 == stem)
            || NEVER_CALLED.iter().any(|row| row.0 == stem)
            || SHARED.contains(&stem.as_str());
        if !is_known {
            missing.push(stem);
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "endpoints whose faults nobody looks at");
    let words = source_words(&root.join("src"));
    for (module, types) in NEVER_CALLED {
        for name in types {
            assert!(!words.contains(*name), "{module} is called now: give it a row");
        }
    }
}

/// Every word of the crate's source.
fn source_words(directory: &std::path::Path) -> std::collections::HashSet<String> {
    let mut words = std::collections::HashSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            words.extend(source_words(&path));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            words.extend(text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
        }
    }
    words
}

#[tokio::test]
async fn trouble_of_a_remark_is_tried_again_or_told_and_holds_nothing_up() {
    for (_, endpoint, scene) in table() {
        if !matches!(scene, Scene::Remark) {
            continue;
        }
        let once = passing().into_iter().map(|fault| (fault, Some(1)));
        let cases =
            once.chain(lasting().into_iter().map(|fault| (fault, None))).map(|(fault, count)| async move {
                let label = format!("{endpoint} {fault:?}");
                let mut stage = markers::online(true, limit_for(&fault)).await;
                let rule = FaultRule { count, ..FaultRule::next(endpoint, fault.clone(), 1) };
                stage.world.add_fault(rule);
                markers::mark(&stage, Who::Contact(0), Marking::Put).await.unwrap();
                let goes_on_trying = count.is_none() && matches!(fault, Fault::DropAfterBody | Fault::Hang);
                // It was written, or it is told that it is not in the remark.
                let words = if goes_on_trying { "will be written" } else { "the " };
                markers::state(&stage, words).await;
                still_works(&stage, &label).await;
                stage.stop().await;
            });
        join_all(cases).await;
    }
}

#[tokio::test]
async fn passing_trouble_while_signing_in_costs_a_retry_or_a_reason() {
    for (_, endpoint, scene) in table() {
        if !matches!(scene, Scene::SignInFails(_) | Scene::SignInWaits | Scene::SignInGoesOn(_)) {
            continue;
        }
        let cases = passing().into_iter().map(|fault| async move {
            let label = format!("{endpoint} {fault:?}");
            let mut stage = signed_out(limit_for(&fault)).await;
            stage.world.add_fault(FaultRule::next(endpoint, fault, 1));
            stage.order(Order::SignIn).await;
            if let SignInStep::Failed { why } = stage.follow(0).await {
                assert!(!why.is_empty(), "{label}");
                assert!(matches!(scene, Scene::SignInFails(_) | Scene::SignInWaits), "{label}: {why}");
                let seen = stage.double.state().steps.len();
                stage.order(Order::SignIn).await;
                assert_eq!(stage.follow(seen).await, SignInStep::Done, "{label}");
            }
            still_works(&stage, &label).await;
            stage.stop().await;
        });
        join_all(cases).await;
    }
}

#[tokio::test]
async fn lasting_trouble_while_signing_in_is_told_and_gentle() {
    let mut cases = Vec::new();
    for (_, endpoint, scene) in table() {
        for fault in lasting() {
            // Twenty calls in a row that hang are the business of nobody's test.
            let is_short = matches!(scene, Scene::SignInFails(3) | Scene::SignInGoesOn(_));
            if fault != Fault::Hang || is_short {
                cases.push((endpoint, scene, fault));
            }
        }
    }
    let cases = cases.into_iter().map(|(endpoint, scene, fault)| async move {
        let label = format!("{endpoint} {fault:?}");
        let most = match scene {
            Scene::SignInFails(most) | Scene::SignInGoesOn(most) => most,
            Scene::SignInWaits => 20,
            _ => return,
        };
        let mut stage = signed_out(limit_for(&fault)).await;
        stage.world.set_hold(Duration::from_millis(300));
        stage.world.add_fault(for_ever(endpoint, &fault, 0));
        stage.order(Order::SignIn).await;
        let step = stage.follow(0).await;
        assert!((1..=most).contains(&stage.struck()), "{label}: {} requests", stage.struck());
        match (scene, step) {
            (Scene::SignInFails(_), SignInStep::Failed { why }) => {
                assert!(!why.is_empty(), "{label}");
                // A page in place of the credentials is how the service asks for a real browser.
                let is_over =
                    |health: &Health| matches!(health, Health::NeedsHuman { .. } | Health::Down { .. });
                let health = stage.health(is_over).await;
                assert!(health.detail().contains(&why), "{label}: {health:?}");
            }
            (Scene::SignInWaits, SignInStep::Failed { why }) => {
                assert!(why.contains("still trying"), "{label}: {why}");
                stage.health(|health| matches!(health, Health::Degraded { .. })).await;
                is_gentle(&stage, &label).await;
            }
            (Scene::SignInGoesOn(_), SignInStep::Done) => stage.usable().await,
            (_, step) => panic!("{label}: {step:?}"),
        }
        stage.world.clear_faults();
        if matches!(scene, Scene::SignInFails(_)) {
            let seen = stage.double.state().steps.len();
            stage.order(Order::SignIn).await;
            assert_eq!(stage.follow(seen).await, SignInStep::Done, "{label}");
        }
        // What is said before the session is open is not the session's.
        stage.usable().await;
        still_works(&stage, &label).await;
        // A roster that did not load is loaded later, without a new sign-in.
        stage.advance(stage.config.timings.unasked_sync);
        let (contacts, groups) = (CONTACTS as usize, GROUPS as usize);
        stage
            .wait(|state| {
                let people = state.people.values().filter(|person| person.is_contact).count();
                let rooms = state.chats.values().filter(|chat| chat.members.is_some()).count();
                (people >= contacts && rooms >= groups).then_some(())
            })
            .await;
        stage.up().await;
        still_works(&stage, "with the roster").await;
        stage.stop().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn trouble_of_the_push_login_leaves_a_code_at_worst() {
    let cases = passing().into_iter().map(|fault| async move {
        let label = format!("push {fault:?}");
        let mut stage = online(limit_for(&fault)).await;
        let seen = stage.double.state().steps.len();
        stage.world.add_fault(FaultRule::next("webwxpushloginurl", fault.clone(), 1));
        stage.world.end_session(ALICE, 1101).unwrap();
        // An answer without a code for the phone is an answer: push logins are not offered.
        let is_refusal = match &fault {
            Fault::Ret(_) => true,
            Fault::Body(body) => body.starts_with(b"{"),
            _ => false,
        };
        if is_refusal {
            stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
            stage.sign_in().await;
        } else {
            let asked = |step: &SignInStep| matches!(step, SignInStep::ConfirmOnPhone { is_push: true, .. });
            stage.step_after(seen, |step| asked(step).then_some(())).await;
            stage.world.confirm(&stage.pushed()).unwrap();
            stage.step_after(seen, |step| (*step == SignInStep::Done).then_some(())).await;
        }
        still_works(&stage, &label).await;
        stage.stop().await;
    });
    join_all(cases).await;
    let cases = lasting().into_iter().map(|fault| async move {
        let label = format!("push {fault:?}");
        let mut stage = online(limit_for(&fault)).await;
        stage.world.add_fault(for_ever("webwxpushloginurl", &fault, 0));
        stage.world.end_session(ALICE, 1101).unwrap();
        match fault {
            // Nobody can be reached: it goes on, and says so.
            Fault::DropAfterBody => {
                stage.health(|health| matches!(health, Health::Degraded { .. })).await;
                is_gentle(&stage, &label).await;
                stage.world.clear_faults();
                stage.health(|health| health.detail().contains("confirm")).await;
            }
            Fault::Hang => {
                let from = stage.struck();
                stage.until(|| stage.struck() >= from + 2).await;
                stage.health(|health| matches!(health, Health::Degraded { .. })).await;
            }
            _ => {
                stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
                assert_eq!(stage.struck(), 3, "{label}");
                stage.world.clear_faults();
                stage.sign_in().await;
                still_works(&stage, &label).await;
            }
        }
        stage.stop().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn trouble_of_poll_and_sync_delays_news_and_loses_none() {
    for (_, endpoint, scene) in table() {
        if !matches!(scene, Scene::Poll | Scene::Sync) {
            continue;
        }
        let cases = passing().into_iter().map(|fault| async move {
            let mut stage = online(limit_for(&fault)).await;
            stage.world.add_fault(FaultRule::next(endpoint, fault.clone(), 2));
            still_works(&stage, &format!("{endpoint} {fault:?}")).await;
            let done = stage.double.state().steps.iter().filter(|(_, s)| *s == SignInStep::Done).count();
            assert_eq!(done, 1, "{endpoint} {fault:?} cost a new login");
            stage.stop().await;
        });
        join_all(cases).await;
        let cases = lasting().into_iter().filter(|fault| *fault != Fault::Hang).map(|fault| async move {
            let label = format!("{endpoint} {fault:?}");
            let mut stage = online(None).await;
            stage.world.add_fault(for_ever(endpoint, &fault, 0));
            let anna = Who::Contact(0);
            let said: Vec<u64> = (0..3).map(|at| stage.say(anna, anna, &format!("{label} {at}"))).collect();
            if matches!(scene, Scene::Sync) {
                let health = stage.health(|health| health.detail().contains("still trying")).await;
                assert!(matches!(health, Health::Degraded { .. }), "{label}: {health:?}");
                is_gentle(&stage, &label).await;
                assert_eq!(stage.texts(), Vec::<String>::new(), "{label}");
                stage.world.clear_faults();
            } else {
                stage.post(said[0]).await;
                is_gentle(&stage, &label).await;
                stage.world.clear_faults();
            }
            stage.post(said[2]).await;
            let wanted: Vec<String> = (0..3).map(|at| format!("{label} {at}")).collect();
            assert_eq!(stage.texts(), wanted, "{label}: lost, repeated or out of order");
            still_works(&stage, "after it").await;
            stage.stop().await;
        });
        join_all(cases).await;
    }
}

#[tokio::test]
async fn trouble_of_the_logout_keeps_nobody_signed_in() {
    let cases = passing().into_iter().map(|fault| async move {
        let label = format!("logout {fault:?}");
        let mut stage = online(limit_for(&fault)).await;
        stage.world.add_fault(for_ever("webwxlogout", &fault, 0));
        stage.order(Order::SignOut).await;
        let health = stage.health(|health| matches!(health, Health::NeedsHuman { .. })).await;
        assert!(health.detail().contains("sign the account in"), "{label}: {health:?}");
        stage.until(|| stage.struck() >= 1).await;
        stage.world.clear_faults();
        stage.sign_in().await;
        assert_eq!(stage.struck(), 1, "{label}");
        stage.restart().await;
        still_works(&stage, &label).await;
        stage.stop().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn passing_trouble_of_sends_and_uploads_says_everything_once() {
    let rows = table().into_iter().map(|(_, endpoint, scene)| async move {
        let (body, skip) = match scene {
            Scene::Send(body) => (body, 0),
            Scene::Upload(body, skip) => (body, skip),
            _ => return,
        };
        let mut stage = online(Some(CALL)).await;
        let chat = stage.chat(Who::Contact(1));
        for (at, fault) in passing().into_iter().enumerate() {
            let label = format!("{endpoint}+{skip} {fault:?}");
            let before = stage.heard().len();
            stage.world.add_fault(FaultRule { skip, ..FaultRule::next(endpoint, fault.clone(), 1) });
            let delivery = stage.delivery(&chat, body(&stage, at as u8));
            let outcome = stage.deliver_until_settled(&delivery).await;
            let heard = stage.heard().len() - before;
            match (&fault, &outcome) {
                (Fault::Ret(4711), Outcome::Refused { why }) => {
                    assert!(!why.is_empty() && heard == 0, "{label}");
                }
                (_, Outcome::Sent { remote_ids }) => {
                    assert_eq!((heard, remote_ids.len()), (1, 1), "{label}");
                    let is_real = remote_ids.iter().all(|id| id.as_str().parse::<u64>().is_ok());
                    assert!(is_real, "{label}: {remote_ids:?}");
                }
                _ => panic!("{label}: {outcome:?}"),
            }
            stage.world.clear_faults();
        }
        stage.up().await;
        stage.stop().await;
    });
    join_all(rows).await;
}

#[tokio::test]
async fn lasting_trouble_of_sends_and_uploads_is_told_to_who_wrote() {
    for fault in lasting() {
        let fault = &fault;
        let rows = table().into_iter().map(|(_, endpoint, scene)| lasts(endpoint, scene, fault));
        join_all(rows).await;
    }
}

/// One row under one kind of trouble that does not end.
async fn lasts(endpoint: &str, scene: Scene, fault: &Fault) {
    let (body, skip, requests) = match scene {
        // The one repetition with the same id.
        Scene::Send(body) => (body, 0, 2),
        Scene::Upload(body, skip) => (body, skip, 5),
        _ => return,
    };
    let label = format!("{endpoint}+{skip} {fault:?}");
    let mut stage = online(limit_for(fault)).await;
    let chat = stage.chat(Who::Contact(1));
    let delivery = stage.delivery(&chat, body(&stage, 0));
    let mut outcome = None;
    for attempt in 1..=20 {
        // A later piece has its turn once in each attempt.
        stage.world.clear_faults();
        stage.world.add_fault(for_ever(endpoint, fault, skip));
        match stage.deliver(&Delivery { attempt, ..delivery.clone() }).await {
            Outcome::TryLater { after, why } => {
                assert!(after >= Duration::from_secs(2) && !why.is_empty(), "{label}");
            }
            settled => {
                outcome = Some(settled);
                break;
            }
        }
    }
    stage.world.clear_faults();
    match (scene, outcome) {
        (Scene::Send(_), Some(Outcome::Uncertain { why })) => assert!(!why.is_empty(), "{label}"),
        (Scene::Upload(..), Some(Outcome::Refused { why })) => {
            assert!(why.contains("could not be uploaded"), "{label}: {why}");
        }
        (_, other) => panic!("{label}: {other:?}"),
    }
    // Under the short limit a piece before the one in question may be given up as well.
    let is_exact = limit_for(fault).is_none();
    assert!(
        stage.struck() == requests || !is_exact && stage.struck() < requests,
        "{label}: {}",
        stage.struck()
    );
    // Only where the request was carried out somebody has heard it, and once.
    let was_heard = matches!((scene, fault), (Scene::Send(_), Fault::DropAfterBody));
    assert_eq!(stage.heard().len(), usize::from(was_heard), "{label}");
    let after = stage.delivery(&chat, Body::text("after it"));
    assert!(matches!(stage.deliver_until_settled(&after).await, Outcome::Sent { .. }), "{label}");
    stage.up().await;
    stage.stop().await;
}

#[tokio::test]
async fn trouble_of_recalls_is_tried_for_as_long_as_it_makes_sense() {
    let mut stage = online(Some(SHORT)).await;
    let chat = stage.chat(Who::Contact(1));
    let recall_of = async |text: &str| {
        let said = stage.deliver_until_settled(&stage.delivery(&chat, Body::text(text))).await;
        let Outcome::Sent { remote_ids } = said else { panic!("{said:?}") };
        let mut recall = stage.delivery(&chat, Body::text(""));
        recall.job = Job::Recall { post: PostId(1), remote_ids };
        recall
    };
    for fault in passing() {
        let label = format!("revoke {fault:?}");
        let recall = recall_of(&label).await;
        stage.world.add_fault(FaultRule::next("webwxrevokemsg", fault.clone(), 1));
        match (&fault, stage.deliver_until_settled(&recall).await) {
            (Fault::Ret(4711), Outcome::Refused { why }) => assert!(!why.is_empty(), "{label}"),
            (_, Outcome::Sent { .. }) => {}
            (_, outcome) => panic!("{label}: {outcome:?}"),
        }
    }
    for fault in lasting().into_iter().filter(|fault| *fault != Fault::Hang) {
        let label = format!("revoke {fault:?}");
        let recall = recall_of(&label).await;
        let struck = stage.struck();
        stage.world.add_fault(for_ever("webwxrevokemsg", &fault, 0));
        let outcome = stage.deliver_until_settled(&recall).await;
        assert!(matches!(&outcome, Outcome::Uncertain { why } if !why.is_empty()), "{label}: {outcome:?}");
        assert_eq!(stage.struck() - struck, 7, "{label}");
        stage.world.clear_faults();
    }
    stage.up().await;
    stage.stop().await;
}

#[tokio::test]
async fn trouble_of_downloads_ends_in_the_file_or_a_reason() {
    let rows = table().into_iter().map(|(_, endpoint, scene)| async move {
        let Scene::Download(kind) = scene else { return };
        let mut stage = online(Some(SHORT)).await;
        let anna = Who::Contact(0);
        let announced = async |stage: &Stage| {
            let id = stage.said(anna, anna, kind());
            let Body::Attachment(attachment) = stage.post(id).await.body else { panic!("{endpoint}") };
            (id, attachment.media)
        };
        for fault in passing() {
            let label = format!("{endpoint} {fault:?}");
            stage.world.add_fault(FaultRule::next(endpoint, fault.clone(), 1));
            let (id, media) = announced(&stage).await;
            let state = stage.settled(media).await;
            match fault {
                Fault::Oversized(_) => {
                    let told = matches!(&state, MediaState::Failed { why } if why.contains("larger"));
                    assert!(told, "{label}: {state:?}");
                }
                // Bytes are bytes: nothing tells these from a file.
                Fault::Body(ref body) if body.starts_with(b"{") => {}
                _ => {
                    assert_eq!(state, MediaState::Ready, "{label}");
                    let wanted = stage.world.media(ALICE, id).unwrap();
                    assert_eq!(stage.ready(media).await, wanted, "{label}");
                }
            }
        }
        for fault in lasting() {
            let label = format!("{endpoint} {fault:?}");
            let struck = stage.struck();
            stage.world.add_fault(for_ever(endpoint, &fault, 0));
            let (id, media) = announced(&stage).await;
            if matches!(fault, Fault::Body(_)) {
                // The service is there and has something else to say: the attachment is gone.
                let state = stage.settled(media).await;
                assert!(
                    matches!(&state, MediaState::Failed { why } if !why.is_empty()),
                    "{label}: {state:?}"
                );
                assert_eq!(stage.struck() - struck, 3, "{label}");
                stage.world.clear_faults();
                continue;
            }
            // The service is in trouble: the attachment waits, is asked for now and then, and comes.
            let asked = async {
                while stage.struck() - struck < 4 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{label}: given up"));
            let info = stage.double.info(media).await.unwrap().unwrap();
            assert_eq!(info.state, MediaState::Pending, "{label}");
            stage.world.clear_faults();
            assert_eq!(stage.ready(media).await, stage.world.media(ALICE, id).unwrap(), "{label}");
        }
        still_works(&stage, endpoint).await;
        stage.stop().await;
    });
    join_all(rows).await;
}

#[tokio::test]
async fn trouble_of_faces_is_told_to_who_asked_and_tried_once() {
    let rows = table().into_iter().map(|(_, endpoint, scene)| async move {
        let Scene::Face(who) = scene else { return };
        let mut stage = online(Some(SHORT)).await;
        let key = stage.chat(who);
        let ask = async || {
            let subject = match who {
                Who::Group(_) => Subject::Chat(key.clone()),
                _ => Subject::Person(key.as_str().into()),
            };
            let (answer, mut answers) = mpsc::channel(1);
            stage.order(Order::Ask(Ask { request: Request::Avatar(subject), answer })).await;
            answers.recv().await.unwrap()
        };
        for fault in passing() {
            let label = format!("{endpoint} {fault:?}");
            let struck = stage.struck();
            stage.world.add_fault(for_ever(endpoint, &fault, 0));
            match ask().await {
                Ok(answer) => assert!(matches!(fault, Fault::Delay(_)), "{label}: {answer:?}"),
                Err(error) => assert!(!error.to_string().is_empty(), "{label}"),
            }
            assert_eq!(stage.struck() - struck, 1, "{label}");
            stage.world.clear_faults();
            let Ok(Answer::Media(Some(media))) = ask().await else { panic!("{label}: no face after it") };
            assert!(!stage.ready(media).await.is_empty(), "{label}");
            // A picture that is there is not fetched again.
            MediaVault::fail(&stage.double, media, "it was cleaned up").await.unwrap();
        }
        still_works(&stage, endpoint).await;
        stage.stop().await;
    });
    join_all(rows).await;
}

#[tokio::test]
async fn trouble_of_changes_is_told_to_who_asked_and_tried_once() {
    let rows = table().into_iter().map(|(_, endpoint, scene)| async move {
        let Scene::Change(change) = scene else { return };
        let is_group = matches!(change, Change::Group);
        let mut stage = online(Some(SHORT)).await;
        // By its first title: the test changes it.
        let group = stage.chat(Who::Group(0));
        let ask = async |stage: &Stage, number: usize| {
            let request = match change {
                Change::Group => {
                    let people = [Who::Contact(0), Who::Contact(1)];
                    let people = people.map(|who| stage.chat(who).as_str().into()).into();
                    Request::Gather { people, title: format!("group {number}") }
                }
                Change::Title => Request::Retitle { group: group.clone(), title: format!("title {number}") },
                Change::Friend => {
                    let kind = Kind::FriendRequest { nick: "new".into(), greeting: "hi".into() };
                    let post = stage.post(stage.said(Who::Contact(0), Who::Contact(0), kind)).await;
                    Request::Befriend { request: post.remote_id, verdict: Verdict::Accept }
                }
            };
            let (answer, mut answers) = mpsc::channel(1);
            stage.order(Order::Ask(Ask { request, answer })).await;
            answers.recv().await.unwrap()
        };
        for (number, fault) in passing().into_iter().enumerate() {
            let label = format!("{endpoint} {fault:?}");
            let struck = stage.struck();
            stage.world.add_fault(for_ever(endpoint, &fault, 0));
            // A new group has to be named as well.
            let says_done = matches!(&fault, Fault::Delay(wait) if *wait < SHORT)
                || matches!(&fault, Fault::Body(body) if body.starts_with(b"{") && !is_group);
            let is_done = |answer: &Answer| match change {
                Change::Group => matches!(answer, Answer::Chat(_)),
                _ => *answer == Answer::Done,
            };
            match ask(&stage, 2 * number).await {
                Ok(answer) => assert!(says_done && is_done(&answer), "{label}: {answer:?}"),
                Err(error) => assert!(!says_done && !error.to_string().is_empty(), "{label}: {error}"),
            }
            assert_eq!(stage.struck() - struck, 1, "{label}");
            stage.world.clear_faults();
            let after = ask(&stage, 2 * number + 1).await;
            assert!(after.as_ref().is_ok_and(is_done), "{label}: after it {after:?}");
        }
        still_works(&stage, endpoint).await;
        stage.stop().await;
    });
    join_all(rows).await;
}
