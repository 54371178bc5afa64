//! Administrators of the instance as operators of the server.

use crate::client::{config, numerics, serve, world};
use crate::local::{guest, open, two};

#[tokio::test]
async fn administrators_are_operators_when_they_say_so() {
    let double = world();
    double.add_account("root", "sesame", "wechat:root");
    double.state().administrators.insert("root".into());
    let served = serve(double, open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    assert_eq!(ann.ask("OPER root").await, [":wx.test 461 anna OPER :Not enough parameters"]);
    for who in ["root wrong", "ann secret", "nobody sesame"] {
        assert_eq!(ann.ask(&format!("OPER {who}")).await, [":wx.test 464 anna :Password incorrect"], "{who}");
    }
    for line in ["KILL bob :x", "WALLOPS :x", "REHASH"] {
        assert_eq!(numerics(&ann.ask(line).await), ["481"], "{line}");
    }
    let expected = [":wx.test 381 anna :You are now an IRC operator", ":anna!~anna@wxgate MODE anna :+o"];
    assert_eq!(ann.ask("OPER root sesame").await, expected);
    assert_eq!(ann.ask("MODE anna").await, [":wx.test 221 anna +o"]);
    assert!(
        bob.ask("WHOIS anna")
            .await
            .contains(&":wx.test 313 bob anna :is an administrator of this gateway".into())
    );
    let row = ":wx.test 352 bob #room ~anna wxgate wx.test anna H*@ :0 anna real";
    assert_eq!(bob.ask("WHO #room o").await, [row, ":wx.test 315 bob #room :End of WHO list"]);
    assert_eq!(bob.ask("USERHOST anna").await, [":wx.test 302 bob :anna*=+~anna@wxgate"]);
    assert_eq!(bob.ask("LUSERS").await[1], ":wx.test 252 bob 1 :operator(s) online");
    assert!(bob.ask("MODE bob +o").await.is_empty(), "only with OPER");
    assert_eq!(bob.ask("MODE bob +w").await, [":bob!~bob@wxgate MODE bob :+w"]);
    assert!(ann.ask("WALLOPS :hear").await.is_empty(), "who does not listen hears nothing");
    assert_eq!(bob.sync().await, [":anna!~anna@wxgate WALLOPS :hear"]);
    assert_eq!(ann.ask("MODE anna -o").await, [":anna!~anna@wxgate MODE anna :-o"]);
    assert_eq!(numerics(&ann.ask("KILL bob :x").await), ["481"]);
}

#[tokio::test]
async fn who_is_killed_is_gone_at_once() {
    let double = world();
    double.add_account("root", "sesame", "wechat:root");
    double.state().administrators.insert("root".into());
    let served = serve(double, open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    let mut eve = guest(&served, "eve", "").await;
    ann.ask("OPER root sesame").await;
    assert_eq!(ann.ask("KILL nobody").await, [":wx.test 401 anna nobody :No such nick/channel"]);
    assert_eq!(numerics(&ann.ask("KILL wechat").await), ["481"]);
    let quit = ":bob!~bob@wxgate QUIT :Killed (anna (enough))";
    assert_eq!(ann.ask("KILL bob :enough").await, [quit]);
    assert_eq!(bob.rest().await, [quit.replace(":bob!~bob@wxgate QUIT :", "ERROR :Closing link: ")]);
    assert_eq!(numerics(&eve.ask("WHOIS bob").await), ["401", "318"]);
    eve.ask("NICK bob").await;
    ann.ask("KILL bob").await;
    assert_eq!(eve.rest().await, ["ERROR :Closing link: Killed (anna (no reason was given))"]);
}

#[tokio::test]
async fn without_others_there_is_nothing_to_operate() {
    let double = world();
    double.state().administrators.insert("ann".into());
    let served = serve(double, config()).await;
    let mut ann = crate::client::Client::login(&served, "", "").await;
    assert_eq!(numerics(&ann.ask("OPER ann secret").await), ["491"]);
}
