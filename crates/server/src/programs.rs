//! Apps that are compiled into the binary, to run in its node.

/// See the module head. The binary `forebay` has none.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    #[cfg(feature = "pipelines")]
    pub(crate) relations: Vec<streams::engine::NewRelation>,
}

#[cfg(feature = "pipelines")]
impl Programs {
    /// One app more. Fails when it contradicts itself, or has a part that is called as one of another app is.
    pub fn with(self, app: flow::App) -> Result<Self, flow::AppError> {
        let before = flow::Relations {
            relations: self.relations,
        };
        let all = before.with(app.into_relations()?)?;
        Ok(Self {
            relations: all.relations,
        })
    }
}
