//! Login, in all its endings.

use wxgate_simulator::{Admission, Who};

use crate::browser::{Browser, between, no_violations, world};

#[tokio::test]
async fn a_qr_login_goes_408_201_200_and_names_another_family() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    let uuid = browser.uuid().await;
    assert_eq!(browser.poll(&uuid, 1).await, "window.code=408;");
    world.scan(&uuid, "a").unwrap();
    let scanned = browser.poll(&uuid, 0).await;
    assert!(scanned.starts_with("window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/"));
    assert_eq!(browser.poll(&uuid, 0).await, "window.code=408;");
    world.confirm(&uuid).unwrap();
    let confirmed = browser.poll(&uuid, 0).await;
    assert!(confirmed.starts_with("window.code=200;\nwindow.redirect_uri=\"https://wx2.qq.com/"));
    let answer = browser.exchange(&confirmed, "&version=v2").await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let ticket = between(&text, "<pass_ticket>", "</pass_ticket>");
    assert!(ticket.contains("%2B") && ticket.contains("%2F") && ticket.contains("%3D"));
    let sid = between(&text, "<wxsid>", "</wxsid>");
    assert!(sid.contains('+') && sid.contains('/'));
    assert_eq!(browser.cookies["wxsid"], sid);
    for name in ["wxuin", "wxloadtime", "mm_lang", "webwx_data_ticket", "webwxuvid"] {
        assert!(browser.cookies.contains_key(name), "{name}");
    }
    assert_eq!(browser.init().await.ret(), 0);
    assert!(world.is_online("a").unwrap());
    no_violations(&world);
}

#[tokio::test]
async fn a_poll_is_told_of_cancel_expiry_and_breakage() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    let uuid = browser.uuid().await;
    world.cancel(&uuid).unwrap();
    assert_eq!(browser.poll(&uuid, 1).await, "window.code=202;");
    world.expire(&uuid).unwrap();
    assert_eq!(browser.poll(&uuid, 1).await, "window.code=400;");
    world.break_login(&uuid).unwrap();
    assert_eq!(browser.poll(&uuid, 1).await, "window.code=500;");
    assert_eq!(browser.poll("nobody==", 1).await, "window.code=400;");
    assert!(world.confirm(&uuid).is_err());
    assert!(world.scan("nobody==", "a").is_err());
    let picture = browser.get("login.weixin.qq.com", &format!("/qrcode/{uuid}")).await;
    assert!(picture.body.starts_with(&[0xff, 0xd8]));
}

#[tokio::test]
async fn without_version_v2_the_credentials_are_the_body_of_a_301() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    let uuid = browser.uuid().await;
    world.scan(&uuid, "a").unwrap();
    world.confirm(&uuid).unwrap();
    let confirmed = browser.poll(&uuid, 1).await;
    let answer = browser.exchange(&confirmed, "").await;
    assert_eq!(answer.status, 301);
    assert!(answer.text().contains("<ret>0</ret>"));
    assert_eq!(world.tolerated()[0].0.what, "version=v2 missing");
}

#[tokio::test]
async fn refusals_are_told_at_the_exchange() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    let uuid = browser.uuid().await;
    world.scan(&uuid, "a").unwrap();
    world.confirm(&uuid).unwrap();
    let confirmed = browser.poll(&uuid, 1).await;
    let refused = Admission::Refused(1203, "cannot log in to web WeChat".to_owned());
    world.set_admission("a", refused).unwrap();
    let text = browser.exchange(&confirmed, "&version=v2").await.text();
    assert!(text.contains("<ret>1203</ret><message>cannot log in to web WeChat</message>"));
    world.set_admission("a", Admission::HtmlPage).unwrap();
    let text = browser.exchange(&confirmed, "&version=v2").await.text();
    assert!(text.contains("<html>"));
    world.set_admission("a", Admission::CookiesOnly).unwrap();
    let text = browser.exchange(&confirmed, "&version=v2").await.text();
    assert!(!text.contains("<wxsid>") && text.contains("<skey>"));
    assert_eq!(browser.init().await.ret(), 0);
    let wrong = confirmed.replace("ticket=", "ticket=x");
    let text = browser.exchange(&wrong, "&version=v2").await.text();
    assert!(text.contains("<ret>1101</ret>"));
}

#[tokio::test]
async fn a_new_login_renames_everybody_and_ends_the_old_one() {
    let (world, server) = world().await;
    let mut first = Browser::new(&server);
    first.sign_in(&world, "a").await;
    let before = world.user_name("a", Who::Contact(1)).unwrap();
    let mut second = Browser::new(&server);
    second.sign_in(&world, "a").await;
    assert_ne!(before, world.user_name("a", Who::Contact(1)).unwrap());
    assert_ne!(first.own, second.own);
    assert_eq!(first.check().await.0, "1101");
    no_violations(&world);
}

#[tokio::test]
async fn push_login_needs_the_cookies_of_an_earlier_one_and_can_be_declined() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    world.end_session("a", 1102).unwrap();
    assert_eq!(browser.check().await.0, "1102");
    let path = format!("/cgi-bin/mmwebwx-bin/webwxpushloginurl?uin={}", browser.cookies["wxuin"]);
    let answer = browser.get("wx2.qq.com", &path).await.json();
    assert_eq!(answer["ret"], "0");
    let uuid = answer["uuid"].as_str().unwrap().to_owned();
    assert_eq!(browser.poll(&uuid, 1).await, "window.code=408;");
    world.cancel(&uuid).unwrap();
    assert_eq!(browser.poll(&uuid, 0).await, "window.code=202;");
    let again = browser.get("wx2.qq.com", &path).await.json();
    let uuid = again["uuid"].as_str().unwrap().to_owned();
    world.confirm(&uuid).unwrap();
    let confirmed = browser.poll(&uuid, 1).await;
    browser.exchange(&confirmed, "&version=v2").await;
    assert_eq!(browser.init().await.ret(), 0);
    no_violations(&world);
    browser.cookies.remove("webwx_auth_ticket");
    assert_eq!(browser.get("wx2.qq.com", &path).await.json()["ret"], "1");
}

#[tokio::test]
async fn logout_is_a_301_and_ends_the_session() {
    let (world, server) = world().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let path = format!(
        "/cgi-bin/mmwebwx-bin/webwxlogout?redirect=1&type=0&skey={}&lang=zh_CN",
        crate::browser::encode(&browser.skey)
    );
    let body =
        format!("sid={}&uin={}", crate::browser::encode(&browser.cookies["wxsid"]), browser.cookies["wxuin"]);
    let answer = browser.ask("POST", "wx2.qq.com", &path, "", body.as_bytes()).await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.body, b"");
    assert_eq!(browser.check().await.0, "1101");
    let sync = browser.sync().await;
    assert_eq!(sync["BaseResponse"]["Ret"], 1101);
    assert_eq!(sync["SyncKey"]["Count"], 0);
    no_violations(&world);
}
