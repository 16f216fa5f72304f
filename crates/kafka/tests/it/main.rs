//! Golden bytes of real clients; costs of the hot paths, tiny in every test run and measured by `--ignored`.

mod costs;
mod golden;
