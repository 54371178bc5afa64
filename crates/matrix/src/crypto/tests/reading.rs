//! What people encrypt, on its way in.

use serde_json::Value;
use serde_json::value::to_raw_value;
use tokio::sync::{mpsc, oneshot};
use wxgate_contract::StopHandle;
use wxgate_e2ee::RoomRules;

use super::*;
use crate::crypto::Opened;
use crate::inbound::effects::Addressed;
use crate::inbound::todo::Task;
use crate::inbound::{Inbound, Taken, Transaction};

/// An event as the homeserver hands it over.
fn event(event_id: &str, sender: &str, room_id: &str, content: &Value) -> Value {
    json!({
        "type": "m.room.encrypted", "event_id": event_id, "sender": sender, "room_id": room_id,
        "origin_server_ts": 1, "content": content,
    })
}

/// Encrypts something for the bot, which has the key from then on.
async fn sealed(scene: &Scene, person: &Machine, user_id: &str, text: &str) -> Value {
    let shared = &scene.shared;
    let bot = shared.device(BOT).await.unwrap();
    shared.carry_all(BOT, &bot.machine).await.unwrap();
    let to = [BOT.to_owned()];
    person.track(&to).await.unwrap();
    shared.carry_all(user_id, person).await.unwrap();
    if let Some(claim) = person.claim(&to).await.unwrap() {
        shared.carry(user_id, person, &claim).await.unwrap();
    }
    let rules = RoomRules::new(&json!({ "algorithm": "m.megolm.v1.aes-sha2" }), "shared").unwrap();
    for request in person.share(ROOM, &to, &rules).await.unwrap() {
        shared.carry(user_id, person, &request).await.unwrap();
    }
    let sent = std::mem::take(&mut scene.homeserver.kept().sent);
    let id = bot.machine.device_id();
    let events = sent.iter().filter_map(|(kind, sender, to)| {
        let content = to.get(BOT)?.get(id)?;
        Some(json!({ "type": kind, "sender": sender, "content": content }))
    });
    let events: Vec<Value> = events.collect();
    bot.machine.hear(&json!({ "to_device": { "events": events } })).await.unwrap();
    let content = json!({ "msgtype": "m.text", "body": text });
    person.encrypt(ROOM, "m.room.message", &content).await.unwrap()
}

/// The task that takes transactions.
struct Taking {
    transactions: mpsc::Sender<Transaction>,
    questions: mpsc::Receiver<Addressed>,
    tasks: mpsc::Receiver<Task>,
    _run: (JoinSet<()>, StopHandle),
}

impl Taking {
    fn start(scene: &Scene) -> Self {
        let (transactions, given) = mpsc::channel(1);
        let (asked, questions) = mpsc::channel(9);
        let (done, tasks) = mpsc::channel(9);
        let (_, missed) = mpsc::channel(1);
        let (begin, begins) = oneshot::channel();
        let (handle, stop) = StopHandle::new();
        let inbound = Inbound::new(Arc::clone(&scene.shared), done, asked, Arc::default());
        let mut run = JoinSet::new();
        begin.send(0).unwrap();
        run.spawn(inbound.run(begins, given, missed, stop));
        Self { transactions, questions, tasks, _run: (run, handle) }
    }

    async fn take(&self, events: &[Value]) -> Taken {
        let (done, taken) = oneshot::channel();
        let body = Bytes::from(json!({ "events": events }).to_string());
        self.transactions.send(Transaction { body, done }).await.unwrap();
        in_time(taken).await.unwrap()
    }

    fn asked(&mut self) -> Vec<(String, String)> {
        std::iter::from_fn(|| self.questions.try_recv().ok()).map(|one| (one.event_id, one.text)).collect()
    }

    /// How many effects there were.
    fn effects(&mut self) -> usize {
        std::iter::from_fn(|| self.tasks.try_recv().ok()).count()
    }
}

fn pair(event_id: &str, text: &str) -> (String, String) {
    (event_id.to_owned(), text.to_owned())
}

#[tokio::test]
async fn what_was_said_once_is_not_said_again_under_another_id() {
    let mut scene = Scene::start().await;
    let ann = people(&scene, ANN).await;
    let said = sealed(&scene, &ann, ANN, "!wx logout").await;
    let again = sealed(&scene, &ann, ANN, "!wx logout").await;
    let mut taking = Taking::start(&scene);
    assert_eq!(taking.take(&[event("$1", ANN, ROOM, &said)]).await, Taken::Safe);
    assert_eq!(taking.asked(), [pair("$1", "logout")]);
    assert_eq!(taking.take(&[event("$2", ANN, ROOM, &said)]).await, Taken::Safe);
    assert_eq!((taking.asked(), taking.effects()), (vec![], 1), "whoever is there is told");
    // In one transaction, of which nothing is committed yet.
    let twice = [event("$3", ANN, ROOM, &again), event("$4", ANN, ROOM, &again)];
    assert_eq!(taking.take(&twice).await, Taken::Safe);
    assert_eq!(taking.asked(), [pair("$3", "logout")]);
    // By another run, that does not know what was handed over; and the same event is the same.
    drop(taking);
    scene.far.double.state().notes.retain(|(_, key), _| key != "handled");
    scene.again();
    let mut taking = Taking::start(&scene);
    let events = ["$1", "$2", "$5"].map(|id| event(id, ANN, ROOM, &said));
    assert_eq!(taking.take(&events).await, Taken::Safe);
    assert_eq!(taking.asked(), [pair("$1", "logout")]);
}

#[tokio::test]
async fn a_repetition_is_not_quoted_either() {
    let scene = Scene::start().await;
    let ann = people(&scene, ANN).await;
    let said = sealed(&scene, &ann, ANN, "yes, do").await;
    let taking = Taking::start(&scene);
    taking.take(&[event("$1", ANN, ROOM, &said)]).await;
    for id in ["$1", "$2"] {
        scene.homeserver.kept().events.insert(id.to_owned(), event(id, ANN, ROOM, &said));
    }
    let quoted = async |id| scene.shared.event_of(ROOM, id).await.unwrap()["content"]["body"].clone();
    assert_eq!((quoted("$1").await, quoted("$2").await), ("yes, do".into(), Value::Null));
}

/// The homeserver's own user has the key to the room; the homeserver puts its words into somebody's mouth.
#[tokio::test]
async fn words_of_somebody_elses_device_are_not_taken() {
    let scene = Scene::start().await;
    let sue = people(&scene, SUE).await;
    // Known as one of the room.
    scene.says(ONE).await;
    scene.shared.device(BOT).await.unwrap().machine.track(&[SUE.to_owned()]).await.unwrap();
    let said = sealed(&scene, &sue, SUE, "send the money").await;
    let opened = async |sender: &str| {
        let raw = to_raw_value(&event("$1", sender, ROOM, &said)).unwrap();
        scene.shared.unseal(ROOM, &raw).await.unwrap()
    };
    assert!(matches!(opened(ANN).await, Opened::Never(why) if why.contains("not one of yours")));
    assert!(matches!(opened(SUE).await, Opened::Read(..)));
}

/// One room that the homeserver cannot list, and another that is well.
#[tokio::test]
async fn a_room_that_cannot_be_listed_holds_up_no_other() {
    let scene = Scene::start().await;
    let ann = people(&scene, ANN).await;
    let said = sealed(&scene, &ann, ANN, "!wx still well").await;
    let mut unknown = said.clone();
    unknown["session_id"] = json!("somebody else's");
    scene.homeserver.kept().fails = Some("/rooms/!broken:test/members");
    let mut taking = Taking::start(&scene);
    let events = [event("$1", ANN, "!broken:test", &unknown), event("$2", ANN, ROOM, &said)];
    assert_eq!(taking.take(&events).await, Taken::Safe);
    assert_eq!(taking.asked(), [pair("$2", "still well")]);
}

#[tokio::test]
async fn what_the_bots_device_said_for_a_ghost_is_read_and_makes_no_device_of_it() {
    let mut scene = Scene::start().await;
    scene.config.own_devices_up_to = 0;
    scene.again();
    let ghost = Arc::new(Ghost { user_id: ONE.to_owned(), ..Ghost::default() });
    let content = json!({ "msgtype": "m.text", "body": "words of a ghost" });
    let sealed = scene.shared.seal(ROOM, &Speaker::Ghost(ghost), "m.room.message", &content).await;
    let sealed = sealed.unwrap().unwrap().content;
    scene.homeserver.kept().events.insert("$1".to_owned(), event("$1", ONE, ROOM, &sealed));
    let read = scene.shared.event_of(ROOM, "$1").await.unwrap();
    assert_eq!(read["content"]["body"], "words of a ghost");
    assert_eq!(scene.shared.device_of(ONE).await.unwrap(), None);
    // It has one of its own since then, which does not know what was said before.
    scene.shared.device(ONE).await.unwrap();
    let read = scene.shared.event_of(ROOM, "$1").await.unwrap();
    assert_eq!(read["content"]["body"], "words of a ghost");
}

/// Somebody with a device that nobody has signed.
async fn unsigned(scene: &Scene, user_id: &str) -> Machine {
    let far = Arc::new(Double::new());
    let machine = Machine::open(far, network(), user_id, "STRANGE", Purpose::Reads).await.unwrap();
    scene.shared.carry_all(user_id, &machine).await.unwrap();
    machine
}

impl Scene {
    /// Where only signed devices count.
    async fn strict() -> Self {
        let mut scene = Self::start().await;
        scene.config.only_signed_devices = true;
        scene.again();
        scene
    }

    /// Why an event is not read.
    async fn refusal(&self, sender: &str, said: &Value) -> String {
        let raw = to_raw_value(&event("$1", sender, ROOM, said)).unwrap();
        match in_time(self.shared.unseal(ROOM, &raw)).await.unwrap() {
            Opened::Never(why) => why,
            Opened::Read(..) | Opened::NoKey => panic!("it is refused"),
        }
    }
}

#[tokio::test]
async fn an_unsigned_device_is_asked_for_once_until_something_changes() {
    let scene = Scene::strict().await;
    let sue = unsigned(&scene, SUE).await;
    let said = sealed(&scene, &sue, SUE, "again and again").await;
    let before = scene.homeserver.questions_about(SUE);
    for _ in 0..3 {
        assert!(scene.refusal(SUE, &said).await.contains("not verified by yourself"));
    }
    assert_eq!(scene.homeserver.questions_about(SUE), before + 1);
    scene.shared.devices_changed(&[SUE.to_owned()]).await;
    scene.refusal(SUE, &said).await;
    assert_eq!(scene.homeserver.questions_about(SUE), before + 2);
}

#[tokio::test]
async fn devices_that_cannot_be_told_hold_up_nothing() {
    let scene = Scene::strict().await;
    let (sue, ann) = (unsigned(&scene, SUE).await, people(&scene, ANN).await);
    let strange = sealed(&scene, &sue, SUE, "from a strange device").await;
    let well = sealed(&scene, &ann, ANN, "!wx still well").await;
    let mut taking = Taking::start(&scene);
    // Known, before nothing can be asked any more.
    assert_eq!(taking.take(&[event("$0", ANN, ROOM, &well)]).await, Taken::Safe);
    assert_eq!(taking.asked(), [pair("$0", "still well")]);
    let again = sealed(&scene, &ann, ANN, "!wx and still").await;
    scene.homeserver.kept().fails = Some("/keys/query");
    let events = [event("$1", SUE, ROOM, &strange), event("$2", ANN, ROOM, &again)];
    assert_eq!(taking.take(&events).await, Taken::Safe);
    assert_eq!(taking.asked(), [pair("$2", "and still")]);
}
