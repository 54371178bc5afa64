//! Finding people and groups by name, id, or a part of a name.

use wxgate_contract::{AccountView, ChatKey, ChatKind, ChatRef, FarError, NetworkId, PersonKey};

use super::answer::Answer;
use super::{No, no};
use crate::shared::Shared;

/// Read from the directory at once.
const PAGE: usize = 200;
/// Found at once. Chosen: what somebody reads through; more words find less.
pub(crate) const FOUND: usize = 30;

/// Somebody or a group that can be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) chat: ChatRef,
    pub(crate) name: String,
    /// Other names and ids, for those who look at the list.
    pub(crate) detail: String,
    pub(crate) kind: ChatKind,
}

impl Found {
    /// How it is named for certain; the account in front of it where there are several.
    pub(crate) fn id(&self, accounts: usize) -> String {
        match accounts {
            0 | 1 => self.chat.chat.to_string(),
            _ => format!("{}/{}", self.chat.network.name(), self.chat.chat),
        }
    }
}

/// What is looked for.
pub(crate) struct Words {
    whole: String,
    /// Folded.
    parts: Vec<String>,
}

impl Words {
    pub(crate) fn new(text: &str) -> Self {
        let whole = text.trim().to_lowercase();
        Self { parts: whole.split_whitespace().map(str::to_owned).collect(), whole }
    }

    /// Every word is in one of the names.
    fn fit(&self, names: &[&str]) -> bool {
        let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        self.parts.iter().all(|part| names.iter().any(|name| name.contains(part)))
    }

    fn are(&self, name: &str) -> bool {
        name.to_lowercase() == self.whole
    }
}

impl Shared {
    /// People and groups of some accounts whose names have the words, at most [`FOUND`].
    pub(crate) async fn find_chats(
        &self,
        accounts: &[AccountView],
        words: &Words,
    ) -> Result<Vec<Found>, FarError> {
        let mut found = Vec::new();
        for view in accounts {
            self.find_people(&view.network, words, &mut found).await?;
            self.find_groups(&view.network, words, &mut found).await?;
        }
        Ok(found)
    }

    async fn find_people(
        &self,
        account: &NetworkId,
        words: &Words,
        found: &mut Vec<Found>,
    ) -> Result<(), FarError> {
        let mut after: Option<PersonKey> = None;
        while found.len() < FOUND {
            let page = self.directory.contacts(account, after.as_ref(), PAGE).await?;
            for person in &page {
                let names =
                    [person.remark.as_str(), &person.nickname, &person.public_id, person.person.as_str()];
                if found.len() < FOUND && words.fit(&names) {
                    found.push(Found {
                        // A private chat and its person share their key.
                        chat: ChatRef {
                            network: account.clone(),
                            chat: ChatKey::new(person.person.as_str()),
                        },
                        name: person.display_name().to_owned(),
                        detail: other_names(person.display_name(), &names),
                        kind: ChatKind::Private,
                    });
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.person.clone()),
                _ => break,
            }
        }
        Ok(())
    }

    pub(super) async fn find_groups(
        &self,
        account: &NetworkId,
        words: &Words,
        found: &mut Vec<Found>,
    ) -> Result<(), FarError> {
        let mut after: Option<ChatKey> = None;
        while found.len() < FOUND {
            let page = self.directory.chats(account, after.as_ref(), PAGE).await?;
            for chat in page.iter().filter(|chat| chat.kind == ChatKind::Group && !chat.is_gone) {
                if found.len() < FOUND && words.fit(&[&chat.title, chat.chat.as_str()]) {
                    found.push(Found {
                        chat: ChatRef { network: account.clone(), chat: chat.chat.clone() },
                        name: if chat.title.is_empty() {
                            "a group without a name".to_owned()
                        } else {
                            chat.title.clone()
                        },
                        detail: String::new(),
                        kind: ChatKind::Group,
                    });
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.chat.clone()),
                _ => break,
            }
        }
        Ok(())
    }

    /// The one that is meant: by id, by its whole name, or as the only one whose name has the words.
    pub(crate) async fn pick(
        &self,
        accounts: &[AccountView],
        text: &str,
        command: &str,
    ) -> Result<Found, No> {
        let (accounts, text) = of_account(accounts, text);
        let words = Words::new(text);
        if words.whole.is_empty() {
            return no("Whom do you mean?");
        }
        let mut found = self.find_chats(&accounts, &words).await?;
        if let Some(at) = found.iter().position(|one| words.are(one.chat.chat.as_str())) {
            return Ok(found.swap_remove(at));
        }
        let whole: Vec<usize> =
            found.iter().enumerate().filter(|(_, one)| words.are(&one.name)).map(|(at, _)| at).collect();
        match (whole.as_slice(), found.len()) {
            ([only], _) => Ok(found.swap_remove(*only)),
            (_, 0) => no("Nobody and no group has that name."),
            (_, 1) => Ok(found.swap_remove(0)),
            _ => {
                let mut answer = Answer::of("Several have that name; say one of:");
                for one in &found {
                    let typed = format!("{command} {}", one.id(accounts.len()));
                    answer = answer.item().code(&typed).text(&format!(" – {}{}", one.name, one.detail));
                }
                Err(No::Because(answer))
            }
        }
    }
}

/// `account/words` limits the search to that account.
fn of_account<'a>(accounts: &[AccountView], text: &'a str) -> (Vec<AccountView>, &'a str) {
    if let Some((name, rest)) = text.split_once('/')
        && let Some(view) = accounts.iter().find(|view| view.network.name() == name.trim())
    {
        return (vec![view.clone()], rest.trim());
    }
    (accounts.to_vec(), text)
}

fn other_names(shown: &str, names: &[&str]) -> String {
    let mut others: Vec<&str> = Vec::new();
    for name in names.iter().take(3) {
        if !name.is_empty() && *name != shown && !others.contains(name) {
            others.push(name);
        }
    }
    if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_be_in_some_name() {
        let words = Words::new("  Old 王 ");
        assert!(words.fit(&["王伟", "old friend"]));
        assert!(!words.fit(&["王伟", "friend"]));
        assert!(Words::new("OLD").are("old") && !Words::new("old").are("older"));
    }

    #[test]
    fn other_names_are_shown_once() {
        assert_eq!(other_names("Wang", &["Wang", "王伟", "wxid_1", "p1"]), " (王伟, wxid_1)");
        assert_eq!(other_names("Wang", &["Wang", "Wang", "", "p1"]), "");
    }
}
