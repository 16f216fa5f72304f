//! State that changes its shape between two deployments.
