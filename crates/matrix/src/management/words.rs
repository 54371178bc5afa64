//! What the bot understands: one table, from which it is parsed, explained and checked. Pure.

use crate::config::Level;

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Help,
    Version,
    Ping,
    Web,
    Login,
    Logout,
    Forget,
    Cancel,
    Logins,
    Search,
    StartChat,
    CreateGroup,
    Accept,
    Decline,
    Identity,
    Same,
    New,
    Why,
    Undo,
    Marker,
    Bridge,
    Unbridge,
    SetRelay,
    UnsetRelay,
    Share,
    Unshare,
    DeletePortal,
    Sync,
    LoginMatrix,
    LogoutMatrix,
    PingMatrix,
    Groups,
    Id,
    Retry,
    Set,
    Encryption,
    Verify,
    Encrypt,
}

/// One command.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) verb: Verb,
    /// As people of other bridges know it; the first is the one that is shown.
    pub(crate) names: &'static [&'static str],
    /// As shown: `<must>`, `[may]`.
    pub(crate) arguments: &'static str,
    /// How many words there must at least be.
    pub(crate) least: usize,
    pub(crate) about: &'static str,
    /// Who may.
    pub(crate) level: Level,
    /// Which part of the help it stands in.
    pub(crate) part: Part,
}

/// Parts of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    General,
    Accounts,
    Chats,
    /// Who is who after a new sign-in.
    Identity,
    /// Commands that are about the room they are said in.
    Rooms,
}

/// In the order of the help.
pub(crate) const PARTS: [(Part, &str); 5] = [
    (Part::General, "General"),
    (Part::Accounts, "Your WeChat accounts"),
    (Part::Chats, "People and groups"),
    (Part::Identity, "Who is who after a new sign-in"),
    (Part::Rooms, "In the room of a chat"),
];

macro_rules! specs {
    ($($part:ident $level:ident $verb:ident $names:expr, $arguments:literal $least:literal $about:literal;)*) => {
        &[$(Spec {
            verb: Verb::$verb, names: &$names, arguments: $arguments, least: $least,
            about: $about, level: Level::$level, part: Part::$part,
        }),*]
    };
}

/// Everything there is.
pub(crate) const SPECS: &[Spec] = specs! {
    General Relay Help ["help", "?"], "" 0 "this list";
    General Relay Version ["version"], "" 0 "which gateway this is";
    General User Set ["set", "options"], "[option] [value]" 0
        "choose how recalls, edits, reactions and receipts cross";
    General User Encryption ["encryption", "fingerprint"], "" 0
        "the keys by which you recognise me in encrypted rooms";
    General User Verify ["verify"], "[yes or no]" 0
        "after you began to verify me in your client: my pictures; whether yours are the same";
    General User Cancel ["cancel"], "" 0 "give up the sign-in that is under way";
    Accounts User Login ["login", "relogin", "sign-in", "signin"], "[account]" 0
        "sign in to WeChat: I show a QR code that the phone scans";
    Accounts User Logout ["logout", "sign-out", "signout"], "[account]" 0
        "sign out of WeChat; rooms and history stay";
    Accounts User Logins ["list-logins", "logins", "accounts"], "" 0 "your accounts and how they are";
    Accounts User Ping ["ping", "status"], "[account]" 0 "is the account online?";
    Accounts User Web ["web", "dashboard"], "" 0 "a link that opens the web pages in your browser, once";
    Accounts User Forget ["forget", "remove-login"], "<account> [yes]" 1
        "sign out and delete the account with everything that is kept of it here";
    Accounts User LoginMatrix ["login-matrix"], "<access token>" 1
        "let me show what you say on the phone as said by you";
    Accounts User LogoutMatrix ["logout-matrix"], "" 0 "the opposite of login-matrix";
    Accounts User PingMatrix ["ping-matrix"], "" 0 "may I show what you say on the phone as said by you?";
    Chats User Groups ["list-groups", "groups"], "[words]" 0 "your groups, or those with these words";
    Chats User Search ["search", "find"], "<words>" 1 "look for people and groups by name";
    Chats User StartChat ["start-chat", "pm", "open"], "<name or id>" 1
        "open the room of a person or group";
    Chats User CreateGroup ["create-group", "create"], "<title>: <name or id>, <name or id>…" 2
        "make a group of you and these people";
    Chats User Accept ["accept"], "[number]" 0
        "accept a friend request: by its number, or as an answer to its card";
    Chats User Decline ["decline", "reject"], "[number]" 0 "decline it";
    Identity User Identity ["identity", "resolve"], "" 0 "chats of which I am not certain who they are";
    Identity User Same ["same"], "<question> <candidate>" 2 "that is this one";
    Identity User New ["new"], "<question>" 1 "that is somebody new";
    Identity User Why ["why"], "[name or id]" 0 "why a chat is taken for who it is";
    Identity User Undo ["undo"], "[name or id]" 0 "take the last decision about a chat back";
    Identity User Marker ["marker", "markers"], "[put|take] [name or id, or all]" 0
        "codes in your remarks on the phone by which I know contacts after a sign-in";
    Rooms User Id ["id", "info"], "" 0 "which chat this room shows, and who may speak in it";
    Rooms User Encrypt ["encrypt"], "" 0 "encrypt this room, for good";
    Rooms User Sync ["sync", "sync-chat"], "" 0
        "look again at names, members and pictures; in a private chat with me: of all your rooms";
    Rooms Relay Retry ["retry", "resend"], "" 0 "as an answer to what was not delivered: send it again";
    Rooms User SetRelay ["set-relay"], "" 0 "let people without an account speak here through yours";
    Rooms User UnsetRelay ["unset-relay"], "" 0 "the opposite of set-relay";
    Rooms User Share ["share"], "[@user:domain]" 0
        "speak here through your own account of the same group; with a user: ask them to do that";
    Rooms User Unshare ["unshare"], "" 0 "the opposite of share: the group gets a room of its own for you";
    Rooms User Bridge ["bridge", "link"], "<name or id>" 1 "make this room the room of a chat";
    Rooms User Unbridge ["unbridge", "unlink"], "" 0 "end that; the room stays yours";
    Rooms User DeletePortal ["delete-portal"], "" 0
        "leave this room; the chat gets another one when something is said in it";
};

/// Words of a text, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) verb: Verb,
    /// What stands behind the command, outer white space taken off.
    pub(crate) rest: String,
}

impl Wish {
    /// The single words behind the command.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.rest.split_whitespace()
    }
}

/// Why a text is no wish.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// There is no such command; perhaps this one was meant.
    Unknown { nearest: Option<&'static str> },
    /// Something is missing behind it.
    Incomplete { name: &'static str, arguments: &'static str },
}

/// Understands a text.
pub(crate) fn understand(text: &str) -> Result<Wish, Unclear> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let word = if word.is_empty() { "help".to_owned() } else { word.to_ascii_lowercase() };
    // People of other bridges write underscores, and phones a capital first letter.
    let word = word.trim_start_matches('!').replace('_', "-");
    let Some(spec) = SPECS.iter().find(|spec| spec.names.contains(&word.as_str())) else {
        return Err(Unclear::Unknown { nearest: nearest(&word) });
    };
    if rest.split_whitespace().count() < spec.least {
        return Err(Unclear::Incomplete { name: spec.names[0], arguments: spec.arguments });
    }
    Ok(Wish { verb: spec.verb, rest: rest.trim().to_owned() })
}

/// What a verb is and needs.
pub(crate) fn spec(verb: Verb) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.verb == verb)
}

/// The known name that differs least, when it differs in one letter of three at most.
fn nearest(word: &str) -> Option<&'static str> {
    let names = SPECS.iter().flat_map(|spec| spec.names);
    let near = names.map(|name| (distance(word, name), *name)).min()?;
    (near.0.saturating_mul(3) <= word.len()).then_some(near.1)
}

/// How many letters must be put in, taken out, changed, or swapped with the next one.
fn distance(a: &str, b: &str) -> usize {
    // Nobody types such a command; what is longer costs more than it tells.
    const LONGEST: usize = 32;
    if a.len() > LONGEST {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if is_swap { least.min(rows[i - 2][j - 2] + 1) } else { least }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<&str> = SPECS.iter().flat_map(|spec| spec.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(SPECS.iter().all(|spec| spec.least <= spec.arguments.matches('<').count()));
    }

    #[test]
    fn commands_are_known_by_all_their_names() {
        let verb = |text: &str| understand(text).map(|wish| (wish.verb, wish.rest));
        assert_eq!(verb("login"), Ok((Verb::Login, String::new())));
        assert_eq!(verb("  PM  Old Wang "), Ok((Verb::StartChat, "Old Wang".to_owned())));
        assert_eq!(verb("!List_Logins"), Ok((Verb::Logins, String::new())));
        assert_eq!(verb(""), Ok((Verb::Help, String::new())));
    }

    #[test]
    fn what_is_not_understood_is_told_apart() {
        assert_eq!(understand("serch x"), Err(Unclear::Unknown { nearest: Some("search") }));
        assert_eq!(understand("lgoin"), Err(Unclear::Unknown { nearest: Some("login") }));
        assert_eq!(understand("hello there"), Err(Unclear::Unknown { nearest: None }));
        assert_eq!(understand(&"x".repeat(9_000)), Err(Unclear::Unknown { nearest: None }));
        let missing = Unclear::Incomplete { name: "search", arguments: "<words>" };
        assert_eq!(understand("search"), Err(missing));
    }
}
