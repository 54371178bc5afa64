//! The service nick: what a person of this instance can ask of the gateway, in plain words.

use wxgate_contract::{Command, CommandError, Reply, Verdict};

use super::registry::ClientId;
use super::session::{Session, state_word};
use crate::wire::casemap::fold;

mod sign_in;

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
    "find [#group|nick] <words> [before <date>]  what was said with these words",
    "names [pinyin|utf8]    how people and groups are written: 张伟 or zhangwei",
    "join [auto|all|manual]  which groups are joined for you",
    "language [english|chinese]  of what I add to a line, such as [image], and of what happens to the account",
    "recalls [remove|keep]  what becomes of messages that are recalled in WeChat",
    "officials [show|mute]  whether what official accounts write is shown",
    "more <#group|nick> [n] the last n lines of a chat",
    "identity               chats of which I do not know for certain who they are",
    "same|new|later <n> …   your answer to question n: same <n> <candidate>",
    "why <#group|nick>      why I take a chat for who it is",
    "undo <#group|nick>     take the last decision about a chat back",
    "marker [put|take <nick>…|all]  codes in your remarks by which I know contacts after a sign-in",
    "create-group <title>: <nick>, <nick> …  make a group of these contacts and you",
    "leave <#group>         leave a group in WeChat for good; /part only hides it here",
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
            ("leave", [group]) => self.leave_group(id, group, false),
            ("leave", [group, sure]) if sure.eq_ignore_ascii_case("yes") => self.leave_group(id, group, true),
            ("leave", _) => self.service_says(id, "say: leave <#group>"),
            ("names", words) => self.names(id, words).await,
            ("join", words) => self.choose_join(id, words).await,
            ("language" | "lang", words) => self.choose_language(id, words).await,
            ("recalls", words) => self.choose_recalls(id, words).await,
            ("officials", words) => self.choose_officials(id, words).await,
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
