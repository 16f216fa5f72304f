//! What reads a source that is to be altered.

use sql::{
    backend::SqlError,
    catalog::{Catalog, Relation},
};
use streams::engine::QuestionError;

use super::{define, sql_error};

/// Whether all that reads a source is the same query over the altered one, also what was made since that was planned.
pub fn check(
    catalog: &Catalog,
    name: &str,
    altered: Relation,
    readers: &[String],
) -> Result<(), SqlError> {
    let mut changed = catalog.clone();
    if let Some(old) = changed.remove(name) {
        changed.insert(Relation {
            id: old.id,
            ..altered
        });
    }
    for reader in readers {
        // It has been made this very moment.
        let known = catalog.get(reader);
        let known = known.ok_or_else(|| sql_error(QuestionError::Busy(reader.clone())))?;
        if !known.reads.iter().any(|read| read == name) {
            continue;
        }
        let told = |over: &Catalog| {
            let (relation, definition) = define(over, &known.definition)?;
            Ok::<_, SqlError>((relation.schema, format!("{definition:?}")))
        };
        if told(catalog)? != told(&changed)? {
            let message = format!("cannot alter {name} because {reader} reads it");
            let detail = format!("{reader} would be another query, as with SELECT *.");
            return Err(SqlError::new(*b"2BP01", message).with_detail(detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
