//! CREATE statements as relations and what makes them.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_sql::{
    planner::{ParserOptions, PlannerContext, SqlToRel},
    sqlparser::ast,
};
use streams::{
    Definition, Operator, Plan,
    definition::{Envelope, OnMalformed, Sink, Source, Table, View, Watermark},
    format::{Decoder, Format, Framing},
};

use super::{
    context::Context,
    engine,
    lower::Lowering,
    properties::{Properties, properties},
    semantics, top_level,
    windows::{WINDOW_END, microseconds},
};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationId, RelationKind},
    column_type::{NOT_NULL_KEY, field_of},
    error::sqlstate,
    stack::with_room,
    statement::{CreateSink, CreateSource, CreateTable, CreateView, Statement, StatementKind},
};

/// A relation from the statement that makes it. Its id is given by whoever makes it.
pub fn define(
    catalog: &Catalog,
    statement: &Statement,
) -> Result<(Relation, Definition), SqlError> {
    with_room(|| defined(catalog, statement))
}

fn defined(catalog: &Catalog, statement: &Statement) -> Result<(Relation, Definition), SqlError> {
    let text = &statement.text;
    match &statement.kind {
        StatementKind::CreateSource(create) => source(catalog, create, text),
        StatementKind::CreateTable(create) => table(create, text),
        StatementKind::CreateView(create) => view(catalog, create, text),
        StatementKind::CreateSink(create) => sink(catalog, create, text),
        StatementKind::CreateIndex(_) => Err(SqlError::unsupported(
            "CREATE INDEX is not supported",
        )
        .with_hint("Rows are found by the key of their view; GROUP BY the columns you look up.")),
        _ => Err(SqlError::new(
            sqlstate::SYNTAX_ERROR,
            "this statement makes no relation",
        )),
    }
}

fn relation(name: &str, kind: RelationKind, text: &str, schema: SchemaRef) -> Relation {
    Relation {
        id: RelationId(0),
        name: name.to_owned(),
        kind,
        definition: text.to_owned(),
        schema,
        key: None,
        is_append_only: false,
        time: None,
        reads: Vec::new(),
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
    let fields = create
        .columns
        .iter()
        .map(|column| field_of(&column.name, &column.data_type))
        .collect::<Result<Vec<Field>, _>>()?;
    let schema: SchemaRef = Arc::new(Schema::new(fields));
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
            })
        }
        None => None,
    };
    let options = source_options(&create.options)?;
    let on_malformed = options.on_malformed.clone();
    let format = source_format(create, options)?;
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    // Says now what could be said of each record later: that the format has no such column.
    Decoder::new(&format, &schema, &all)
        .map_err(|error| SqlError::new(sqlstate::INVALID_DEFINITION, error.to_string()))?;
    let mut made = relation(&create.name, RelationKind::Source, text, schema.clone());
    made.is_append_only = true;
    made.time = watermark.map(|watermark| watermark.column);
    let topic = create.topic.clone();
    let source = Source {
        topic,
        schema,
        format,
        watermark,
        on_malformed,
    };
    Ok((made, Definition::Source(source)))
}

/// What stands behind WITH.
struct SourceOptions {
    on_malformed: OnMalformed,
    delimiter: u8,
    schema: Option<String>,
    message: Option<String>,
    framing: Framing,
}

fn source_options(written: &[(String, String)]) -> Result<SourceOptions, SqlError> {
    let mut options = SourceOptions {
        on_malformed: OnMalformed::Skip,
        delimiter: b',',
        schema: None,
        message: None,
        framing: Framing::None,
    };
    for (name, value) in written {
        match (name.as_str(), value.as_str()) {
            ("on_malformed", value) => options.on_malformed = malformed(value)?,
            ("delimiter", value) if value.len() == 1 => options.delimiter = value.as_bytes()[0],
            ("schema", value) => options.schema = Some(value.to_owned()),
            ("message", value) => options.message = Some(value.to_owned()),
            ("framing", "none") => options.framing = Framing::None,
            ("framing", "confluent") => options.framing = Framing::Confluent,
            _ => return Err(unknown_option(name)),
        }
    }
    Ok(options)
}

fn source_format(create: &CreateSource, options: SourceOptions) -> Result<Format, SqlError> {
    let paths = create.columns.iter().map(|column| {
        let path = column.path.clone();
        path.unwrap_or_else(|| vec![column.name.clone()])
    });
    let paths = paths.collect();
    let required = |option: Option<String>, name: &str| {
        option.ok_or_else(|| {
            let message = format!("FORMAT {} needs its {name}", create.format);
            SqlError::new(sqlstate::INVALID_DEFINITION, message)
                .with_hint(format!("WITH ({name} = '...')"))
        })
    };
    match create.format.as_str() {
        "JSON" => Ok(Format::Json { paths }),
        "CSV" => Ok(Format::Csv {
            delimiter: options.delimiter,
        }),
        "RAW" => Ok(Format::Raw),
        "PROTOBUF" => Ok(Format::Protobuf {
            schema: required(options.schema, "schema")?,
            message: required(options.message, "message")?,
            paths,
            framing: options.framing,
        }),
        "AVRO" => Ok(Format::Avro {
            schema: required(options.schema, "schema")?,
            paths,
            framing: options.framing,
        }),
        other => Err(
            SqlError::unsupported(format!("format {other} is not supported"))
                .with_hint("Formats are JSON, CSV, RAW, PROTOBUF and AVRO."),
        ),
    }
}

fn unknown_option(name: &str) -> SqlError {
    SqlError::new(
        sqlstate::INVALID_PARAMETER_VALUE,
        format!("unrecognized option \"{name}\" or value of it"),
    )
}

fn malformed(value: &str) -> Result<OnMalformed, SqlError> {
    match value.split_once(':') {
        None if value == "skip" => Ok(OnMalformed::Skip),
        None if value == "stop" => Ok(OnMalformed::Stop),
        Some(("dead_letter", topic)) if !topic.is_empty() => Ok(OnMalformed::DeadLetter {
            topic: topic.to_owned(),
        }),
        _ => Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("on_malformed is not \"{value}\""),
        )
        .with_hint("It is skip, stop or dead_letter:topic.")),
    }
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
            "a watermark is not ahead of its column",
        ));
    }
    Ok(delay_us)
}

fn table(create: &CreateTable, text: &str) -> Result<(Relation, Definition), SqlError> {
    if create.query.is_some() {
        return Err(SqlError::unsupported("CREATE TABLE AS is not supported")
            .with_hint("Create the table and INSERT, or CREATE MATERIALIZED VIEW."));
    }
    refuse_twice(create.columns.iter().map(|column| column.name.as_str()))?;
    let mut fields = Vec::with_capacity(create.columns.len());
    for column in &create.columns {
        let field = field_of(&column.name, &column.data_type)?;
        if !column.not_null && !create.key.contains(&column.name) {
            fields.push(field);
            continue;
        }
        let mut metadata = field.metadata().clone();
        metadata.insert(NOT_NULL_KEY.to_owned(), String::new());
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
    Ok((made, Definition::Table(Table { schema, key })))
}

/// A query that stays: its dataflow, its columns and what is known of its rows.
struct Standing {
    plan: Plan,
    schema: SchemaRef,
    properties: Properties,
    reads: Vec<String>,
}

fn standing(
    catalog: &Catalog,
    query: &ast::Query,
    names: &[String],
    emit_on_close: bool,
) -> Result<Standing, SqlError> {
    let logical = engine::analyzed(catalog, query, &[])?;
    if !engine::parameters(&logical, &[])?.is_empty() {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_PARAMETER,
            "there is no parameter $1 in what stays",
        ));
    }
    if semantics::reads_clock(&logical) {
        return Err(SqlError::unsupported("now() is not supported in a view")
            .with_hint("Filter by now() when you read the view."));
    }
    let reads: Vec<String> = engine::reads(&logical).into_iter().collect();
    for name in &reads {
        let kind = catalog.get(name).map(|relation| relation.kind);
        if matches!(kind, Some(RelationKind::System | RelationKind::Sink) | None) {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("\"{name}\" cannot be read by what stays"),
            ));
        }
    }
    let mut fields: Vec<Field> = top_level::fields(&logical)
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
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let optimized = engine::optimized(logical)?;
    let mut lowering = Lowering::default();
    let mut node = lowering.node(&optimized)?;
    if emit_on_close {
        let window_end = schema
            .fields()
            .iter()
            .position(|field| field.name() == WINDOW_END);
        let window_end = window_end.ok_or_else(|| {
            SqlError::new(
                sqlstate::INVALID_DEFINITION,
                "EMIT ON WINDOW CLOSE needs the column window_end among those selected",
            )
        })?;
        let rows = lowering.schema(node);
        node = lowering
            .plan
            .add(Operator::EmitOnClose { window_end }, &[node], rows);
    }
    top_level::ensure_last(&mut lowering, node);
    let mut plan = super::prune::pruned(lowering.plan);
    if let Some(last) = plan.nodes.last_mut() {
        last.schema = schema.clone();
    }
    let properties = properties(&plan, catalog).pop().expect("a plan has nodes");
    Ok(Standing {
        plan,
        schema,
        properties,
        reads,
    })
}

fn view(
    catalog: &Catalog,
    create: &CreateView,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    let standing = standing(
        catalog,
        &create.query,
        &create.columns,
        create.emit_on_window_close,
    )?;
    let mut made = relation(&create.name, RelationKind::View, text, standing.schema);
    let known = standing.properties;
    made.key = known.key.clone().filter(|key| !key.is_empty());
    made.is_append_only = known.is_append_only;
    made.time = known.times.first().copied();
    made.reads = standing.reads;
    Ok((
        made,
        Definition::View(View {
            plan: standing.plan,
            key: known.key,
        }),
    ))
}

fn sink(
    catalog: &Catalog,
    create: &CreateSink,
    text: &str,
) -> Result<(Relation, Definition), SqlError> {
    let standing = standing(catalog, &create.query, &[], false)?;
    if let Some((name, _)) = create.options.first() {
        return Err(unknown_option(name));
    }
    let envelope = match create.envelope.as_str() {
        "APPEND" => Envelope::Append,
        "UPSERT" => Envelope::Upsert,
        "DEBEZIUM" => Envelope::Debezium,
        other => {
            return Err(
                SqlError::unsupported(format!("sink format {other} is not supported"))
                    .with_hint("Formats of sinks are APPEND, UPSERT and DEBEZIUM."),
            );
        }
    };
    let named = create
        .key
        .iter()
        .map(|name| place_of(&standing.schema, name))
        .collect::<Result<Vec<_>, _>>()?;
    let known = &standing.properties;
    if envelope == Envelope::Append && !known.is_append_only {
        return Err(SqlError::new(
            sqlstate::INVALID_DEFINITION,
            "rows of this query change, and an append sink cannot take them back",
        )
        .with_hint("Use FORMAT UPSERT KEY (…) or FORMAT DEBEZIUM."));
    }
    let key = if named.is_empty() {
        known.key.clone().unwrap_or_default()
    } else {
        named
    };
    if envelope == Envelope::Upsert && key.is_empty() {
        return Err(SqlError::new(
            sqlstate::INVALID_DEFINITION,
            "an upsert sink needs KEY (…): the query has no key of its own",
        ));
    }
    let paths = standing
        .schema
        .fields()
        .iter()
        .map(|field| vec![field.name().clone()]);
    let format = Format::Json {
        paths: paths.collect(),
    };
    let mut made = relation(&create.name, RelationKind::Sink, text, standing.schema);
    made.key = (!key.is_empty()).then(|| key.clone());
    made.is_append_only = known.is_append_only;
    made.reads = standing.reads;
    let topic = create.topic.clone();
    let sink = Sink {
        topic,
        plan: standing.plan,
        format,
        envelope,
        key,
    };
    Ok((made, Definition::Sink(sink)))
}
