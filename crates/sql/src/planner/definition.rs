//! CREATE statements as relations and what makes them.

mod sink;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_expr::LogicalPlan;
use datafusion_sql::{
    planner::{ParserOptions, PlannerContext, SqlToRel},
    sqlparser::ast,
};
use streams::{
    Definition, NodeId, Operator, Plan,
    definition::{Index, Metadata, OnMalformed, Source, Table, View, Watermark},
    format::{Format, Framing, SchemaText},
    log::ExternalTopic,
};

use super::{
    change::{of_one_row, plan_change},
    context::Context,
    engine,
    lower::Lowering,
    properties::{Properties, properties},
    semantics, temporal, top_level,
    windows::{WINDOW_END, microseconds},
};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationKind},
    column_type::{DEFAULT_KEY, NOT_NULL_KEY, field_of, postgres_type},
    error::sqlstate,
    statement::{
        CreateIndex, CreateSource, CreateTable, CreateView, Statement, StatementKind, parse,
        quoted, quoted_part,
    },
};

/// A relation from the statement that makes it. Its id is given by whoever makes it.
pub fn define(
    catalog: &Catalog,
    statement: &Statement,
) -> Result<(Relation, Definition), SqlError> {
    let text = &statement.text;
    match &statement.kind {
        StatementKind::CreateSource(create) => source(catalog, create, text),
        StatementKind::CreateTable(create) => table(catalog, create, text),
        StatementKind::CreateView(create) => view(catalog, create, text),
        StatementKind::CreateSink(create) => sink::sink(catalog, create, text),
        StatementKind::CreateIndex(create) => index(catalog, create, text),
        _ => Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "this statement makes no relation",
        )),
    }
}

/// What stands in the place of a relation whose statement [`define`] refuses.
#[must_use]
pub fn failed(name: &str, statement: &str, error: &SqlError) -> Relation {
    let parsed = parse(statement).ok().and_then(|mut all| all.pop());
    let kind = match parsed.map(|parsed| parsed.kind) {
        Some(StatementKind::CreateSource(_)) => RelationKind::Source,
        Some(StatementKind::CreateTable(_)) => RelationKind::Table,
        Some(StatementKind::CreateSink(_)) => RelationKind::Sink,
        Some(StatementKind::CreateIndex(_)) => RelationKind::Index,
        _ => RelationKind::View,
    };
    Relation {
        failure: Some(error.to_string()),
        ..relation(name, kind, statement, Arc::new(Schema::empty()))
    }
}

/// An index is found by what it reads, and its key has the places there of its columns.
fn index(
    catalog: &Catalog,
    create: &CreateIndex,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    let of = catalog.get(&create.relation).ok_or_else(|| {
        SqlError::new(
            sqlstate::UNDEFINED_TABLE,
            format!("relation \"{}\" does not exist", create.relation),
        )
    })?;
    of.check()?;
    if !matches!(of.kind, RelationKind::View | RelationKind::Table) {
        return Err(SqlError::new(
            sqlstate::WRONG_OBJECT_TYPE,
            format!("\"{}\" keeps no rows that could be looked up", of.name),
        )
        .with_hint("Indexes are on materialized views and tables."));
    }
    refuse_twice(create.columns.iter().map(String::as_str))?;
    let columns = create
        .columns
        .iter()
        .map(|name| place_of(&of.schema, name))
        .collect::<Result<Vec<_>, _>>()?;
    let schema = of.schema.project(&columns).map_err(SqlError::from)?;
    let mut made = relation(
        &create.index_name(),
        RelationKind::Index,
        text,
        Arc::new(schema),
    );
    made.key = Some(columns.clone());
    made.reads = vec![of.name.clone()];
    let index = Index {
        relation: of.name.clone(),
        columns,
    };
    Ok((made, Definition::Index(index)))
}

fn relation(name: &str, kind: RelationKind, text: &str, schema: SchemaRef) -> Relation {
    Relation {
        definition: text.to_owned(),
        ..Relation::new(name, kind, schema)
    }
}

fn refuse_twice<'n>(names: impl Iterator<Item = &'n str>) -> Result<(), SqlError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
    }
    Ok(())
}

fn place_of(schema: &Schema, name: &str) -> Result<usize, SqlError> {
    let place = schema
        .fields()
        .iter()
        .position(|field| field.name() == name);
    place.ok_or_else(|| {
        SqlError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column \"{name}\" named in key does not exist"),
        )
    })
}

fn source(
    catalog: &Catalog,
    create: &CreateSource,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    refuse_twice(create.columns.iter().map(|column| column.name.as_str()))?;
    if create.registry.is_some() {
        return Err(SqlError::unsupported(
            "the schema registry is asked when a source is created",
        ));
    }
    let options = source_options(catalog, create)?;
    let (future_us_max, on_malformed) = (options.future_us_max, options.on_malformed.clone());
    let brokers = options.brokers.clone();
    let format = source_format(create, options)?;
    let schema = source_columns(create, &format)?;
    let watermark = match &create.watermark {
        Some(written) => {
            let column = place_of(&schema, &written.column)?;
            if !matches!(schema.field(column).data_type(), DataType::Timestamp(..)) {
                return Err(SqlError::new(
                    sqlstate::DATATYPE_MISMATCH,
                    format!("column \"{}\" is no timestamp", written.column),
                ));
            }
            Some(Watermark {
                column,
                delay_us: delay(catalog, &written.delay)?,
                future_us_max,
            })
        }
        None => None,
    };
    let topic = topic_at(&create.topic, brokers.as_deref())?;
    let mut metadata = BTreeMap::new();
    for (at, column) in create.columns.iter().enumerate() {
        if let Some(name) = &column.metadata {
            metadata.insert(at, metadata_of(name)?);
        }
    }
    let mut made = relation(&create.name, RelationKind::Source, text, schema.clone());
    made.is_append_only = true;
    made.time = watermark.map(|watermark| watermark.column);
    let source = Source {
        topic,
        schema,
        format,
        metadata,
        watermark,
        on_malformed,
    };
    // Says now what could be said of each record later: that the format has no such column.
    streams::source::check(&source)
        .map_err(|error| SqlError::new(sqlstate::INVALID_DEFINITION, error.to_string()))?;
    Ok((made, Definition::Source(source)))
}

/// Those that are written, or else all that the schema has.
fn source_columns(create: &CreateSource, format: &Format) -> Result<SchemaRef, SqlError> {
    let invalid = |message: String| SqlError::new(sqlstate::INVALID_DEFINITION, message);
    if !create.columns.is_empty() {
        let fields = create.columns.iter();
        let fields = fields.map(|column| field_of(&column.name, &column.data_type));
        let fields = fields.collect::<Result<Vec<Field>, _>>()?;
        return Ok(Arc::new(Schema::new(fields)));
    }
    let implied = format.implied_schema();
    let implied = implied.map_err(|error| invalid(error.to_string()))?;
    implied.ok_or_else(|| {
        invalid(format!("FORMAT {} needs columns", create.format)).with_hint(format!(
            "CREATE SOURCE {} FROM TOPIC {} (name TEXT, …)",
            create.name, create.topic
        ))
    })
}

/// What stands behind FORMAT and WITH.
struct SourceOptions {
    on_malformed: OnMalformed,
    delimiter: u8,
    schema: Option<String>,
    references: Vec<(String, Arc<str>)>,
    message: Option<String>,
    framing: Framing,
    future_us_max: i64,
    /// Of the external cluster that has the topic.
    brokers: Option<String>,
}

/// Options that only some formats have, and those formats.
const FORMAT_OPTIONS: &[(&str, &[&str])] = &[
    ("delimiter", &["CSV"]),
    ("framing", &["AVRO", "PROTOBUF"]),
    ("message", &["PROTOBUF"]),
    ("references", &["AVRO", "PROTOBUF"]),
    ("subject", &["AVRO", "PROTOBUF"]),
    ("schema", &["AVRO", "PROTOBUF"]),
];

fn source_options(catalog: &Catalog, create: &CreateSource) -> Result<SourceOptions, SqlError> {
    let written = &create.options;
    let mut options = SourceOptions {
        on_malformed: OnMalformed::Skip,
        delimiter: b',',
        schema: None,
        references: Vec::new(),
        message: None,
        framing: Framing::None,
        future_us_max: Watermark::FUTURE_US_MAX,
        brokers: None,
    };
    let mut dead_letters = format!("{}.dead_letters", create.topic);
    for (name, value) in written {
        let of = FORMAT_OPTIONS.iter().find(|(known, _)| known == name);
        if of.is_some_and(|(_, formats)| !formats.contains(&create.format.as_str())) {
            return Err(SqlError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("FORMAT {} has no option \"{name}\"", create.format),
            ));
        }
        match (name.as_str(), value.as_str()) {
            ("on_malformed", "skip") => options.on_malformed = OnMalformed::Skip,
            ("on_malformed", "stop") => options.on_malformed = OnMalformed::Stop,
            ("on_malformed", "dead_letter") => {
                let topic = String::new();
                options.on_malformed = OnMalformed::DeadLetter { topic };
            }
            ("on_malformed", other) => {
                return Err(invalid_value(name, other, "skip, dead_letter or stop"));
            }
            ("dead_letter_topic", topic) => topic.clone_into(&mut dead_letters),
            ("bootstrap_servers", value) => options.brokers = Some(brokers(value)?),
            ("max_future", value) => options.future_us_max = interval_us(catalog, value)?,
            ("delimiter", value) if value.len() == 1 => options.delimiter = value.as_bytes()[0],
            ("schema", value) => options.schema = Some(value.to_owned()),
            ("message", value) => options.message = Some(value.to_owned()),
            ("framing", "none") => options.framing = Framing::None,
            ("framing", "confluent") => options.framing = Framing::Confluent,
            ("framing", "registry") => options.framing = Framing::Registry,
            // Where the schema came from, for whoever reads the statement.
            ("subject", _) => {}
            ("references", value) => options.references = references(value)?,
            ("framing", _) => {
                return Err(invalid_value(name, value, "none, confluent or registry"));
            }
            ("delimiter", _) => return Err(invalid_value(name, value, "one character of ASCII")),
            _ => return Err(unknown_option(name)),
        }
    }
    if let OnMalformed::DeadLetter { topic } = &mut options.on_malformed {
        if dead_letters == create.topic && options.brokers.is_none() {
            return Err(SqlError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("dead letters of topic \"{dead_letters}\" cannot go there again"),
            )
            .with_hint("Each of them would be malformed, too, and never the last."));
        }
        *topic = topic_at(&dead_letters, None)?;
    }
    Ok(options)
}

/// `host:port, host:port`, without the spaces.
fn brokers(written: &str) -> Result<String, SqlError> {
    let brokers: Vec<&str> = written.split(',').map(str::trim).collect();
    let is_broker = |broker: &&str| {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        !host.is_empty() && host.chars().all(is_host) && port.parse::<u16>().is_ok()
    };
    if !brokers.iter().all(is_broker) {
        return Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("bootstrap_servers is not \"{written}\""),
        )
        .with_hint("It is host:port, or several with commas between them."));
    }
    Ok(brokers.join(","))
}

/// A topic of this node, or of the external cluster with these brokers.
fn topic_at(topic: &str, brokers: Option<&str>) -> Result<String, SqlError> {
    match brokers {
        // It would name brokers that nobody has looked at.
        None if ExternalTopic::parse(topic).is_some() => Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("\"{topic}\" is no topic of this node"),
        )
        .with_hint("Name the topic alone, and WITH (bootstrap_servers = '…').")),
        None => Ok(topic.to_owned()),
        Some(brokers) => {
            let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
            Ok(ExternalTopic { brokers, topic }.to_string())
        }
    }
}

/// `[["name", "text"], …]`.
fn references(text: &str) -> Result<Vec<(String, Arc<str>)>, SqlError> {
    let pairs: Vec<(String, String)> = serde_json::from_str(text).map_err(|_| {
        SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            "references are a JSON array of pairs of a name and a schema",
        )
    })?;
    let pairs = pairs.into_iter();
    Ok(pairs.map(|(name, text)| (name, text.into())).collect())
}

fn source_format(create: &CreateSource, options: SourceOptions) -> Result<Format, SqlError> {
    let values = create.columns.iter();
    let paths = values
        .filter(|column| column.metadata.is_none())
        .map(|column| {
            let path = column.path.clone();
            path.unwrap_or_else(|| vec![column.name.clone()])
        });
    let paths = paths.collect();
    let required = |option: Option<String>, name: &str| {
        option.ok_or_else(|| {
            let message = format!("FORMAT {} needs its {name}", create.format);
            SqlError::new(sqlstate::INVALID_DEFINITION, message).with_hint(format!(
                "FORMAT {} ({} '…')",
                create.format,
                name.to_uppercase()
            ))
        })
    };
    match create.format.as_str() {
        "JSON" => Ok(Format::Json { paths }),
        "CSV" => Ok(Format::Csv {
            delimiter: options.delimiter,
        }),
        "RAW" => Ok(Format::Raw),
        "PROTOBUF" => Ok(Format::Protobuf {
            schema: SchemaText {
                text: required(options.schema, "schema")?.into(),
                others: options.references,
            },
            message: match options.framing {
                Framing::Registry => options.message.unwrap_or_default(),
                _ => required(options.message, "message")?,
            },
            paths,
            framing: options.framing,
        }),
        "AVRO" => Ok(Format::Avro {
            schema: SchemaText {
                text: required(options.schema, "schema")?.into(),
                others: options.references,
            },
            paths,
            framing: options.framing,
        }),
        other => Err(
            SqlError::unsupported(format!("format {other} is not supported"))
                .with_hint("Formats are JSON, CSV, RAW, PROTOBUF and AVRO."),
        ),
    }
}

fn invalid_value(name: &str, value: &str, valid: &str) -> SqlError {
    SqlError::new(
        sqlstate::INVALID_PARAMETER_VALUE,
        format!("invalid value for option \"{name}\": \"{value}\""),
    )
    .with_hint(format!("It is {valid}."))
}

fn unknown_option(name: &str) -> SqlError {
    SqlError::new(
        sqlstate::INVALID_PARAMETER_VALUE,
        format!("unrecognized option \"{name}\" or value of it"),
    )
}

fn metadata_of(name: &str) -> Result<Metadata, SqlError> {
    match name {
        "timestamp" => Ok(Metadata::Timestamp),
        "partition" => Ok(Metadata::Partition),
        "offset" => Ok(Metadata::Offset),
        "key" => Ok(Metadata::Key),
        other => Err(SqlError::new(
            sqlstate::INVALID_DEFINITION,
            format!("a record has no metadata \"{other}\""),
        )
        .with_hint("It has timestamp, partition, offset and key.")),
    }
}

/// `1 day` as an interval.
fn interval_us(catalog: &Catalog, text: &str) -> Result<i64, SqlError> {
    let value = ast::Expr::Interval(ast::Interval {
        value: Box::new(ast::Expr::value(ast::Value::SingleQuotedString(
            text.to_owned(),
        ))),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    });
    delay(catalog, &value)
}

fn delay(catalog: &Catalog, written: &ast::Expr) -> Result<i64, SqlError> {
    if matches!(written, ast::Expr::Value(_)) {
        return Ok(0);
    }
    let context = Context::new(catalog, &engine::OPTIONS);
    let planner = SqlToRel::new_with_options(&context, ParserOptions::new());
    let mut planning = PlannerContext::new();
    let value = planner.sql_to_expr(written.clone(), &DFSchema::empty(), &mut planning)?;
    let delay_us = microseconds(&value)?;
    if delay_us < 0 {
        return Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            "an interval that is not negative was expected",
        ));
    }
    Ok(delay_us)
}

fn table(
    catalog: &Catalog,
    create: &CreateTable,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    if create.query.is_some() {
        return Err(SqlError::unsupported("CREATE TABLE AS is not supported")
            .with_hint("Create the table and INSERT, or CREATE MATERIALIZED VIEW."));
    }
    refuse_twice(create.columns.iter().map(|column| column.name.as_str()))?;
    let mut fields = Vec::with_capacity(create.columns.len());
    for column in &create.columns {
        let field = field_of(&column.name, &column.data_type)?;
        let mut metadata = field.metadata().clone();
        if column.not_null || create.key.contains(&column.name) {
            metadata.insert(NOT_NULL_KEY.to_owned(), String::new());
        }
        if let Some(default) = &column.default {
            metadata
                .extend(default_text(&field, default).map(|text| (DEFAULT_KEY.to_owned(), text)));
        }
        fields.push(field.with_metadata(metadata));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let key = create
        .key
        .iter()
        .map(|name| place_of(&schema, name))
        .collect::<Result<Vec<_>, _>>()?;
    let key = (!key.is_empty()).then_some(key);
    let mut made = relation(&create.name, RelationKind::Table, text, schema.clone());
    made.key = key.clone();
    for column in &create.columns {
        if let Some(default) = &column.default {
            check_default(catalog, &made, &column.name, default)?;
        }
    }
    Ok((made, Definition::Table(Table { schema, key })))
}

/// As it is kept and shown, with the type that a text is read as; `None`: a null, as without it.
fn default_text(field: &Field, default: &ast::Expr) -> Option<String> {
    let ast::Expr::Value(value) = default else {
        return Some(default.to_string());
    };
    match &value.value {
        ast::Value::Null => None,
        ast::Value::SingleQuotedString(_) => {
            let of = postgres_type(field);
            let name = if of.name == "bpchar" {
                of.name
            } else {
                of.long_name
            };
            Some(format!("{default}::{name}"))
        }
        _ => Some(default.to_string()),
    }
}

/// An INSERT of it alone must be possible.
fn check_default(
    catalog: &Catalog,
    table: &Relation,
    column: &str,
    default: &ast::Expr,
) -> Result<(), SqlError> {
    of_one_row(default, "DEFAULT expressions")?;
    let mut catalog = catalog.clone();
    catalog.insert(table.clone());
    let text = format!(
        "INSERT INTO {} ({}) VALUES ({default})",
        quoted(&table.name),
        quoted_part(column)
    );
    let Some(insert) = parse(&text)?.pop() else {
        return Ok(());
    };
    let change = plan_change(&catalog, &insert.kind, &[]).map_err(SqlError::unplaced)?;
    match change.parameters.is_empty() {
        true => Ok(()),
        false => {
            let message = "there is no parameter $1 in what stays";
            Err(SqlError::new(sqlstate::UNDEFINED_PARAMETER, message))
        }
    }
}

/// A query that stays: its dataflow, its columns and what is known of its rows.
struct Standing {
    plan: Plan,
    schema: SchemaRef,
    properties: Properties,
    reads: Vec<String>,
}

/// What rows do that come when their windows are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// They correct what is there.
    Corrects,
    /// They are counted, so that nothing is kept of what is closed.
    Dropped,
    /// So they are, and rows come out only once they are final.
    Final,
}

fn late_of(create: &CreateView) -> Result<Late, SqlError> {
    let mut late = match create.emit_on_window_close {
        true => Late::Final,
        false => Late::Corrects,
    };
    for (name, value) in &create.options {
        match (name.as_str(), value.as_str()) {
            ("late_rows", "correct") if late != Late::Final => {}
            ("late_rows", "drop") if late != Late::Final => late = Late::Dropped,
            ("late_rows", "drop") => {}
            _ => return Err(unknown_option(name)),
        }
    }
    Ok(late)
}

fn standing(
    catalog: &Catalog,
    query: &ast::Query,
    names: &[String],
    late: Late,
) -> Result<Standing, SqlError> {
    let logical = temporal::filters(engine::analyzed(catalog, query, &[])?)?;
    if !engine::parameters(&logical, &[])?.is_empty() {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_PARAMETER,
            "there is no parameter $1 in what stays",
        ));
    }
    if semantics::reads_clock(&logical) {
        return Err(temporal::refused());
    }
    let reads = readable(catalog, &logical)?;
    let schema = named_schema(&logical, names)?;
    let optimized = engine::optimized(logical)?;
    let mut lowering = Lowering::default();
    let mut node = lowering.node(&optimized)?;
    if late == Late::Final {
        let mut nodes = lowering.plan.nodes.iter();
        if nodes.any(|node| matches!(node.operator, Operator::Valid { .. })) {
            return Err(SqlError::unsupported(
                "EMIT ON WINDOW CLOSE with now() is not supported: rows come and go after their windows are closed",
            ));
        }
        node = emitted_on_close(&mut lowering, node, &schema)?;
    }
    top_level::ensure_last(&mut lowering, node);
    // A pane closes before the last of its windows does, so what is late would not be the same.
    let mut plan = match late {
        Late::Corrects => lowering.plan.paned().shared(),
        Late::Dropped | Late::Final => lowering.plan.shared(),
    };
    if let Some(last) = plan.nodes.last_mut() {
        last.schema = schema.clone();
    }
    if late != Late::Corrects {
        close(&mut plan, catalog)?;
    }
    let properties = properties(&plan, catalog).pop().expect("a plan has nodes");
    Ok(Standing {
        plan,
        schema,
        properties,
        reads,
    })
}

/// State of what the watermark has closed goes.
fn close(plan: &mut Plan, catalog: &Catalog) -> Result<(), SqlError> {
    super::properties::close(plan, catalog);
    if plan.inputs().any(|(_, input)| input.time.is_some()) {
        return Ok(());
    }
    Err(SqlError::new(
        sqlstate::INVALID_DEFINITION,
        "no window ever closes: nothing that the query reads has a watermark",
    )
    .with_hint("CREATE SOURCE … (…, WATERMARK FOR at AS at - INTERVAL '5 minutes')"))
}

/// Names of what it reads, if that can stay read.
fn readable(catalog: &Catalog, logical: &LogicalPlan) -> Result<Vec<String>, SqlError> {
    let reads: Vec<String> = engine::reads(logical).into_iter().collect();
    for name in &reads {
        let kind = catalog.get(name).map(|relation| relation.kind);
        if matches!(
            kind,
            Some(RelationKind::System | RelationKind::Sink | RelationKind::Index) | None
        ) {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("\"{name}\" cannot be read by what stays"),
            ));
        }
    }
    Ok(reads)
}

/// The query's columns, the first of them named so.
fn named_schema(logical: &LogicalPlan, names: &[String]) -> Result<SchemaRef, SqlError> {
    let mut fields: Vec<Field> = top_level::fields(logical)
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    if names.len() > fields.len() {
        return Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "more column names specified than columns",
        ));
    }
    for (field, name) in fields.iter_mut().zip(names) {
        *field = field.clone().with_name(name);
    }
    refuse_twice(fields.iter().map(|field| field.name().as_str()))?;
    Ok(Arc::new(Schema::new(fields)))
}

fn emitted_on_close(
    lowering: &mut Lowering,
    node: NodeId,
    schema: &Schema,
) -> Result<NodeId, SqlError> {
    let mut fields = schema.fields().iter();
    let window_end = fields.position(|field| field.name() == WINDOW_END);
    let window_end = window_end.ok_or_else(|| {
        SqlError::new(
            sqlstate::INVALID_DEFINITION,
            "EMIT ON WINDOW CLOSE needs the column window_end among those selected",
        )
    })?;
    let rows = lowering.schema(node);
    let operator = Operator::EmitOnClose { window_end };
    Ok(lowering.plan.add(operator, &[node], rows))
}

fn view(
    catalog: &Catalog,
    create: &CreateView,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    let standing = standing(catalog, &create.query, &create.columns, late_of(create)?)?;
    let mut made = relation(&create.name, RelationKind::View, text, standing.schema);
    let known = standing.properties;
    made.key = known.key.clone().filter(|key| !key.is_empty());
    made.is_append_only = known.is_append_only;
    made.time = known.time();
    made.reads = standing.reads;
    Ok((
        made,
        Definition::View(View {
            plan: standing.plan,
            key: known.key,
        }),
    ))
}
