//! Where people of WeChat and users of the gateway meet in one client, and what one is not shown of the other.

use wxgate_contract::{Body, FeedEvent};

use crate::client::{ACCOUNT, Client, said, serve, world};
use crate::local::{guest, open};

#[tokio::test]
async fn nobody_writes_to_those_who_have_a_contact_of_that_nick() {
    let served = serve(world(), open()).await;
    let mut ann = Client::login(&served, "one", "").await;
    let mut eve = guest(&served, "张三", "message-tags").await;
    assert_eq!(eve.ask("PRIVMSG ann :it is me").await, [":wx.test 401 张三 ann :No such nick/channel"]);
    assert!(eve.ask("NOTICE ann :it is me").await.is_empty());
    assert_eq!(eve.ask("@+typing=active TAGMSG ann").await, [":wx.test 401 张三 ann :No such nick/channel"]);
    eve.ask("JOIN &room").await;
    assert_eq!(eve.ask("INVITE ann &room").await, [":wx.test 401 张三 ann :No such nick/channel"]);
    assert!(ann.sync().await.is_empty());
    eve.ask("NICK eve").await;
    eve.ask("PRIVMSG ann :hello").await;
    assert!(ann.sync().await[0].ends_with(" PRIVMSG ann :hello"));
}

#[tokio::test]
async fn what_comes_from_wechat_takes_no_name_of_a_window_that_is_open() {
    let served = serve(world(), open()).await;
    let mut ann = Client::login(&served, "one", "").await;
    let mut bob = guest(&served, "bob", "").await;
    ann.ask("JOIN #work").await;
    bob.ask("JOIN #work").await;
    ann.sync().await;
    served.double.show(said("g-test", "bob", "1", Body::text("I am somebody else")));
    let line = ann.until("somebody else").await.pop().unwrap();
    assert!(line.starts_with(":bob_2!"), "{line}");
    ann.ask("PRIVMSG bob :for you").await;
    assert!(bob.sync().await[0].ends_with(" PRIVMSG bob :for you"));
    served.double.state().chats.get_mut(&(ACCOUNT.into(), "g-home".into())).unwrap().title =
        "work".to_owned();
    served.double.tell(FeedEvent::Chats(ACCOUNT.into(), ["g-home".into()].into()));
    ann.until(" JOIN #work_2").await;
    ann.ask("PRIVMSG #work :for colleagues").await;
    assert!(bob.sync().await[0].ends_with(" PRIVMSG #work :for colleagues"));
    assert!(served.double.state().posts.iter().all(|(_, origin, _)| *origin == ACCOUNT.into()));
}
