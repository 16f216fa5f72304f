//! A client's session: statements in, answers out; its settings, transaction, prepared statements and cursors.
//!
//! # Place       one per connection, on the front thread; names no protocol and no socket
//! # Invariants
//! 1. Within a transaction every read is of one epoch, the first one that a read got.
//! 2. After an error a transaction answers nothing until it is rolled back.
//! # Yields      at every question to the backend; what is asked may be given up there by dropping the future
//! # Limits      `PREPARED_MAX` statements, `CURSORS_MAX` cursors

mod changes;
mod copy;
mod define;
mod explain;
mod query;
mod rows;
mod settings;
mod show;
mod transaction;

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_sql::sqlparser::ast;

pub use copy::CopyTarget;
pub use rows::{Rows, Tag};
pub use settings::{SERVER_VERSION, SETTINGS, Settings};
pub use transaction::Transaction;

use crate::{
    backend::{Backend, SqlError},
    column_type::{field_of, postgres_type},
    pg_catalog::SystemCatalog,
    statement::{self, Copied, CopyFormat, FetchCount, Statement, StatementKind},
};
use query::Query;

const PREPARED_MAX: usize = 4096;
const CURSORS_MAX: usize = 256;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub database: String,
    /// Number of the connection, as `pg_backend_pid()` gives it.
    pub process: u32,
    /// Of the client, when it has one.
    pub address: Option<std::net::SocketAddr>,
}

/// See the module head.
pub struct Session {
    backend: Arc<dyn Backend>,
    identity: Identity,
    pub settings: Settings,
    transaction: Transaction,
    prepared: BTreeMap<String, Arc<Prepared>>,
    cursors: BTreeMap<String, Rows>,
    notices: Vec<SqlError>,
    /// Microseconds since 1970.
    now: fn() -> i64,
    /// Of the newest catalog that was asked for.
    system: Option<Arc<SystemCatalog>>,
}

/// A statement that is ready to run, as often as wanted.
#[derive(Debug)]
pub struct Prepared {
    /// `None`: the text was empty.
    pub statement: Option<Statement>,
    /// Types of its parameters, by oid.
    pub parameters: Vec<u32>,
    /// Columns of its rows; `None`: it gives none.
    pub columns: Option<SchemaRef>,
    /// Of a query.
    query: Option<Arc<Query>>,
}

/// What a statement comes to.
pub enum Answer {
    Done(Tag),
    Rows(Rows),
    Copy {
        rows: Rows,
        format: CopyFormat,
    },
    /// Rows are to come from the client.
    CopyFrom(Arc<CopyTarget>),
}

impl Session {
    #[must_use]
    pub fn new(
        backend: Arc<dyn Backend>,
        identity: Identity,
        settings: Settings,
        now: fn() -> i64,
    ) -> Self {
        Self {
            backend,
            now,
            system: None,
            identity,
            settings,
            transaction: Transaction::default(),
            prepared: BTreeMap::new(),
            cursors: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// What the client is told beside answers.
    pub fn take_notices(&mut self) -> Vec<SqlError> {
        std::mem::take(&mut self.notices)
    }

    fn notice(&mut self, sqlstate: [u8; 5], message: impl Into<String>) {
        self.notices.push(SqlError::new(sqlstate, message));
    }

    /// Several statements follow that are one transaction, unless one of them says otherwise.
    pub fn begin_implicit(&mut self) {
        self.transaction.begin_implicit();
    }

    /// They are done.
    pub async fn end_implicit(&mut self, failed: bool) -> Result<(), SqlError> {
        if !self.transaction.is_implicit() {
            return Ok(());
        }
        let writes = self.transaction.end();
        self.settings.end(!failed);
        if failed {
            return Ok(());
        }
        self.write_all(writes).await
    }

    /// A statement failed.
    pub fn fail(&mut self) {
        self.transaction.fail();
    }

    /// Finds out what a statement needs and gives. `types` are oids of parameters, 0 for any.
    pub async fn prepare(
        &mut self,
        statement: Option<Statement>,
        types: &[u32],
    ) -> Result<Prepared, SqlError> {
        let own = statement.as_ref();
        let own = own.map(|own| (own.text.clone(), own.start, own.first));
        let prepared = self.prepare_statement(statement, types).await;
        prepared.map_err(|error| match &own {
            Some((text, start, first)) => statement::placed(error, text, *start, *first),
            None => error,
        })
    }

    async fn prepare_statement(
        &mut self,
        statement: Option<Statement>,
        types: &[u32],
    ) -> Result<Prepared, SqlError> {
        let mut prepared = Prepared {
            statement,
            parameters: types.to_vec(),
            columns: None,
            query: None,
        };
        let Some(statement) = prepared.statement.clone() else {
            return Ok(prepared);
        };
        self.check_transaction(&statement)?;
        match &statement.kind {
            StatementKind::Query(query) => {
                let query = self.plan(query, types).await?;
                prepared.parameters = query.parameters();
                prepared.columns = Some(query.schema.clone());
                prepared.query = Some(query);
            }
            StatementKind::Insert(_) | StatementKind::Update(_) | StatementKind::Delete(_) => {
                (prepared.parameters, prepared.columns) =
                    self.describe_change(&statement, types).await?;
            }
            _ => prepared.columns = self.columns(&statement).await?,
        }
        Ok(prepared)
    }

    /// Keeps a prepared statement under a name; the empty one is taken anew each time.
    pub fn keep(&mut self, name: &str, prepared: Prepared) -> Result<(), SqlError> {
        if !name.is_empty() && self.prepared.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(*b"42P05", message));
        }
        if self.prepared.len() >= PREPARED_MAX {
            return Err(SqlError::new(*b"53400", "too many prepared statements"));
        }
        self.prepared.insert(name.to_owned(), Arc::new(prepared));
        Ok(())
    }

    pub fn prepared(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            SqlError::new(*b"26000", message)
        })
    }

    /// Whether it was there.
    pub fn forget(&mut self, name: &str) -> bool {
        self.prepared.remove(name).is_some()
    }

    /// Of the rows of a statement that is no query.
    async fn columns(&mut self, statement: &Statement) -> Result<Option<SchemaRef>, SqlError> {
        Ok(match &statement.kind {
            StatementKind::Show(words) => Some(show::columns(words)),
            StatementKind::Describe { .. } => Some(show::describe_columns()),
            StatementKind::Explain { .. } | StatementKind::ExplainRelation { .. } => {
                Some(text_columns(&["QUERY PLAN"]))
            }
            StatementKind::Subscribe { relation, .. } => {
                Some(self.subscribe_columns(relation).await?)
            }
            StatementKind::Fetch { cursor, .. } => {
                self.cursors.get(cursor).map(|rows| rows.schema().clone())
            }
            StatementKind::Execute { name, .. } => self.prepared(name)?.columns.clone(),
            _ => None,
        })
    }

    /// Runs a statement with values for its parameters.
    pub async fn run(
        &mut self,
        prepared: &Prepared,
        values: &[ScalarValue],
    ) -> Result<Answer, SqlError> {
        let Some(statement) = &prepared.statement else {
            return Ok(Answer::Done(Tag::Fixed("")));
        };
        if values.len() != prepared.parameters.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement requires {}",
                values.len(),
                prepared.parameters.len()
            );
            return Err(SqlError::new(*b"08P01", message));
        }
        self.check_transaction(statement)?;
        // What takes more than to find a row has its state elsewhere: to move some KiB takes as long as to find one.
        match (&statement.kind, &prepared.query) {
            (StatementKind::Query(ast), Some(planned)) => {
                let query = self.refreshed(ast, planned).await?;
                Ok(Answer::Rows(self.answer_query(&query, values).await?))
            }
            (StatementKind::Insert(_) | StatementKind::Update(_) | StatementKind::Delete(_), _) => {
                Box::pin(self.change(statement, values)).await
            }
            _ => Box::pin(self.run_statement(statement)).await,
        }
    }

    fn check_transaction(&self, statement: &Statement) -> Result<(), SqlError> {
        let ends = matches!(
            statement.kind,
            StatementKind::Commit | StatementKind::Rollback | StatementKind::RollbackTo { .. }
        );
        if self.transaction.is_failed() && !ends {
            return Err(SqlError::new(
                *b"25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    pub async fn run_statement(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        let answer = self.answer(statement).await;
        answer.map_err(|error| statement.placed(error))
    }

    async fn answer(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        self.check_transaction(statement)?;
        let done = |tag| Ok(Answer::Done(Tag::Fixed(tag)));
        match &statement.kind {
            StatementKind::Query(query) => {
                let query = self.plan(query, &[]).await?;
                Ok(Answer::Rows(self.answer_query(&query, &[]).await?))
            }
            StatementKind::CopyFrom(from) => self.copy_from(from).await,
            StatementKind::Copy { of, format } => {
                let rows = match of {
                    Copied::Query(query) => self.query(query, &[]).await?,
                    Copied::Changes {
                        relation,
                        with_snapshot,
                    } => self.subscribe(relation, *with_snapshot).await?,
                };
                Ok(Answer::Copy {
                    rows: rows.with_tag("COPY"),
                    format: format.clone(),
                })
            }
            StatementKind::Subscribe {
                relation,
                with_snapshot,
            } => Ok(Answer::Rows(
                self.subscribe(relation, *with_snapshot).await?,
            )),
            StatementKind::Unlisten => done("UNLISTEN"),
            StatementKind::Flush => {
                self.backend.flush().await?;
                done("FLUSH")
            }
            StatementKind::Show(words) => self.show(words).await,
            StatementKind::Describe { relation } => self.describe_relation(relation).await,
            StatementKind::Explain { analyze, statement } => {
                self.explain(*analyze, statement).await
            }
            StatementKind::ExplainRelation { analyze, relation } => {
                self.explain_relation(*analyze, relation).await
            }
            StatementKind::Set {
                name,
                values,
                is_local,
            } => self.set(name, values, *is_local),
            StatementKind::Reset { name } => {
                self.settings.reset(name.as_deref())?;
                done("RESET")
            }
            StatementKind::Begin { .. }
            | StatementKind::Commit
            | StatementKind::Rollback
            | StatementKind::Savepoint { .. }
            | StatementKind::ReleaseSavepoint { .. }
            | StatementKind::RollbackTo { .. } => self.transact(&statement.kind).await,
            StatementKind::Prepare { .. }
            | StatementKind::Execute { .. }
            | StatementKind::Deallocate { .. }
            | StatementKind::Discard => self.run_prepared(&statement.kind).await,
            StatementKind::Declare { .. }
            | StatementKind::Fetch { .. }
            | StatementKind::Close { .. } => self.cursor(&statement.kind).await,
            StatementKind::Insert(_) | StatementKind::Update(_) | StatementKind::Delete(_) => {
                self.change(statement, &[]).await
            }
            StatementKind::CreateSource(_)
            | StatementKind::CreateTable(_)
            | StatementKind::CreateView(_)
            | StatementKind::CreateSink(_)
            | StatementKind::CreateIndex(_)
            | StatementKind::Drop(_)
            | StatementKind::Alter(_) => self.define(statement).await,
        }
    }

    async fn run_prepared(&mut self, kind: &StatementKind) -> Result<Answer, SqlError> {
        match kind {
            StatementKind::Prepare {
                name,
                types,
                statement,
            } => {
                let types = types
                    .iter()
                    .map(|written| Ok(postgres_type(&field_of("", written)?).oid));
                let types = types.collect::<Result<Vec<_>, SqlError>>()?;
                let prepared = self
                    .prepare(Some(statement.as_ref().clone()), &types)
                    .await?;
                self.keep(name, prepared)?;
                Ok(Answer::Done(Tag::Fixed("PREPARE")))
            }
            StatementKind::Execute { name, arguments } => {
                let prepared = self.prepared(name)?;
                if arguments.len() != prepared.parameters.len() {
                    let message =
                        format!("wrong number of parameters for prepared statement \"{name}\"");
                    let detail = format!(
                        "Expected {} parameters but got {}.",
                        prepared.parameters.len(),
                        arguments.len()
                    );
                    return Err(SqlError::new(*b"42601", message).with_detail(detail));
                }
                let values = self.values_of(arguments).await?;
                Box::pin(self.run(&prepared, &values)).await
            }
            StatementKind::Deallocate { name: None } => {
                self.prepared.clear();
                Ok(Answer::Done(Tag::Fixed("DEALLOCATE ALL")))
            }
            StatementKind::Deallocate { name: Some(name) } => {
                self.prepared(name)?;
                self.forget(name);
                Ok(Answer::Done(Tag::Fixed("DEALLOCATE")))
            }
            _ => {
                self.prepared.clear();
                self.cursors.clear();
                self.settings.reset(None)?;
                Ok(Answer::Done(Tag::Fixed("DISCARD ALL")))
            }
        }
    }

    /// Of expressions without columns.
    async fn values_of(&mut self, expressions: &[ast::Expr]) -> Result<Vec<ScalarValue>, SqlError> {
        if expressions.is_empty() {
            return Ok(Vec::new());
        }
        let words: Vec<String> = expressions.iter().map(ToString::to_string).collect();
        let parsed = parse(&format!("SELECT {}", words.join(", ")))?.pop();
        let Some(StatementKind::Query(query)) = parsed.map(|statement| statement.kind) else {
            return Err(SqlError::new(
                *b"42601",
                "an argument of EXECUTE is no expression",
            ));
        };
        let rows = self.query(&query, &[]).await;
        let mut rows = rows.map_err(SqlError::unplaced)?;
        let Some(row) = rows.next(1).await? else {
            return Err(SqlError::new(*b"XX000", "an expression has no value"));
        };
        let values = row
            .columns()
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0));
        Ok(values.collect::<Result<_, _>>()?)
    }

    async fn cursor(&mut self, kind: &StatementKind) -> Result<Answer, SqlError> {
        match kind {
            StatementKind::Declare { name, query } => {
                if self.cursors.contains_key(name) {
                    let message = format!("cursor \"{name}\" already exists");
                    return Err(SqlError::new(*b"42P03", message));
                }
                if self.cursors.len() >= CURSORS_MAX {
                    return Err(SqlError::new(*b"53400", "too many cursors"));
                }
                let rows = self.query(query, &[]).await?;
                self.cursors.insert(name.clone(), rows);
                Ok(Answer::Done(Tag::Fixed("DECLARE CURSOR")))
            }
            StatementKind::Fetch { cursor, count } => {
                let missing =
                    || SqlError::new(*b"34000", format!("cursor \"{cursor}\" does not exist"));
                let rows = self.cursors.get_mut(cursor).ok_or_else(missing)?;
                let count = match count {
                    FetchCount::All => usize::MAX,
                    FetchCount::Rows(rows) => usize::try_from(*rows).unwrap_or(usize::MAX),
                };
                Ok(Answer::Rows(rows.split(count).await?.with_tag("FETCH")))
            }
            StatementKind::Close { cursor: Some(name) } => {
                if self.cursors.remove(name).is_none() {
                    let message = format!("cursor \"{name}\" does not exist");
                    return Err(SqlError::new(*b"34000", message));
                }
                Ok(Answer::Done(Tag::Fixed("CLOSE CURSOR")))
            }
            _ => {
                self.cursors.clear();
                Ok(Answer::Done(Tag::Fixed("CLOSE CURSOR ALL")))
            }
        }
    }

    fn set(&mut self, name: &str, values: &[String], is_local: bool) -> Result<Answer, SqlError> {
        let done = Ok(Answer::Done(Tag::Fixed("SET")));
        match name {
            // Every transaction reads one epoch, which is more than any level asks for.
            "transaction" => return done,
            "names" => self
                .settings
                .set("client_encoding", &values.join(""), is_local)?,
            "session" if values.is_empty() => return done,
            _ if values.len() == 1 && values[0].eq_ignore_ascii_case("default") => {
                self.settings.reset(Some(name))?;
            }
            _ => self.settings.set(name, &values.join(", "), is_local)?,
        }
        if is_local && !self.transaction.is_open() {
            self.notice(
                *b"25P01",
                "SET LOCAL can only be used in transaction blocks",
            );
            self.settings.end(true);
        }
        done
    }

    /// Of a cursor that DECLARE made.
    #[must_use]
    pub fn cursor_columns(&self, name: &str) -> Option<&SchemaRef> {
        self.cursors.get(name).map(Rows::schema)
    }

    /// Portals and cursors end with the transaction they were made in.
    pub(crate) fn forget_cursors(&mut self) {
        self.cursors.clear();
    }
}

/// Columns of type text.
pub(crate) fn text_columns(names: &[&str]) -> SchemaRef {
    let fields = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Statements of a text.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    statement::parse(text)
}
