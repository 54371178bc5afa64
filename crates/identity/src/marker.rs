//! A short code behind the owner's remark that says who a contact is, whatever else changed meanwhile.
//!
//! It is evidence that only the owner can give: nobody else writes remarks. It is visible on every device, so
//! it is there for contacts that the owner chose and for no others.
//! Source: the paper on contact identity, "when the bridge is not sure" (durable marker).

use serde::{Deserialize, Serialize};

use crate::book::{Book, Login, Profile};
use crate::sight::text_code;

/// Letters and digits that nobody mixes up when they are typed from one screen into another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Digits that name somebody: a million names for an account that holds some thousand contacts. Chosen.
const NAMING: usize = 4;
/// Digits in all; the last one tells of a slip. Chosen: with the sign it leaves eleven characters to the name.
const DIGITS: usize = NAMING + 1;
/// Odd, so that no change of one digit keeps the sum. Chosen.
const WEIGHTS: [u32; NAMING] = [3, 5, 9, 17];
/// So that five equal letters are no marker. Chosen.
const SALT: u32 = 11;
/// A remark is no longer than this in the official page. Source: the protocol sheet, section 2.25.
const REMARK_CHARS: usize = 18;

/// A code behind a remark: ` #` and five letters or digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marker(u32);

impl Marker {
    /// Characters that a name in front of a marker may have.
    pub const NAME_CHARS: usize = REMARK_CHARS - 2 - DIGITS;

    /// The marker of a lasting id; a further `attempt` gives another one, where somebody else has the first.
    #[must_use]
    pub fn of(id: &str, attempt: u32) -> Self {
        let code = text_code(&format!("{id}/{attempt}"));
        #[expect(clippy::cast_possible_truncation, reason = "folded to its bits")]
        let code = ((code >> 40) ^ (code >> 20) ^ code) as u32;
        Self(code & 0xf_ffff)
    }

    /// Parts a remark into what the owner calls somebody and the marker; `None` where there is none. A phone
    /// may have made the first letter large, the sign wide, or left the space out.
    #[must_use]
    pub fn part(remark: &str) -> Option<(&str, Self)> {
        let remark = remark.trim_end();
        let (name, digits) = remark.rsplit_once(['#', '＃'])?;
        let mut values = [0_u32; DIGITS];
        let mut chars = digits.chars();
        for value in &mut values {
            *value = digit(chars.next()?)?;
        }
        if chars.next().is_some() || values.last() != Some(&check(&values)) {
            return None;
        }
        let code = values.iter().take(NAMING).fold(0, |code, value| code * 32 + value);
        Some((name.trim_end(), Self(code)))
    }

    /// A remark with this marker behind it.
    #[must_use]
    pub fn behind(self, name: &str) -> String {
        format!("{} {self}", name.trim_end())
    }
}

impl std::fmt::Display for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut values = [0_u32; DIGITS];
        for (at, value) in values.iter_mut().take(NAMING).enumerate() {
            *value = self.0 >> (5 * (NAMING - 1 - at)) & 31;
        }
        let last = check(&values);
        f.write_str("#")?;
        for value in values.iter().take(NAMING).chain([&last]) {
            let letter = ALPHABET.get(*value as usize).copied().unwrap_or(b'a');
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

fn digit(letter: char) -> Option<u32> {
    let letter = u8::try_from(letter).ok()?.to_ascii_lowercase();
    let at = ALPHABET.iter().position(|known| *known == letter)?;
    u32::try_from(at).ok()
}

fn check(values: &[u32; DIGITS]) -> u32 {
    let sum: u32 = values.iter().zip(WEIGHTS).map(|(value, weight)| value * weight).sum();
    (sum + SALT) % 32
}

/// The marker that the owner wants to have on a contact, and how far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// Which.
    #[serde(rename = "m")]
    pub marker: Marker,
    /// The login in which it was last written, or taken away; 0: not yet.
    #[serde(rename = "w", default)]
    pub written: u32,
    /// The owner had no remark: code of the name that was written in its place.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub name: u64,
    /// It is to be taken away.
    #[serde(rename = "l", default, skip_serializing_if = "is_false")]
    pub is_leaving: bool,
    /// The service said no when it was written.
    #[serde(rename = "r", default, skip_serializing_if = "is_false")]
    pub is_refused: bool,
}

fn is_zero(code: &u64) -> bool {
    *code == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// How far a marker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkState {
    /// It will be written, or taken away.
    Waiting,
    /// The service took it; whether it keeps it shows at the next login.
    Written,
    /// It is in the remark.
    There,
    /// It was written in an earlier login, or refused, and is not in the remark; or it was taken away and still is.
    NotKept,
    /// Two contacts carry it: it is evidence for neither.
    Void,
}

impl Marked {
    /// What the owner calls somebody whose remark is this, without what a marker brought along.
    #[must_use]
    pub fn name_in(self, remark: &str) -> String {
        match Marker::part(remark) {
            Some((name, marker)) if marker == self.marker && text_code(name) == self.name => String::new(),
            Some((name, marker)) if marker == self.marker => name.to_owned(),
            _ => remark.to_owned(),
        }
    }
}

impl Profile {
    /// Whether its marker was in the remark when it was last seen.
    #[must_use]
    pub fn carries_marker(&self) -> bool {
        self.marked.is_some_and(|marked| self.sight.marker == Some(marked.marker))
    }
}

impl Book {
    /// Gives somebody of the present login a marker, or says that it shall be written again. `None` when there is
    /// nobody of that id, or it is not settled who they are.
    pub fn mark(&mut self, id: &str) -> Option<Marked> {
        let login = self.login;
        let taken = |marker: Marker| {
            let others = self.people.iter().filter(|other| other.id != id);
            let marks =
                others.flat_map(|other| [other.marked.map(|marked| marked.marker), other.sight.marker]);
            marks.flatten().any(|other| other == marker)
        };
        let fresh = (0..1000).map(|attempt| Marker::of(id, attempt)).find(|marker| !taken(*marker));
        let profile = self.people.iter_mut().find(|known| known.id == id)?;
        if profile.seen.login != login || !profile.open.is_empty() {
            return None;
        }
        let was = profile.marked;
        let marker = was.map(|marked| marked.marker).or(fresh)?;
        let name = was.map_or(0, |marked| marked.name);
        let marked = Marked { marker, written: 0, name, is_leaving: false, is_refused: false };
        profile.marked = Some(marked);
        profile.marked
    }

    /// Takes a marker back; one that never reached the remark is forgotten at once, and so is one of somebody who
    /// is gone. `None` when there is none, else whether the remark has to be changed.
    pub fn unmark(&mut self, id: &str) -> Option<bool> {
        let login = self.login;
        let profile = self.people.iter_mut().find(|known| known.id == id)?;
        let marked = profile.marked?;
        let may_be_there = profile.carries_marker() || marked.written != 0;
        let is_present = profile.seen.login == login;
        profile.marked = (may_be_there && is_present).then_some(Marked {
            written: 0,
            is_leaving: true,
            is_refused: false,
            ..marked
        });
        Some(profile.marked.is_some())
    }

    /// How far the marker of a contact is.
    #[must_use]
    pub fn mark_state(&self, profile: &Profile) -> Option<MarkState> {
        let marked = profile.marked?;
        let others = self.people.iter().filter(|other| other.id != profile.id);
        let mut others = others.filter(|other| other.seen.login == self.login);
        if others.any(|other| other.sight.marker == Some(marked.marker)) {
            return Some(MarkState::Void);
        }
        // Whoever had it is not there, and nobody else has it.
        if marked.is_leaving && profile.seen.login < self.login {
            return None;
        }
        let is_as_wanted = profile.carries_marker() != marked.is_leaving;
        Some(match marked.written {
            _ if marked.is_refused && !is_as_wanted => MarkState::NotKept,
            // A change of this session is what was written, and may be gone at the next login.
            written if written != 0 && written >= profile.seen.login => MarkState::Written,
            _ if is_as_wanted => MarkState::There,
            0 => MarkState::Waiting,
            _ => MarkState::NotKept,
        })
    }

    /// After a record went by another id because it was taken for the wrong person: a marker that led there leads
    /// nowhere any more.
    pub(crate) fn disown_markers(&mut self, moved: &[(String, String)]) {
        for (from, to) in moved {
            let seen = self.people.iter().find(|known| known.id == *to).and_then(|known| known.sight.marker);
            if let Some(was) = self.people.iter_mut().find(|known| known.id == *from)
                && was.marked.is_some_and(|marked| seen == Some(marked.marker))
            {
                was.marked = None;
            }
        }
    }
}

/// Old and new records of one marker. One that occurs twice is void for both.
pub(crate) fn pairs(book: &Book, login: &Login) -> Vec<(usize, usize)> {
    crate::trust::unique_pairs(
        book.people.iter().map(|was| Some((was.sight.kind, was.marked?.marker))),
        login.people.iter().map(|now| Some((now.sight.kind, now.sight.marker?))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back_however_a_phone_wrote_it() {
        for n in 0..2_000 {
            let marker = Marker::of(&format!("p-{n}"), 0);
            let text = marker.behind("张伟");
            assert_eq!(Marker::part(&text), Some(("张伟", marker)), "{text}");
            let code = marker.to_string();
            assert_eq!(code.len(), 1 + DIGITS);
            let loud = code.to_uppercase();
            for odd in [format!("张伟{code}"), format!("张伟 {loud} "), format!("张伟 ＃{}", &code[1..])]
            {
                assert_eq!(Marker::part(&odd), Some(("张伟", marker)), "{odd}");
            }
        }
    }

    #[test]
    fn a_slip_of_one_letter_is_no_marker() {
        let code = Marker::of("p-a", 0).to_string();
        for at in 1..=DIGITS {
            for other in ALPHABET {
                let mut bytes = code.clone().into_bytes();
                bytes[at] = *other;
                let slip = String::from_utf8(bytes).unwrap();
                assert_eq!(Marker::part(&slip).is_some(), slip == code, "{slip} for {code}");
            }
        }
    }

    #[test]
    fn ordinary_remarks_hold_no_marker() {
        for remark in
            ["", "张伟", "#", "Tom #1", "C# developer", "Anna #aaaaa", "#bbbbb", "room #ab c", "x #abcdef"]
        {
            assert_eq!(Marker::part(remark), None, "{remark}");
        }
    }
}
