use bytes::Bytes;
use wechat_proto::Contact;
use wxgate_contract::conformance::{Double, FixedClock};
use wxgate_contract::{
    Author, Body, BoxFuture, Committed, Delivery, DeliveryId, Health, Loading, Outcome, Post, SignInStep,
};
use wxgate_identity::{Profile, Seen, Sight};

use super::moves::PAGE;
use super::*;
use crate::roster::Kind;

/// A far end that lets others go on at each call, as a store does, and cannot store some of what it is given.
struct Yielding {
    double: Double,
    refuses: fn(&Batch) -> bool,
}

impl Yielding {
    fn new(double: &Double) -> Self {
        Self { double: double.clone(), refuses: |_| false }
    }
}

impl FarEnd for Yielding {
    fn commit<'a>(
        &'a self,
        network: &'a NetworkId,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Committed, FarError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if (self.refuses)(&batch) {
                return Err(FarError::Unavailable("away".to_owned()));
            }
            self.double.commit(network, batch).await
        })
    }

    fn settle<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>> {
        self.double.settle(network, delivery, outcome)
    }

    fn behind<'a>(
        &'a self,
        network: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>> {
        self.double.behind(network, delivery, limit)
    }

    fn note<'a>(
        &'a self,
        network: &'a NetworkId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.double.note(network, key).await
        })
    }

    fn notes_of<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        self.double.notes_of(network, keys)
    }

    fn notes<'a>(
        &'a self,
        network: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.double.notes(network, prefix, after, limit).await
        })
    }

    fn health(&self, network: &NetworkId, health: Health) {
        self.double.health(network, health);
    }

    fn sign_in(&self, network: &NetworkId, step: SignInStep) {
        self.double.sign_in(network, step);
    }

    fn loading(&self, network: &NetworkId, how: Option<Loading>) {
        self.double.loading(network, how);
    }
}

fn settler(far: Arc<dyn FarEnd>, double: &Double, network: &NetworkId) -> Settler {
    let clock = FixedClock::at(1_700_000_000_000);
    let rng = rand::SeedableRng::seed_from_u64(1);
    let live = Arc::new(Live::new(clock, wechat_proto::Profile::Desktop, "en_US", rng));
    live.set_rest(|rest| rest.is_roster_loaded = true);
    Settler { far, directory: Arc::new(double.clone()), live, network: network.clone() }
}

fn profile(id: &str, login: u32, open: &[&str]) -> Profile {
    Profile {
        open: open.iter().map(|id| (*id).to_owned()).collect(),
        ..Profile::new(id.to_owned(), Sight::of(&Contact::default(), 0), Seen { login, ..Seen::default() })
    }
}

/// A login in which those of `present`, by id, go by these names.
async fn login_of(double: &Double, network: &NetworkId, people: Vec<Profile>, present: &[(&str, &str)]) {
    let book = Book { uin: 1, login: 2, people, ..Book::default() };
    let mut batch = Batch { notes: shelf::changes(&Book::default(), &book), ..Batch::default() };
    batch.notes.push(shelf::head_note(&book));
    for (id, name) in present {
        let name = UserName::from(*name);
        let lasting = Lasting { user_name: name.clone(), generation: 0, seq: 0 };
        batch.notes.push(note(lasting_note(id), &lasting));
        batch.notes.push(note(name_note(0, &name), &Named::new(*id, Kind::Person, *id)));
    }
    double.commit(network, batch).await.unwrap();
}

/// Whom a session name stands for, and whether an answer to that chat reaches the name.
async fn whose(double: &Double, network: &NetworkId, name: &str) -> (String, bool) {
    let name = UserName::from(name);
    let value = double.note(network, &name_note(0, &name)).await.unwrap().unwrap();
    let named: Named = serde_json::from_slice(&value).unwrap();
    let reached = crate::roster::lasting(double, network, &named.key, 0).await.unwrap();
    (named.key, reached == Some(name))
}

fn new(network: &NetworkId, name: &str) -> String {
    new_key(network, 0, 0, &UserName::from(name))
}

#[tokio::test]
async fn two_who_were_taken_for_each_other_are_never_in_one_chat() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let known = |id: &str, permanent: u64| Profile { permanent, ..profile(id, 2, &[]) };
    let people = vec![known("p-anna", 1), known("p-bo", 2)];
    login_of(&double, &network, people, &[("p-anna", "@bo"), ("p-bo", "@anna")]).await;
    let settler = settler(Arc::new(double.clone()), &double, &network);
    settler.learn("p-anna", 2).await.unwrap();
    assert_eq!(whose(&double, &network, "@bo").await, ("p-bo".to_owned(), true));
    assert_eq!(whose(&double, &network, "@anna").await, (new(&network, "@anna"), true));
    assert_eq!(double.note(&network, &lasting_note("p-anna")).await.unwrap(), None);
    let told = double.state().posts.iter().map(|(_, _, post)| post.chat.chat.to_string()).collect::<Vec<_>>();
    let new_anna = new(&network, "@anna");
    let mut expected = ["p-anna", "p-bo", "p-bo", &new_anna];
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected, "the owner hears of it where it happened");
    settler.learn(&new(&network, "@anna"), 1).await.unwrap();
    assert_eq!(whose(&double, &network, "@anna").await, ("p-anna".to_owned(), true));
}

#[tokio::test]
async fn whoever_is_proven_to_be_somebody_absent_is_them_at_once() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let known = |id: &str, login: u32, permanent: u64| Profile { permanent, ..profile(id, login, &[]) };
    let people = vec![known("p-anna", 2, 1), known("p-bo", 1, 2)];
    login_of(&double, &network, people, &[("p-anna", "@bo")]).await;
    settler(Arc::new(double.clone()), &double, &network).learn("p-anna", 2).await.unwrap();
    assert_eq!(whose(&double, &network, "@bo").await, ("p-bo".to_owned(), true));
    assert_eq!(double.note(&network, &lasting_note(&new(&network, "@bo"))).await.unwrap(), None);
}

#[tokio::test]
async fn an_impostor_gets_no_chat_in_which_somebody_else_spoke() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let real = new(&network, "@anna");
    let people = vec![Profile { permanent: 1, ..profile("p-anna", 2, &[]) }, profile(&real, 2, &["p-anna"])];
    login_of(&double, &network, people, &[("p-anna", "@impostor"), (&real, "@anna")]).await;
    settler(Arc::new(double.clone()), &double, &network).learn(&real, 1).await.unwrap();
    assert_eq!(whose(&double, &network, "@anna").await, ("p-anna".to_owned(), true));
    assert_eq!(whose(&double, &network, "@impostor").await, (new(&network, "@impostor"), true));
    let told = double.state().posts.iter().map(|(_, _, post)| post.chat.chat.to_string()).collect::<Vec<_>>();
    assert_eq!(
        told,
        ["p-anna".to_owned(), new(&network, "@impostor")],
        "whoever stood apart is where they belong"
    );
}

#[tokio::test]
async fn of_two_answers_at_once_that_name_the_same_person_one_counts() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let people =
        vec![profile("p-old", 1, &[]), profile("p-one", 2, &["p-old"]), profile("p-two", 2, &["p-old"])];
    login_of(&double, &network, people, &[]).await;
    let settler = settler(Arc::new(Yielding::new(&double)), &double, &network);
    let answer = |chat: &'static str| settler.resolve(chat, Some("p-old"));
    let both: [Result<(), CommandError>; 2] = tokio::join!(answer("p-one"), answer("p-two")).into();
    let refused = |answer: &&Result<(), CommandError>| matches!(answer, Err(CommandError::Refused(_)));
    assert!(both[0].is_ok(), "{both:?}");
    assert_eq!(both.iter().filter(refused).count(), 1, "two people on one chat: {both:?}");
    let known = shelf::load(&double, &network).await.unwrap();
    let mut ids: Vec<&str> = known.people.iter().map(|known| known.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["p-old", "p-two"]);
}

/// Anna from earlier logins, of permanent name 1, and a stand-in that spoke under a name of this one.
async fn stood_in(double: &Double, network: &NetworkId) -> String {
    let made = new(network, "@anna");
    let people = vec![Profile { permanent: 1, ..profile("p-anna", 1, &[]) }, profile(&made, 0, &[])];
    login_of(double, network, people, &[(&made, "@anna")]).await;
    let chat = ChatRef { network: network.clone(), chat: made.as_str().into() };
    let said = Post {
        remote_id: "m1".into(),
        chat: chat.clone(),
        author: Author::Network,
        at: wxgate_contract::Timestamp(1_700_000_000_000),
        body: Body::text("early"),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    };
    let batch = Batch { posts: vec![said], ..Batch::default() };
    double.commit(network, batch).await.unwrap();
    made
}

fn chats_and_words(double: &Double) -> Vec<(String, Body)> {
    let state = double.state();
    state.posts.iter().map(|(_, _, post)| (post.chat.chat.to_string(), post.body.clone())).collect()
}

#[tokio::test]
async fn what_was_said_to_a_stand_in_that_is_proven_goes_to_whoever_it_is() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let made = stood_in(&double, &network).await;
    settler(Arc::new(double.clone()), &double, &network).learn(&made, 1).await.unwrap();
    assert_eq!(whose(&double, &network, "@anna").await, ("p-anna".to_owned(), true));
    let early = Body::text("early");
    let said = [(made.clone(), early.clone()), ("p-anna".to_owned(), early)];
    assert_eq!(chats_and_words(&double), said, "moved, and nobody was spoken to in a wrong place");
    let book = shelf::load(&double, &network).await.unwrap();
    let known: Vec<(&str, u32)> = book.people.iter().map(|known| (&*known.id, known.seen.login)).collect();
    assert_eq!(known, [("p-anna", 2)], "in this login");
}

#[tokio::test]
async fn a_proof_from_before_the_list_is_read_waits_with_the_stand_in() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let made = stood_in(&double, &network).await;
    let settler = settler(Arc::new(double.clone()), &double, &network);
    settler.live.set_rest(|rest| rest.is_roster_loaded = false);
    settler.learn(&made, 1).await.unwrap();
    assert_eq!(whose(&double, &network, "@anna").await, (made.clone(), true));
    let book = shelf::load(&double, &network).await.unwrap();
    let proof = |id: &str| book.people.iter().find(|known| known.id == id).unwrap().permanent;
    assert_eq!((book.people.len(), proof("p-anna"), proof(&made)), (2, 1, 1));
    assert_eq!(chats_and_words(&double).len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_given_again_says_nothing_twice_and_another_one_says_it_all() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let made = stood_in(&double, &network).await;
    let open = profile(&made, 2, &["p-anna", "p-bo"]);
    let notes = vec![shelf::person_note(&open), shelf::person_note(&profile("p-bo", 1, &[]))];
    double.commit(&network, Batch { notes, ..Batch::default() }).await.unwrap();
    let settler = settler(Arc::new(double.clone()), &double, &network);
    for to in ["p-anna", "p-anna", "p-bo", "p-anna", "p-bo"] {
        settler.resolve(&made, Some(to)).await.unwrap();
        settler.undo(to).await.unwrap();
    }
    let words = chats_and_words(&double);
    let chats: Vec<&str> = words.iter().map(|(chat, _)| chat.as_str()).collect();
    assert_eq!(chats, [&made, "p-anna", "p-bo"]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_takes_nothing_from_the_next_one() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let made = stood_in(&double, &network).await;
    let open = profile(&made, 2, &["p-anna", "p-bo"]);
    let notes = vec![shelf::person_note(&open), shelf::person_note(&profile("p-bo", 1, &[]))];
    double.commit(&network, Batch { notes, ..Batch::default() }).await.unwrap();
    // All is moved, and who it is cannot be stored.
    let decides = |batch: &Batch| batch.notes.iter().any(|note| note.key.starts_with("who/p/"));
    let cut_off = Yielding { refuses: decides, ..Yielding::new(&double) };
    let cut_off = settler(Arc::new(cut_off), &double, &network);
    let answer = cut_off.resolve(&made, Some("p-anna")).await;
    assert!(matches!(answer, Err(CommandError::Failed(_))), "{answer:?}");
    let settler = settler(Arc::new(double.clone()), &double, &network);
    for to in ["p-bo", "p-anna", "p-bo"] {
        settler.resolve(&made, Some(to)).await.unwrap();
        settler.undo(to).await.unwrap();
    }
    let words = chats_and_words(&double);
    let chats: Vec<&str> = words.iter().map(|(chat, _)| chat.as_str()).collect();
    assert_eq!(chats, [&made, "p-anna", "p-bo"]);
}

#[tokio::test]
async fn what_was_moved_is_not_moved_once_more_while_the_news_wait() {
    let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
    let made = stood_in(&double, &network).await;
    let said = double.state().posts[0].2.clone();
    let more = (0..PAGE).map(|at| Post { remote_id: format!("more{at}").into(), ..said.clone() });
    double.commit(&network, Batch { posts: more.collect(), ..Batch::default() }).await.unwrap();
    let before = double.state().commits;
    settler(Arc::new(double.clone()), &double, &network).learn(&made, 1).await.unwrap();
    // To whom, two pages, and who it is.
    assert_eq!(double.state().commits - before, 4);
    assert_eq!(chats_and_words(&double).len(), 2 * (PAGE + 1));
}
