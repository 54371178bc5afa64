//! How a network is doing: one value that dashboard, metrics, command line and faces all show.

use serde::{Deserialize, Serialize};

/// How a network is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    /// Not there yet.
    Starting,
    /// Works.
    Up,
    /// Works badly, or is coming back by itself.
    Degraded {
        /// What is wrong, as a clause for people.
        why: String,
    },
    /// Somebody must do something.
    NeedsHuman {
        /// What, as a sentence for people.
        step: String,
    },
    /// Does not work and does not come back by itself.
    Down {
        /// Why, as a clause for people.
        why: String,
    },
}

impl Health {
    /// The word for lists and metric labels.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Degraded { .. } => "degraded",
            Self::NeedsHuman { .. } => "needs_human",
            Self::Down { .. } => "down",
        }
    }

    /// What is wrong or what to do; empty when nothing is.
    pub fn detail(&self) -> &str {
        match self {
            Self::Starting | Self::Up => "",
            Self::Degraded { why } | Self::Down { why } => why,
            Self::NeedsHuman { step } => step,
        }
    }
}
