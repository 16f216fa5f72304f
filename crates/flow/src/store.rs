//! Where an app that runs alone keeps its state: runs in its directory, or a database.
//!
//! What that promises, and what each is good for, stands in docs/decisions (state backends).

#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "redb")]
mod redb;
#[cfg(any(feature = "fjall", feature = "redb"))]
mod versions;

#[cfg(feature = "fjall")]
pub use self::fjall::Fjall;
#[cfg(feature = "redb")]
pub use self::redb::Redb;

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, rc::Rc, sync::Arc};

use streams::engine::{
    CheckpointError, EngineError,
    store::{StateStore, Stores},
};

use crate::{app::Relations, run::RunError};

/// A store being opened.
pub type Opening = Pin<Box<dyn Future<Output = Result<Rc<dyn StateStore>, CheckpointError>>>>;

/// Says which store, and opens it on the app's shard.
pub trait OpenStore: fmt::Debug + Send + Sync {
    fn open(&self) -> Opening;
}

/// Which steps of an app keep their state where; all others in runs.
#[derive(Clone, Debug, Default)]
pub struct StoreChoice {
    default: Option<Arc<dyn OpenStore>>,
    by_step: BTreeMap<String, Arc<dyn OpenStore>>,
}

/// What opens a store, and the store.
type Opened<'a> = (&'a Arc<dyn OpenStore>, Rc<dyn StateStore>);

impl StoreChoice {
    pub(crate) fn set(&mut self, store: Arc<dyn OpenStore>) {
        self.default = Some(store);
    }

    pub(crate) fn set_of(&mut self, step: &str, store: Arc<dyn OpenStore>) {
        self.by_step.insert(step.to_owned(), store);
    }

    /// Opens each once, for the relations of an app that has this name; of a step's name that is none, that name.
    pub(crate) async fn open(&self, app: &str, relations: &Relations) -> Result<Stores, RunError> {
        let mut stores = Stores::default();
        let mut opened: Vec<Opened<'_>> = Vec::new();
        if let Some(store) = &self.default {
            let open = store.open().await.map_err(EngineError::from)?;
            stores.default = Some(open.clone());
            opened.push((store, open));
        }
        for (step, store) in &self.by_step {
            let names = relations.of_step(app, step);
            if names.is_empty() {
                return Err(RunError::NoSuchStep(step.clone()));
            }
            let known = opened.iter().find(|(known, _)| Arc::ptr_eq(known, store));
            let open = match known {
                Some((_, open)) => open.clone(),
                None => {
                    let open = store.open().await.map_err(EngineError::from)?;
                    opened.push((store, open.clone()));
                    open
                }
            };
            let names = names.into_iter().map(|name| (name, open.clone()));
            stores.by_relation.extend(names);
        }
        Ok(stores)
    }
}
