//! What the owner of accounts chose about their rooms: one table, from which choices are read, listed and
//! explained.

use serde::{Deserialize, Serialize};
use wxgate_contract::{Answer, Ask, Choice as Offered, CommandError, FarError, NetworkId, Request};

use crate::language::Lang;
use crate::shared::Shared;

/// How a message that was recalled in WeChat is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Recalls {
    #[default]
    Remove,
    Keep,
}

/// What becomes of an edit, which WeChat does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Edits {
    /// Said again as an answer, marked.
    #[default]
    Quote,
    /// Recalled and said again, as long as WeChat lets one.
    Replace,
}

/// What becomes of a reaction, which WeChat's web side does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reactions {
    /// A short answer.
    #[default]
    Say,
    Drop,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    fn of(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }
}

/// The choices of one person; what they left open is as the operator has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Choices {
    pub(crate) recalls: Recalls,
    pub(crate) edits: Edits,
    pub(crate) reactions: Reactions,
    receipts: Option<Switch>,
    notices: Option<Switch>,
    pub(crate) language: Lang,
}

/// One thing that can be chosen.
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    /// Each value with what it means.
    pub(crate) values: &'static [(&'static str, &'static str)],
}

/// Everything that can be chosen, in the order of the list.
pub(crate) const CHOICES: &[Choice] = &[
    Choice {
        name: "recalls",
        values: &[
            ("remove", "what is recalled in WeChat is removed here"),
            ("keep", "it stays, and I say that it was recalled"),
        ],
    },
    Choice {
        name: "edits",
        values: &[
            ("quote", "an edit is said in WeChat as an answer to the old message"),
            ("replace", "within two minutes the old message is recalled and the new one said instead"),
        ],
    },
    Choice {
        name: "reactions",
        values: &[
            ("say", "a reaction is said in WeChat as a short answer"),
            ("drop", "reactions stay in the room"),
        ],
    },
    Choice {
        name: "receipts",
        values: &[("on", "I mark as read what was delivered to WeChat"), ("off", "I do not")],
    },
    Choice {
        name: "notices",
        values: &[
            ("on", "I say here what was not, or may not have been, delivered"),
            ("off", "your client alone shows it, where it can"),
        ],
    },
    Choice {
        name: "language",
        values: &[
            ("english", "what happens to your accounts and messages is told in English"),
            ("chinese", "what happens to your accounts and messages is told in Chinese"),
        ],
    },
];

impl Choices {
    /// The word for what is chosen now.
    pub(crate) fn value(&self, shared: &Shared, name: &str) -> String {
        let word = match name {
            "recalls" => serde_json::to_value(self.recalls),
            "edits" => serde_json::to_value(self.edits),
            "reactions" => serde_json::to_value(self.reactions),
            "language" => serde_json::to_value(self.language),
            "receipts" => serde_json::to_value(Switch::of(self.marks_read(shared))),
            _ => serde_json::to_value(Switch::of(self.gives_notice(shared))),
        };
        // Each of them is a word.
        word.ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The same with another value; `None` when there is no such thing or no such value.
    pub(crate) fn with(self, name: &str, value: &str) -> Option<Self> {
        let mut all = serde_json::to_value(self).ok()?;
        let choice = CHOICES.iter().find(|choice| choice.name == name)?;
        choice.values.iter().find(|(known, _)| *known == value)?;
        all[name] = value.into();
        serde_json::from_value(all).ok()
    }

    /// Whether the bot marks as read what was delivered.
    pub(crate) fn marks_read(&self, shared: &Shared) -> bool {
        self.receipts.map_or(shared.config.receipts.by_bot, |switch| switch == Switch::On)
    }

    /// Whether the bot says what was not delivered.
    pub(crate) fn gives_notice(&self, shared: &Shared) -> bool {
        self.notices.map_or(shared.config.receipts.notices, |switch| switch == Switch::On)
    }
}

impl Shared {
    /// Answers what is asked of this network: what the owner of an account chose, and what they choose from elsewhere.
    pub(crate) async fn asked(&self, ask: Ask) {
        let answer = match &ask.request {
            Request::Choices(account) => self.offered(account).await.map(Answer::Choices).map_err(failed),
            Request::Choose { account, name, value } => {
                self.choose(account, name, value).await.map(|()| Answer::Done)
            }
            _ => Err(CommandError::Refused("this network answers no such question".to_owned())),
        };
        // Nobody waiting any more is no trouble.
        let _ = ask.answer.try_send(answer);
    }

    /// All that can be chosen, with what the owner of an account has chosen for all theirs.
    async fn offered(&self, account: &NetworkId) -> Result<Vec<Offered>, FarError> {
        let chosen = self.choices_of_owner(account).await?;
        let offered = CHOICES.iter().map(|choice| Offered {
            name: choice.name.to_owned(),
            value: chosen.value(self, choice.name),
            values: choice
                .values
                .iter()
                .map(|(word, said)| ((*word).to_owned(), (*said).to_owned()))
                .collect(),
        });
        Ok(offered.collect())
    }

    async fn choose(&self, account: &NetworkId, name: &str, value: &str) -> Result<(), CommandError> {
        let refused = |why: String| CommandError::Refused(why);
        let owner = self.owners.id_of_owner(account).await.map_err(failed)?;
        let user_id =
            owner.ok_or_else(|| refused("it is not known who the owner is on Matrix".to_owned()))?;
        let chosen = self.choices_of(&user_id).await.map_err(failed)?;
        let none = || refused(format!("there is nothing to choose called {name} with the value {value}"));
        let new = chosen.with(name, value).ok_or_else(none)?;
        self.memory.choices.put(&self.memory, &user_id, new).await.map(drop).map_err(failed)
    }

    /// What somebody chose.
    pub(crate) async fn choices_of(&self, user_id: &str) -> Result<Choices, FarError> {
        let chosen = self.memory.choices.get(&self.memory, user_id).await?;
        Ok(chosen.map(|chosen| *chosen).unwrap_or_default())
    }

    /// What the owner of an account chose.
    pub(crate) async fn choices_of_owner(&self, account: &NetworkId) -> Result<Choices, FarError> {
        match self.owners.id_of_owner(account).await? {
            Some(user_id) => self.choices_of(&user_id).await,
            None => Ok(Choices::default()),
        }
    }
}

fn failed(error: FarError) -> CommandError {
    CommandError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_the_table_can_be_chosen_and_no_other() {
        for choice in CHOICES {
            for (value, _) in choice.values {
                let chosen = Choices::default().with(choice.name, value);
                let all = serde_json::to_value(chosen.unwrap()).unwrap();
                assert_eq!(all[choice.name], *value);
            }
            assert_eq!(Choices::default().with(choice.name, "nothing"), None);
        }
        assert_eq!(Choices::default().with("colour", "on"), None);
    }

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let old: Choices = serde_json::from_str(r#"{"recalls":"keep","gone":1}"#).unwrap();
        assert_eq!(old, Choices { recalls: Recalls::Keep, ..Choices::default() });
    }
}
