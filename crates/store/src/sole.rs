//! One gateway per PostgreSQL database: whoever writes holds a lock of the server, in the very session that
//! writes.
//!
//! So nobody can write without it: a session that breaks has lost it, and the next one has to get it back
//! first. If another gateway had the database meanwhile, what this one has in memory is no longer true: it
//! must not go on. A SQLite file is kept by a lock on a file, see `engine::lock`.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe};
use tokio::sync::watch;

use crate::error::{Sql, StoreError};
use crate::leader::Instance;
use crate::sql::{self, Columns, row};

/// First part of the lock's number: "wxgate" among the advisory locks of a database. Chosen. The second part
/// is the schema, because several gateways may share a database with a schema each.
const LOCK: i64 = 7_783_121;

/// How often an idle writer asks whether its session still stands. Chosen: half of [`HANDED_OVER`].
pub(crate) const BEAT: Duration = Duration::from_secs(3);

/// Who gets the database from another gateway waits this long before carrying anything out: until then the
/// other one has noticed. Chosen: two beats.
pub const HANDED_OVER: Duration = Duration::from_secs(6);

/// How the session of a gateway that may be silent so long is set. The server keeps the lock of one whose machine has
/// gone without a word for less than that: it is asked after a third of it, three times more in fifths, and what is on
/// its way gets as long.
fn session(lease: Duration) -> String {
    let seconds = lease.as_secs().max(5);
    format!(
        "SET synchronous_commit = on; SET tcp_keepalives_idle = {}; SET tcp_keepalives_interval = {}; \
         SET tcp_keepalives_count = 3; SET tcp_user_timeout = {}",
        seconds / 3,
        seconds / 5,
        (seconds - 1) * 1000
    )
}

const DOING: &str = "taking the database for this gateway";

/// Whether the database is this gateway's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Ours,
    /// The session broke; the next one may get the lock back.
    Unknown,
    /// Another gateway has or had it: final.
    Lost(String),
}

/// What this gateway knows of its hold on the database.
pub(crate) struct Hold {
    held: watch::Sender<Held>,
    /// As the server shows it to others.
    name: String,
    lease: Duration,
    /// The server's number of the session that had the lock last, and how often the database has changed
    /// hands; `None` before the first time.
    last: Option<(i64, i64)>,
}

/// What the machine calls itself, empty where it does not say: `/proc/sys` is hidden from a service that sees its own processes only
/// (`ProcSubset=pid` of systemd).
pub fn host_name() -> String {
    let told = |path: &&str| std::fs::read_to_string(path).ok().filter(|name| !name.trim().is_empty());
    ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(told).unwrap_or_default().trim().to_owned()
}

impl Hold {
    pub(crate) fn new(instance: &Instance) -> Self {
        let plain =
            |text: &str| text.trim().chars().filter(char::is_ascii_graphic).take(20).collect::<String>();
        let (name, host) = (plain(&instance.name), plain(&host_name()));
        let called = if name.is_empty() { String::new() } else { format!("{name} ") };
        let name = format!("wxgate {called}on {host}, process {}", std::process::id());
        Self { held: watch::channel(Held::Ours).0, name, lease: instance.lease, last: None }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// The session is gone, and with it the lock.
    pub(crate) fn broke(&self) {
        self.held.send_if_modified(|held| {
            let was_ours = *held == Held::Ours;
            if was_ours {
                *held = Held::Unknown;
            }
            was_ours
        });
    }

    /// Takes the lock in a new session.
    pub(crate) async fn claim(&mut self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        use sqlx::Executor as _;
        if let Held::Lost(why) = &*self.held.borrow() {
            return Err(StoreError::conflict(why.clone()));
        }
        conn.execute(sqlx::raw_sql(AssertSqlSafe(session(self.lease)))).await.sql(DOING)?;
        let text = "SELECT set_config('application_name', $1, false)";
        sql::fetch(conn, DOING, text, row![self.name.as_str()]).await?;
        if !try_lock(conn).await? {
            self.refused(conn).await?;
        }
        Ok(())
    }

    /// Somebody has the lock: an earlier session of this gateway that the server still keeps is ended, and
    /// then it is free; another gateway's is not touched.
    async fn refused(&mut self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        let holder = holder(conn).await?;
        let ours = self.last.is_some_and(|(session, _)| holder.session == Some(session))
            && holder.name.as_deref().is_none_or(|name| name == self.name);
        if !ours {
            let told = holder.sentence();
            // Never had it: a refusal. Had it: somebody took it over.
            if self.last.is_some() {
                self.lose(format!("{told}; it took over when this one had lost its connection"));
                return Err(StoreError::conflict(told));
            }
            return Err(StoreError::Taken { what: told });
        }
        if let Some(session) = holder.session {
            sql::fetch(
                conn,
                DOING,
                "SELECT CASE WHEN pg_terminate_backend($1::int) THEN 1 ELSE 0 END::bigint",
                row![session],
            )
            .await?;
        }
        match try_lock(conn).await? {
            true => Ok(()),
            false => Err(StoreError::unavailable(DOING, "the server still keeps the session that broke")),
        }
    }

    /// With the schema in place: counts who has the database, or sees that nobody else had it meanwhile.
    pub(crate) async fn confirm(&mut self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        let session = number(conn, "SELECT pg_backend_pid()::bigint").await?;
        let term = match self.last {
            None => {
                let count = "INSERT INTO counter (name, value) VALUES ('holder', 1) \
                             ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value";
                number(conn, count).await?
            }
            Some((_, ours)) => {
                let now = number(conn, "SELECT value FROM counter WHERE name = 'holder'").await?;
                if now != ours {
                    let why = "another wxgate had the database while this one had lost its connection";
                    self.lose(why.to_owned());
                    return Err(StoreError::conflict(why));
                }
                ours
            }
        };
        self.last = Some((session, term));
        self.held.send_replace(Held::Ours);
        Ok(())
    }

    fn lose(&self, why: String) {
        self.held.send_replace(Held::Lost(why));
    }
}

async fn number(conn: &mut AnyConnection, text: &'static str) -> Result<i64, StoreError> {
    let rows = sql::fetch(conn, DOING, text, []).await?;
    rows.first().ok_or_else(|| StoreError::corrupt("counter", "holder"))?.at(0)
}

async fn try_lock(conn: &mut AnyConnection) -> Result<bool, StoreError> {
    let text = "SELECT CASE WHEN pg_try_advisory_lock($1::int, hashtext(current_schema()::text)) THEN 1 ELSE 0 END::bigint";
    let rows = sql::fetch(conn, DOING, text, row![LOCK]).await?;
    Ok(rows.first().map(|row| row.at::<i64>(0)).transpose()? == Some(1))
}

/// Who has the lock, as far as the server tells us.
struct Holder {
    session: Option<i64>,
    name: Option<String>,
    address: Option<String>,
}

async fn holder(conn: &mut AnyConnection) -> Result<Holder, StoreError> {
    let text = "SELECT l.pid::bigint, a.application_name::text, host(a.client_addr)::text \
                FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
                WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 \
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                AND l.classid::bigint = $1 AND l.objid = hashtext(current_schema()::text)::oid";
    let rows = sql::fetch(conn, DOING, text, row![LOCK]).await?;
    let Some(row) = rows.first() else { return Ok(Holder { session: None, name: None, address: None }) };
    Ok(Holder { session: Some(row.at(0)?), name: row.at(1)?, address: row.at(2)? })
}

impl Holder {
    fn sentence(&self) -> String {
        let name = self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("another wxgate");
        let from = self.address.as_ref().map(|address| format!(" from {address}")).unwrap_or_default();
        format!(
            "the PostgreSQL database is in use by {name}{from}; only one gateway at a time writes to it, stop the \
             other one or give this one a database of its own"
        )
    }
}
