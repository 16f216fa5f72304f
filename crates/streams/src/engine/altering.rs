//! A source with another definition, and perhaps another name, in the place of one.

use super::{Engine, NewRelation, QuestionError, Relation, Stream, questions::may_be_decoded};
use crate::{
    Definition,
    definition::{OnMalformed, Source},
};

impl Engine {
    /// Whether a source could be altered so; makes the topic of dead letters where it needs one. Until `alter` or
    /// `keep_relation` it stays as it is, nothing is made that reads it, and its new name is nobody else's. Gives the names of
    /// those that read it: they must be able to read the new one in its place.
    pub async fn prepare_alter(
        &self,
        name: &str,
        new: &NewRelation,
    ) -> Result<Vec<String>, QuestionError> {
        let old = self.relation(name)?;
        let (Definition::Source(_), Definition::Source(will)) = (&old.definition, &new.definition)
        else {
            return Err(QuestionError::NotSource(name.to_owned()));
        };
        if self.is_busy(name) {
            return Err(QuestionError::Busy(name.to_owned()));
        }
        let readers = self.readers(name).into_iter();
        let readers: Vec<String> = readers.map(|reader| reader.name.clone()).collect();
        if new.name != name {
            if self.is_taken(&new.name) {
                return Err(QuestionError::Exists(new.name.clone()));
            }
            if let Some(by) = readers.first() {
                return Err(QuestionError::CannotRename {
                    name: name.to_owned(),
                    by: by.clone(),
                });
            }
        }
        let names = (name.to_owned(), new.name.clone());
        self.altering.borrow_mut().extend([names]);
        let readable = self.make_readable(will).await;
        if readable.is_err() {
            self.keep_relation(name);
        }
        readable.map(|()| readers)
    }

    async fn make_readable(&self, will: &Source) -> Result<(), QuestionError> {
        may_be_decoded(will)?;
        if let OnMalformed::DeadLetter { topic } = &will.on_malformed {
            self.log.ensure_topic(topic.clone(), 1, false).await?;
        }
        Ok(())
    }

    /// Gives a source that `prepare_alter` has found good its other definition, from the next epoch on. By now the metadata
    /// must have it.
    pub async fn alter(&self, name: &str, new: NewRelation) -> Result<(), QuestionError> {
        let old = self.relation(name)?;
        let new = Relation::new(NewRelation { id: old.id, ..new });
        let mut relations = self.relations.borrow_mut();
        relations.remove(name);
        relations.insert(new.name.clone(), new);
        drop(relations);
        self.altered.borrow_mut().push(old);
        self.keep_relation(name);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether a relation has this name, or will.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.relations.borrow().contains_key(name)
            || self.reserved.borrow().contains_key(name)
            || self.dropping.borrow().contains(name)
            || self.altering.borrow().values().any(|will| will == name)
    }

    pub(super) fn is_altered(&self, name: &str) -> bool {
        self.altering.borrow().contains_key(name)
    }

    /// Pipelines read sources as they are now.
    pub(super) fn repoint(&self, stream: &mut Stream) {
        let altered = self.altered.take();
        if altered.is_empty() {
            return;
        }
        let relations = self.relations.borrow();
        let newest = |known: &Relation| {
            let is_altered = altered.iter().any(|old| std::ptr::eq(&**old, known));
            let mut now = relations.values().filter(|_| is_altered);
            now.find(|relation| relation.id == known.id).cloned()
        };
        for pipeline in &mut stream.pipelines {
            pipeline.repoint(&newest);
        }
    }
}
