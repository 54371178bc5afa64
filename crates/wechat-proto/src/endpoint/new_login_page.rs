//! `GET <redirect_uri>&fun=new&version=v2`: exchanges the ticket for the credentials of a session.
//!
//! Redirects are not to be followed. Source: the protocol sheet, sections 2.1.6 and 2.6.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use url::Url;

use super::{Endpoint, LOGIN_TIMEOUT, SMALL_BODY};
use crate::{
    Call, Credentials, Family, Profile, ProtoError, RetCode, Secret,
    call::{self, Address, Referer},
    hosts, percent, text,
};

/// What the shell of the desktop profile adds to this one request; configuration, because the
/// service changes what it accepts.
#[derive(Debug, Clone, Copy)]
pub struct Shell<'a> {
    /// Header `client-version`.
    pub client_version: &'a str,
    /// Header `extspam`.
    pub extspam: &'a str,
}

/// Source: the protocol sheet, section 2.1.6 (in use since July 2022).
pub const CLIENT_VERSION: &str = "2.0.0";

/// Source: the protocol sheet, section 2.1.6 (in use since July 2022).
pub const EXTSPAM: &str = include_str!("new_login_page/extspam.txt").trim_ascii();

impl Default for Shell<'_> {
    fn default() -> Self {
        Self { client_version: CLIENT_VERSION, extspam: EXTSPAM }
    }
}

/// The exchange.
#[derive(Debug, Clone, Copy)]
pub struct NewLoginPage<'a> {
    /// From the login poll.
    pub redirect: &'a Url,
    /// Used in the desktop profile only.
    pub shell: Shell<'a>,
}

/// What came of the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// A session.
    Accepted {
        /// The host family of the session: that of the redirect.
        family: Family,
        /// Its credentials.
        credentials: Credentials,
    },
    /// No session yet: the ticket is to be taken there. Anything but a known host of the service is an error instead.
    Elsewhere(Url),
    /// No session; the message is to be shown to the user word for word, and nothing retried.
    Refused {
        /// The service's code.
        ret: RetCode,
        /// The service's sentence, in the language of the request.
        message: String,
    },
    /// The service wants a browser: counts as a refusal.
    WantsBrowser,
}

impl Endpoint for NewLoginPage<'_> {
    type Reply = Exchange;
    const NAME: &'static str = "webwxnewloginpage";
    const TIMEOUT: Duration = LOGIN_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let redirect = hosts::check_redirect(self.redirect.as_str())?;
        let address = Address::raw(redirect.into()).with("fun", "new").with("version", "v2");
        let builder = match call.profile {
            Profile::Web => call::builder(call, Method::GET, address, Referer::None),
            Profile::Desktop => {
                call::builder(call, Method::GET, address.with("mod", "desktop"), Referer::None)
                    .header("client-version", self.shell.client_version)
                    .header("extspam", self.shell.extspam)
                    .header(header::REFERER, "https://wx.qq.com/?&lang=zh_CN&target=t")
            }
        };
        call::finish(Self::NAME, builder, Bytes::new())
    }

    /// Reads the XML whatever the status is: without `version=v2` it is the body of a 301. A page
    /// without it means a browser is wanted only when it is an answer at all; under an error status
    /// it is some machine on the way that speaks, and the sign-in may be tried again.
    fn parse(&self, reply: &Response<Bytes>) -> Result<Exchange, ProtoError> {
        let body = String::from_utf8_lossy(reply.body());
        let ret = element(&body, "ret").and_then(|ret| ret.trim().parse::<i64>().ok());
        let head = body.trim_start();
        if ret.is_none() && (reply.status().is_client_error() || reply.status().is_server_error()) {
            let expected = format!("an answer to the ticket, not status {}", reply.status().as_u16());
            return Err(ProtoError::answer(Self::NAME, expected, reply.body()));
        }
        if ret.is_none() && (head.starts_with("<html") || head.starts_with("<!") || body.contains("<head>")) {
            return Ok(Exchange::WantsBrowser);
        }
        if let Some(ret) = ret.map(RetCode::from_number).filter(|ret| !ret.is_ok()) {
            let message = element(&body, "message").map(|message| text::unescape(message).into_owned());
            return Ok(Exchange::Refused { ret, message: message.unwrap_or_default() });
        }
        if let (None, Some(to)) = (element(&body, "skey"), element(&body, "redirecturl")) {
            return Ok(Exchange::Elsewhere(hosts::check_redirect(&text::unescape(to))?));
        }
        let missing = |what: &'static str| ProtoError::answer(Self::NAME, what, reply.body());
        let skey = element(&body, "skey").ok_or_else(|| missing("<skey>"))?;
        let pass_ticket = element(&body, "pass_ticket").ok_or_else(|| missing("<pass_ticket>"))?;
        let sid = element(&body, "wxsid").map(str::to_owned).or_else(|| cookie(reply, "wxsid"));
        let uin = element(&body, "wxuin").map(str::to_owned).or_else(|| cookie(reply, "wxuin"));
        let uin = uin.and_then(|uin| uin.trim().parse().ok()).filter(|uin| *uin != 0);
        let credentials = Credentials {
            uin: uin.ok_or_else(|| missing("wxuin in the XML or a cookie"))?,
            sid: sid.ok_or_else(|| missing("wxsid in the XML or a cookie"))?.into(),
            skey: text::unescape(skey).into_owned().into(),
            pass_ticket: Secret::new(percent::decode(pass_ticket)),
        };
        let family = Family::of_host(self.redirect.host_str().unwrap_or_default());
        Ok(Exchange::Accepted { family, credentials })
    }

    fn verdict(reply: &Exchange) -> RetCode {
        match reply {
            Exchange::Accepted { .. } | Exchange::Elsewhere(_) => RetCode::Ok,
            Exchange::Refused { ret, .. } => *ret,
            Exchange::WantsBrowser => RetCode::LoginRefused,
        }
    }
}

/// The text of the first `<name>…</name>` that is not empty, by pattern rather than by an XML
/// parser. Source: the protocol sheet, section 2.6.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (inside, _) = after.split_once(&format!("</{name}>"))?;
    let inside = inside.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>")).unwrap_or(inside);
    (!inside.is_empty()).then_some(inside)
}

/// The value of a cookie that this very answer sets.
fn cookie(reply: &Response<Bytes>, name: &str) -> Option<String> {
    let cookies = reply.headers().get_all(header::SET_COOKIE);
    cookies.iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        let (key, rest) = value.split_once('=')?;
        let value = rest.split(';').next().unwrap_or_default().trim();
        (key.trim() == name && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::{answer, call, query};

    const XML: &str = "<error><ret>0</ret><message></message><skey>@crypt_5a_00</skey><wxsid>bXk+Vt/R</wxsid><wxuin>1048576001</wxuin><pass_ticket>Zk3%2Fq0%2BfT%3D</pass_ticket><isgrayscale>1</isgrayscale></error>";

    fn redirect() -> Url {
        Url::parse("https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@qrticket_0&uuid=g==")
            .unwrap()
    }

    fn exchange(reply: &Response<Bytes>) -> Result<Exchange, ProtoError> {
        NewLoginPage { redirect: &redirect(), shell: Shell::default() }.parse(reply)
    }

    #[test]
    fn item_03_the_body_of_a_301_without_location_is_read() {
        let mut reply = answer(XML);
        *reply.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
        assert!(matches!(exchange(&reply).unwrap(), Exchange::Accepted { family: hosts::WX2, .. }));
    }

    #[test]
    fn item_10_the_pass_ticket_is_decoded_once() {
        let Exchange::Accepted { credentials, .. } = exchange(&answer(XML)).unwrap() else { panic!() };
        assert_eq!(credentials.pass_ticket.reveal(), "Zk3/q0+fT=");
        assert_eq!(credentials.sid.reveal(), "bXk+Vt/R");
    }

    #[test]
    fn credentials_may_come_in_cookies() {
        let body = "<error><ret>0</ret><skey>@crypt_5a_00</skey><pass_ticket>a</pass_ticket></error>";
        let mut reply = answer(body);
        for cookie in ["wxuin=77; Domain=wx2.qq.com; Path=/", "wxsid=s+id; Path=/"] {
            reply.headers_mut().append(header::SET_COOKIE, cookie.parse().unwrap());
        }
        let Exchange::Accepted { credentials, .. } = exchange(&reply).unwrap() else { panic!() };
        assert_eq!((credentials.uin, credentials.sid.reveal()), (77, "s+id"));
        assert!(exchange(&answer(body)).is_err());
    }

    #[test]
    fn a_ticket_may_be_sent_to_another_host_of_the_service_and_to_no_other() {
        let to = |url: &str| {
            let elsewhere = "<error><ret>0</ret><message></message><redirecturl>";
            exchange(&answer(format!("{elsewhere}{url}</redirecturl></error>")))
        };
        let page = "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A&amp;uuid=g";
        let expected = Url::parse(&page.replace("&amp;", "&")).unwrap();
        assert_eq!(to(page).unwrap(), Exchange::Elsewhere(expected));
        assert!(to("https://example.org/?ticket=A").is_err());
        let both = XML.replace("<message>", "<redirecturl>https://wx8.qq.com/</redirecturl><message>");
        assert!(matches!(exchange(&answer(both)).unwrap(), Exchange::Accepted { .. }));
    }

    #[test]
    fn item_09_a_refusal_keeps_its_message() {
        let body =
            "<error><ret>1203</ret><message>为了你的帐号安全，此微信号不能登录网页微信。</message></error>";
        let expected = Exchange::Refused {
            ret: RetCode::LoginRefused,
            message: "为了你的帐号安全，此微信号不能登录网页微信。".into(),
        };
        assert_eq!(exchange(&answer(body)).unwrap(), expected);
        assert_eq!(exchange(&answer("<html><head></head></html>")).unwrap(), Exchange::WantsBrowser);
        assert!(exchange(&answer("")).is_err());
    }

    #[test]
    fn a_page_under_an_error_status_is_no_refusal() {
        for status in [404, 500, 502] {
            let mut reply = answer("<html><head></head><body>Bad Gateway</body></html>");
            *reply.status_mut() = http::StatusCode::from_u16(status).unwrap();
            let error = exchange(&reply).unwrap_err();
            assert!(error.to_string().contains(&format!("not status {status}")), "{error}");
        }
        let mut refusal = answer("<error><ret>1203</ret><message>no</message></error>");
        *refusal.status_mut() = http::StatusCode::FORBIDDEN;
        assert!(matches!(exchange(&refusal).unwrap(), Exchange::Refused { .. }));
    }

    #[test]
    fn item_13_the_desktop_shell_speaks_only_here() {
        let url = redirect();
        let page = NewLoginPage { redirect: &url, shell: Shell::default() };
        let desktop = page.request(&Call { profile: Profile::Desktop, ..call() }).unwrap();
        assert_eq!(query(&desktop)["mod"], "desktop");
        assert_eq!(desktop.headers()["client-version"], "2.0.0");
        assert!(desktop.headers()["extspam"].to_str().unwrap().starts_with("Go8FCIkFEokF"));
        assert_eq!(EXTSPAM.len() % 4, 0, "base64 without spaces");
        let web = page.request(&call()).unwrap();
        assert!(!web.headers().contains_key("extspam") && !query(&web).contains_key("mod"));
        assert_eq!(query(&web)["version"], "v2");
    }
}
