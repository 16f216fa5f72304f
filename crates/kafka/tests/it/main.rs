//! Costs of the hot paths: tiny in every test run, measured by `--ignored`.

mod costs;
