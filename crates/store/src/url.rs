//! Which database, from one line of configuration.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::StoreError;

/// Which database.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file; `None` is `wxgate.db` in the data directory.
    Sqlite(Option<PathBuf>),
    /// A PostgreSQL database.
    Postgres(String),
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            // The address may hold a password.
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text == "sqlite" {
            return Ok(Self::Sqlite(None));
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path == ":memory:" {
                return Err(StoreError::invalid("sqlite: needs the path of a file after the colon"));
            }
            return Ok(Self::Sqlite(Some(PathBuf::from(path))));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if !cfg!(feature = "postgres") {
                return Err(StoreError::invalid(
                    "this program was built without PostgreSQL; build it with the cargo feature `postgres`",
                ));
            }
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err(StoreError::invalid("a store address is \"sqlite\", \"sqlite:PATH\" or \"postgres://…\""))
    }
}

impl StoreUrl {
    /// The address of a server with the password that stands elsewhere.
    ///
    /// # Errors
    /// `Invalid` for a file, and for an address that cannot be understood.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "a build without servers takes none")
    )]
    pub fn with_password(self, password: &str) -> Result<Self, StoreError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(text) => {
                let unclear = |_| StoreError::invalid("the store address cannot be understood");
                let mut address = url::Url::parse(&text).map_err(unclear)?;
                // Unlike the part before the @, it may stand there without a host.
                address.query_pairs_mut().append_pair("password", password);
                Ok(Self::Postgres(address.into()))
            }
            _ => Err(StoreError::invalid("only a PostgreSQL server takes a password")),
        }
    }

    /// The SQLite file, when it is one.
    pub fn sqlite_path(&self, data_dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Sqlite(Some(path)) => Some(path.clone()),
            Self::Sqlite(None) => Some(data_dir.join("wxgate.db")),
            Self::Postgres(_) => None,
        }
    }
}

/// The driver reads a `%` or `?` in a file name as part of an address.
pub(crate) fn sqlite_address(path: &Path, mode: &str) -> Result<String, StoreError> {
    let Some(text) = path.to_str() else {
        return Err(StoreError::invalid(format!("the path {} is not UTF-8", path.display())));
    };
    let mut address = String::from("sqlite://");
    for c in text.chars() {
        match c {
            '%' => address.push_str("%25"),
            '?' => address.push_str("%3F"),
            '#' => address.push_str("%23"),
            c => address.push(c),
        }
    }
    Ok(format!("{address}?mode={mode}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_refused_with_a_reason() {
        assert_eq!("sqlite".parse::<StoreUrl>().unwrap(), StoreUrl::Sqlite(None));
        assert_eq!("sqlite:/a/b.db".parse::<StoreUrl>().unwrap(), StoreUrl::Sqlite(Some("/a/b.db".into())));
        assert_eq!("sqlite:///a/b.db".parse::<StoreUrl>().unwrap(), StoreUrl::Sqlite(Some("/a/b.db".into())));
        assert!("sqlite:".parse::<StoreUrl>().is_err());
        assert!("mysql://x".parse::<StoreUrl>().unwrap_err().to_string().contains("postgres://"));
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn postgres_without_the_feature_names_the_feature() {
        let error = "postgres://x@y/z".parse::<StoreUrl>().unwrap_err();
        assert!(error.to_string().contains("cargo feature `postgres`"), "{error}");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_password_from_elsewhere_joins_the_address() {
        for (url, wanted) in [
            ("postgres://me@db:5433/wx", "postgres://me@db:5433/wx?password=p%40%26s+%3D"),
            (
                "postgres:///wx?host=/run/postgresql&user=me",
                "postgres:///wx?host=/run/postgresql&user=me&password=p%40%26s+%3D",
            ),
        ] {
            let url = url.parse::<StoreUrl>().unwrap().with_password("p@&s =").unwrap();
            assert!(url == StoreUrl::Postgres(wanted.to_owned()), "{wanted}");
        }
        assert!(StoreUrl::Sqlite(None).with_password("x").is_err());
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_postgres_password_is_not_in_the_debug_output() {
        let url = "postgres://u:secret@h/d".parse::<StoreUrl>().unwrap();
        assert!(!format!("{url:?}").contains("secret"));
    }
}
