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
    /// A stored row does not make sense: stop and look.
    #[error("table {table}, row {row} is damaged")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which row.
        row: String,
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

    pub(crate) fn is_unavailable(&self) -> bool {
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
