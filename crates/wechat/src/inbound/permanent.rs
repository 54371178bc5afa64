//! Permanent names that messages give away: proof of who somebody is, where there is any.

use wechat_proto::message::Message;
use wxgate_contract::FarError;
use wxgate_identity::{GroupProfile, Profile, text_code};

use super::Inbound;
use crate::identity::shelf::{self, Shown};
use crate::roster::record::Login;
use crate::roster::{Draft, Kind, name_note, note};

impl Inbound {
    /// Writes down a name that nothing contradicts, and that one was shown which decides something: it is taken in after
    /// the commit, by this run or another one.
    pub(super) async fn learn_names(
        &mut self,
        message: &Message,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        for hint in &message.hints {
            if login.is_own(&hint.user_name) {
                continue;
            }
            let key = name_note(login.generation, &hint.user_name);
            let Some(named) = self.roster.look_up(draft, vec![key.clone()]).await?.remove(&key) else {
                continue;
            };
            let code = text_code(hint.permanent.as_str());
            let owner: Option<String> = self.roster.kept(draft, &shelf::permanent_key(code)).await?;
            if owner.as_ref().is_some_and(|owner| *owner == named.key) {
                continue;
            }
            let written = match named.kind {
                Kind::Group => {
                    let kept: Option<GroupProfile> =
                        self.roster.kept(draft, &shelf::group_key(&named.key)).await?;
                    kept.filter(|kept| kept.permanent == 0 && kept.open.is_empty()).map(|mut kept| {
                        kept.permanent = code;
                        shelf::group_note(&kept)
                    })
                }
                Kind::Person | Kind::Official => {
                    let kept: Option<Profile> =
                        self.roster.kept(draft, &shelf::person_key(&named.key)).await?;
                    kept.filter(|kept| kept.permanent == 0 && kept.open.is_empty()).map(|mut kept| {
                        kept.permanent = code;
                        shelf::person_note(&kept)
                    })
                }
                Kind::System => continue,
            };
            match written.filter(|_| owner.is_none()) {
                Some(written) => {
                    draft.batch.notes.push(written);
                    draft.batch.notes.push(note(shelf::permanent_key(code), &named.key));
                }
                None => {
                    let (generation, user_name) = (login.generation, hint.user_name.clone());
                    let shown = Shown { chat: named.key, permanent: code, generation, user_name };
                    draft.batch.notes.push(shown.note());
                    draft.has_shown = true;
                }
            }
        }
        Ok(())
    }
}
