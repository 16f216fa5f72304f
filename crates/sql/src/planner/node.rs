//! What each node of our own in the query engine's plans has to be.

/// The engine wants an order of plans, which nobody asks for; a node is shown as EXPLAIN shows it.
macro_rules! plan_node {
    ($node:ty, $first:ident) => {
        impl PartialOrd for $node {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                self.$first.partial_cmp(&other.$first)
            }
        }

        impl std::fmt::Debug for $node {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.fmt_for_explain(f)
            }
        }
    };
}

pub(super) use plan_node;
