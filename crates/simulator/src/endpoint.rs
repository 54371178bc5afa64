//! From a request to its answer: dispatch, identity, and the checks that every call shares.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::account::{Account, Session, State};
use crate::http::{Answer, Request};
use crate::seed::mix_all;
use crate::wire::{self, SyncAnswer};
use crate::world::World;

mod contacts;
mod download;
mod entry;
mod init;
mod room;
mod send;
mod sync;
mod upload;

pub(crate) use sync::{Syncing, check};

/// The order in which a host is matched with its family: base, login, file, push.
///
/// Source: the protocol sheet, section 1.1.
const FAMILIES: [&str; 5] = ["wx.qq.com", "wx2.qq.com", "wx8.qq.com", "web.wechat.com", "web2.wechat.com"];

/// Whose session the cookies name.
pub(crate) fn owner(world: &World, request: &Request) -> Option<Arc<Account>> {
    let uin = request.cookie("wxuin")?.parse().ok()?;
    world.account_of(uin)
}

/// One request on its way through the service.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a World,
    pub(crate) request: &'a Request,
    /// A result code that a fault demands.
    pub(crate) forced: Option<i32>,
    pub(crate) account: Option<Arc<Account>>,
}

/// Answers one request.
pub(crate) async fn answer(call: Call<'_>) -> Answer {
    let endpoint = call.request.endpoint();
    if let Some(code) = call.forced {
        return refusal(endpoint, code);
    }
    if let Some(what) = call.request.body_fault {
        call.violation(what);
        return Answer::status(502);
    }
    let answer = match endpoint {
        "login" => return entry::poll(&call).await,
        "jslogin" => return entry::uuid(&call),
        "qrcode" => return entry::picture(&call),
        "webwxnewloginpage" => return entry::exchange(&call),
        "webwxpushloginurl" => return entry::push(&call),
        "webwxinit" => init::init(&call),
        "webwxstatusnotify" => init::status_notify(&call),
        "webwxlogout" => return init::logout(&call),
        "webwxstatreport" | "webwxsendfeedback" => call.plain(|_, _| Ok(())),
        "webwxgetcontact" => contacts::all(&call),
        "webwxbatchgetcontact" => contacts::batch(&call),
        "webwxsearchcontact" => contacts::search(&call),
        "webwxsync" => sync::sync(&call),
        "webwxsendmsg" | "webwxsendmsgimg" | "webwxsendvideomsg" | "webwxsendemoticon"
        | "webwxsendappmsg" => send::send(&call),
        "webwxrevokemsg" => send::revoke(&call),
        "webwxuploadmedia" => upload::piece(&call),
        "webwxcheckupload" => upload::check(&call),
        "webwxgetmsgimg" | "webwxgetvoice" | "webwxgetvideo" | "webwxgetpubliclinkimg" => {
            download::of_message(&call)
        }
        "webwxgetmedia" => download::file(&call),
        "webwxgeticon" | "webwxgetheadimg" => download::avatar(&call),
        "webwxpreview" => download::preview(&call),
        "webwxcreatechatroom" => room::create(&call),
        "webwxupdatechatroom" => room::update(&call),
        "webwxoplog" => room::oplog(&call),
        "webwxverifyuser" => room::verify(&call),
        "webwxcheckurl" => return download::outside(&call),
        "" => return Answer::new(200, "text/html", "<html><head></head><body></body></html>"),
        _ => {
            call.violation("no such endpoint");
            return Answer::status(404);
        }
    };
    call.refresh(answer)
}

impl Call<'_> {
    pub(crate) fn violation(&self, what: &str) {
        let name = self.account.as_ref().map(|account| account.name.as_str());
        self.world.0.violations.note(name, self.request.endpoint(), what);
    }

    pub(crate) fn tolerate(&self, what: &str) {
        let name = self.account.as_ref().map(|account| account.name.as_str());
        self.world.0.tolerated.note(name, self.request.endpoint(), what);
    }

    pub(crate) fn refuse(&self, code: i32) -> Answer {
        refusal(self.request.endpoint(), code)
    }

    /// Runs `work` on the session that the cookies name, or says with which code to refuse.
    pub(crate) fn with_session<T>(
        &self,
        work: impl FnOnce(&Account, &mut State) -> Result<T, i32>,
    ) -> Result<T, i32> {
        let Some(account) = self.account.as_ref() else {
            self.violation("cookies of a session missing");
            return Err(self.without_session());
        };
        let mut state = account.state();
        self.admit(&mut state)?;
        work(account, &mut state)
    }

    /// What a request without a session is told.
    ///
    /// Source: the protocol sheet, section 2.1.5.
    fn without_session(&self) -> i32 {
        if self.request.endpoint() == "synccheck" { 1_102 } else { 1_100 }
    }

    /// A call with a JSON body whose answer is nothing but its `BaseResponse`.
    fn plain(&self, work: impl FnOnce(&mut State, &Value) -> Result<(), i32>) -> Answer {
        let done = self.with_session(|_, state| {
            let body = self.body(state)?;
            work(state, &body)
        });
        self.refuse(done.err().unwrap_or(0))
    }

    /// Checks cookies, host and agent against the session.
    pub(crate) fn admit(&self, state: &mut State) -> Result<(), i32> {
        let request = self.request;
        let sid = request.cookie("wxsid");
        if let Some((ended, code)) = &state.ended
            && sid == Some(ended)
        {
            return Err(*code);
        }
        let nobody = self.without_session();
        let Some(session) = state.session.as_mut() else {
            return Err(nobody);
        };
        match sid {
            None => {
                self.violation("cookie wxsid missing");
                return Err(nobody);
            }
            Some(sid) if sid != session.sid => {
                self.violation("cookie wxsid is not the session's");
                return Err(1_101);
            }
            Some(_) => {}
        }
        let now_ms = self.world.now_ms();
        match request.cookie("webwx_data_ticket") {
            None => {
                self.violation("cookie webwx_data_ticket missing");
                return Err(nobody);
            }
            Some(ticket) if !session.knows_ticket(ticket, now_ms) => {
                self.violation("cookie webwx_data_ticket is not the newest that was set");
            }
            Some(_) => {}
        }
        self.check_agent(session);
        self.check_host(session)?;
        self.check_pass_ticket(session);
        Ok(())
    }

    fn check_agent(&self, session: &mut Session) {
        let Some(agent) = self.request.header("user-agent") else {
            self.violation("User-Agent missing");
            return;
        };
        let print = agent.bytes().fold(1, |state, byte| mix_all(&[state, u64::from(byte)]));
        if session.agent != 0 && session.agent != print {
            self.violation("User-Agent changed within the session");
        }
        session.agent = print;
    }

    /// A client that names real hosts must name the right one.
    fn check_host(&self, session: &Session) -> Result<(), i32> {
        let host = self.request.host.as_str();
        if !host.ends_with(".qq.com") && !host.ends_with(".wechat.com") {
            return Ok(());
        }
        let base = session.host.as_str();
        let fits = match self.request.endpoint() {
            "synccheck" => host.strip_prefix("webpush.") == Some(base),
            "webwxuploadmedia" | "webwxgetmedia" => host.strip_prefix("file.") == Some(base),
            _ => host == base,
        };
        if fits {
            return Ok(());
        }
        self.violation("host does not belong to the session's family and role");
        Err(self.without_session())
    }

    /// Source: the protocol sheet, section 2.1.3: weakly or not checked, but to be sent on every API call.
    fn check_pass_ticket(&self, session: &Session) {
        const WITHOUT: [&str; 9] = [
            "synccheck",
            "webwxuploadmedia",
            "webwxgetmsgimg",
            "webwxgetvoice",
            "webwxgetvideo",
            "webwxgetpubliclinkimg",
            "webwxgeticon",
            "webwxgetheadimg",
            "webwxpreview",
        ];
        let endpoint = self.request.endpoint();
        match self.request.param("pass_ticket") {
            None if WITHOUT.contains(&endpoint) || endpoint == "webwxlogout" => {}
            None => self.tolerate("pass_ticket missing"),
            Some(ticket) if ticket == session.pass_ticket => {}
            Some(ticket) if crate::http::decode(ticket) == session.pass_ticket => {
                self.tolerate("pass_ticket encoded twice");
            }
            Some("") if !session.inited => self.tolerate("pass_ticket empty at init"),
            Some("pass_ticket" | "undefined") => self.tolerate("pass_ticket is a literal word"),
            Some(_) => self.violation("pass_ticket is not the session's"),
        }
    }

    /// Reads a JSON body and checks its `BaseRequest`.
    pub(crate) fn body(&self, state: &mut State) -> Result<Value, i32> {
        let (text, escaped) = unescape_guard(&self.request.body);
        if escaped {
            if self.request.endpoint().starts_with("webwxsend") {
                self.violation("\\u escape in the body: the recipient reads six characters");
            } else {
                self.tolerate("\\u escape in the body");
            }
        }
        let Ok(body) = serde_json::from_slice::<Value>(&text) else {
            self.violation("body is not JSON");
            return Err(1_200);
        };
        if self.request.method != "POST" {
            self.violation("method is not POST");
        }
        self.base_request(state, body.get("BaseRequest"))?;
        Ok(body)
    }

    /// Source: the protocol sheet, section 2.1.1.
    pub(crate) fn base_request(&self, state: &mut State, base: Option<&Value>) -> Result<(), i32> {
        let Some(base) = base else {
            self.violation("BaseRequest missing");
            return Err(1);
        };
        let uin_cookie = self.request.cookie("wxuin").unwrap_or_default();
        let endpoint = self.request.endpoint();
        let Some(session) = state.session.as_mut() else {
            return Err(self.without_session());
        };
        let text = |name: &str| base.get(name).and_then(Value::as_str);
        match base.get("Uin") {
            Some(Value::Number(number)) if number.to_string() == uin_cookie => {}
            Some(Value::String(string)) if string == uin_cookie => {
                if endpoint != "webwxinit" {
                    self.tolerate("BaseRequest.Uin is a string");
                }
            }
            _ => {
                self.violation("BaseRequest.Uin is not the session's");
                return Err(1_101);
            }
        }
        if text("Sid") != Some(&session.sid) {
            self.violation("BaseRequest.Sid is not the session's");
            return Err(1_101);
        }
        match text("Skey") {
            Some(skey) if skey == session.skey => {}
            Some("") if endpoint == "webwxinit" => self.tolerate("Skey empty at init"),
            None if endpoint == "webwxstatreport" => {}
            _ => {
                self.violation("BaseRequest.Skey is not the session's");
                return Err(1_101);
            }
        }
        let device = text("DeviceID").unwrap_or_default();
        let well_formed = device
            .strip_prefix('e')
            .is_some_and(|digits| digits.len() == 15 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let print = device.bytes().fold(1, |state, byte| mix_all(&[state, u64::from(byte)]));
        if !well_formed {
            self.tolerate("DeviceID is not e and 15 digits");
        } else if print == session.device {
            self.tolerate("DeviceID kept from request to request");
        }
        session.device = print;
        Ok(())
    }

    /// Demands these query parameters.
    pub(crate) fn demand(&self, names: &[&str]) {
        for name in names {
            if self.request.param(name).is_some() {
                continue;
            }
            // Source: the protocol sheet, section 2.1.2: some clients leave the cache buster away.
            if *name == "_" {
                self.tolerate("parameter _ missing");
            } else {
                self.violation(&format!("parameter {name} missing"));
            }
        }
    }

    /// Sets a new `webwx_data_ticket` with every so many answers of a session.
    fn refresh(&self, mut answer: Answer) -> Answer {
        let every = self.world.0.config.renew_ticket_every;
        let Some(account) = self.account.as_ref() else {
            return answer;
        };
        let mut state = account.state();
        if let Some(session) = state.session.as_mut()
            && self.request.cookie("wxsid") == Some(&session.sid)
        {
            session.answers += 1;
            if every > 0 && session.answers.is_multiple_of(every) {
                let now_ms = self.world.now_ms();
                let fresh = Session::make_ticket(session.names.key, u64::from(session.answers));
                let old = std::mem::replace(&mut session.data_ticket, fresh);
                // A request that left before this answer arrived still carries the old one.
                session.old_ticket = Some((old, now_ms + 2_000));
                answer.set_cookies.push(entry::cookie(
                    self.world,
                    session,
                    "webwx_data_ticket",
                    &session.data_ticket,
                    entry::Life::Session,
                ));
            }
        }
        answer
    }
}

/// Keeps `\uXXXX` from being decoded, as the service does: the recipient sees the six characters.
///
/// Source: the protocol sheet, section 2.1.4.
fn unescape_guard(body: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(body.len());
    let mut found = false;
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(byte);
        if byte == b'\\'
            && let Some(next) = bytes.next()
        {
            if next == b'u' {
                found = true;
                out.push(b'\\');
            }
            out.push(next);
        }
    }
    (out, found)
}

/// A JSON value that may be a string or a number, as text.
pub(crate) fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An answer with nothing but a result code, in the form that belongs to the endpoint.
pub(crate) fn refusal(endpoint: &str, code: i32) -> Answer {
    let base = json!({"Ret": code, "ErrMsg": ""});
    let value = match endpoint {
        "login" => return Answer::script(format!("window.code={code};")),
        "jslogin" => {
            return Answer::script(format!("window.QRLogin.code = {code}; window.QRLogin.uuid = \"\";"));
        }
        "synccheck" => {
            return Answer::script(format!("window.synccheck={{retcode:\"{code}\",selector:\"0\"}}"));
        }
        "webwxnewloginpage" => {
            return Answer::new(
                200,
                "text/plain",
                format!("<error><ret>{code}</ret><message></message></error>"),
            );
        }
        "webwxpushloginurl" => json!({"ret": code.to_string(), "msg": "refused"}),
        "webwxinit" => init::nothing(code),
        "webwxsync" => return Answer::json(&SyncAnswer::quiet(code, None)),
        "webwxgetcontact" => {
            json!({"BaseResponse": base, "MemberCount": 0, "MemberList": [], "Seq": 0})
        }
        "webwxbatchgetcontact" => json!({"BaseResponse": base, "Count": 0, "ContactList": []}),
        "webwxstatusnotify" => json!({"BaseResponse": base, "MsgID": ""}),
        "webwxsendmsg" | "webwxsendmsgimg" | "webwxsendvideomsg" | "webwxsendemoticon"
        | "webwxsendappmsg" => json!({"BaseResponse": base, "MsgID": "", "LocalID": ""}),
        "webwxuploadmedia" => json!({
            "BaseResponse": base, "MediaId": "", "StartPos": 0,
            "CDNThumbImgHeight": 0, "CDNThumbImgWidth": 0, "EncryFileName": ""
        }),
        "webwxcheckupload" => json!({
            "BaseResponse": base, "MediaId": "", "AESKey": "", "Signature": "", "EncryFileName": ""
        }),
        "webwxcreatechatroom" => json!({
            "BaseResponse": base, "Topic": "", "PYInitial": "", "QuanPin": "", "MemberCount": 0,
            "MemberList": [], "ChatRoomName": "", "BlackList": ""
        }),
        "webwxupdatechatroom" => json!({"BaseResponse": base, "MemberCount": 0, "MemberList": []}),
        "webwxsearchcontact" => json!({"BaseResponse": base, "List": []}),
        "webwxgetmsgimg"
        | "webwxgetvoice"
        | "webwxgetvideo"
        | "webwxgetmedia"
        | "webwxgeticon"
        | "webwxgetheadimg"
        | "webwxgetpubliclinkimg"
        | "webwxpreview" => {
            return Answer::file("application/octet-stream", bytes::Bytes::new());
        }
        _ => json!({"BaseResponse": base}),
    };
    Answer::new(200, "text/plain", wire::print(&value))
}

#[cfg(test)]
mod tests {
    use super::unescape_guard;

    #[test]
    fn an_escape_reaches_the_recipient_as_six_characters() {
        let (text, found) = unescape_guard(br#"{"Content":"\u4f60\n\\u"}"#);
        assert!(found);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["Content"], "\\u4f60\n\\u");
        assert!(!unescape_guard("{\"Content\":\"你\\\\u\"}".as_bytes()).1);
    }
}
