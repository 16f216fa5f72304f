//! How a record's value holds a row.

/// See the module head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object; a column is what stands at its path, one path for each column of the source.
    Json { paths: Vec<Vec<String>> },
    Csv { delimiter: u8 },
    /// The value as it is, in a single column of type text or bytea.
    Raw,
}
