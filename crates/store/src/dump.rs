//! A PostgreSQL database into a file and back, by the server's own programs: what they write is what its administrators
//! know, and their versions fit the server's.
//!
//! Source: PostgreSQL documentation, `pg_dump`, `pg_restore`, "Connection URIs", "Environment Variables".

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::url::Url;
use percent_encoding::percent_decode_str;

use crate::error::StoreError;
use crate::url::StoreUrl;

/// What is shown of what a program said, in characters.
const SAID_CHARS: usize = 500;

/// Writes the tables of `schema`, as they are at one moment, into a file.
pub(crate) fn dump(url: &StoreUrl, schema: &str, to: &Path) -> Result<(), StoreError> {
    // Tables only: the schema itself is there already wherever they are put back.
    let tables = format!("\"{}\".*", schema.replace('"', "\"\""));
    let mut command = client("pg_dump", url)?;
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--table"]).arg(tables);
    command.arg("--file").arg(to);
    run(command, "pg_dump")
}

/// Puts such a file into a database that has none of these tables, as a whole or not at all.
pub(crate) fn load_dump(url: &StoreUrl, from: &Path) -> Result<(), StoreError> {
    let mut command = client("pg_restore", url)?;
    command.args(["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]).arg(from);
    run(command, "pg_restore")
}

/// One of the programs, with the database to work on. The password is in its environment, where other people of the
/// machine do not see it.
fn client(program: &str, url: &StoreUrl) -> Result<Command, StoreError> {
    let unclear = || StoreError::invalid("the store address cannot be understood");
    let StoreUrl::Postgres(text) = url else { return Err(unclear()) };
    let mut address = Url::parse(text).map_err(|_| unclear())?;
    let mut command = Command::new(program);
    if let Some(password) = address.password() {
        let password = percent_decode_str(password).decode_utf8().map_err(|_| unclear())?.into_owned();
        address.set_password(None).map_err(|()| unclear())?;
        command.env("PGPASSWORD", password);
    }
    // The driver takes it from there as well.
    let told =
        address.query_pairs().find(|(key, _)| key == "password").map(|(_, password)| password.into_owned());
    if let Some(password) = told {
        let query = address.query().unwrap_or_default();
        let others: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("password=")).collect();
        let others = others.join("&");
        address.set_query((!others.is_empty()).then_some(&others));
        command.env("PGPASSWORD", password);
    }
    // The driver takes the system's authorities where none are named; these programs want a file of their user's.
    let judges = address.query_pairs().any(|(key, value)| key == "sslmode" && value.starts_with("verify-"));
    let names = address.query_pairs().any(|(key, _)| key == "sslrootcert");
    if let Some(bundle) = authorities().filter(|_| judges && !names) {
        command.env("PGSSLROOTCERT", bundle);
    }
    // In words that we understand when we show them.
    command.env("LC_MESSAGES", "C").arg("--no-password").arg("--dbname").arg(address.as_str());
    Ok(command)
}

/// The file with the system's authorities. Source: OpenSSL's `SSL_CERT_FILE`; Debian, Fedora, Alpine.
fn authorities() -> Option<PathBuf> {
    let told = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
    told.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file())
}

fn run(mut command: Command, program: &str) -> Result<(), StoreError> {
    let out = match command.stdin(Stdio::null()).stdout(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::unavailable(
                "copying the database",
                format!(
                    "{program} is not here; install the clients of PostgreSQL (Debian: postgresql-client), or do it by \
                     hand (docs/backup.md)"
                ),
            ));
        }
        ran => ran.map_err(|error| StoreError::unavailable("starting a program of PostgreSQL", error))?,
    };
    if out.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&out.stderr).trim().chars().take(SAID_CHARS).collect();
    Err(StoreError::unavailable(
        "copying the database",
        format!("{program} ended with {}: {said}", out.status),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_among_the_arguments() {
        let url = "postgres://me:p%40ss%20word@db.example:5433/wx?sslmode=require".parse().unwrap();
        let command = client("pg_dump", &url).unwrap();
        let args: Vec<&str> = command.get_args().filter_map(|arg| arg.to_str()).collect();
        assert_eq!(args, ["--no-password", "--dbname", "postgres://me@db.example:5433/wx?sslmode=require"]);
        let password =
            command.get_envs().find(|(name, _)| *name == "PGPASSWORD").and_then(|(_, value)| value);
        assert_eq!(password.and_then(|value| value.to_str()), Some("p@ss word"));
        let url = "postgres://me@db.example/wx?sslmode=require&password=p%40ss".parse().unwrap();
        let command = client("pg_dump", &url).unwrap();
        assert!(command.get_args().all(|arg| !arg.to_str().unwrap().contains("p%40ss")));
        assert!(command.get_args().any(|arg| arg.to_str().unwrap().ends_with("?sslmode=require")));
        assert!(command.get_envs().any(|(name, value)| name == "PGPASSWORD" && value.unwrap() == "p@ss"));
        let url = "postgres:///wx?host=/run/postgresql".parse::<StoreUrl>().unwrap();
        let command = client("pg_dump", &url.with_password("p@ss word").unwrap()).unwrap();
        assert!(command.get_args().any(|arg| arg.to_str().unwrap().ends_with("/wx?host=/run/postgresql")));
        assert!(
            command.get_envs().any(|(name, value)| name == "PGPASSWORD" && value.unwrap() == "p@ss word")
        );
        assert!(client("pg_dump", &StoreUrl::Sqlite(None)).is_err());
    }
}
