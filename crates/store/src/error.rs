//! Why the store could not do what was asked. A variant exists where some caller acts on it.

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed; the same call may succeed later (disk full, database away).
    #[error("{doing} failed: {source}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the engine or the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is there already, or somebody else has it.
    #[error("{what}")]
    Conflict {
        /// What is there already.
        what: String,
    },
    /// Another gateway has the database on the server.
    #[error("{what}")]
    Taken {
        /// Who.
        what: String,
    },
    /// A stored row does not make sense: stop and look.
    #[error("table {table}, row {row} is damaged")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which row.
        row: String,
    },
    /// A note is sealed with another key than the one in use; what is stored is left as it is.
    #[error("the note {key} of {network} does not open: it is sealed with another key")]
    Sealed {
        /// Whose note.
        network: String,
        /// Its key.
        key: String,
    },
    /// The database is not one that this version can work with.
    #[error("{what}")]
    Schema {
        /// What does not fit.
        what: String,
    },
    /// The request itself can never succeed.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
}

impl StoreError {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    pub(crate) fn schema(what: impl Into<String>) -> Self {
        Self::Schema { what: what.into() }
    }

    pub(crate) fn corrupt(table: &'static str, row: impl std::fmt::Display) -> Self {
        Self::Corrupt { table, row: row.to_string() }
    }

    /// A failure of the system or the engine while `doing` something.
    pub(crate) fn unavailable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { doing, source: source.into() }
    }

    /// True when nothing was changed and the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Names what was being done when the engine failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::unavailable(what, error))
    }
}

/// Sorts an engine's error: can the same call succeed later, or never?
pub(crate) trait Sql<T> {
    fn sql(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Sql<T> for Result<T, sqlx::Error> {
    fn sql(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| sort(doing, error))
    }
}

fn sort(doing: &'static str, error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(told) => match told.code().as_deref().map(verdict) {
            Some(Verdict::Damaged) => StoreError::corrupt("(file)", told.message()),
            Some(Verdict::Never) => StoreError::invalid(format!("{doing} was refused: {}", told.message())),
            _ => StoreError::unavailable(doing, error),
        },
        sqlx::Error::ColumnDecode { index, .. } => StoreError::corrupt("(result)", format!("column {index}")),
        _ => StoreError::unavailable(doing, error),
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Later,
    Never,
    Damaged,
}

/// Source: SQLite's result codes (extended codes carry the primary one in the low byte) and
/// PostgreSQL's SQLSTATE classes, which always have five characters.
fn verdict(code: &str) -> Verdict {
    if code.len() == 5 {
        return match code.get(..2) {
            // Data, constraint, syntax, program limits.
            Some("22" | "23" | "42" | "54") => Verdict::Never,
            Some("XX") => Verdict::Damaged,
            _ => Verdict::Later,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE. Not ERROR: it says anything, among others that a transaction
        // is or is not open, which is no fault of what is being stored.
        Ok(18 | 19 | 20 | 25) => Verdict::Never,
        // CORRUPT, NOTADB.
        Ok(11 | 26) => Verdict::Damaged,
        _ => Verdict::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_whether_waiting_helps() {
        // Disk full and input/output errors pass; a broken constraint does not.
        for later in ["1", "13", "10", "778", "5", "53100", "57P01", "40P01"] {
            assert_eq!(verdict(later), Verdict::Later, "{later}");
        }
        for never in ["19", "2067", "23505", "22021"] {
            assert_eq!(verdict(never), Verdict::Never, "{never}");
        }
        for damaged in ["11", "26", "XX001"] {
            assert_eq!(verdict(damaged), Verdict::Damaged, "{damaged}");
        }
    }
}
