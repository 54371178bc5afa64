//! People who are named by a typed `@name`: where they have no ids that a client could offer, and by those who
//! type faster than their client offers.

use wxgate_contract::{Body, ChatKind, ChatRef, Mention, PersonKey};

use crate::shared::Shared;
use crate::trouble::Trouble;

/// Most people of a group whose names are looked at. Source: WeChat's groups have at most five hundred.
const MOST: usize = 500;

/// Somebody, and what they are called in a chat.
type Named = (PersonKey, String);

impl Shared {
    /// Adds those of a group who are named in the text and are not in `mentions` yet.
    pub(super) async fn add_typed(
        &self,
        body: &Body,
        chat: &ChatRef,
        mentions: &mut Vec<Mention>,
    ) -> Result<(), Trouble> {
        let (Body::Text { text } | Body::Action { text }) = body else { return Ok(()) };
        if !text.contains(['@', '＠']) {
            return Ok(());
        }
        let profile = self.directory.chat(chat).await?.filter(|profile| profile.kind == ChatKind::Group);
        let Some(profile) = profile else { return Ok(()) };
        let members = profile.members.iter().flatten().filter(|member| !member.is_self).take(MOST);
        let mut named: Vec<Named> = Vec::new();
        let mut keys = Vec::new();
        for member in members {
            keys.push(member.person.clone());
            if !member.name.is_empty() {
                named.push((member.person.clone(), member.name.clone()));
            }
        }
        for profile in self.directory.people(&chat.network, &keys).await? {
            for name in [profile.display_name(), &profile.nickname] {
                if !name.is_empty() {
                    named.push((profile.person.clone(), name.to_owned()));
                }
            }
        }
        for (person, range) in find(text, named) {
            let is_there = mentions.iter().any(|other| range.0 < other.range.1 && other.range.0 < range.1);
            if !is_there {
                mentions.push(Mention { person: Some(person), is_owner: false, range });
            }
        }
        mentions.sort_by_key(|mention| mention.range);
        Ok(())
    }
}

/// Who is named, and in which bytes, the sign included. The longest name that fits counts; one that two people
/// have names nobody.
fn find(text: &str, mut named: Vec<Named>) -> Vec<(PersonKey, (usize, usize))> {
    named.sort_by(|(one, a), (two, b)| {
        b.len().cmp(&a.len()).then_with(|| a.cmp(b)).then_with(|| one.cmp(two))
    });
    named.dedup();
    let mut found = Vec::new();
    let mut from = 0;
    for (at, sign) in text.match_indices(['@', '＠']) {
        if at < from || !stands_alone(text.get(..at), text.get(at..)) {
            continue;
        }
        let start = at + sign.len();
        let rest = text.get(start..).unwrap_or_default();
        let fits = |(_, name): &&Named| {
            let tail = rest.get(name.len()..).filter(|_| rest.starts_with(name.as_str()));
            tail.is_some_and(|tail| stands_alone(Some(name), Some(tail)))
        };
        let Some((person, name)) = named.iter().find(fits) else { continue };
        if named.iter().any(|(other, same)| same == name && other != person) {
            continue;
        }
        from = start + name.len();
        found.push((person.clone(), (at, from)));
    }
    found
}

/// True where a word of the Latin alphabet does not go on over the border; other scripts have no spaces.
fn stands_alone(before: Option<&str>, after: Option<&str>) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let first = after.and_then(|after| after.chars().next());
    let last = before.and_then(|before| before.chars().next_back());
    // An address of mail is no mention.
    !(is_word(last) && (is_word(first) || matches!(first, Some('@' | '＠'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, named: &[(&str, &str)]) -> Vec<(String, String)> {
        let named = named.iter().map(|(person, name)| (PersonKey::from(*person), (*name).to_owned()));
        let found = find(text, named.collect());
        found
            .into_iter()
            .map(|(person, (from, to))| (person.to_string(), text[from..to].to_owned()))
            .collect()
    }

    fn pair(person: &str, range: &str) -> (String, String) {
        (person.to_owned(), range.to_owned())
    }

    #[test]
    fn the_longest_name_that_fits_counts() {
        let named = [("b", "Bob"), ("bs", "Bob Smith"), ("z", "张三")];
        assert_eq!(names("@Bob Smith, hi", &named), [pair("bs", "@Bob Smith")]);
        assert_eq!(names("hi @Bob!", &named), [pair("b", "@Bob")]);
        assert_eq!(names("＠张三你好 @Bob", &named), [pair("z", "＠张三"), pair("b", "@Bob")]);
    }

    #[test]
    fn what_only_looks_like_a_name_stays_words() {
        let named = [("b", "Bob"), ("e1", "Eve"), ("e2", "Eve")];
        assert_eq!(names("@Bobby me@Bob @ Bob @Eve", &named), []);
        // The same name twice of the same person is one.
        assert_eq!(names("@Bob", &[("b", "Bob"), ("b", "Bob")]), [pair("b", "@Bob")]);
    }
}
