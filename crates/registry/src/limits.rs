//! What a registry holds at most; beyond, a request is refused and says so.

/// Bytes of one request.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Schemas with an id, also of those that are deleted: their ids stay taken, and records written with them stay readable.
pub const SCHEMAS_MAX: usize = 100_000;
/// Bytes of their texts and references.
pub const TEXT_BYTES_MAX: usize = 128 << 20;
/// Versions of one subject.
pub const VERSIONS_MAX: usize = 1000;
/// Versions of all subjects: one schema may be that of many.
pub const ALL_VERSIONS_MAX: usize = 200_000;
/// Levels and modes that subjects have of their own.
pub const SETTINGS_MAX: usize = 100_000;
pub const SUBJECT_BYTES_MAX: usize = 249 + 16;
/// What a schema calls another: a file's path or a URI.
pub const REFERENCE_NAME_BYTES_MAX: usize = 1024;
/// Schemas that one names types of, those included that they name.
pub const REFERENCES_MAX: usize = 64;
/// And their bytes.
pub const REFERENCES_BYTES_MAX: usize = 4 << 20;
/// Steps from one to another.
pub const REFERENCES_DEPTH_MAX: usize = 32;
/// Schemas of one answer.
pub const ANSWER_SCHEMAS_MAX: usize = 1000;
/// Bytes of what one answer lists; the entry that reaches it is the last, whatever was asked for.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What one request may do to compare schemas: pairs of types with the fields, symbols and values in them.
pub const STEPS_MAX: usize = 8 << 20;
/// Bytes of a schema that are as much work to read as a step.
pub const STEP_BYTES: usize = 16;
