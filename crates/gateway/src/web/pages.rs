//! The few pages there are: plain HTML, dark and light, from 360 pixels on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use wxgate_irc::Listening;

use crate::wiring::Parts;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1c1e;--ground:#fafafa;--soft:#6b6b70;--box:#fff;--edge:#ddd;--mark:#07843f}\
@media(prefers-color-scheme:dark){:root{--ink:#ececee;--ground:#161618;--soft:#a0a0a6;--box:#202023;--edge:#38383c;--mark:#4cc57c}}\
*{box-sizing:border-box}\
body{margin:0;padding:1.5rem 1rem;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}\
main{max-width:40rem;margin:0 auto}\
h1{font-size:1.4rem;margin:0 0 .25rem}h2{font-size:1.05rem;margin:1.5rem 0 .5rem}\
p{margin:.5rem 0}.soft{color:var(--soft)}.mark{color:var(--mark);font-weight:600}\
pre,code{font:.85rem/1.5 ui-monospace,monospace}\
pre{background:var(--box);border:1px solid var(--edge);border-radius:.4rem;padding:.6rem .8rem;overflow-x:auto;margin:.4rem 0}";

/// The style of every page. Not in the pages, so that their policy can forbid inline style.
pub(crate) async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, STYLE)
}

/// A page of a title and a body.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title} · wxgate</title><link rel=\"stylesheet\" href=\"/style.css\"></head>\
         <body><main>{body}</main></body></html>\n",
        title = escaped(title)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (status, headers, html).into_response()
}

/// A page of one sentence.
pub(crate) fn words(status: StatusCode, title: &str, sentence: &str) -> Response {
    page(status, title, &format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(sentence)))
}

/// Any other address.
pub(crate) async fn nothing_here() -> Response {
    words(StatusCode::NOT_FOUND, "Not found", "There is no page at this address.")
}

/// What this is and how to connect. Nothing about accounts: whoever reaches the listener sees it.
pub(crate) async fn status(State(parts): State<Arc<Parts>>) -> Response {
    let Listening { plain, tls, websocket } = &parts.irc;
    let lists = [(plain, ""), (tls, " with TLS"), (websocket, " for WebSocket clients")];
    let addresses: Vec<String> = lists
        .into_iter()
        .flat_map(|(list, how)| list.iter().map(move |address| format!("<code>{address}</code>{how}")))
        .collect();
    let connect = match plain.first().or(tls.first()) {
        None if websocket.is_empty() => "<p>The IRC server is switched off.</p>".to_owned(),
        None => format!("<p>The IRC server listens on {}.</p>", addresses.join(", ")),
        Some(first) => {
            let (host, port) = (first.ip(), first.port());
            let (irssi_tls, weechat_tls) = match plain.is_empty() {
                true => (" --tls", ""),
                false => ("", " -notls"),
            };
            format!(
                "<p>The IRC server listens on {list}. Each WeChat account is a network of its own: sign in \
                 with the password <code>USER/ACCOUNT:PASSWORD</code>.</p>\
                 <pre>irssi -c {host} -p {port}{irssi_tls} -n USER -w USER/ACCOUNT:PASSWORD</pre>\
                 <pre>/server add wx {host}/{port}{weechat_tls} -password=USER/ACCOUNT:PASSWORD\n/connect wx</pre>\
                 <p class=\"soft\">The first is for a shell with irssi, the second for typing in WeeChat.</p>",
                list = addresses.join(", "),
            )
        }
    };
    let body = format!(
        "<h1>wxgate</h1><p class=\"soft\">Version {version}. <span class=\"mark\">Running.</span></p>\
         <p>This gateway brings WeChat chats into IRC clients.</p>\
         <h2>Connect</h2>{connect}\
         <h2>For the operator</h2><p>Accounts are managed on the machine itself:</p>\
         <pre>wxgate user add NAME\nwxgate account add ACCOUNT --owner NAME\nwxgate account sign-in ACCOUNT</pre>\
         <p class=\"soft\">Health is at <code>/healthz</code> and <code>/readyz</code>, numbers at \
         <code>/metrics</code>.</p>",
        version = env!("CARGO_PKG_VERSION"),
    );
    page(StatusCode::OK, "Status", &body)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
