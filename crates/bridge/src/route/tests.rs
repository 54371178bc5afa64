use super::*;
use wxgate_contract::conformance::Double;
use wxgate_contract::{AttachmentKind, MediaId, Mention, PostId, Timestamp};

fn chat(network: &str, chat: &str) -> ChatRef {
    ChatRef { network: network.into(), chat: chat.into() }
}

fn post(home: &ChatRef, author: Author, body: Body) -> Post {
    Post {
        remote_id: "1".into(),
        chat: home.clone(),
        author,
        at: Timestamp(0),
        body,
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

fn routing() -> Routing {
    Routing::new(Arc::new(routes()))
}

fn routes() -> Routes {
    let routes = Routes::new(Arc::new(Double::new()));
    let plain = Capabilities { carries_files: false, can_recall: false, ..LEAST };
    routes.learn(&"plain:x".into(), plain);
    routes.learn(&"rich:x".into(), Capabilities { shows_authors: true, ..LEAST });
    ["a:1", "a:2"].iter().for_each(|account| routes.learn_account(&NetworkId::new(*account)));
    routes
}

fn one(post: &Post, origin: &str, target: &ChatRef, known: Option<&KnownPost>) -> Option<Job> {
    let origin = origin.into();
    let targets = [target.clone()];
    let input = RouteInput {
        origin: &origin,
        post_id: PostId(9),
        post,
        targets: &targets,
        target: known,
        author_name: "Anna",
        native_ids: &[],
    };
    let mut jobs = routing().route(&input);
    assert!(jobs.len() <= 1);
    jobs.pop().map(|(to, job)| {
        assert_eq!(to, *target);
        job
    })
}

fn said(job: Option<Job>) -> Say {
    match job {
        Some(Job::Say(say)) => *say,
        other => panic!("expected something to say, got {other:?}"),
    }
}

#[test]
fn the_owner_speaks_for_himself_at_home_and_is_named_elsewhere() {
    let home = chat("a:1", "c");
    let post = post(&home, Author::Owner, Body::text("hi"));
    assert_eq!(said(one(&post, "face:x", &home, None)).author_prefix, "");
    assert_eq!(said(one(&post, "face:x", &chat("plain:x", "d"), None)).author_prefix, "Anna");
    assert_eq!(said(one(&post, "face:x", &chat("rich:x", "d"), None)).author_prefix, "");
}

#[test]
fn a_mention_crosses_only_where_the_person_is_known() {
    let home = chat("a:1", "c");
    let mut post = post(&home, Author::Owner, Body::text("@Bo hi"));
    post.mentions = vec![Mention { person: Some("p".into()), is_owner: false, range: (0, 3) }];
    assert_eq!(said(one(&post, "face:x", &home, None)).mentions, [("p".into(), (0, 3))]);
    let there = chat("plain:x", "d");
    assert!(said(one(&post, "face:x", &there, None)).mentions.is_empty());
    // Somebody who was named by their key on the other network is known there.
    let foreign = wxgate_contract::PersonKey::from("q").seen_from_elsewhere(&there.network);
    post.mentions = vec![Mention { person: Some(foreign), is_owner: false, range: (0, 3) }];
    assert_eq!(said(one(&post, "face:x", &there, None)).mentions, [("q".into(), (0, 3))]);
    assert!(said(one(&post, "face:x", &chat("rich:x", "d"), None)).mentions.is_empty());
}

#[test]
fn a_mirror_of_the_chat_knows_its_people() {
    let home = chat("a:1", "c");
    let mut post = post(&home, Author::Owner, Body::text("@Bo hi"));
    post.mentions = vec![Mention { person: Some("p".into()), is_owner: false, range: (0, 3) }];
    let lane = home.mirrored_on(&"rich:x".into());
    assert_eq!(said(one(&post, "a:1", &lane, None)).mentions, [("p".into(), (0, 3))]);
}

#[test]
fn only_networks_that_run_here_mirror() {
    let routes = routes();
    let account = NetworkId::from("a:1");
    routes.mirror(&account, &"face:m".into());
    assert_eq!(routes.mirrors(&account), Vec::<NetworkId>::new());
    routes.learn(&"face:m".into(), Capabilities { mirrors: true, ..LEAST });
    routes.mirror(&account, &"face:m".into());
    assert_eq!(routes.mirrors(&account), ["face:m".into()]);
    assert!(routes.wants_reports(&"face:m".into()) && !routes.wants_reports(&"rich:x".into()));
    routes.unmirror(&account, &"face:m".into());
    assert_eq!(routes.mirrors(&account), Vec::<NetworkId>::new());
}

#[test]
fn a_file_becomes_a_link_where_files_cannot_go() {
    let home = chat("a:1", "c");
    let file = Attachment {
        media: MediaId([1; 16]),
        kind: AttachmentKind::Image,
        name: "a.jpg".to_owned(),
        mime: String::new(),
        size_bytes: 2000,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    };
    let author = Author::Person { person: "p".into(), name: "Anna".to_owned() };
    let post = post(&home, author, Body::Attachment(file.clone()));
    let say = said(one(&post, "a:1", &chat("plain:x", "d"), None));
    let Body::Text { text } = &say.post.body else { panic!("{say:?}") };
    assert!(text.starts_with("[image] http") && text.ends_with(" (2 KB)"), "{text}");
    let say = said(one(&post, "a:1", &chat("rich:x", "d"), None));
    assert!(matches!(say.post.body, Body::Attachment(_)));
    // Of a film there is a picture.
    let film = Attachment { kind: AttachmentKind::Video, poster: Some(MediaId([2; 16])), ..file };
    let post = Post { body: Body::Attachment(film), ..post };
    let say = said(one(&post, "a:1", &chat("plain:x", "d"), None));
    let Body::Text { text } = &say.post.body else { panic!("{say:?}") };
    assert!(text.starts_with("[video] http") && text.contains(" (2 KB) preview: http"), "{text}");
}

#[test]
fn a_recall_reaches_only_where_its_target_is_known_and_can_be_taken_back() {
    let home = chat("a:1", "c");
    let recall = Body::Recall { target: Some("7".into()), notice: String::new() };
    let post = post(&home, Author::Owner, recall);
    let there = chat("rich:x", "d");
    let known = KnownPost {
        post_id: PostId(3),
        ids: vec![(there.clone(), "n1".into()), (there.clone(), "n2".into())],
    };
    let job = one(&post, "a:1", &there, Some(&known));
    let wanted = Job::Recall { post: PostId(3), remote_ids: vec!["n1".into(), "n2".into()] };
    assert_eq!(job, Some(wanted));
    assert_eq!(one(&post, "a:1", &there, None), None);
    assert_eq!(one(&post, "a:1", &chat("plain:x", "d"), Some(&known)), None);
    // It may be on its way there.
    let early = Job::Recall { post: PostId(3), remote_ids: Vec::new() };
    assert_eq!(one(&post, "a:1", &chat("rich:x", "e"), Some(&known)), Some(early));
}

#[test]
fn what_the_gateway_says_stays_where_it_was_said() {
    let home = chat("a:1", "c");
    let post = post(&home, Author::Gateway, Body::text("was not delivered"));
    assert_eq!(one(&post, "a:1", &chat("rich:x", "d"), None), None);
}

#[test]
fn a_target_that_is_not_running_still_gets_its_job() {
    let home = chat("a:1", "c");
    let post = post(&home, Author::Owner, Body::text("hi"));
    assert_eq!(said(one(&post, "a:1", &chat("gone:x", "d"), None)).author_prefix, "Anna");
}

/// The other members of a link hear something that somebody says in `home`, under the number `id`; who is told.
fn told(
    routes: &Routing,
    home: &ChatRef,
    others: &[&ChatRef],
    (id, name, text): (&str, &str, &str),
) -> Vec<String> {
    let author = Author::Person { person: "p".into(), name: name.to_owned() };
    let post = Post { remote_id: id.into(), ..post(home, author, Body::text(text)) };
    let mut targets: Vec<ChatRef> =
        others.iter().filter(|chat| **chat != home).map(|chat| (*chat).clone()).collect();
    targets.push(home.mirrored_on(&"rich:x".into()));
    let input = RouteInput {
        origin: &home.network.clone(),
        post_id: PostId(9),
        post: &post,
        targets: &targets,
        target: None,
        author_name: name,
        native_ids: &[RemoteId::from(id)],
    };
    routes.route(&input).into_iter().map(|(to, _)| to.network.to_string()).collect()
}

#[test]
fn two_accounts_in_one_group_do_not_answer_each_other_for_ever() {
    let routes = routing();
    let (first, second, channel) = (chat("a:1", "g"), chat("a:2", "g"), chat("plain:x", "c"));
    let hear = |home: &ChatRef, id: &str, name: &str, text: &str| {
        told(&routes, home, &[&first, &second, &channel], (id, name, text))
    };
    assert_eq!(hear(&channel, "1", "bob", "hi"), ["a:1", "a:2", "rich:x"]);
    // Each account hears what the other one said for bob. Its own mirror shows it, nobody else.
    assert_eq!(hear(&first, "2", "the other account", "bob: hi"), ["rich:x"]);
    assert_eq!(hear(&first, "2", "the other account", "bob: hi"), ["rich:x"], "handed over again");
    assert_eq!(hear(&second, "3", "the other account", "bob: hi "), ["rich:x"]);
    // What somebody says is said, and not what it becomes elsewhere.
    assert_eq!(hear(&first, "4", "Anna", "hello"), ["a:2", "plain:x", "rich:x"]);
    assert_eq!(hear(&second, "5", "me", "bob: something new"), ["a:1", "plain:x", "rich:x"]);
    assert_eq!(hear(&first, "6", "my account there", "Anna: hello"), ["rich:x"]);
}

#[test]
fn who_is_addressed_with_words_that_they_said_hears_them() {
    let routes = routing();
    let (account, channel, elsewhere) = (chat("a:1", "g"), chat("plain:x", "c"), chat("plain:y", "c"));
    let hear = |home: &ChatRef, id: &str, name: &str, text: &str| {
        told(&routes, home, &[&account, &channel, &elsewhere], (id, name, text))
    };
    assert_eq!(hear(&channel, "1", "bob", "hi"), ["a:1", "plain:y", "rich:x"]);
    assert_eq!(hear(&channel, "2", "alice", "bob: hi"), ["a:1", "plain:y", "rich:x"]);
    assert_eq!(hear(&account, "3", "Anna", "ok"), ["plain:x", "plain:y", "rich:x"]);
    assert_eq!(hear(&account, "4", "Ming", "Anna: ok"), ["plain:x", "plain:y", "rich:x"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_account_said_once_is_heard_once_and_soon() {
    let routes = routing();
    let (first, second, channel) = (chat("a:1", "g"), chat("a:2", "g"), chat("plain:x", "c"));
    let hear = |home: &ChatRef, id: &str, name: &str, text: &str| {
        told(&routes, home, &[&first, &second, &channel], (id, name, text))
    };
    hear(&channel, "1", "bob", "hi");
    assert_eq!(hear(&first, "2", "the other account", "bob: hi"), ["rich:x"]);
    assert_eq!(hear(&first, "3", "Ming", "bob: hi"), ["a:2", "plain:x", "rich:x"]);
    // A transaction that came to nothing took nothing.
    hear(&channel, "4", "bob", "ok");
    routes.over(End::Kept);
    assert_eq!(hear(&first, "5", "the other account", "bob: ok"), ["rich:x"]);
    routes.over(End::Undone);
    assert_eq!(hear(&first, "6", "the other account", "bob: ok"), ["rich:x"]);
    hear(&channel, "7", "bob", "thanks");
    tokio::time::advance(std::time::Duration::from_secs(3601)).await;
    assert_eq!(hear(&first, "8", "Ming", "bob: thanks"), ["a:2", "plain:x", "rich:x"]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_hours_is_known_again_when_it_is_said_in_the_end() {
    let group = Group::new();
    let hear = |home: &ChatRef, id: &str, text: &str| group.hear(&group.transaction(), home, id, text);
    assert_eq!(hear(&group.channel, "x-1", "hi"), ["a:1"]);
    let author = Author::Person { person: "p".into(), name: "p".to_owned() };
    let post = Post { remote_id: "x-1".into(), ..post(&group.channel, author, Body::text("hi")) };
    let mut delivery = Double::new().delivery(&group.one.chat, post);
    if let Job::Say(say) = &mut delivery.job {
        "p".clone_into(&mut say.author_prefix);
    }
    tokio::time::advance(std::time::Duration::from_secs(2 * 3600)).await;
    group.routes.goes(&group.one.network, &delivery);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(hear(&group.two, "2", "p: hi"), [""; 0], "our own words are told as news");
}

#[test]
fn what_two_accounts_hear_in_one_group_is_told_once() {
    let routes = routing();
    let (first, second, channel) = (chat("a:1", "g"), chat("a:2", "h"), chat("plain:x", "c"));
    let hear = |home: &ChatRef, id: &str, text: &str| {
        let author = Author::Person { person: "p".into(), name: "p".to_owned() };
        let post = Post {
            remote_id: format!("{id}/{text}").as_str().into(),
            ..post(home, author, Body::text(text))
        };
        let others = [&first, &second, &channel].into_iter().filter(|chat| *chat != home);
        let mut targets: Vec<ChatRef> = others.cloned().collect();
        targets.push(home.mirrored_on(&"rich:x".into()));
        let ids: Vec<RemoteId> =
            Some(id).filter(|id| !id.is_empty()).map(RemoteId::from).into_iter().collect();
        let input = RouteInput {
            origin: &home.network.clone(),
            post_id: PostId(9),
            post: &post,
            targets: &targets,
            target: None,
            author_name: "p",
            native_ids: &ids,
        };
        routes.route(&input).into_iter().map(|(to, _)| to.network.to_string()).collect::<Vec<_>>()
    };
    // Nobody can know before the second one hears it too.
    assert_eq!(hear(&first, "11", "hello"), ["a:2", "plain:x", "rich:x"]);
    assert_eq!(hear(&second, "11", "hello"), ["rich:x"], "its own mirror shows it all the same");
    // From then on whoever is first tells it, and nobody says it into the group again.
    assert_eq!(hear(&second, "12", "next"), ["plain:x", "rich:x"]);
    assert_eq!(hear(&first, "12", "next"), ["rich:x"]);
    assert_eq!(hear(&first, "13", "next"), ["plain:x", "rich:x"], "the same words are another message");
    assert_eq!(hear(&second, "13", "next"), ["rich:x"]);
    // Into the group leads one way.
    assert_eq!(hear(&channel, "x-1", "from the channel"), ["a:1", "rich:x"]);
    // What an owner types has its number later; the other account hears it once.
    assert_eq!(hear(&first, "", "typed"), ["plain:x", "rich:x"]);
    assert_eq!(hear(&second, "14", "typed"), ["rich:x"]);
    assert_eq!(hear(&second, "15", "typed"), ["plain:x", "rich:x"], "somebody says the same");
}

#[test]
fn groups_that_heard_nothing_in_common_are_two() {
    let routes = routing();
    let (first, second) = (chat("a:1", "g"), chat("a:2", "h"));
    for (home, other, id) in [(&first, &second, "1"), (&second, &first, "2"), (&first, &second, "3")] {
        let post = post(home, Author::Person { person: "p".into(), name: "p".to_owned() }, Body::text("hi"));
        let input = RouteInput {
            origin: &home.network.clone(),
            post_id: PostId(9),
            post: &post,
            targets: std::slice::from_ref(other),
            target: None,
            author_name: "p",
            native_ids: &[RemoteId::from(id)],
        };
        assert_eq!(routes.route(&input).len(), 1);
    }
}

/// The chats of two accounts in one group, and a channel that both are linked with.
struct Group {
    routes: Arc<Routes>,
    one: ChatRef,
    two: ChatRef,
    channel: ChatRef,
}

impl Group {
    /// Both have heard a message, so that they are known to be one.
    fn new() -> Self {
        let (one, two, channel) = (chat("a:1", "g"), chat("a:2", "h"), chat("plain:x", "c"));
        let group = Self { routes: Arc::new(routes()), one, two, channel };
        for home in [&group.one, &group.two] {
            group.hear(&group.transaction(), home, "first", "hello");
        }
        group
    }

    fn transaction(&self) -> Routing {
        Routing::new(Arc::clone(&self.routes))
    }

    /// Who is told of something said in a chat of the group; what is typed has no number.
    fn hear(&self, routing: &Routing, home: &ChatRef, id: &str, text: &str) -> Vec<String> {
        let author = Author::Person { person: "p".into(), name: "p".to_owned() };
        let post = Post { remote_id: id.into(), ..post(home, author, Body::text(text)) };
        let others = [&self.one, &self.two, &self.channel].into_iter().filter(|chat| *chat != home);
        let targets: Vec<ChatRef> = others.cloned().collect();
        let ids = [RemoteId::from(id)];
        let is_typed = id.starts_with("typed");
        let input = RouteInput {
            origin: &if is_typed { "face:x".into() } else { home.network.clone() },
            post_id: PostId(9),
            post: &post,
            targets: &targets,
            target: None,
            author_name: "p",
            native_ids: if is_typed { &[] } else { &ids },
        };
        routing.route(&input).into_iter().map(|(to, _)| to.network.to_string()).collect()
    }
}

#[test]
fn a_post_that_is_routed_again_is_decided_as_before() {
    let group = Group::new();
    group.hear(&group.transaction(), &group.one, "typed-1", "words");
    let again = group.transaction();
    assert_eq!(group.hear(&again, &group.two, "21", "words"), [""; 0]);
    // The joint transaction is taken apart, and the post stands in one of its own.
    again.over(End::Undone);
    assert_eq!(group.hear(&again, &group.two, "21", "words"), [""; 0], "told twice in the channel");
    // It may have been written, and is handed over again.
    again.over(End::Kept);
    assert_eq!(group.hear(&again, &group.two, "21", "words"), [""; 0]);
    assert_eq!(group.hear(&again, &group.two, "22", "words"), ["plain:x"], "somebody says the same");
}

#[test]
fn what_came_to_nothing_is_nothing_that_anybody_heard() {
    let group = Group::new();
    let refused = group.transaction();
    assert_eq!(group.hear(&refused, &group.one, "31", "news"), ["plain:x"]);
    let other = group.transaction();
    assert_eq!(group.hear(&other, &group.two, "31", "news"), [""; 0], "seen within the transaction");
    refused.over(End::Undone);
    other.over(End::Undone);
    assert_eq!(group.hear(&other, &group.two, "31", "news"), ["plain:x"], "nobody told it");
}

#[tokio::test(start_paused = true)]
async fn words_that_wait_for_long_swallow_nobody_elses() {
    let group = Group::new();
    let routing = group.transaction();
    group.hear(&routing, &group.one, "typed-1", "ok");
    tokio::time::advance(std::time::Duration::from_secs(301)).await;
    assert_eq!(group.hear(&routing, &group.two, "41", "ok"), ["plain:x"]);
    // Delivered in the end, they are known by their number.
    let by = By { origin: "face:x".into(), id: "typed-1".into() };
    group.routes.twins.numbered(&group.one, &by, &"42".into());
    assert_eq!(group.hear(&routing, &group.two, "42", "ok"), [""; 0], "told twice in the channel");
    assert_eq!(group.hear(&routing, &group.two, "43", "ok"), ["plain:x"]);
}
