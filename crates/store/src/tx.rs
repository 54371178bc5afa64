//! The writer's transaction: statements whose answers nobody needs yet wait and travel together.
//!
//! Each statement on its own costs two changes of thread, because SQLite runs on a thread of its own;
//! on a quiet instance that was a third of a message's way through the gateway. So BEGIN goes with the
//! first statement, COMMIT with the last, and what is only written goes with the next question.
//! PostgreSQL takes one statement at a time and gets them one after the other.

use futures_util::TryStreamExt as _;
use sqlx::{AnyConnection, AssertSqlSafe, Either, Executor as _};

use wxgate_contract::BoxFuture;

use crate::error::{Sql, StoreError};
use crate::sql::{Answer, Many, Marks, Statement, bind};

/// Statements of at most this many rows travel together. A lonely commit has one row of each kind;
/// the statements of a crowd keep texts of their own, few enough to be found prepared.
const TOGETHER_ROWS: usize = 2;

const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";

/// Runs `work` in a transaction. After an error it may still be open: whoever owns the connection rolls back.
///
/// Not through the driver's own transactions, see `writer::rolled_back`.
pub(crate) async fn whole<T, F>(
    conn: &mut AnyConnection,
    doing: &'static str,
    work: F,
) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, StoreError>>,
{
    conn.execute(sqlx::raw_sql(BEGIN)).await.sql(doing)?;
    let value = work(conn).await?;
    conn.execute(sqlx::raw_sql(COMMIT)).await.sql(doing)?;
    Ok(value)
}

/// An open transaction. Dropped without a commit it is still open on the connection: whoever owns that
/// rolls back.
pub(crate) struct Tx<'c> {
    conn: &'c mut AnyConnection,
    marks: Marks,
    waiting: Vec<Statement>,
}

/// What went wrong, and whether everything before the COMMIT had gone well.
pub(crate) struct Broken {
    pub(crate) error: StoreError,
    pub(crate) at_commit: bool,
}

impl<'c> Tx<'c> {
    pub(crate) fn begin(conn: &'c mut AnyConnection) -> Self {
        let marks = Marks::of(conn);
        Self { conn, marks, waiting: vec![Statement::plain(BEGIN)] }
    }

    /// Carries it out before the next question or the commit.
    pub(crate) fn later(&mut self, many: Many) {
        self.waiting.extend(many.into_statements(self.marks));
    }

    /// Asks, and gives the rows and the number of changed rows.
    pub(crate) async fn ask(&mut self, many: Many, doing: &'static str) -> Result<Answer, StoreError> {
        let [answer] = self.ask_all([many], doing).await?;
        Ok(answer)
    }

    /// Asks several things that do not depend on each other's answers.
    pub(crate) async fn ask_all<const N: usize>(
        &mut self,
        questions: [Many; N],
        doing: &'static str,
    ) -> Result<[Answer; N], StoreError> {
        let counts = questions.map(|many| {
            let statements = many.into_statements(self.marks);
            let count = statements.len();
            self.waiting.extend(statements);
            count
        });
        if counts.iter().all(|count| *count == 0) {
            return Ok(std::array::from_fn(|_| Answer::default()));
        }
        let mut answers = self.send(doing).await.map_err(|broken| broken.error)?;
        let asked: usize = counts.iter().sum();
        let mut answers = answers.split_off(answers.len().saturating_sub(asked)).into_iter();
        Ok(counts.map(|count| answers.by_ref().take(count).fold(Answer::default(), Answer::and)))
    }

    /// The connection, for statements that do not wait; what waits goes first.
    pub(crate) async fn conn(&mut self, doing: &'static str) -> Result<&mut AnyConnection, StoreError> {
        self.send(doing).await.map_err(|broken| broken.error)?;
        Ok(&mut *self.conn)
    }

    /// Ends the transaction. After an error at the commit itself nobody knows whether it was written.
    pub(crate) async fn commit(mut self, doing: &'static str) -> Result<(), Broken> {
        self.waiting.push(Statement::plain(COMMIT));
        self.send(doing).await.map(|_| ())
    }

    /// Sends what waits; an answer for each statement.
    async fn send(&mut self, doing: &'static str) -> Result<Vec<Answer>, Broken> {
        let mut answers = Vec::with_capacity(self.waiting.len());
        let mut waiting = std::mem::take(&mut self.waiting).into_iter().peekable();
        while let Some(mut text) = waiting.next() {
            let mut joined = 1;
            while text.rows <= TOGETHER_ROWS
                && let Some(next) =
                    waiting.next_if(|next| self.marks.may_join() && next.rows <= TOGETHER_ROWS)
            {
                text.join(next);
                joined += 1;
            }
            let ends = text.text.ends_with(COMMIT);
            let before = answers.len();
            let sent = self.one(text, &mut answers).await;
            sent.sql(doing).map_err(|error| {
                let at_commit = ends && answers.len() + 1 == before + joined;
                Broken { error, at_commit }
            })?;
        }
        Ok(answers)
    }

    async fn one(&mut self, statement: Statement, answers: &mut Vec<Answer>) -> Result<(), sqlx::Error> {
        let arguments = bind(statement.values.into_iter())?;
        let query = sqlx::query_with(AssertSqlSafe(statement.text), arguments);
        let mut parts = self.conn.fetch_many(query);
        let mut rows = Vec::new();
        while let Some(part) = parts.try_next().await? {
            match part {
                Either::Right(row) => rows.push(row),
                Either::Left(done) => {
                    answers.push(Answer { rows: std::mem::take(&mut rows), changed: done.rows_affected() });
                }
            }
        }
        Ok(())
    }
}
