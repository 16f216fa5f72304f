//! CREATE, ALTER and DROP.

use std::sync::Arc;

use super::{Answer, Session, Tag};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationKind},
    error::sqlstate,
    planner,
    statement::{
        Alter, AlterChange, CreateSource, CreateView, Drop, DropKind, Statement, StatementKind,
        parse,
    },
};

/// Options of a source that change nothing in what its records mean.
const ALTERABLE: [&str; 3] = ["on_malformed", "dead_letter_topic", "max_future"];

impl Session {
    pub(super) async fn define(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        if self.transaction.is_open() {
            self.notice(
                *b"01000",
                "definitions take effect at once: ROLLBACK does not undo them",
            );
        }
        let catalog = self.backend.catalog().await;
        let index_name;
        let (tag, name, or_not) = match &statement.kind {
            StatementKind::Drop(drop) => return self.drop_relations(drop).await,
            StatementKind::CreateSource(create) => {
                ("CREATE SOURCE", Some(&create.name), create.if_not_exists)
            }
            StatementKind::CreateTable(create) => {
                ("CREATE TABLE", Some(&create.name), create.if_not_exists)
            }
            StatementKind::Alter(alter) => return self.alter(alter).await,
            StatementKind::CreateView(create) => {
                if create.or_replace
                    && let Some(old) = catalog.get(&create.name)
                {
                    return self.replace_view(statement, create, old).await;
                }
                if create.alters {
                    return Err(undefined(word(DropKind::View), &create.name));
                }
                (
                    "CREATE MATERIALIZED VIEW",
                    Some(&create.name),
                    create.if_not_exists,
                )
            }
            StatementKind::CreateSink(create) => {
                ("CREATE SINK", Some(&create.name), create.if_not_exists)
            }
            StatementKind::CreateIndex(create) => {
                index_name = create.index_name();
                ("CREATE INDEX", Some(&index_name), create.if_not_exists)
            }
            _ => return Err(SqlError::unsupported("this statement makes no relation")),
        };
        let done = Ok(Answer::Done(Tag::Fixed(tag)));
        if let Some(name) = name
            && catalog.get(name).is_some()
        {
            let message = format!("relation \"{name}\" already exists");
            if or_not {
                self.notice(*b"42P07", message + ", skipping");
                return done;
            }
            return Err(SqlError::new(*b"42P07", message));
        }
        let over = catalog.clone();
        let own = match statement.subject() {
            Some(subject) => {
                let found = self.backend.schema(subject).await?;
                statement.with_schema(&found)?
            }
            None => statement.clone(),
        };
        let (relation, definition) = self.compute(move || planner::define(&over, &own)).await?;
        if let Some(source) = fed_back(&catalog, &relation, &definition) {
            let message = format!("what the sink writes comes back: it reads \"{source}\"");
            self.notice(*b"01000", message);
        }
        self.backend.create(relation, definition).await?;
        done
    }

    async fn drop_relations(&mut self, drop: &Drop) -> Result<Answer, SqlError> {
        let tag = match drop.kind {
            DropKind::Source => "DROP SOURCE",
            DropKind::Table => "DROP TABLE",
            DropKind::View => "DROP MATERIALIZED VIEW",
            DropKind::Sink => "DROP SINK",
            DropKind::Index => "DROP INDEX",
        };
        let (kind, word) = (kind_of(drop.kind), word(drop.kind));
        for name in &drop.names {
            let catalog = self.backend.catalog().await;
            let Some(found) = catalog.get(name).cloned() else {
                let message = format!("{word} \"{name}\" does not exist");
                if drop.if_exists {
                    self.notice(*b"00000", message + ", skipping");
                    continue;
                }
                return Err(SqlError::new(*b"42P01", message));
            };
            if found.kind != kind {
                return Err(SqlError::new(
                    *b"42809",
                    format!("\"{name}\" is not a {word}"),
                ));
            }
            self.drop_with_readers(name, drop.cascade).await?;
        }
        Ok(Answer::Done(Tag::Fixed(tag)))
    }

    /// Readers first, when they are to go too.
    async fn drop_with_readers(&mut self, name: &str, cascade: bool) -> Result<(), SqlError> {
        let catalog = self.backend.catalog().await;
        let mut order = vec![name.to_owned()];
        let mut at = 0;
        while let Some(dropped) = order.get(at).cloned() {
            let readers = catalog
                .relations()
                .filter(|other| other.reads.contains(&dropped));
            // An index goes with its relation.
            let (indexes, readers): (Vec<_>, Vec<_>) =
                readers.partition(|other| other.kind == RelationKind::Index);
            let names = |of: &[&Arc<Relation>]| -> Vec<String> {
                of.iter().map(|one| one.name.clone()).collect()
            };
            let (indexes, mut readers) = (names(&indexes), names(&readers));
            if !cascade && !readers.is_empty() {
                let message = format!("cannot drop {name} because other objects depend on it");
                let detail: Vec<_> = readers
                    .iter()
                    .map(|reader| format!("{reader} depends on {name}"))
                    .collect();
                return Err(SqlError::new(*b"2BP01", message)
                    .with_detail(detail.join("\n"))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            readers.extend(indexes);
            for reader in readers {
                // Whoever reads several of them goes before all of them.
                order.retain(|known| *known != reader);
                order.push(reader);
            }
            at = order
                .iter()
                .position(|known| *known == dropped)
                .map_or(at, |place| place)
                + 1;
        }
        for dropped in order.iter().rev() {
            let is_index = |found: &Arc<Relation>| found.kind == RelationKind::Index;
            if dropped != name && !catalog.get(dropped).is_some_and(is_index) {
                self.notice(*b"00000", format!("drop cascades to {dropped}"));
            }
            self.backend.drop_relation(dropped.clone()).await?;
        }
        Ok(())
    }

    /// CREATE OR REPLACE, where there is one.
    async fn replace_view(
        &mut self,
        statement: &Statement,
        create: &CreateView,
        old: &Relation,
    ) -> Result<Answer, SqlError> {
        if old.kind != RelationKind::View {
            let message = format!("\"{}\" is not a materialized view", old.name);
            return Err(SqlError::new(sqlstate::WRONG_OBJECT_TYPE, message));
        }
        old.check()?;
        let over = self.backend.catalog().await;
        let own = statement.clone();
        let (mut relation, definition) = self.compute(move || planner::define(&over, &own)).await?;
        if relation.reads.contains(&relation.name) {
            let message = format!("view \"{}\" cannot read itself", relation.name);
            return Err(SqlError::new(sqlstate::INVALID_DEFINITION, message));
        }
        if create.alters {
            // What is kept is what makes it; behind the word a comment may stand as well as a space.
            relation.definition.replace_range(.."ALTER".len(), "CREATE");
        }
        self.backend.replace(relation, definition).await?;
        Ok(Answer::Done(Tag::Fixed(match create.alters {
            true => "ALTER MATERIALIZED VIEW",
            false => "CREATE MATERIALIZED VIEW",
        })))
    }

    async fn alter(&mut self, alter: &Alter) -> Result<Answer, SqlError> {
        let catalog = self.backend.catalog().await;
        let word = word(alter.kind);
        let old = catalog.get(&alter.name).cloned();
        let old = old.ok_or_else(|| undefined(word, &alter.name))?;
        if old.kind != kind_of(alter.kind) {
            let message = format!("\"{}\" is not a {word}", old.name);
            return Err(SqlError::new(sqlstate::WRONG_OBJECT_TYPE, message));
        }
        if old.kind != RelationKind::Source {
            let message = format!("a {word} cannot be renamed");
            return Err(SqlError::unsupported(message)
                .with_hint("Create it under the other name and drop this one."));
        }
        old.check()?;
        let made = parse(&old.definition)?.pop().map(|made| made.kind);
        let Some(StatementKind::CreateSource(mut create)) = made else {
            let message = format!("\"{}\" was made by no statement", old.name);
            return Err(SqlError::new(sqlstate::INTERNAL_ERROR, message));
        };
        if self.altered(&catalog, &mut create, alter)? {
            let name = old.name.clone();
            let defined = move || altered_source(&catalog, &old, &create);
            let (relation, definition) = self.compute(defined).await?;
            self.backend.alter(name, relation, definition).await?;
        }
        Ok(Answer::Done(Tag::Fixed("ALTER SOURCE")))
    }

    /// Whether something changes.
    fn altered(
        &mut self,
        catalog: &Catalog,
        create: &mut CreateSource,
        alter: &Alter,
    ) -> Result<bool, SqlError> {
        match &alter.change {
            AlterChange::Rename(to) => {
                if catalog.get(to).is_some() {
                    let message = format!("relation \"{to}\" already exists");
                    return Err(SqlError::new(*b"42P07", message));
                }
                to.clone_into(&mut create.name);
            }
            AlterChange::AddColumns(columns) => {
                let had = create.columns.len();
                if had == 0 {
                    let message =
                        format!("the columns of \"{}\" are those of its schema", create.name);
                    let hint = "Create another source over the topic.";
                    return Err(SqlError::unsupported(message).with_hint(hint));
                }
                for (column, may_exist) in columns {
                    let known = create.columns.iter().any(|known| known.name == column.name);
                    let message = format!(
                        "column \"{}\" of relation \"{}\" already exists",
                        column.name, create.name
                    );
                    match (known, may_exist) {
                        (true, true) => self.notice(*b"42701", message + ", skipping"),
                        (true, false) => {
                            return Err(SqlError::new(sqlstate::DUPLICATE_COLUMN, message));
                        }
                        (false, _) => create.columns.push(column.clone()),
                    }
                }
                return Ok(create.columns.len() > had);
            }
            AlterChange::Set(options) => {
                for (name, value) in options {
                    if !ALTERABLE.contains(&name.as_str()) {
                        let message = format!("option \"{name}\" of a source cannot be changed");
                        let hint =
                            "What its records mean stays: create another source over the topic.";
                        return Err(SqlError::unsupported(message).with_hint(hint));
                    }
                    create.options.retain(|(known, _)| known != name);
                    create.options.push((name.clone(), value.clone()));
                }
            }
        }
        Ok(true)
    }
}

/// A source over the topic that the sink writes to, if it reads one, be it through views.
fn fed_back<'c>(
    catalog: &'c Catalog,
    sink: &Relation,
    definition: &streams::Definition,
) -> Option<&'c str> {
    let topic = definition.topic_written()?;
    let mut reads: Vec<&str> = sink.reads.iter().map(String::as_str).collect();
    let mut at = 0;
    while let Some(read) = reads.get(at).and_then(|name| catalog.get(name)) {
        if read.kind == RelationKind::Source
            && let Ok(statements) = parse(&read.definition)
            && let [statement] = statements.as_slice()
            && let Ok((_, source)) = planner::define(catalog, statement)
            && source.topic_read() == Some(topic)
        {
            return Some(&read.name);
        }
        for name in &read.reads {
            if !reads.contains(&name.as_str()) {
                reads.push(name);
            }
        }
        at += 1;
    }
    None
}

/// The source as it will be. Refused where what reads it would be another query then.
fn altered_source(
    catalog: &Catalog,
    old: &Relation,
    create: &CreateSource,
) -> Result<(Relation, streams::Definition), SqlError> {
    let refused = |reader: &str, detail: String| {
        let message = format!("cannot alter {} because {reader} reads it", old.name);
        SqlError::new(*b"2BP01", message).with_detail(detail)
    };
    let statement = parse(&create.to_string())?.pop();
    let no_statement = || SqlError::new(sqlstate::INTERNAL_ERROR, "the source has no statement");
    let statement = statement.ok_or_else(no_statement)?;
    let mut changed = catalog.clone();
    changed.remove(&old.name);
    let (relation, definition) =
        planner::define(&changed, &statement).map_err(SqlError::unplaced)?;
    changed.insert(Relation {
        id: old.id,
        ..relation.clone()
    });
    let has_more = relation.schema.fields().len() > old.schema.fields().len();
    let readers = catalog.relations();
    for reader in readers.filter(|reader| reader.reads.contains(&old.name)) {
        let name = &reader.name;
        if old.name != relation.name {
            return Err(refused(name, format!("{name} calls it {}.", old.name)));
        }
        if has_more && create.format == "CSV" {
            let detail = "Lines with fewer values would be malformed for it.";
            return Err(refused(name, detail.to_owned()));
        }
        let Some(made) = parse(&reader.definition)?.pop() else {
            continue;
        };
        let before = planner::define(catalog, &made)?;
        let after = planner::define(&changed, &made)
            .map_err(|error| refused(name, format!("It would fail: {error}.")))?;
        let is_same = before.0.schema == after.0.schema
            && format!("{:?}", before.1) == format!("{:?}", after.1);
        if !is_same {
            let detail = format!("{name} would be another query, as with SELECT *.");
            return Err(refused(name, detail));
        }
    }
    Ok((relation, definition))
}

fn kind_of(kind: DropKind) -> RelationKind {
    match kind {
        DropKind::Source => RelationKind::Source,
        DropKind::Table => RelationKind::Table,
        DropKind::View => RelationKind::View,
        DropKind::Sink => RelationKind::Sink,
        DropKind::Index => RelationKind::Index,
    }
}

fn word(kind: DropKind) -> &'static str {
    match kind {
        DropKind::Source => "source",
        DropKind::Table => "table",
        DropKind::View => "materialized view",
        DropKind::Sink => "sink",
        DropKind::Index => "index",
    }
}

fn undefined(word: &str, name: &str) -> SqlError {
    let message = format!("{word} \"{name}\" does not exist");
    SqlError::new(sqlstate::UNDEFINED_TABLE, message)
}
