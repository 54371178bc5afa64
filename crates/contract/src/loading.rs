//! How far the first reading of an account's contacts is, which takes a while for large books.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is being done of it. Each counts from nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadingPart {
    /// The list is read, page by page; how long it is shows at its end.
    Contacts,
    /// Groups are read with their members, and whoever is in no list.
    Groups,
    /// People and groups are written down.
    Storing,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// In which part.
    pub part: LoadingPart,
    /// Contacts or groups of this part that are done.
    pub done: u32,
    /// Of how many, where that is known.
    pub of: Option<u32>,
}

impl fmt::Display for Loading {
    /// As people read it: `loading contacts: 1,200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.part {
            LoadingPart::Contacts => "loading contacts",
            LoadingPart::Groups => "loading groups",
            LoadingPart::Storing => "storing contacts and groups",
        };
        write!(f, "{what}: {}", grouped(self.done))?;
        match self.of {
            Some(of) => write!(f, " of {}", grouped(of)),
            None => Ok(()),
        }
    }
}

/// A number as people read a large one: `1,200`.
pub fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_as_people_read_it() {
        let told = |part, done, of| Loading { part, done, of }.to_string();
        assert_eq!(told(LoadingPart::Contacts, 1200, None), "loading contacts: 1,200");
        assert_eq!(told(LoadingPart::Groups, 50, Some(120)), "loading groups: 50 of 120");
        assert_eq!(
            told(LoadingPart::Storing, 999, Some(1_234_567)),
            "storing contacts and groups: 999 of 1,234,567"
        );
    }
}
