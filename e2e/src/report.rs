//! What passed, what failed and what was left out, with the reason.

/// One suite's cases.
#[derive(Debug)]
pub struct Suite {
    pub name: String,
    pub cases: Vec<Case>,
    pub seconds: f64,
}

/// One thing that was checked.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub outcome: Outcome,
}

/// How a case ended.
#[derive(Debug)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Suite {
    /// A suite with no cases yet.
    pub fn new(name: &str) -> Suite {
        Suite {
            name: name.to_owned(),
            cases: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Notes a case that passed.
    pub fn passed(&mut self, name: impl Into<String>) {
        self.add(name.into(), Outcome::Passed);
    }

    /// Notes a case that failed.
    pub fn failed(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.add(name.into(), Outcome::Failed(why.into()));
    }

    /// Notes a case that could not run.
    pub fn skipped(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.add(name.into(), Outcome::Skipped(why.into()));
    }

    /// Notes a case by its result.
    pub fn case(&mut self, name: impl Into<String>, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.passed(name),
            Err(error) => self.failed(name, format!("{error:#}")),
        }
    }

    fn add(&mut self, name: String, outcome: Outcome) {
        match &outcome {
            Outcome::Passed => println!("{} {name} ... ok", self.name),
            Outcome::Failed(why) => println!("{} {name} ... FAILED: {why}", self.name),
            Outcome::Skipped(why) => println!("{} {name} ... skipped: {why}", self.name),
        }
        self.cases.push(Case { name, outcome });
    }

    /// How many cases passed.
    pub fn count_passed(&self) -> usize {
        self.cases
            .iter()
            .filter(|case| matches!(case.outcome, Outcome::Passed))
            .count()
    }

    /// How many cases failed.
    pub fn count_failed(&self) -> usize {
        self.cases
            .iter()
            .filter(|case| matches!(case.outcome, Outcome::Failed(_)))
            .count()
    }

    /// How many cases could not run.
    pub fn count_skipped(&self) -> usize {
        self.cases
            .iter()
            .filter(|case| matches!(case.outcome, Outcome::Skipped(_)))
            .count()
    }
}
