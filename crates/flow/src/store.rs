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

use std::{collections::BTreeMap, fmt, future::Future, path::Path, pin::Pin, rc::Rc, sync::Arc};

use streams::engine::{
    CheckpointError, EngineError,
    store::{StateStore, Stores},
};

use crate::{app::Relations, run::RunError};

/// A store being opened.
pub type Opening = Pin<Box<dyn Future<Output = Result<Rc<dyn StateStore>, CheckpointError>>>>;

/// Says which store, and opens it on the app's shard.
pub trait OpenStore: fmt::Debug + Send + Sync {
    /// Of which kind it is, and where: what is equal in both is one store, and is opened once.
    fn place(&self) -> (&'static str, &Path);

    fn open(&self) -> Opening;
}

/// Which steps of an app keep their state where; all others in runs.
#[derive(Clone, Debug, Default)]
pub struct StoreChoice {
    default: Option<Arc<dyn OpenStore>>,
    by_step: BTreeMap<String, Arc<dyn OpenStore>>,
}

/// Stores that are open, by their places.
type Opened<'a> = BTreeMap<(&'static str, &'a Path), Rc<dyn StateStore>>;

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
        let mut opened = Opened::new();
        if let Some(store) = &self.default {
            stores.default = Some(opened_once(&mut opened, &**store).await?);
        }
        for (step, store) in &self.by_step {
            let names = relations.of_step(app, step);
            if names.is_empty() {
                return Err(RunError::NoSuchStep(step.clone()));
            }
            let open = opened_once(&mut opened, &**store).await?;
            let names = names.into_iter().map(|name| (name, open.clone()));
            stores.by_relation.extend(names);
        }
        Ok(stores)
    }
}

async fn opened_once<'a>(
    opened: &mut Opened<'a>,
    store: &'a dyn OpenStore,
) -> Result<Rc<dyn StateStore>, EngineError> {
    if let Some(open) = opened.get(&store.place()) {
        return Ok(open.clone());
    }
    let open = store.open().await?;
    opened.insert(store.place(), open.clone());
    Ok(open)
}
