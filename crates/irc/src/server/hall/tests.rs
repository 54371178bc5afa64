use wxgate_contract::{ChatKind, ChatProfile, PersonKind, PersonProfile};

use super::*;
use crate::server::history::{Reference, Wanted};
use crate::server::multiline::Part;
use crate::server::room::Room;
use crate::server::roster::Roster;
use crate::server::search::Sought;

fn hall() -> (Hall, UserId, UserId, Arc<SendQueue>) {
    let hall = Hall::new("run");
    let id = |nick: &str| Identity {
        nick: nick.to_owned(),
        user: format!("~{nick}"),
        realname: nick.to_owned(),
        account: None,
    };
    let now = Timestamp(1_000);
    let ann = hall.enter(id("ann"), Arc::default(), "wx.test", now).unwrap();
    let bob = hall.enter(id("bob"), Arc::default(), "wx.test", now).unwrap();
    assert!(hall.enter(id("ANN"), Arc::default(), "wx.test", now).is_none(), "a nick is one person's");
    let queue = Arc::new(SendQueue::new(10_000));
    hall.sit(bob, ClientId(2), Caps::NONE, Arc::clone(&queue));
    (hall, ann, bob, queue)
}

fn act(hall: &Hall, me: UserId, what: impl FnOnce(&mut Floor<'_>)) -> Vec<String> {
    let act = Act { me, client: ClientId(me.0), caps: Caps::NONE, server: "wx.test", now: Timestamp(2_000) };
    let mut floor = hall.floor(act);
    what(&mut floor);
    floor.answers()
}

#[tokio::test]
async fn what_one_does_the_others_of_the_channel_see() {
    let (hall, ann, bob, queue) = hall();
    act(&hall, ann, |floor| assert!(floor.join("&room", None)));
    act(&hall, bob, |floor| assert!(floor.join("&ROOM", None)));
    act(&hall, ann, |floor| {
        floor.say(talk_of("PRIVMSG", "&room", &parts(["hi".to_owned()]), ""));
    });
    let mut bytes = Vec::new();
    queue.take(&mut bytes).await;
    assert_eq!(String::from_utf8(bytes).unwrap(), ":ann!~ann@wxgate PRIVMSG &room :hi\r\n");
    assert!(
        act(&hall, bob, |floor| floor.part("&room", "")).iter().any(|line| line.ends_with(" PART &room"))
    );
    act(&hall, ann, |floor| floor.part("&room", ""));
    assert_eq!(hall.counts(), (2, 0, 0), "an empty channel is gone");
}

#[tokio::test]
async fn what_others_are_told_fits_a_line() {
    let (hall, ann, bob, queue) = hall();
    for user in [ann, bob] {
        act(&hall, user, |floor| assert!(floor.join("&room", None)));
    }
    hall.set_caps(bob, ClientId(2), Caps::AWAY_NOTIFY);
    let long = "字".repeat(165);
    act(&hall, ann, |floor| {
        floor.away(Some(long.clone()));
        floor.topic("&room", Some(&long));
        floor.part("&room", &long);
        floor.join("&room", None);
        floor.quit(&long);
    });
    queue.close(b"");
    let mut bytes = Vec::new();
    queue.take(&mut bytes).await;
    let told = String::from_utf8(bytes).unwrap();
    let verbs: Vec<&str> = told.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(verbs, ["AWAY", "TOPIC", "PART", "JOIN", "AWAY", "QUIT"]);
    assert!(told.lines().all(|line| line.len() <= 510), "{told}");
}

#[test]
fn from_outside_nothing_is_seen_of_who_hides() {
    let (hall, ann, bob, _) = hall();
    act(&hall, ann, |floor| {
        floor.join("&room", None);
        floor.mode("&room", &["+b", "eve"]);
        floor.set_own_value("pronouns", Some("she"));
    });
    let shown = |what: fn(&mut Floor<'_>)| act(&hall, bob, what);
    let bans = |floor: &mut Floor<'_>| floor.mode("&room", &["b"]);
    let values =
        |floor: &mut Floor<'_>| floor.out = floor.values_around("&room", &["pronouns".to_owned()].into());
    assert_eq!(shown(bans).len(), 2, "an open channel has no secrets");
    assert_eq!(shown(values).len(), 1);
    act(&hall, ann, |floor| floor.user_mode(Some("+i")));
    assert!(shown(values).is_empty(), "the member is invisible");
    act(&hall, ann, |floor| floor.mode("&room", &["+s"]));
    for modes in [&["b"][..], &[], &["-s"]] {
        let answer = act(&hall, bob, |floor| floor.mode("&room", modes));
        assert_eq!(answer, [":wx.test 442 bob &room :You're not on that channel"], "{modes:?}");
    }
    act(&hall, ann, |floor| floor.mode("&room", &["-s"]));
    act(&hall, bob, |floor| assert!(floor.join("&room", None)));
    assert_eq!(shown(values).len(), 1, "who is in it sees the others");
}

#[test]
fn a_channel_takes_no_name_of_a_members_group() {
    let (hall, ann, bob, _) = hall();
    let now = Timestamp(1_000);
    let mut roster = Roster::new("wechat:cat".into());
    let group = ChatProfile {
        chat: "g".into(),
        kind: ChatKind::Group,
        title: "Work".to_owned(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: None,
        is_gone: false,
    };
    roster.update_channel(&group, now);
    let id = Identity { nick: "cat".into(), user: "cat".into(), realname: "cat".into(), account: None };
    let cat = hall.enter(id, Arc::clone(roster.known()), "wx.test", now).unwrap();
    act(&hall, ann, |floor| assert!(floor.join("#room", None)));
    for user in [bob, cat] {
        act(&hall, user, |floor| assert!(floor.join("#room", None)));
    }
    act(&hall, ann, |floor| {
        let taken = floor.rename_channel("#room", "#WORK", "");
        assert!(matches!(taken, Err(Some(("CHANNEL_NAME_IN_USE", _)))), "{taken:?}");
        assert_eq!(floor.rename_channel("#room", "#ROOM", ""), Ok(()));
    });
    act(&hall, cat, |floor| floor.part("#room", ""));
    act(&hall, ann, |floor| assert_eq!(floor.rename_channel("#room", "#work", ""), Ok(())));
}

#[test]
fn who_leaves_frees_the_nick() {
    let (hall, ann, _, _) = hall();
    act(&hall, ann, |floor| floor.quit("bye"));
    assert!(!hall.is_taken("Ann"));
    assert_eq!(hall.counts().0, 1);
}

fn parts(texts: impl IntoIterator<Item = String>) -> Vec<Part> {
    texts.into_iter().map(|text| Part { text, is_concat: false }).collect()
}

/// The bytes of what an answer shows to a client that takes tags.
fn bytes(entries: &[log::Entry]) -> usize {
    let lines = entries.iter().flat_map(|entry| entry.lines(Caps::MESSAGE_TAGS, ""));
    lines.map(|line| line.len() + 2).sum()
}

#[test]
fn what_is_kept_and_what_is_shown_of_it_are_bounded_by_bytes() {
    let (hall, ann, _, _) = hall();
    act(&hall, ann, |floor| {
        floor.join("&room", None);
        let tags = format!("+x={}", "y".repeat(4000));
        for at in 0..300 {
            floor.say(talk_of("PRIVMSG", "&room", &parts([format!("line {at}")]), &tags));
        }
        let mut history = |wanted, bytes| floor.history("&room", wanted, Room { count: 500, bytes }).unwrap();
        let all = history(Wanted::Latest(None), usize::MAX);
        assert!(bytes(&all) <= 512 * 1024, "{}", bytes(&all));
        let shows = |entry: &log::Entry, text: &str| entry.lines(Caps::NONE, "")[0].ends_with(text);
        let last = history(Wanted::Latest(None), 50_000);
        assert!((8..=11).contains(&last.len()), "{}", last.len());
        assert!(bytes(&last) <= 50_000 && shows(last.last().unwrap(), " :line 299"));
        let first = history(Wanted::After(Reference::Time(Timestamp(0))), 50_000);
        assert!(bytes(&first) <= 50_000 && first[0].lines(Caps::NONE, "") == all[0].lines(Caps::NONE, ""));
        assert_eq!(
            history(Wanted::Latest(None), 10).len(),
            1,
            "nothing would come behind a message too large"
        );
        let sought = |bytes| Sought { room: Room { count: 500, bytes }, ..Sought::default() };
        let found = floor.search(&sought(50_000));
        assert!(bytes(&found) <= 50_000 && shows(found.last().unwrap(), " :line 299"));
    });
}

#[test]
fn long_tags_are_not_repeated_on_each_line_of_a_message() {
    let (hall, ann, _, _) = hall();
    act(&hall, ann, |floor| {
        floor.join("&room", None);
        let lines = parts((0..200).map(|at| format!("line {at}")));
        for (tags, is_repeated) in [(format!("+x={}", "y".repeat(4000)), false), ("+x=y".to_owned(), true)] {
            floor.say(talk_of("PRIVMSG", "&room", &lines, &tags));
            let room = Room { count: 1, bytes: usize::MAX };
            let said = floor.history("&room", Wanted::Latest(None), room).unwrap();
            assert!(bytes(&said) < 100_000, "{}", bytes(&said));
            let shown = said[0].lines(Caps::MESSAGE_TAGS, "");
            assert!(shown[0].contains("+x=y") && shown.len() == 200);
            assert_eq!(shown[1].contains("+x=y"), is_repeated);
        }
    });
}

/// Somebody whose WeChat account has a contact of this nick, in `#room`, which `ann` has founded; their queue.
fn who_knows(hall: &Hall, ann: UserId, contact: &str) -> (UserId, Arc<SendQueue>) {
    let mut roster = Roster::new("wechat:cat".into());
    let profile = PersonProfile {
        person: "p".into(),
        kind: PersonKind::Human,
        nickname: contact.to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: true,
    };
    roster.update_person(&profile, Timestamp(1_000));
    let id = Identity { nick: "cat".into(), user: "cat".into(), realname: "cat".into(), account: None };
    let cat = hall.enter(id, Arc::clone(roster.known()), "wx.test", Timestamp(1_000)).unwrap();
    let queue = Arc::new(SendQueue::new(100_000));
    hall.sit(cat, ClientId(cat.0), Caps::AWAY_NOTIFY, Arc::clone(&queue));
    hall.watch(cat, ClientId(cat.0), BTreeSet::from([contact.to_owned()]));
    act(hall, ann, |floor| assert!(floor.join("#room", None)));
    act(hall, cat, |floor| assert!(floor.join("#room", None)));
    (cat, queue)
}

/// What waits in a queue.
async fn waiting(queue: &SendQueue) -> Vec<String> {
    queue.push(b"END\r\n");
    let mut bytes = Vec::new();
    queue.take(&mut bytes).await;
    let lines = String::from_utf8(bytes).unwrap();
    lines.lines().filter(|line| *line != "END").map(str::to_owned).collect()
}

#[tokio::test]
async fn nobody_is_seen_under_a_contacts_nick() {
    let (hall, ann, _, _) = hall();
    let (cat, queue) = who_knows(&hall, ann, "dan");
    let id = Identity { nick: "Dan".into(), user: "~d".into(), realname: "d".into(), account: None };
    let dan = hall.enter(id, Arc::default(), "wx.test", Timestamp(1_000)).unwrap();
    act(&hall, dan, |floor| {
        assert!(floor.join("#room", None));
        floor.say(talk_of("PRIVMSG", "#room", &parts(["hi".to_owned()]), ""));
        floor.away(Some("out".to_owned()));
        floor.set_realname("x");
    });
    assert_eq!(waiting(&queue).await, [""; 0], "neither watched nor in the channel");
    let seen = |what: fn(&mut Floor<'_>)| act(&hall, cat, what);
    assert!(seen(|floor| floor.names("#room"))[0].ends_with(":@ann cat"));
    let history = act(&hall, cat, |floor| {
        assert_eq!(floor.who("#room").len() + floor.who("d*").len() + floor.who("Dan").len(), 2);
        let room = Room { count: 9, bytes: usize::MAX };
        assert!(floor.history("#room", Wanted::Latest(None), room).unwrap().is_empty());
        assert!(floor.search(&Sought { room, ..Sought::default() }).is_empty());
    });
    assert!(history.is_empty());
    // What they do to the channel has to be known, and to others.
    act(&hall, ann, |floor| floor.mode("#room", &["+o", "dan"]));
    act(&hall, dan, |floor| {
        floor.topic("#room", Some("new"));
        floor.kick("#room", "cat", "out");
    });
    let told = waiting(&queue).await;
    assert_eq!(told[1..], [":wx.test TOPIC #room :new", ":wx.test KICK #room cat :out"], "{told:?}");
    act(&hall, dan, |floor| floor.quit("bye"));
    assert_eq!(waiting(&queue).await, [""; 0]);
}

#[tokio::test]
async fn a_nick_of_a_contact_carries_no_window_over() {
    let (hall, ann, bob, _) = hall();
    let (_, queue) = who_knows(&hall, ann, "dan");
    act(&hall, bob, |floor| {
        floor.set_own_value("pronouns", Some("he"));
        assert!(floor.join("#room", None));
    });
    act(&hall, ann, |floor| floor.mode("#room", &["+v", "bob"]));
    waiting(&queue).await;
    act(&hall, bob, |floor| assert!(floor.rename("dan")));
    assert_eq!(waiting(&queue).await, [":bob!~bob@wxgate QUIT :is called otherwise now"]);
    act(&hall, bob, |floor| {
        floor.away(Some("out".to_owned()));
        assert!(floor.rename("Dan"));
    });
    assert_eq!(waiting(&queue).await, [""; 0]);
    let own = act(&hall, bob, |floor| assert!(floor.rename("evil")));
    assert_eq!(own, [":Dan!~bob@wxgate NICK evil"]);
    let shown =
        [":evil!~bob@wxgate JOIN #room", ":evil!~bob@wxgate AWAY :out", ":wx.test MODE #room +v evil"];
    assert_eq!(waiting(&queue).await, shown);
    act(&hall, ann, |floor| floor.kick("#room", "evil", ""));
    act(&hall, bob, |floor| assert!(floor.rename("dan") && floor.join("#room", None)));
    waiting(&queue).await;
    act(&hall, ann, |floor| floor.kick("#room", "dan", ""));
    assert_eq!(waiting(&queue).await, [""; 0], "who is not seen cannot be put out");
}
