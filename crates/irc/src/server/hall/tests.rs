use super::*;

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
    floor.finish()
}

#[tokio::test]
async fn what_one_does_the_others_of_the_channel_see() {
    let (hall, ann, bob, queue) = hall();
    act(&hall, ann, |floor| assert!(floor.join("&room", None)));
    act(&hall, bob, |floor| assert!(floor.join("&ROOM", None)));
    act(&hall, ann, |floor| {
        let parts = [crate::server::multiline::Part { text: "hi".to_owned(), is_concat: false }];
        floor.say(talk_of("PRIVMSG", "&room", &parts, ""));
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

#[test]
fn who_leaves_frees_the_nick() {
    let (hall, ann, _, _) = hall();
    act(&hall, ann, |floor| floor.quit("bye"));
    assert!(!hall.is_taken("Ann"));
    assert_eq!(hall.counts().0, 1);
}
