//! Statements over many rows at once: few statements per transaction are what makes commits cheap.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Decode, Row, Type};

use crate::error::{Sql, StoreError};

/// One value of a row. NULLs are typed because PostgreSQL wants to know before it sees a value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
    NoInt,
    NoText,
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Int(i64::from(yes))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<i64>> for Value {
    fn from(n: Option<i64>) -> Self {
        n.map_or(Self::NoInt, Self::Int)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::NoText, Self::from)
    }
}

/// A row of values: `row![1, "two"]`.
macro_rules! row {
    ($($value:expr),+ $(,)?) => { [$($crate::sql::Value::from($value)),+] };
}
pub(crate) use row;

/// A statement `head` + `($1, $2), ($3, $4), …` + `tail` over any number of rows.
pub(crate) struct Many {
    head: &'static str,
    tail: &'static str,
    width: usize,
    values: Vec<Value>,
}

/// Rows per statement: powers of two, so that few different texts exist and prepared statements
/// are found again. 128 rows of 11 columns are far below both engines' limits on parameters.
const MOST_ROWS: usize = 128;

impl Many {
    pub(crate) fn new(head: &'static str, tail: &'static str) -> Self {
        Self { head, tail, width: 0, values: Vec::new() }
    }

    pub(crate) fn push<const N: usize>(&mut self, row: [Value; N]) {
        self.width = N;
        self.values.extend(row);
    }

    /// The statements that do it for all rows.
    pub(crate) fn into_statements(self, marks: Marks) -> Vec<Statement> {
        let mut statements = Vec::new();
        let mut rows = self.values.len().checked_div(self.width).unwrap_or(0);
        let mut values = self.values.into_iter();
        while rows > 0 {
            let step = step(rows);
            rows -= step;
            let values = values.by_ref().take(step * self.width).collect();
            let text = text(self.head, self.tail, self.width, step, marks);
            statements.push(Statement { text, values, rows: step });
        }
        statements
    }

    /// Runs it for all rows and gives what it returns.
    pub(crate) async fn fetch(
        self,
        conn: &mut AnyConnection,
        doing: &'static str,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut found = Vec::new();
        for statement in self.into_statements(Marks::of(conn)) {
            let arguments = bind(statement.values.into_iter()).sql(doing)?;
            let query = sqlx::query_with(AssertSqlSafe(statement.text), arguments);
            found.extend(query.fetch_all(&mut *conn).await.sql(doing)?);
        }
        Ok(found)
    }

    /// Runs it for all rows and says how many rows it changed.
    pub(crate) async fn run(self, conn: &mut AnyConnection, doing: &'static str) -> Result<u64, StoreError> {
        let mut changed = 0;
        for statement in self.into_statements(Marks::of(conn)) {
            let arguments = bind(statement.values.into_iter()).sql(doing)?;
            let query = sqlx::query_with(AssertSqlSafe(statement.text), arguments);
            changed += query.execute(&mut *conn).await.sql(doing)?.rows_affected();
        }
        Ok(changed)
    }
}

/// The largest power of two that fits.
fn step(rows: usize) -> usize {
    rows.checked_ilog2().map_or(1, |bits| 1 << bits).min(MOST_ROWS)
}

/// One text with its values.
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
    pub(crate) rows: usize,
}

impl Statement {
    /// A statement without values.
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new(), rows: 0 }
    }

    /// Puts `next` behind it.
    pub(crate) fn join(&mut self, next: Self) {
        self.text.push_str("; ");
        self.text.push_str(&next.text);
        self.values.extend(next.values);
    }
}

/// What a statement gave.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<AnyRow>,
    /// Rows that were written; says nothing after a question that writes none.
    pub(crate) changed: u64,
}

impl Answer {
    /// The answers of two parts of one question.
    pub(crate) fn and(mut self, next: Self) -> Self {
        self.rows.extend(next.rows);
        self.changed += next.changed;
        self
    }
}

/// How parameters are written. SQLite takes `$1` for a name and looks names up one after the
/// other; with a thousand of them that was a quarter of all the writer's time. Both ways count
/// in the order of the values, so it is still one text.
#[derive(Clone, Copy)]
pub(crate) enum Marks {
    Plain,
    Numbered,
}

impl Marks {
    /// Whether several statements may be one text: SQLite carries them out one after the other.
    pub(crate) fn may_join(self) -> bool {
        matches!(self, Self::Plain)
    }

    pub(crate) fn of(conn: &AnyConnection) -> Self {
        if conn.backend_name() == "SQLite" { Self::Plain } else { Self::Numbered }
    }
}

fn text(head: &str, tail: &str, width: usize, rows: usize, marks: Marks) -> String {
    let mut text = String::with_capacity(head.len() + tail.len() + rows * (width * 6 + 4));
    text.push_str(head);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..width {
            text.push_str(if column == 0 { "" } else { ", " });
            match marks {
                Marks::Plain => text.push('?'),
                Marks::Numbered => {
                    text.push('$');
                    text.push_str(&(row * width + column + 1).to_string());
                }
            }
        }
        text.push(')');
    }
    text.push_str(tail);
    text
}

/// Values as the driver wants them.
pub(crate) fn bind(values: impl Iterator<Item = Value>) -> Result<AnyArguments, sqlx::Error> {
    let mut arguments = AnyArguments::default();
    for value in values {
        match value {
            Value::Int(n) => arguments.add(n),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(bytes),
            Value::NoInt => arguments.add(None::<i64>),
            Value::NoText => arguments.add(None::<String>),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A statement over one row of values.
pub(crate) async fn fetch(
    conn: &mut AnyConnection,
    doing: &'static str,
    text: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<AnyRow>, StoreError> {
    let arguments = bind(values.into_iter()).sql(doing)?;
    sqlx::query_with(text, arguments).fetch_all(conn).await.sql(doing)
}

/// A statement over one row of values; says how many rows it changed.
pub(crate) async fn run(
    conn: &mut AnyConnection,
    doing: &'static str,
    text: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let arguments = bind(values.into_iter()).sql(doing)?;
    Ok(sqlx::query_with(text, arguments).execute(conn).await.sql(doing)?.rows_affected())
}

/// Reads columns by position.
pub(crate) trait Columns {
    fn at<'r, T: Decode<'r, sqlx::Any> + Type<sqlx::Any>>(&'r self, index: usize) -> Result<T, StoreError>;
}

impl Columns for AnyRow {
    fn at<'r, T: Decode<'r, sqlx::Any> + Type<sqlx::Any>>(&'r self, index: usize) -> Result<T, StoreError> {
        self.try_get(index).sql("reading a row")
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_lists_its_parameters_row_by_row() {
        let (head, tail) = ("INSERT INTO t VALUES ", " ON CONFLICT DO NOTHING");
        let numbered = text(head, tail, 2, 2, Marks::Numbered);
        assert_eq!(numbered, "INSERT INTO t VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
        assert_eq!(text(head, "", 2, 2, Marks::Plain), "INSERT INTO t VALUES (?, ?), (?, ?)");
    }

    #[test]
    fn joined_statements_keep_their_values_in_order() {
        let mut one = Many::new("INSERT INTO a VALUES ", "");
        one.push(row![1, "x"]);
        let mut two = Many::new("INSERT INTO b VALUES ", " RETURNING c");
        two.push(row![2]);
        let mut joined = Statement::plain("BEGIN");
        for statement in [one, two].into_iter().flat_map(|many| many.into_statements(Marks::Plain)) {
            joined.join(statement);
        }
        assert_eq!(joined.text, "BEGIN; INSERT INTO a VALUES (?, ?); INSERT INTO b VALUES (?) RETURNING c");
        assert!(matches!(&joined.values[..], [Value::Int(1), Value::Text(_), Value::Int(2)]));
    }

    #[test]
    fn rows_are_taken_in_powers_of_two() {
        assert_eq!([1, 2, 3, 50, 127, 128, 5000].map(step), [1, 2, 2, 32, 64, 128, 128]);
    }

    #[test]
    fn hex_has_two_digits_per_byte() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
