//! Who spoke before the list of contacts could be read, or is not in it: somebody for the time being, until it is decided
//! who that is with all that the list shows.
//!
//! A profile that a sync made in this login looks like its own record more than any older one does. It is left out
//! when the login is matched; what was said to it goes to whoever its record is.

use std::collections::HashMap;

use wechat_proto::UserName;
use wxgate_contract::{Batch, ChatProfile, CommandError, FarEnd, FarError, Note, PersonKey, PersonProfile};
use wxgate_identity::{Answers, Book, GroupProfile, Login, Profile};

use super::settle::{Settler, failed};
use super::shelf;
use crate::roster::record::Login as Place;
use crate::roster::{Lasting, lasting_note, note};

/// Notes read at once. Chosen: some hundred kilobytes.
const PAGE: usize = 500;

/// A profile that was made for a name of this login before the login was matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandIn {
    id: String,
    /// Its name in this login.
    name: String,
    is_group: bool,
    /// Code of the permanent name that a message showed meanwhile, or 0.
    permanent: u64,
}

/// The names of this login for which a sync made profiles.
pub(crate) async fn unlisted(far: &dyn FarEnd, place: &Place<'_>) -> Result<Vec<UserName>, FarError> {
    let book = shelf::load(far, place.network).await?;
    let people = book.people.iter().map(|known| (&known.id, known.seen.login));
    let groups = book.groups.iter().map(|known| (&known.id, known.seen.login));
    let made = people.chain(groups).filter(|(_, login)| *login == 0);
    let keys: Vec<String> = made.map(|(id, _)| lasting_note(id)).collect();
    let mut names = Vec::new();
    for part in keys.chunks(PAGE) {
        for (key, value) in far.notes_of(place.network, part).await? {
            let Ok(lasting) = serde_json::from_slice::<Lasting>(&value) else { continue };
            let is_made = lasting_note(&place.key_for(&lasting.user_name)) == key;
            if lasting.generation == place.generation && is_made {
                names.push(lasting.user_name);
            }
        }
    }
    Ok(names)
}

/// Takes the stand-ins out of what is known. `mint` gives the lasting id that a name of this login has while nobody
/// knows who it is. What an earlier matching of the same login made stays: the owner may have said something of it.
pub(crate) fn take_out(book: &mut Book, login: &Login, mint: impl Fn(&str) -> String) -> Vec<StandIn> {
    let names = login.people.iter().map(|person| &person.name);
    let names = names.chain(login.groups.iter().map(|group| &group.name));
    let minted: HashMap<String, &String> = names.map(|name| (mint(name), name)).collect();
    let name = |id: &str, login: u32| minted.get(id).filter(|_| login == 0).map(|name| (*name).clone());
    let mut found = Vec::new();
    book.people.retain(|known| {
        let (id, permanent) = (known.id.clone(), known.permanent);
        let made = name(&id, known.seen.login).map(|name| StandIn { id, name, is_group: false, permanent });
        let stays = made.is_none();
        found.extend(made);
        stays
    });
    book.groups.retain(|known| {
        let (id, permanent) = (known.id.clone(), known.permanent);
        let made = name(&id, known.seen.login).map(|name| StandIn { id, name, is_group: true, permanent });
        let stays = made.is_none();
        found.extend(made);
        stays
    });
    found
}

/// What messages showed of the stand-ins meanwhile: codes of permanent names, by names of the login.
pub(crate) fn proofs(found: &[StandIn]) -> HashMap<String, u64> {
    let proven = found.iter().filter(|stand_in| stand_in.permanent != 0);
    proven.map(|stand_in| (stand_in.name.clone(), stand_in.permanent)).collect()
}

/// Who the stand-ins are, as the matching came out; those that are somebody new stay who they are, and so does
/// whoever has another permanent name than the one that their name stands for.
pub(crate) fn replaced(book: &mut Book, found: Vec<StandIn>, answers: &Answers) -> Vec<(StandIn, String)> {
    let ids: HashMap<&str, &String> =
        answers.records.iter().map(|answer| (answer.name.as_str(), &answer.id)).collect();
    let mut replaced = Vec::new();
    for stand_in in found {
        let Some(id) = ids.get(stand_in.name.as_str()).map(|id| (*id).clone()) else { continue };
        let people = book.people.iter_mut().filter(|known| known.id == id).map(|known| &mut known.permanent);
        let groups = book.groups.iter_mut().filter(|known| known.id == id).map(|known| &mut known.permanent);
        let mut is_other = false;
        for permanent in people.chain(groups) {
            match *permanent {
                0 => *permanent = stand_in.permanent,
                proof => is_other |= stand_in.permanent != 0 && proof != stand_in.permanent,
            }
        }
        if id != stand_in.id && !is_other {
            replaced.push((stand_in, id));
        }
    }
    replaced
}

impl Settler {
    /// A message showed the permanent name of a chat before the list was read: who is in this login is not known yet, so
    /// it is kept with the stand-in and decides when the login is matched.
    pub(super) async fn prove(&self, chat: &str, permanent: u64) -> Result<(), CommandError> {
        let _deciding = self.live.deciding().lock().await;
        let _alone = self.live.settling().lock().await;
        let book = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let is_it = |id: &str, login: u32, proof: u64| id == chat && login == 0 && proof == 0;
        let person =
            book.people.into_iter().find(|known| is_it(&known.id, known.seen.login, known.permanent));
        let group = book.groups.into_iter().find(|known| is_it(&known.id, known.seen.login, known.permanent));
        let person = person.map(|known| shelf::person_note(&Profile { permanent, ..known }));
        let group = group.map(|known| shelf::group_note(&GroupProfile { permanent, ..known }));
        let taken_in = shelf::gone(shelf::shown_key(chat, permanent));
        let notes: Vec<Note> = person.into_iter().chain(group).chain([taken_in]).collect();
        self.far.commit(&self.network, Batch { notes, ..Batch::default() }).await.map(drop).map_err(failed)
    }

    /// What was said to a stand-in is said to whoever it is, and the stand-in goes. Whoever calls it decides alone.
    pub(crate) async fn replace(&self, stand_in: &StandIn, to: &str) -> Result<(), FarError> {
        let from = stand_in.id.as_str();
        self.move_posts((from, to), &[], 0).await?;
        let mut batch = Batch { follows: vec![(from.into(), to.into())], ..Batch::default() };
        let gone = |chat: ChatProfile| ChatProfile { is_gone: true, members: None, ..chat };
        batch.chats.extend(self.chat(from).await?.map(gone));
        let people = self.directory.people(&self.network, &[PersonKey::from(from)]).await?;
        batch.people.extend(people.into_iter().map(|person| PersonProfile { is_contact: false, ..person }));
        let kept = if stand_in.is_group { shelf::group_key(from) } else { shelf::person_key(from) };
        batch.notes = vec![shelf::gone(lasting_note(from)), shelf::gone(kept)];
        if stand_in.permanent != 0 {
            batch.notes.push(note(shelf::permanent_key(stand_in.permanent), &to));
        }
        self.far.commit(&self.network, batch).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use wechat_proto::Contact;
    use wxgate_identity::{Answer, Person, Profile, Seen, Sight};

    use super::*;

    #[test]
    fn who_was_made_in_this_login_is_left_out_and_replaced_by_who_it_is() {
        let sight = || Sight::of(&Contact::default(), 0);
        let profile = |id: &str, login: u32, permanent: u64| Profile {
            permanent,
            ..Profile::new(id.to_owned(), sight(), Seen { login, ..Seen::default() })
        };
        let mut book = Book {
            login: 3,
            people: vec![
                profile("p-anna", 3, 0),
                profile("new-@anna", 0, 7),
                profile("new-@bo", 0, 0),
                profile("new-@cai", 4, 0),
                profile("new-@gone", 0, 0),
            ],
            ..Book::default()
        };
        let names = ["@anna", "@bo", "@cai"];
        let people = names.map(|name| Person { name: name.to_owned(), sight: sight() }).into();
        let login = Login { people, ..Login::default() };
        let found = take_out(&mut book, &login, |name| format!("new-{name}"));
        let known: Vec<&str> = book.people.iter().map(|known| known.id.as_str()).collect();
        assert_eq!(known, ["p-anna", "new-@cai", "new-@gone"]);
        let answer = |name: &str, id: &str| Answer {
            name: name.to_owned(),
            id: id.to_owned(),
            is_open: false,
            marked: None,
        };
        let records = vec![answer("@anna", "p-anna"), answer("@bo", "new-@bo"), answer("@cai", "new-@cai")];
        let replaced = replaced(&mut book, found, &Answers { records, ..Answers::default() });
        let replaced: Vec<(&str, &str)> =
            replaced.iter().map(|(stand_in, to)| (stand_in.id.as_str(), to.as_str())).collect();
        assert_eq!(replaced, [("new-@anna", "p-anna")]);
        assert_eq!(book.people[0].permanent, 7, "what a message showed is not lost");
    }

    #[test]
    fn who_has_another_permanent_name_is_not_replaced() {
        let sight = || Sight::of(&Contact::default(), 0);
        let seen = |login: u32| Seen { login, ..Seen::default() };
        let known = Profile { permanent: 8, ..Profile::new("p-anna".to_owned(), sight(), seen(3)) };
        let made = Profile { permanent: 7, ..Profile::new("new-@anna".to_owned(), sight(), seen(0)) };
        let mut book = Book { login: 3, people: vec![known, made], ..Book::default() };
        let people = vec![Person { name: "@anna".to_owned(), sight: sight() }];
        let login = Login { people, ..Login::default() };
        let found = take_out(&mut book, &login, |name| format!("new-{name}"));
        assert_eq!(proofs(&found), HashMap::from([("@anna".to_owned(), 7)]));
        let (name, id) = ("@anna".to_owned(), "p-anna".to_owned());
        let records = vec![Answer { name, id, is_open: false, marked: None }];
        let replaced = replaced(&mut book, found, &Answers { records, ..Answers::default() });
        assert_eq!((replaced, book.people[0].permanent), (vec![], 8));
    }
}
