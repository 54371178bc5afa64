//! What the demo shows.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{Write, stdout};

use serde_json::{Value, json};

use crate::cli::{is_terminal, out};
use crate::qr::{self, Ink};
use crate::wiring::Gateway;

/// Standard output, with or without colours; for programs a line of JSON for each thing that happens.
pub(super) struct Screen {
    is_rich: bool,
    is_json: bool,
}

impl Screen {
    pub(super) fn new(plain: bool, is_json: bool) -> Self {
        let is_rich = !plain && !is_json && is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { is_rich, is_json }
    }

    /// Says what happened: `text` to people, `event` to programs.
    pub(super) fn tell(&self, text: &str, event: Value) {
        match self.is_json {
            true => out(&event.to_string()),
            false => out(text),
        }
    }

    fn bold(&self, text: &str) -> String {
        if self.is_rich { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text in grey, where there is grey.
    pub(super) fn soft(&self, text: &str) -> String {
        if self.is_rich { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A name in a colour of its own, the same one each time; readable on dark and light.
    pub(super) fn name(&self, name: &str) -> String {
        if !self.is_rich {
            return name.to_owned();
        }
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let colour = 31 + hasher.finish() % 6;
        format!("\x1b[{colour}m{name}\x1b[0m")
    }

    /// A bar on a terminal, now and then a line elsewhere.
    pub(super) fn progress(&self, what: &str, done: usize, all: usize) {
        if all < 10 {
            return;
        }
        if !self.is_rich {
            let step = all.div_ceil(10);
            if done.is_multiple_of(step) || done == all {
                let event = json!({ "event": "progress", "what": what, "done": done, "all": all });
                self.tell(&format!("{what}: {done} of {all}"), event);
            }
            return;
        }
        let filled = done * 30 / all.max(1);
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(30 - filled));
        let end = if done == all { "\n" } else { "" };
        let mut stdout = stdout().lock();
        // A reader that went away is no error.
        let _ = write!(stdout, "\r{what}  {bar}  {done} of {all}{end}");
        let _ = stdout.flush();
    }

    /// The code of the first account.
    pub(super) fn qr(&self, account: &str, text: &str) {
        if self.is_json {
            let event = json!({ "event": "sign_in", "account": account, "step": "show_qr", "text": text });
            return self.tell("", event);
        }
        let ink = if self.is_rich { Ink::Ansi } else { Ink::Plain };
        out(&format!("\nTo sign {account} in, WeChat asks for a scan of this code ({text}):\n"));
        out(qr::draw(text, ink).unwrap_or_default().trim_end_matches('\n'));
        out("\nA real phone would scan it now. Here a simulated one does.");
    }

    /// How to connect.
    pub(super) fn invite(&self, gateway: &Gateway, names: &[String], user: &str, password: &str) {
        let Some(irc) = gateway.parts.irc.plain.first() else { return };
        let (host, port) = (irc.ip(), irc.port());
        let first = names.first().map_or("", String::as_str);
        if self.is_json {
            let irc = json!({ "host": host, "port": port, "password": format!("{user}/{first}:{password}") });
            let web = format!("http://{}/", gateway.web);
            let event = json!({ "event": "ready", "irc": irc, "web": web, "user": user, "accounts": names });
            return self.tell("", event);
        }
        let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
        let more = if names.len() > shown.len() {
            format!(" and {} more", names.len() - shown.len())
        } else {
            String::new()
        };
        out(&format!("\n{}\n", self.bold("Ready. Connect an IRC client in another terminal:")));
        out(&format!("  irssi     irssi -c {host} -p {port} -n {user} -w {user}/{first}:{password}"));
        let weechat = format!(
            "/server add {first} {host}/{port} -notls -nicks={user} -password={user}/{first}:{password}"
        );
        out(&format!("  WeeChat   weechat -r '{weechat}' -r '/connect {first}'"));
        out(&format!(
            "  others    server {host}, port {port}, no TLS, server password {user}/{first}:{password}"
        ));
        out(&format!("\n  accounts  {}{more} (put the name in place of {first})", shown.join(", ")));
        out(&format!("  web       http://{}/", gateway.web));
        out("\nWrite to somebody there: people answer. Below is what crosses; Ctrl-C ends the demo.\n");
    }
}
