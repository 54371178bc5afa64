//! The crate `irc` as an independent client: it shares no code with the server.

use futures_util::StreamExt as _;
use irc_client::client::prelude::{Client as Other, Command, Config, Response};
use wxgate_contract::Body;

use crate::client::{PATIENCE, config, said, serve, world};

#[tokio::test]
async fn an_independent_client_understands_us() {
    let served = serve(world(), config()).await;
    let settings = Config {
        nickname: Some("ann".to_owned()),
        username: Some("ann".to_owned()),
        realname: Some("Ann".to_owned()),
        password: Some("ann/work@other:secret".to_owned()),
        server: Some(served.address.ip().to_string()),
        port: Some(served.address.port()),
        ..Config::default()
    };
    let mut client = Other::from_config(settings).await.unwrap();
    client.identify().unwrap();
    let mut stream = client.stream().unwrap();
    let mut until = async |what: &dyn Fn(&irc_client::proto::Message) -> bool| loop {
        let message = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        if what(&message) {
            return message;
        }
    };
    until(&|m| matches!(&m.command, Command::JOIN(channel, ..) if channel == "#测试群")).await;
    let names = until(&|m| matches!(&m.command, Command::Response(Response::RPL_NAMREPLY, _))).await;
    let Command::Response(_, params) = &names.command else { panic!("{names:?}") };
    assert_eq!(params[2], "#测试群");
    served.double.show(said("g-test", "p-zhang", "1", Body::text("你好 👋")));
    let message = until(&|m| matches!(&m.command, Command::PRIVMSG(..))).await;
    assert_eq!(message.source_nickname(), Some("张三"));
    assert!(
        matches!(&message.command, Command::PRIVMSG(target, text) if target == "#测试群" && text == "你好 👋")
    );
    client.send_privmsg("张三", "回复").unwrap();
    // That crate writes only while somebody polls its stream.
    let waiting = served.double.wait_for(PATIENCE, |state| state.posts.get(1).map(|p| p.2.clone()));
    let post = tokio::select! {
        post = waiting => post,
        message = until(&|_| false) => panic!("{message:?}"),
    };
    assert_eq!((post.chat.chat.as_str(), &post.body), ("p-zhang", &Body::text("回复")));
}
