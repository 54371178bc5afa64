//! The service nick: what a person of this instance can ask of the gateway, in plain words.

use qrcode::QrCode;
use wxgate_contract::{Command, CommandError, NetworkId, Reply, SignInStep, SignInWatch, Verdict};

use super::asking::Asking;
use super::registry::{ClientId, Incoming};
use super::session::{Session, state_word};
use crate::wire::casemap::fold;

/// Lines of `chats` at once.
const MAX_LISTED: usize = 100;
/// Lines of `more` without and at most with a number.
const MORE_LINES: usize = 50;
const MAX_MORE_LINES: usize = 500;

const HELP: &[&str] = &[
    "help                   this list",
    "status                 how this account is doing",
    "accounts               your WeChat accounts",
    "login [account]        sign in: I show a QR code, scan it with WeChat on your phone",
    "logout [account]       sign out of WeChat",
    "add <name>             add another WeChat account",
    "chats [words]          your groups and contacts; with words only those whose name has them",
    "find [#group|nick] <words>  what was said with these words",
    "names [pinyin|utf8]    how people and groups are written: 张伟 or zhangwei",
    "join [auto|all|manual]  which groups are joined for you",
    "language [english|chinese]  of what I add to a line, such as [image]",
    "recalls [remove|keep]  what becomes of messages that are recalled in WeChat",
    "more <#group|nick> [n] the last n lines of a chat",
    "identity               chats of which I do not know for certain who they are",
    "same|new|later <n> …   your answer to question n: same <n> <candidate>",
    "why <#group|nick>      why I take a chat for who it is",
    "undo <#group|nick>     take the last decision about a chat back",
    "marker [put|take <nick>…|all]  codes in your remarks by which I know contacts after a sign-in",
    "create-group <title>: <nick>, <nick> …  make a group of these contacts and you",
    "web                    a link that opens the web pages in your browser, once",
    "certificate [add|remove <fingerprint>]  log in with this client's TLS certificate (SASL EXTERNAL)",
    "accept <n>             accept a friend request; \"decline <n>\" declines it",
    "show ids <#group|nick> [n]  its last lines with short ids, to answer with: >id text",
];

impl Session {
    /// A line from the service to one client.
    pub(super) fn service_says(&mut self, id: ClientId, text: &str) {
        let (prefix, nick) = (self.service_prefix(), self.nick.clone());
        let caps = self.clients.get(&id).map(|client| client.caps()).unwrap_or_default();
        let budget = crate::wire::split::budget(&prefix, "NOTICE", &nick);
        for piece in crate::wire::split::split(text, budget) {
            let said = self.spoken(self.service_deed(format!("NOTICE {nick} :{piece}")));
            self.to(id, &said.line(caps, ""));
        }
    }

    /// Carries out what was said to the service.
    pub(super) async fn service(&mut self, id: ClientId, text: &str) {
        if self.has_to_wait(id, text) {
            return;
        }
        let mut words = text.split_whitespace();
        let word = words.next().unwrap_or("help").to_ascii_lowercase();
        if self.key.guest.is_some() {
            return self.service_says(id, "you are a guest here; log in with a password to use me");
        }
        let rest: Vec<&str> = words.collect();
        if self.identity(id, &word, &rest) || self.markers(id, &word, &rest) {
            return;
        }
        match (word.as_str(), rest.as_slice()) {
            ("help" | "?", _) => HELP.iter().for_each(|line| self.service_says(id, line)),
            ("status", _) => self.status(id).await,
            ("accounts" | "list", _) => self.accounts(id).await,
            ("login" | "signin", account) => self.sign_in(id, account.first().copied()).await,
            ("sign", ["in", account @ ..]) => self.sign_in(id, account.first().copied()).await,
            ("logout" | "signout", account) => self.sign_out(id, account.first().copied()).await,
            ("sign", ["out", account @ ..]) => self.sign_out(id, account.first().copied()).await,
            ("add", [name]) => self.add(id, name).await,
            ("add", _) => self.service_says(id, "say: add <name>"),
            ("chats" | "search", words) => self.chats(id, &words.join(" ")),
            ("web" | "pages" | "dashboard", _) => self.open_pages(id).await,
            ("certificate" | "cert" | "certfp", rest) => self.certificate(id, rest).await,
            ("create-group" | "create", words) => self.create_group(id, &words.join(" ")),
            ("names", words) => self.names(id, words).await,
            ("join", words) => self.choose_join(id, words).await,
            ("language" | "lang", words) => self.choose_language(id, words).await,
            ("recalls", words) => self.choose_recalls(id, words).await,
            ("find", words) => self.find_for_service(id, words).await,
            ("more", [chat, rest @ ..]) => self.say_more(id, chat, rest.first().copied()).await,
            ("accept", [number]) => self.befriend(id, number, Verdict::Accept).await,
            ("decline" | "reject", [number]) => self.befriend(id, number, Verdict::Decline).await,
            ("accept" | "decline" | "reject", _) => self.service_says(id, "say: accept <number>"),
            ("show", ["ids", chat, rest @ ..]) => self.show_ids(id, chat, rest.first().copied()).await,
            ("show", _) => self.service_says(id, "say: show ids <#group or nick> [number of lines]"),
            ("more", []) => self.service_says(id, "say: more <#group or nick> [number of lines]"),
            _ => self.service_says(id, "I do not know that command; say \"help\" for those I know"),
        }
    }

    async fn open_pages(&mut self, id: ClientId) {
        let user = self.key.user.clone();
        let Some(credential) = self.clients.get(&id).and_then(|client| client.credential.clone()) else {
            return self.service_says(id, "log in first");
        };
        let command = Command::OpenPages { user: user.clone(), credential };
        match self.shared.control.run(Some(user), command).await {
            Ok(Reply::Link(link)) => {
                self.service_says(id, &link.0);
                self.service_says(
                    id,
                    "it opens once, within ten minutes; whoever has it is you, so keep it to yourself",
                );
            }
            Ok(_) => self.service_says(id, "there are no web pages here"),
            Err(error) => self.refused(id, "open the web pages", &error),
        }
    }

    async fn status(&mut self, id: ClientId) {
        let Some(account) = self.account().cloned() else { return self.accounts(id).await };
        let (word, detail) = (state_word(&self.health), self.health.detail().to_owned());
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        let contacts = self.roster.people().filter(|(_, person)| person.is_contact).count();
        let groups = self.roster.channels().len();
        let clients = self.clients.len();
        let text = format!(
            "{} is {word}{detail}; {contacts} contacts, {groups} groups, {clients} connected clients",
            account.name()
        );
        self.service_says(id, &text);
    }

    async fn accounts(&mut self, id: ClientId) {
        let user = self.key.user.clone();
        match self.shared.directory.accounts(&user).await {
            Ok(accounts) if accounts.is_empty() => {
                self.service_says(id, "you have no WeChat account here yet; say: add <name>");
            }
            Ok(accounts) => {
                for view in accounts {
                    let detail = view.health.detail();
                    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                    let who = if view.own_name.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", view.own_name)
                    };
                    let text = format!(
                        "{}{who} is {}{detail}; log in as {user}/{0}",
                        view.network.name(),
                        state_word(&view.health)
                    );
                    self.service_says(id, &text);
                }
            }
            Err(error) => self.service_says(id, &format!("your accounts cannot be read now: {error}")),
        }
    }

    /// The account a command is about: the one named, the one shown, or the only one.
    async fn which(&mut self, id: ClientId, name: Option<&str>) -> Option<NetworkId> {
        let user = self.key.user.clone();
        let accounts = match self.shared.directory.accounts(&user).await {
            Ok(accounts) => accounts,
            Err(error) => {
                self.service_says(id, &format!("your accounts cannot be read now: {error}"));
                return None;
            }
        };
        let found = match name {
            Some(name) => {
                accounts.iter().find(|view| view.network.name() == name || view.network.as_str() == name)
            }
            None => match (self.account(), accounts.as_slice()) {
                (Some(account), _) => accounts.iter().find(|view| view.network == *account),
                (None, [only]) => Some(only),
                (None, _) => None,
            },
        };
        let network = found.map(|view| view.network.clone());
        if network.is_none() {
            let text = match name {
                Some(name) => format!("you have no account {name}; say \"accounts\" to see them"),
                None => "which account? say \"accounts\" to see them".to_owned(),
            };
            self.service_says(id, &text);
        }
        network
    }

    async fn sign_in(&mut self, id: ClientId, name: Option<&str>) {
        let Some(account) = self.which(id, name).await else { return };
        self.order(id, Command::SignIn { account: account.clone() }, Asking::SignIn(account));
    }

    /// Shows the steps of a sign-in as they are made.
    pub(super) fn follow_sign_in(&mut self, id: ClientId, account: NetworkId, mut steps: SignInWatch) {
        let own = self.own.clone();
        self.tasks.spawn(async move {
            loop {
                let step = steps.borrow_and_update().clone();
                let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
                let Some(session) = own.upgrade() else { return };
                let incoming = Incoming::SignIn(id, account.clone(), step);
                if session.send(incoming).await.is_err() || is_over {
                    return;
                }
                drop(session);
                if steps.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Shows one step of a sign-in.
    pub(super) fn sign_in_step(&mut self, id: ClientId, account: &NetworkId, step: &SignInStep) {
        let name = account.name();
        match step {
            SignInStep::Starting => self.service_says(id, &format!("signing {name} in …")),
            SignInStep::ShowQr { text, number } => {
                self.service_says(id, &format!("scan this code with WeChat on your phone (code {number}):"));
                match qr_lines(text) {
                    Ok(lines) => lines.iter().for_each(|line| self.service_says(id, line)),
                    Err(why) => self.service_says(id, &format!("the code cannot be drawn: {why}")),
                }
                self.service_says(id, &format!("or open it as a picture from: {text}"));
            }
            SignInStep::ConfirmOnPhone { is_push, .. } => {
                let text = if *is_push {
                    "open WeChat on your phone and confirm"
                } else {
                    "scanned; now confirm on the phone"
                };
                self.service_says(id, text);
            }
            SignInStep::Loading => self.service_says(id, "signed in; your contacts are being loaded"),
            SignInStep::Done => self.service_says(id, &format!("{name} is online")),
            SignInStep::Failed { why } => self.service_says(id, &format!("{name} was not signed in: {why}")),
        }
    }

    async fn sign_out(&mut self, id: ClientId, name: Option<&str>) {
        let Some(account) = self.which(id, name).await else { return };
        self.order(id, Command::SignOut { account: account.clone() }, Asking::SignOut(account));
    }

    /// `create-group Title: one, another`.
    fn create_group(&mut self, id: ClientId, words: &str) {
        let Some((title, nicks)) = words.split_once([':', '：']) else {
            return self.service_says(id, "say: create-group <title>: <nick>, <nick>");
        };
        let mut people = Vec::new();
        for nick in nicks.split([',', '，', '、']).map(str::trim).filter(|nick| !nick.is_empty()) {
            let found = match self.target(nick) {
                Some(super::inbound::Target::Person(ix)) => self.roster.person(ix),
                _ => None,
            };
            match found {
                None => return self.service_says(id, &format!("nobody of your contacts is called {nick}")),
                Some(person) if people.contains(&person.key) => {}
                Some(person) => people.push(person.key.clone()),
            }
        }
        if people.len() < 2 {
            return self.service_says(id, "a group needs two others at least");
        }
        self.bring_together(id, people, title.trim());
    }

    /// `certificate`, `certificate add`, `certificate remove <fingerprint>`.
    async fn certificate(&mut self, id: ClientId, words: &[&str]) {
        let user = self.key.user.clone();
        let own = self.clients.get(&id).and_then(|client| client.fingerprint.clone());
        let command = match (words, own) {
            ([], _) | (["list"], _) => Command::Trusted { user: user.clone() },
            (["add"], Some(fingerprint)) => Command::Trust { user: user.clone(), fingerprint },
            (["add"], None) => {
                let text = "your client shows no certificate: connect with TLS and one of its own";
                return self.service_says(id, text);
            }
            (["add", print], _) => Command::Trust { user: user.clone(), fingerprint: plain(print) },
            (["remove", print], _) => Command::Distrust { user: user.clone(), fingerprint: plain(print) },
            _ => return self.service_says(id, "say: certificate add, or certificate remove <fingerprint>"),
        };
        match self.shared.control.run(Some(user), command).await {
            Ok(Reply::Fingerprints(all)) if all.is_empty() => {
                self.service_says(id, "no certificate opens your door; say: certificate add");
            }
            Ok(Reply::Fingerprints(all)) => all.iter().for_each(|print| self.service_says(id, print)),
            Ok(_) => self.service_says(id, "done"),
            Err(error) => self.refused(id, "do that", &error),
        }
    }

    async fn add(&mut self, id: ClientId, name: &str) {
        let owner = self.key.user.clone();
        let command = Command::AddAccount { owner: owner.clone(), name: name.to_owned() };
        match self.shared.control.run(Some(owner.clone()), command).await {
            Ok(_) => {
                let text = format!(
                    "{name} was added; say \"login {name}\" to sign it in, and log in as {owner}/{name} to see it"
                );
                self.service_says(id, &text);
            }
            Err(error) => self.refused(id, "add it", &error),
        }
    }

    fn refused(&mut self, id: ClientId, what: &str, error: &CommandError) {
        self.service_says(id, &format!("I could not {what}: {error}"));
    }

    fn chats(&mut self, id: ClientId, words: &str) {
        let wanted = fold(words);
        let groups = self.roster.channels().into_iter().map(|(_, channel)| {
            let state = if channel.is_joined { "" } else { " (not joined)" };
            (channel.name.clone(), format!("{}: {}{state}", channel.name, channel.title))
        });
        let people = self.roster.people().filter(|(_, person)| person.is_contact);
        let people = people
            .map(|(_, person)| (person.realname.clone(), format!("{}: {}", person.nick, person.realname)));
        let found: Vec<String> = groups
            .chain(people)
            .filter(|(name, line)| {
                wanted.is_empty() || fold(name).contains(&wanted) || fold(line).contains(&wanted)
            })
            .map(|(_, line)| line)
            .collect();
        for line in found.iter().take(MAX_LISTED) {
            self.service_says(id, line);
        }
        match found.len() {
            0 => self.service_says(id, "nothing has that name"),
            count if count > MAX_LISTED => {
                self.service_says(id, &format!("and {} more; say: chats <words>", count - MAX_LISTED));
            }
            _ => {}
        }
    }

    async fn say_more(&mut self, id: ClientId, name: &str, count: Option<&str>) {
        let count = count.and_then(|count| count.parse().ok()).unwrap_or(MORE_LINES).clamp(1, MAX_MORE_LINES);
        let chat = match self.target(name) {
            Some(super::inbound::Target::Channel(ix)) => {
                self.roster.channel(ix).map(|channel| channel.chat.clone())
            }
            Some(super::inbound::Target::Person(ix)) => {
                self.roster.person(ix).map(super::roster::Person::private_chat)
            }
            None => None,
        };
        let Some(chat) = chat else { return self.service_says(id, &format!("there is no chat {name}")) };
        match self.more(id, &chat, count).await {
            Ok(0) => self.service_says(id, "nothing was said there yet"),
            Ok(_) => {}
            Err(why) => self.service_says(id, &why),
        }
    }
}

/// A fingerprint as it is kept, from any of the forms that programs print.
fn plain(fingerprint: &str) -> String {
    fingerprint.replace(':', "").to_ascii_lowercase()
}

/// A QR code as lines of half blocks, dark modules drawn as gaps in light: scanners want a light
/// border, and a terminal is dark more often than not. Colour codes make it right on both.
fn qr_lines(text: &str) -> Result<Vec<String>, String> {
    const QUIET: usize = 2;
    let code = QrCode::new(text).map_err(|error| error.to_string())?;
    let width = code.width();
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(QUIET), y.checked_sub(QUIET)) else { return false };
        x < width && y < width && colors.get(y * width + x) == Some(&qrcode::Color::Dark)
    };
    let side = width + 2 * QUIET;
    Ok((0..side)
        .step_by(2)
        .map(|y| {
            // White (00) on black (01), whatever the terminal's own colours are.
            let mut line = String::from("\x0300,01");
            line.extend((0..side).map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            }));
            line.push('\x0f');
            line
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_fits_the_lines() {
        let lines = qr_lines("https://login.weixin.qq.com/l/abcdefghij==").unwrap();
        assert!(lines.iter().all(|line| line.len() < 400 && line.starts_with("\x0300,01█")));
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(qr_lines(&"x".repeat(10_000)).is_err());
    }
}
