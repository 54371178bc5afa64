//! Why a record was taken for somebody, short enough to be kept with every profile.

use serde::{Deserialize, Serialize};

use crate::sight::{Field, Sight};

/// The evidence of one link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The version of the record was the same.
    #[serde(rename = "v", default)]
    pub version: bool,
    /// Bits of the fields that agreed, by [`Field`].
    #[serde(rename = "a", default)]
    pub agree: u16,
    /// Bits of the fields that did not.
    #[serde(rename = "d", default)]
    pub differ: u16,
    /// Groups that both were in; for a group, members in both lists.
    #[serde(rename = "g", default)]
    pub shared: u16,
    /// Chance that it was somebody else, in millionths.
    #[serde(rename = "w", default)]
    pub wrong_ppm: u32,
    /// The remark carried its marker.
    #[serde(rename = "m", default, skip_serializing_if = "is_false")]
    pub marker: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Why {
    /// Compares two records field by field.
    #[must_use]
    pub fn between(was: &Sight, now: &Sight) -> Self {
        let mut why = Self { version: was.seq != 0 && was.seq == now.seq, ..Self::default() };
        for field in Field::ALL {
            let (a, b) = (was.code(field), now.code(field));
            let bit = 1_u16 << field as usize;
            match (a, b) {
                (0, 0) => {}
                _ if a == b => why.agree |= bit,
                // A picture that did not come is no other picture.
                (0, _) | (_, 0) if field == Field::Avatar => {}
                _ => why.differ |= bit,
            }
        }
        why
    }

    /// The same, with the groups that both are in.
    #[must_use]
    pub fn sharing(mut self, groups: usize) -> Self {
        self.shared = u16::try_from(groups).unwrap_or(u16::MAX);
        self
    }

    pub(crate) fn with(mut self, shared: usize, wrong: f64) -> Self {
        self = self.sharing(shared);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to its range")]
        let ppm = (wrong * 1e6).clamp(0.0, 1e6) as u32;
        self.wrong_ppm = ppm;
        self
    }

    /// The words for a person: what agreed, then what changed.
    #[must_use]
    pub fn words(&self) -> String {
        let names = |bits: u16| {
            let of = Field::ALL.into_iter().filter(|field| bits & (1 << *field as usize) != 0);
            of.map(Field::word).collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        if self.version {
            parts.push("the record is untouched".to_owned());
        }
        if self.marker {
            parts.push("your marker is in the remark".to_owned());
        }
        if self.agree != 0 {
            parts.push(format!("same {}", names(self.agree)));
        }
        if self.shared > 0 {
            let plural = if self.shared == 1 { "" } else { "s" };
            parts.push(format!("{} group{plural} in common", self.shared));
        }
        if self.differ != 0 {
            parts.push(format!("changed: {}", names(self.differ)));
        }
        if parts.is_empty() { "nothing speaks for it".to_owned() } else { parts.join("; ") }
    }
}
