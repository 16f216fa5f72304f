//! Apps that are compiled into the binary, to run in its node.

/// See the module head. The binary `forebay` has none.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    #[cfg(feature = "pipelines")]
    pub(crate) relations: Vec<streams::engine::NewRelation>,
}

#[cfg(feature = "pipelines")]
impl Programs {
    /// One app more. Fails when it contradicts itself.
    pub fn with(mut self, app: flow::App) -> Result<Self, flow::AppError> {
        self.relations.extend(app.into_relations()?.relations);
        Ok(self)
    }
}
