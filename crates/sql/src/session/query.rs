//! Queries of a session: planned over the catalog with its system relations, run over one snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    row::{RowConverter, SortField},
};
use datafusion_common::ScalarValue;
use datafusion_sql::sqlparser::ast;
use streams::Delta;

use super::{Rows, Session, rows::changes_schema};
use crate::{
    backend::{Permit, PermitSize, ReadAt, SqlError},
    catalog::{Catalog, Relation, RelationKind},
    column_type::{field_of, field_of_oid, postgres_type},
    error::sqlstate,
    execute::execute,
    pg_catalog::{self, Asker, SystemCatalog},
    planner::{self, Bindings, Planned},
};

/// What is read at most to be answered on the spot: to go through it takes no longer than to wake another thread.
const LIGHT_BYTES_MAX: usize = 64 << 10;

/// Rows of relations, and the epoch they are of where they are of one.
type Found = (BTreeMap<String, Vec<Delta>>, Option<u64>);

/// What is run: over the rows of all that it reads.
type Question = (Vec<Planned>, Bindings, BTreeMap<String, Vec<Delta>>);

/// A query that is planned, for as long as the catalog stays as it was.
#[derive(Debug)]
pub(super) struct Query {
    system: Arc<SystemCatalog>,
    pub planned: Planned,
    pub schema: SchemaRef,
    /// Of a point query, the relation and the columns of its key, which may not be what it asks for.
    place: Option<(Arc<Relation>, Vec<usize>)>,
    /// Settings that the query itself sets.
    sets: Vec<(String, String)>,
}

impl Query {
    /// Of `$1` and so on, by oid.
    pub fn parameters(&self) -> Vec<u32> {
        let fields = self.planned.parameters.iter();
        fields.map(|field| postgres_type(field).oid).collect()
    }
}

impl Session {
    /// The catalog as of now.
    pub(super) async fn system(&mut self) -> Arc<SystemCatalog> {
        let catalog = self.backend.catalog().await;
        match &self.system {
            Some(system) if system.is_of(&catalog) => system.clone(),
            _ => {
                let system = Arc::new(SystemCatalog::new(catalog));
                self.system = Some(system.clone());
                system
            }
        }
    }

    pub(super) async fn relation(&mut self, name: &str) -> Result<Arc<Relation>, SqlError> {
        let system = self.system().await;
        let bare = name.strip_prefix("public.").unwrap_or(name);
        let found = system.all.get(bare);
        let found = found.or_else(|| system.all.get(&format!("pg_catalog.{bare}")));
        let missing = || SqlError::new(*b"42P01", format!("relation \"{name}\" does not exist"));
        found.cloned().ok_or_else(missing)
    }

    /// Runs what computes for long where it disturbs nobody.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, SqlError> {
        let done = Arc::new(Mutex::new(None));
        let to = done.clone();
        let work = Box::new(move || {
            let result = work();
            *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        self.backend.compute(work).await;
        let result = done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stopped = || {
            SqlError::new(
                *b"57P01",
                "terminating connection due to administrator command",
            )
        };
        result.ok_or_else(stopped)?
    }

    /// `types` are oids of parameters, 0 for any.
    pub(super) async fn plan(
        &mut self,
        query: &ast::Query,
        types: &[u32],
    ) -> Result<Arc<Query>, SqlError> {
        let system = self.system().await;
        let asker = Asker {
            identity: &self.identity,
            settings: &self.settings,
        };
        let mut query = query.clone();
        let rewritten = pg_catalog::rewrite(&mut query, &asker)?;
        let mut types = types.to_vec();
        type_of_casts(&query, &mut types);
        let types: Vec<_> = types
            .iter()
            .map(|oid| field_of_oid(*oid).map(Arc::new))
            .collect();
        let all = system.all.clone();
        let planned = self
            .compute(move || planner::plan_query(&all, &query, &types))
            .await?;
        for relation in &planned.reads {
            if system
                .all
                .get(relation)
                .is_some_and(|found| matches!(found.kind, RelationKind::Sink | RelationKind::Index))
            {
                let message =
                    format!("cannot read from \"{relation}\": it keeps no rows of its own");
                let hint = "Read what it reads instead.";
                return Err(SqlError::new(*b"42809", message).with_hint(hint));
            }
        }
        Ok(Arc::new(Query {
            place: point_place(&system.all, &planned),
            schema: Arc::new(Schema::new(planned.fields.clone())),
            system,
            planned,
            sets: rewritten.sets,
        }))
    }

    /// Plans again what was planned over a catalog that has changed since.
    pub(super) async fn refreshed(
        &mut self,
        query: &ast::Query,
        planned: &Arc<Query>,
    ) -> Result<Arc<Query>, SqlError> {
        let catalog = self.backend.catalog().await;
        if planned.system.is_of(&catalog) {
            return Ok(planned.clone());
        }
        Box::pin(self.plan(query, &planned.parameters())).await
    }

    pub(super) async fn query(
        &mut self,
        query: &ast::Query,
        values: &[ScalarValue],
    ) -> Result<Rows, SqlError> {
        let planned = self.plan(query, &[]).await?;
        self.run_query(&planned, values).await
    }

    pub(super) async fn run_query(
        &mut self,
        query: &Query,
        values: &[ScalarValue],
    ) -> Result<Rows, SqlError> {
        for (name, value) in &query.sets {
            self.settings.set(name, value, false)?;
        }
        let planned = vec![query.planned.clone()];
        let (mut answers, _) = self.run_planned(&query.system, planned, values).await?;
        self.kept(query.schema.clone(), answers.pop().unwrap_or_default())
    }

    /// The same where the answer is told at once: the row with a key is found without any work.
    pub(super) async fn answer_query(
        &mut self,
        query: &Query,
        values: &[ScalarValue],
    ) -> Result<Rows, SqlError> {
        match self.point(query, values)? {
            Some(row) => Ok(Rows::new(query.schema.clone(), vec![row])),
            None => Box::pin(self.run_query(query, values)).await,
        }
    }

    /// The answer to a query for the row with a key, which lies among others; `None`: it is another, or is to see what is not
    /// found on the spot.
    fn point(
        &self,
        query: &Query,
        values: &[ScalarValue],
    ) -> Result<Option<RecordBatch>, SqlError> {
        let (Some((relation, columns)), Some(point)) = (&query.place, query.planned.point()) else {
            return Ok(None);
        };
        if !self.reads_newest(&relation.name) || !query.sets.is_empty() {
            return Ok(None);
        }
        let Some(key) = query.planned.key(columns, values)? else {
            return Ok(None);
        };
        let key = key.iter().map(ScalarValue::to_array);
        let key = key.collect::<Result<Vec<_>, _>>()?;
        let found = match self.backend.find(&relation.name, columns, &key) {
            Some(Some(found)) if found.weight == 1 => found,
            Some(None) => return Ok(Some(RecordBatch::new_empty(query.schema.clone()))),
            // It is none by a key, after all.
            _ => return Ok(None),
        };
        check_columns(relation, &found.rows.schema())?;
        let shown = point.columns.iter().zip(query.schema.fields());
        let columns = shown.map(|(at, field)| {
            let value = found.rows.column(*at).slice(found.at, 1);
            match value.data_type() == field.data_type() {
                true => Ok(value),
                false => cast(&value, field.data_type()),
            }
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let shown = RecordBatch::try_new_with_options(query.schema.clone(), columns, &options)?;
        Ok(Some(shown))
    }

    /// Outside of transactions, which read all they read of one epoch, where nothing is waited for, and nothing is written that
    /// others do not see yet: the statements of one message are one transaction.
    fn reads_newest(&self, relation: &str) -> bool {
        let mut written = self.transaction.written(relation);
        !self.transaction.is_open() && !self.settings.waits() && written.next().is_none()
    }

    /// An answer, whose memory is counted until the client has it: a cursor may keep it for long.
    pub(super) fn kept(
        &self,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
    ) -> Result<Rows, SqlError> {
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let held = self.backend.answer_permit(bytes).ok_or_else(|| {
            let message = "answers that clients have not taken yet fill the memory for them";
            SqlError::new(sqlstate::OUT_OF_MEMORY, message)
        })?;
        Ok(Rows::new(schema, batches).holding(held))
    }

    /// The answer of each, all of them over rows that are read once, and the epoch of those where they are of one.
    pub(super) async fn run_planned(
        &mut self,
        system: &SystemCatalog,
        planned: Vec<Planned>,
        values: &[ScalarValue],
    ) -> Result<(Vec<Vec<RecordBatch>>, Option<u64>), SqlError> {
        let bindings = Bindings {
            parameters: values.to_vec(),
            now_us: self.transaction_time(),
        };
        let mut bound = Vec::with_capacity(planned.len());
        for planned in planned {
            let values = bindings.clone();
            bound.push(match (planned.is_template(), planned.is_light) {
                (false, _) => planned,
                (true, true) => planned.bind(&values)?,
                (true, false) => self.compute(move || planned.bind(&values)).await?,
            });
        }
        // Whoever waits for memory holds no rows yet; but the time that others need is waited for before.
        self.caught_up(&bound).await?;
        let mut size = PermitSize::Small;
        loop {
            let permit = self.backend.permit(size).await;
            let (rows, epoch) = match self.look_up(system, &bound).await? {
                Some(found) => found,
                None => self.read(system, &bound).await?,
            };
            let question = Arc::new((bound.clone(), bindings.clone(), rows));
            match self.execute_in(permit, &question).await {
                Err(error) if size == PermitSize::Small && is_too_small(&error) => {
                    size = PermitSize::Large;
                }
                done => return Ok((done?, epoch)),
            }
        }
    }

    /// Waits until what the session has written to topics was read, if it asks for that.
    async fn caught_up(&self, bound: &[Planned]) -> Result<(), SqlError> {
        let after = tokens(self.settings.get("forebay.after")?)?;
        if !after.is_empty() && bound.iter().any(|planned| !planned.reads.is_empty()) {
            let at = ReadAt {
                after,
                ..ReadAt::default()
            };
            self.backend.snapshot(Vec::new(), at).await?;
        }
        Ok(())
    }

    /// Runs each over these rows; what is too much for a small permit is tried again with a large one.
    pub(super) async fn execute(
        &self,
        planned: Vec<Planned>,
        bindings: Bindings,
        rows: BTreeMap<String, Vec<Delta>>,
    ) -> Result<Vec<Vec<RecordBatch>>, SqlError> {
        let question = Arc::new((planned, bindings, rows));
        let permit = self.backend.permit(PermitSize::Small).await;
        match self.execute_in(permit, &question).await {
            Err(error) if is_too_small(&error) => {
                let permit = self.backend.permit(PermitSize::Large).await;
                self.execute_in(permit, &question).await
            }
            done => done,
        }
    }

    async fn execute_in(
        &self,
        permit: Permit,
        question: &Arc<Question>,
    ) -> Result<Vec<Vec<RecordBatch>>, SqlError> {
        let question = question.clone();
        let (planned, _, rows) = &*question;
        let deltas = rows.values().flatten();
        let bytes = deltas.map(|delta| delta.rows().get_array_memory_size());
        let is_light = planned.iter().all(|planned| planned.is_light)
            && bytes.sum::<usize>() <= LIGHT_BYTES_MAX;
        let run = move || {
            let (planned, bindings, rows) = &*question;
            let answer = |planned: &Planned| execute(planned, bindings, rows, permit.bytes);
            let answers = planned.iter().map(answer).collect();
            // Only now, also when nobody waits for the answers any more.
            drop(permit);
            answers
        };
        match is_light {
            true => run(),
            false => self.compute(run).await,
        }
    }

    /// The rows that the queries can see, if they read one relation whose rows are found by what they ask of them.
    async fn look_up(
        &mut self,
        system: &SystemCatalog,
        bound: &[Planned],
    ) -> Result<Option<Found>, SqlError> {
        let reads: BTreeSet<&String> = bound.iter().flat_map(|planned| &planned.reads).collect();
        let mut reads = reads.into_iter();
        let (Some(name), None) = (reads.next(), reads.next()) else {
            return Ok(None);
        };
        if !self.reads_newest(name) {
            return Ok(None);
        }
        let mut places = Vec::new();
        for (at, planned) in bound.iter().enumerate() {
            let Some(own) = planned.lookups.get(name) else {
                return Ok(None);
            };
            // The rows that go by an UPDATE are found like those that come for them.
            let mut others = bound[..at].iter();
            if !others.any(|other| other.lookups.get(name) == Some(own)) {
                places.extend(own.iter().cloned());
            }
        }
        let (Some(relation), Some((columns, keys))) = (
            system.all.get(name),
            lookup_keys(&system.all, name, &places)?,
        ) else {
            return Ok(None);
        };
        if !keeps_rows(relation) {
            return Ok(None);
        }
        let snapshot = self.backend.lookup(name.clone(), columns, keys).await?;
        for (name, rows) in &snapshot.rows {
            check_all(&system.all, name, rows)?;
        }
        let epoch = snapshot.epoch;
        Ok(Some((snapshot.rows, Some(epoch))))
    }

    /// What `now()` says: when the transaction began.
    pub(super) fn transaction_time(&mut self) -> i64 {
        let now = (self.now)();
        if self.transaction.holds() {
            *self.transaction.began_us.get_or_insert(now)
        } else {
            now
        }
    }

    /// Rows of all relations that the queries read, as of one epoch.
    async fn read(&mut self, system: &SystemCatalog, bound: &[Planned]) -> Result<Found, SqlError> {
        let mut rows = BTreeMap::new();
        let mut names = Vec::new();
        let asker = Asker {
            identity: &self.identity,
            settings: &self.settings,
        };
        let reads: BTreeSet<&String> = bound.iter().flat_map(|planned| &planned.reads).collect();
        for name in reads {
            if let Some(batch) = system.rows(name, &asker) {
                rows.insert(name.clone(), vec![Delta::insert(batch?)]);
                continue;
            }
            let found = system.all.get(name);
            if found.is_some_and(|found| found.kind == RelationKind::System) {
                let table = name.strip_prefix("forebay.").unwrap_or(name).to_owned();
                let found = self.backend.system(table).await?;
                rows.insert(name.clone(), found.into_iter().map(Delta::insert).collect());
            } else {
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            return Ok((rows, None));
        }
        let epoch = self.read_relations(system, names, &mut rows).await?;
        Ok((rows, Some(epoch)))
    }

    /// Rows of relations of users. A transaction takes all views and tables with its first read: later ones are of the same
    /// epoch, which the node has not kept.
    pub(super) async fn read_relations(
        &mut self,
        system: &SystemCatalog,
        mut names: Vec<String>,
        rows: &mut BTreeMap<String, Vec<Delta>>,
    ) -> Result<u64, SqlError> {
        let level = self.settings.get("default_transaction_isolation")?;
        let is_live = level.starts_with("read") || self.settings.get("forebay.read")? == "live";
        let pins = self.transaction.is_open() && !is_live;
        let wanted = names.clone();
        let mut beside = Vec::new();
        if pins && self.transaction.epoch.is_none() {
            let kept = system.all.relations().filter(|relation| {
                matches!(relation.kind, RelationKind::View | RelationKind::Table)
            });
            beside.extend(kept.map(|relation| relation.name.clone()));
            beside.retain(|name| !names.contains(name));
        }
        names.retain(|name| !self.transaction.rows.contains_key(name));
        let mut epoch = self.transaction.epoch;
        let mut found = BTreeMap::new();
        if !names.is_empty() {
            let at = ReadAt {
                epoch,
                after: tokens(self.settings.get("forebay.after")?)?,
                beside,
            };
            let snapshot = self.backend.snapshot(names, at).await?;
            epoch = epoch.or(Some(snapshot.epoch));
            found = snapshot.rows;
        }
        if pins {
            self.transaction.epoch = epoch;
            self.transaction.rows.append(&mut found);
        }
        for name in wanted {
            let kept = self.transaction.rows.get(&name).cloned();
            let mut deltas = kept.or_else(|| found.remove(&name)).unwrap_or_default();
            check_all(&system.all, &name, &deltas)?;
            // What it wrote itself, which nobody else sees yet.
            deltas.extend(self.transaction.written(&name).cloned());
            rows.insert(name, deltas);
        }
        Ok(epoch.unwrap_or_default())
    }

    pub(super) async fn subscribe_columns(&mut self, name: &str) -> Result<SchemaRef, SqlError> {
        Ok(changes_schema(&self.relation(name).await?.schema))
    }

    pub(super) async fn subscribe(
        &mut self,
        name: &str,
        with_snapshot: bool,
    ) -> Result<Rows, SqlError> {
        let relation = self.relation(name).await?;
        relation.check()?;
        if matches!(
            relation.kind,
            RelationKind::System | RelationKind::Sink | RelationKind::Index
        ) {
            let message = format!("cannot subscribe to \"{name}\"");
            return Err(SqlError::new(*b"42809", message)
                .with_hint("SUBSCRIBE takes a source, a table or a view."));
        }
        let changes = self
            .backend
            .subscribe(relation.name.clone(), with_snapshot)
            .await?;
        Ok(Rows::subscribed(&relation.schema, changes))
    }
}

/// A view may be replaced between the planning of a query and its reading, or behind the first read of a transaction; a table
/// may be dropped, and another made by its name.
fn check_columns(relation: &Relation, read: &Schema) -> Result<(), SqlError> {
    if !keeps_rows(relation) {
        return Ok(());
    }
    let (known, read) = (relation.schema.fields(), read.fields());
    let mut pairs = known.iter().zip(read);
    let is_same = |(known, read): (&FieldRef, &FieldRef)| {
        known.name() == read.name() && known.data_type() == read.data_type()
    };
    if known.len() == read.len() && pairs.all(is_same) {
        return Ok(());
    }
    let name = &relation.name;
    let message = format!("\"{name}\" was replaced while the query was planned");
    Err(SqlError::new(*b"0A000", message).with_hint("Ask again."))
}

fn check_all(catalog: &Catalog, name: &str, rows: &[Delta]) -> Result<(), SqlError> {
    match (catalog.get(name), rows.first()) {
        (Some(relation), Some(first)) => check_columns(relation, &first.rows().schema()),
        _ => Ok(()),
    }
}

/// See [`Query::place`]. The only row of all has a key without columns.
fn point_place(catalog: &Catalog, planned: &Planned) -> Option<(Arc<Relation>, Vec<usize>)> {
    let relation = catalog.get(&planned.point()?.relation)?;
    let key = relation.key.clone().filter(|key| !key.is_empty())?;
    keeps_rows(relation).then(|| (relation.clone(), key))
}

/// Keys looked up for one question, those that it names twice among them; for more all rows are read.
pub(super) const LOOKUPS_MAX: usize = 1024;

/// Columns by which all rows that a query can see are found, and their values, one row for each combination.
fn lookup_keys(
    catalog: &Catalog,
    name: &str,
    places: &[planner::Values],
) -> Result<Option<(Vec<usize>, RecordBatch)>, SqlError> {
    let Some(relation) = catalog.get(name) else {
        return Ok(None);
    };
    let is_given = |columns: &&[usize]| {
        let all_of = |values: &planner::Values| columns.iter().all(|at| values.contains_key(at));
        places.iter().all(all_of)
    };
    // The key first: what it finds is one row.
    let mut usable = catalog.lookup_columns(name).filter(is_given);
    let found = usable.find_map(|columns| Some((columns, combinations(columns, places)?)));
    let Some((columns, rows)) = found else {
        return Ok(None);
    };
    let values =
        (0..columns.len()).map(|place| rows.iter().map(|row| row[place].clone()).collect());
    let keys = keys_of(relation, columns, values)?;
    Ok(Some((columns.to_vec(), once_each(&keys)?)))
}

/// Of each of these columns, its values.
fn keys_of(
    relation: &Relation,
    columns: &[usize],
    values: impl Iterator<Item = Vec<ScalarValue>>,
) -> Result<RecordBatch, SqlError> {
    let mut arrays = Vec::with_capacity(columns.len());
    let mut fields = Vec::with_capacity(columns.len());
    for (at, values) in columns.iter().zip(values) {
        let field = relation.schema.field(*at);
        arrays.push(cast(
            &ScalarValue::iter_to_array(values)?,
            field.data_type(),
        )?);
        fields.push(field.clone().with_nullable(true));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn keeps_rows(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::View | RelationKind::Table)
}

/// Of the values that these columns have in all places; `None`: they are too many.
fn combinations(columns: &[usize], places: &[planner::Values]) -> Option<Vec<Vec<ScalarValue>>> {
    let mut rows: Vec<Vec<ScalarValue>> = Vec::new();
    for values in places {
        let mut combined: Vec<Vec<ScalarValue>> = vec![Vec::new()];
        for at in columns {
            let one_of = &values[at];
            if rows.len() + combined.len() * one_of.len() > LOOKUPS_MAX {
                return None;
            }
            combined = combined
                .iter()
                .flat_map(|row| {
                    one_of
                        .iter()
                        .map(|value| [&row[..], std::slice::from_ref(value)].concat())
                })
                .collect();
        }
        rows.extend(combined);
    }
    Some(rows)
}

/// What is asked for twice is there once: an IN list may repeat a value, and several places may name the same one.
fn once_each(keys: &RecordBatch) -> Result<RecordBatch, SqlError> {
    let types = keys.columns().iter();
    let types = types.map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(types.collect())?.convert_columns(keys.columns())?;
    let mut seen = BTreeSet::new();
    let first: BooleanArray = rows.iter().map(|row| Some(seen.insert(row))).collect();
    Ok(filter_record_batch(keys, &first)?)
}

/// More memory may help.
fn is_too_small(error: &SqlError) -> bool {
    error.sqlstate == sqlstate::OUT_OF_MEMORY
}

/// `$1::int` says what the parameter is, where nobody else has.
fn type_of_casts(query: &ast::Query, types: &mut Vec<u32>) {
    let flow = ast::visit_expressions(query, |expression| {
        if let ast::Expr::Cast {
            expr, data_type, ..
        } = expression
            && let ast::Expr::Value(value) = expr.as_ref()
            && let ast::Value::Placeholder(name) = &value.value
            && let Some(number) = name
                .strip_prefix('$')
                .and_then(|digits| digits.parse::<u16>().ok())
            && let Some(at) = usize::from(number).checked_sub(1)
            && let Ok(field) = field_of("", data_type)
        {
            if types.len() <= at {
                types.resize(at + 1, 0);
            }
            if types[at] == 0 {
                types[at] = postgres_type(&field).oid;
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    debug_assert!(flow.is_continue());
}

/// `topic/partition@offset`, with commas.
fn tokens(text: &str) -> Result<Vec<(String, i32, i64)>, SqlError> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (place, offset) = part.rsplit_once('@')?;
            let (topic, partition) = place.rsplit_once('/')?;
            Some((
                topic.to_owned(),
                partition.parse().ok()?,
                offset.parse().ok()?,
            ))
        })
        .map(|token| {
            token.ok_or_else(|| {
                let message = format!("invalid value for parameter \"forebay.after\": \"{text}\"");
                SqlError::new(*b"22023", message)
                    .with_hint("Write topic/partition@offset, with commas between several.")
            })
        })
        .collect()
}

/// A column of type text, that may be null.
pub(super) fn text_field(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

pub(super) fn table_batch(
    schema: SchemaRef,
    columns: Vec<Vec<Option<String>>>,
) -> Result<RecordBatch, SqlError> {
    let arrays = columns
        .into_iter()
        .map(|column| Arc::new(arrow::array::StringArray::from(column)) as arrow::array::ArrayRef);
    Ok(RecordBatch::try_new(schema, arrays.collect())?)
}
