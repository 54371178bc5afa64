use wxgate_contract::{Command, SignInStep};

use crate::client::{Client, PATIENCE, config, serve, world};

#[tokio::test]
async fn the_service_signs_in_with_a_code_of_half_blocks() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    client.send("PRIVMSG wechat :login").await;
    client.until("signing work in").await;
    served
        .double
        .set_sign_in(SignInStep::ShowQr { text: "https://login.weixin.qq.com/l/abc".to_owned(), number: 1 });
    let lines = client.until("or open it as a picture from: https://login.weixin.qq.com/l/abc").await;
    assert!(lines[0].contains("(code 1)"), "{lines:#?}");
    let code: Vec<&String> = lines.iter().filter(|line| line.contains('█')).collect();
    assert!(
        code.len() > 12 && code.iter().all(|line| line.starts_with(":wechat!wechat@wx.test NOTICE ann :"))
    );
    served.double.set_sign_in(SignInStep::ConfirmOnPhone { is_push: false });
    client.until("scanned; now confirm on the phone").await;
    served.double.set_sign_in(SignInStep::Loading);
    client.until("contacts are being loaded").await;
    served.double.set_sign_in(SignInStep::Done);
    client.until("work is online").await;
}

#[tokio::test]
async fn the_service_answers_in_plain_words() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    for (line, expected) in [
        ("help", "this list"),
        ("status", "work is online; 2 contacts, 2 groups, 1 connected clients"),
        ("accounts", "work (ann) is online; log in as ann/work"),
        ("chats 测试", "#测试群: 测试群"),
        ("chats nothing-like-that", "nothing has that name"),
        ("more #nowhere", "there is no chat #nowhere"),
        ("more #家", "nothing was said there yet"),
        ("login play", "you have no account play"),
        ("logout", "work is being signed out"),
        ("add", "say: add <name>"),
        ("add play", "play was added; say \"login play\""),
        ("login", "signing work in"),
        ("dance", "I do not know that command"),
    ] {
        client.send(&format!("PRIVMSG wechat :{line}")).await;
        let lines = client.until(expected).await;
        assert!(
            lines.iter().all(|line| line.starts_with(":wechat!wechat@wx.test NOTICE ann :")),
            "{lines:#?}"
        );
        client.sync().await;
    }
    let commands = served.double.wait_for(PATIENCE, |state| Some(state.commands.clone())).await;
    assert!(commands.contains(&Command::SignOut { account: "wechat:work".into() }));
    assert!(commands.contains(&Command::AddAccount { owner: "ann".into(), name: "play".to_owned() }));
}
