//! The service's command `names`: how people and groups are written in this account.

use bytes::Bytes;
use wxgate_contract::{Batch, FarError, Note};

use super::names::Style;
use super::registry::ClientId;
use super::session::Session;

/// People asked for at once.
const PEOPLE_AT_ONCE: usize = 500;
/// The kind of note that holds it.
pub(super) const NOTE: &str = "style";
/// Each way with its word and what is said of it.
pub(super) const WAYS: &[(&str, &str)] =
    &[("utf8", "names are written as they are"), ("pinyin", "names are written in Latin letters")];

impl Session {
    /// As it was chosen last.
    pub(super) async fn load_style(&mut self) -> Result<(), FarError> {
        let key = self.roster.note_key(NOTE, "");
        let value = self.shared.far.note(&self.shared.network, &key).await?;
        let word = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        self.roster.set_style(word.and_then(Style::parse).unwrap_or_default());
        Ok(())
    }

    /// Reads how people are called who are no contacts: of those known from an earlier run only the nick is.
    async fn learn_strangers(&mut self) {
        let Some(account) = self.account().cloned() else { return };
        let now = self.shared.clock.now();
        for keys in self.roster.strangers().chunks(PEOPLE_AT_ONCE) {
            match self.shared.directory.people(&account, keys).await {
                Ok(found) => {
                    for profile in found.iter().filter(|profile| !profile.display_name().is_empty()) {
                        if let Some(renamed) = self.roster.update_person(profile, now).1 {
                            self.nick_changed(&renamed);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "names of members could not be read"),
            }
        }
    }

    /// `names`, `names pinyin`, `names utf8`.
    pub(super) async fn names(&mut self, id: ClientId, words: &[&str]) {
        let style = match words {
            [] => {
                let text = match self.roster.style() {
                    Style::Utf8 => "names are written as they are; say: names pinyin",
                    Style::Pinyin => "names are written in Latin letters; say: names utf8",
                };
                return self.service_says(id, text);
            }
            [word] => Style::parse(word),
            _ => None,
        };
        let Some(style) = style else { return self.service_says(id, "say: names pinyin, or names utf8") };
        if self.account().is_none() {
            return self.service_says(id, "log in as user/account to choose how its names are written");
        }
        let value = (style != Style::default()).then(|| Bytes::from_static(style.word().as_bytes()));
        let notes = vec![Note { key: self.roster.note_key(NOTE, ""), value, is_secret: false }];
        if let Err(error) = self.commit(Batch { notes, ..Batch::default() }).await {
            return self.service_says(id, &format!("names stay as they are: {error}"));
        }
        self.roster.set_style(style);
        self.rewrite_names().await;
        self.service_says(id, &format!("names are written in {} from now on", style.word()));
    }

    /// Everybody and every group goes by how names are written now.
    pub(super) async fn rewrite_names(&mut self) {
        let now = self.shared.clock.now();
        self.learn_strangers().await;
        for renamed in self.roster.rewrite_members(now) {
            self.nick_changed(&renamed);
        }
        self.refresh().await;
    }
}
