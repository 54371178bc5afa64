//! The way in: uuid, QR picture, login poll, push login, ticket exchange.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::{Call, FAMILIES};
use crate::account::{Account, Admission, Session};
use crate::clock::cookie_date;
use crate::http::Answer;
use crate::login::{Attempt, Step};
use crate::media::jpeg;
use crate::wire;
use crate::world::{Redirect, World};

/// Source: the protocol sheet, section 2.2.
const APP_ID: &str = "wx782c26e4c19acffb";

/// `jslogin`. Source: the protocol sheet, section 2.2.
pub(super) fn uuid(call: &Call<'_>) -> Answer {
    let request = call.request;
    let parameter = |name: &str| {
        request.param(name).map(str::to_owned).or_else(|| {
            crate::http::form(&String::from_utf8_lossy(&request.body))
                .into_iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value)
        })
    };
    if parameter("appid").as_deref() != Some(APP_ID) {
        call.violation("appid is not the web client's");
        return call.refuse(400);
    }
    if parameter("fun").as_deref() != Some("new") {
        call.violation("parameter fun is not new");
    }
    if parameter("lang").is_none() {
        call.violation("parameter lang missing");
    }
    if request.method != "GET" {
        call.tolerate("method is POST");
    }
    let redirect = parameter("redirect_uri");
    if redirect.is_none() {
        call.tolerate("redirect_uri missing");
    }
    if redirect.as_deref().is_some_and(|uri| !uri.contains("/cgi-bin/mmwebwx-bin/webwxnewloginpage")) {
        call.violation("redirect_uri does not name webwxnewloginpage");
    }
    let desktop = redirect.is_some_and(|uri| uri.contains("mod=desktop"));
    let world = call.world;
    let attempt = world.0.attempts.begin(world.next_number(), world.now_ms(), None, desktop);
    if world.auto_confirm() {
        world.confirm_for_next(&attempt.uuid);
    }
    Answer::script(format!("window.QRLogin.code = 200; window.QRLogin.uuid = \"{}\";", attempt.uuid))
}

/// `qrcode/<uuid>`: a picture, though not one that a phone could read.
pub(super) fn picture(call: &Call<'_>) -> Answer {
    let uuid = crate::http::decode(call.request.path.trim_start_matches("/qrcode/"));
    match call.world.0.attempts.find(&uuid, call.world.now_ms()) {
        Some(attempt) => Answer::file("image/jpeg", jpeg(attempt.made_ms, 24)),
        None => Answer::status(404),
    }
}

/// The login long poll. Source: the protocol sheet, section 2.4.
pub(super) async fn poll(call: &Call<'_>) -> Answer {
    let request = call.request;
    call.demand(&["uuid", "tip", "r", "_"]);
    let world = call.world;
    let uuid = request.param("uuid").unwrap_or_default();
    let Some(attempt) = world.0.attempts.find(uuid, world.now_ms()) else {
        return Answer::script("window.code=400;");
    };
    let tip = request.param("tip").unwrap_or("0");
    let counters = &world.0.counters;
    counters.polls_open.fetch_add(1, Ordering::Relaxed);
    let _poll = super::sync::Polling(world.clone());
    let deadline = tokio::time::Instant::now() + world.0.config.login_hold;
    loop {
        let woken = attempt.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        if let Some(answer) = progress(call, &attempt, tip) {
            return answer;
        }
        if tokio::time::timeout_at(deadline, woken).await.is_err() {
            return Answer::script("window.code=408;");
        }
    }
}

/// What the poll can be told now, if anything.
fn progress(call: &Call<'_>, attempt: &Attempt, tip: &str) -> Option<Answer> {
    let auto = {
        let state = attempt.state();
        call.world.auto_confirm()
            && (state.scan_told || attempt.push)
            && matches!(state.step, Step::Scanned | Step::Waiting)
            && state.account.is_some()
    };
    if auto {
        // Between the two locks somebody may have confirmed already, which is the same.
        let _ = call.world.confirm(&attempt.uuid);
    }
    let mut state = attempt.state();
    match state.step.clone() {
        Step::Waiting => None,
        Step::Scanned => {
            if state.scan_told && tip != "1" {
                return None;
            }
            if state.scan_told {
                call.tolerate("tip stays 1 after the scan");
            }
            state.scan_told = true;
            let seed = state.account.as_ref().map_or(0, |account| account.uin);
            Some(Answer::script(format!(
                "window.code=201;window.userAvatar = 'data:img/jpg;base64,{}';",
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, jpeg(seed, 12))
            )))
        }
        Step::Confirmed(ticket) => {
            let base = match &call.world.0.config.redirect {
                Redirect::Family(host) => format!("https://{host}"),
                Redirect::Listener => format!("http://{}", call.request.host),
            };
            Some(Answer::script(format!(
                "window.code=200;\nwindow.redirect_uri=\"{base}/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket={ticket}&uuid={}&lang=zh_CN&scan={}\";",
                attempt.uuid,
                call.world.now_ms() / 1_000
            )))
        }
        Step::Cancelled => Some(Answer::script("window.code=202;")),
        Step::Expired => Some(Answer::script("window.code=400;")),
        Step::Broken => Some(Answer::script("window.code=500;")),
    }
}

/// Push login. Source: the protocol sheet, section 2.5.
pub(super) fn push(call: &Call<'_>) -> Answer {
    let request = call.request;
    call.demand(&["uin"]);
    let Some(account) = call.account.clone() else {
        return call.refuse(1);
    };
    let named = request.param("uin").and_then(|uin| uin.parse::<u64>().ok());
    if named != Some(account.uin) {
        call.violation("uin is not that of the cookies");
        return call.refuse(1);
    }
    let known = {
        let state = account.state();
        state.logins > 0
            && request.cookie("webwx_auth_ticket") == Some(state.auth_ticket.as_str())
            && request.cookie("webwxuvid") == Some(state.device.as_str())
    };
    if !known {
        return call.refuse(1);
    }
    for name in ["wxloadtime", "mm_lang"] {
        if request.cookie(name).is_none() {
            call.tolerate(&format!("cookie {name} missing"));
        }
    }
    let desktop = request.param("mod") == Some("desktop");
    let world = call.world;
    let attempt = world.0.attempts.begin(world.next_number(), world.now_ms(), Some(account), desktop);
    Answer::new(200, "text/plain", wire::print(&json!({"ret": "0", "msg": "all ok", "uuid": attempt.uuid})))
}

/// How long a cookie lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Session,
    Long,
}

/// One `Set-Cookie` value.
///
/// Source: the protocol sheet, sections 1.4 and 8.5.
pub(super) fn cookie(world: &World, session: &Session, name: &str, value: &str, life: Life) -> String {
    let now_s = world.now_ms() / 1_000;
    let expires = cookie_date(match life {
        Life::Session => now_s + 12 * 3_600,
        Life::Long => now_s + 10 * 365 * 86_400,
    });
    match &world.0.config.redirect {
        Redirect::Family(_) => {
            let host = session.host.as_str();
            let domain = match (name, host.strip_suffix(".qq.com")) {
                ("webwx_data_ticket", Some(_)) => ".qq.com".to_owned(),
                ("webwx_data_ticket", None) => ".wechat.com".to_owned(),
                _ => host.to_owned(),
            };
            format!("{name}={value}; Domain={domain}; Path=/; Expires={expires}; Secure")
        }
        Redirect::Listener => format!("{name}={value}; Path=/; Expires={expires}"),
    }
}

/// `webwxnewloginpage`. Source: the protocol sheet, section 2.6.
pub(super) fn exchange(call: &Call<'_>) -> Answer {
    let request = call.request;
    let world = call.world;
    call.demand(&["ticket", "uuid", "lang", "scan", "fun"]);
    let issued = world.0.attempts.redeem(
        request.param("uuid").unwrap_or_default(),
        request.param("ticket").unwrap_or_default(),
        world.now_ms(),
    );
    let Some((account, asked_desktop)) = issued else {
        return call.refuse(1_101);
    };
    let desktop = request.param("mod") == Some("desktop");
    let extended = request.header("extspam").is_some_and(|value| value.len() > 100)
        && request.header("client-version").is_some();
    if desktop && !extended {
        call.tolerate("desktop login without client-version and extspam");
    }
    if desktop != asked_desktop {
        call.tolerate("desktop profile applied half");
    }
    let v2 = request.param("version") == Some("v2");
    if !v2 {
        call.tolerate("version=v2 missing");
    }
    let admission = account.state().admission.clone();
    let mut answer = match admission {
        Admission::Refused(code, message) => Answer::new(
            200,
            "text/plain",
            format!("<error><ret>{code}</ret><message>{message}</message></error>"),
        ),
        Admission::HtmlPage => {
            return Answer::new(
                200,
                "text/html",
                "<!DOCTYPE html><html><head><title>WeChat</title></head><body>Open this page in a browser</body></html>",
            );
        }
        Admission::Elsewhere if request.param("elsewhere").is_none() => {
            let asked = ["ticket", "uuid", "lang", "scan"]
                .map(|name| format!("{name}={}", request.param(name).unwrap_or_default()));
            let host = match &world.0.config.redirect {
                Redirect::Family(host) => host.as_str(),
                Redirect::Listener => FAMILIES[0],
            };
            let page = format!("https://{host}/cgi-bin/mmwebwx-bin/webwxnewloginpage");
            let url = format!("{page}?{}&amp;elsewhere=1", asked.join("&amp;"));
            let body =
                format!("<error><ret>0</ret><message></message><redirecturl>{url}</redirecturl></error>");
            Answer::new(200, "text/plain", body)
        }
        Admission::Open | Admission::Elsewhere => admit(call, &account, desktop, true),
        Admission::CookiesOnly => admit(call, &account, desktop, false),
    };
    if !v2 {
        // Source: the protocol sheet, section 2.6: Location is sometimes missing.
        answer.status = 301;
        if world.next_number().is_multiple_of(2) {
            answer.location = Some(format!("https://{}/", FAMILIES[0]));
        }
    }
    answer
}

/// Begins a session and tells its credentials.
fn admit(call: &Call<'_>, account: &Arc<Account>, desktop: bool, in_xml: bool) -> Answer {
    let world = call.world;
    let now_s = world.now_ms() / 1_000;
    let host = match &world.0.config.redirect {
        Redirect::Family(host) => host.clone(),
        Redirect::Listener => call.request.host.clone(),
    };
    let mut state = account.state();
    state.logins += 1;
    world.0.counters.logins.fetch_add(1, Ordering::Relaxed);
    if let Some(old) = state.session.take() {
        // Source: the protocol sheet, section 5.4: another web login of the same account.
        state.ended = Some((old.sid.clone(), 1_101));
    }
    let session = Session::new(state.people.seed, state.logins, now_s, host, desktop);
    let set = |name: &str, value: &str, life| cookie(world, &session, name, value, life);
    let set_cookies = vec![
        set("wxuin", &account.uin.to_string(), Life::Session),
        set("wxsid", &session.sid, Life::Session),
        set("wxloadtime", &session.login_s.to_string(), Life::Session),
        set("mm_lang", "zh_CN", Life::Session),
        set("webwx_data_ticket", &session.data_ticket, Life::Session),
        set("webwxuvid", &state.device, Life::Long),
        set("webwx_auth_ticket", &state.auth_ticket, Life::Long),
    ];
    let ids = if in_xml {
        format!("<wxsid>{}</wxsid><wxuin>{}</wxuin>", session.sid, account.uin)
    } else {
        String::new()
    };
    let ticket = session.pass_ticket.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let mut answer = Answer::new(
        200,
        "text/plain",
        format!(
            "<error><ret>0</ret><message></message><skey>{}</skey>{ids}<pass_ticket>{ticket}</pass_ticket><isgrayscale>1</isgrayscale></error>",
            session.skey
        ),
    );
    answer.set_cookies = set_cookies;
    state.session = Some(Box::new(session));
    drop(state);
    account.wake.notify_waiters();
    answer
}
