//! What is done with each field of a message.

use std::sync::Arc;

use crate::format::{DEPTH_MAX, FormatError, Implied, SchemaText, column::is_json};
use arrow_schema::{DataType, Field as ColumnField, SchemaRef, TimeUnit};
use proto_schema::{self as schema, Field, Message, Scalar, Schema};

/// Field numbers below this are looked up by place.
const DENSE: u32 = 64;

/// Tags of one byte, so those of the first fifteen fields.
const TAGS: usize = 128;

/// What is done behind a tag of one byte.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// What the action says.
    Any,
    SkipVarint,
    SkipCounted,
    /// Into the column of this number, which is of this type: what most fields are, with nothing left to be looked up.
    Bigint(u8),
    /// Milliseconds.
    Timestamp(u8),
    Text(u8),
}

/// See the module head.
pub(super) struct Plan {
    /// By tag.
    steps: Box<[Step; TAGS]>,
    /// By number.
    dense: Vec<Option<Action>>,
    /// Those of higher numbers, sorted.
    sparse: Vec<(u32, Action)>,
    /// Columns that are not NULL when their field was left out: empty lists, or the default of their kind.
    pub defaults: Vec<(usize, Option<Kind>)>,
}

pub(super) enum Action {
    Value {
        column: usize,
        kind: Kind,
    },
    /// An element more.
    List {
        column: usize,
        kind: Kind,
    },
    /// Fields of a message are columns of their own.
    Path(Box<Plan>),
    /// Several columns are made of one field.
    Several(Vec<Action>),
}

/// What makes one value of a column.
#[derive(Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    Enum(Arc<[(i32, String)]>),
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// A message of one field, number 1.
    Wrapper(Scalar),
    Struct(Arc<Plan>),
}

impl Kind {
    /// How elements lie when they are packed, if they can be.
    pub fn packed_wire(&self) -> Option<u8> {
        match self {
            Self::Scalar(Scalar::String | Scalar::Bytes) => None,
            Self::Scalar(scalar) => Some(scalar.wire()),
            Self::Enum(_) => Some(proto_schema::VARINT),
            _ => None,
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        // A field has no number zero: its tags are errors.
        let steps = std::array::from_fn(|tag| match (tag >> 3, (tag & 7) as u8) {
            (0, _) => Step::Any,
            (_, proto_schema::VARINT) => Step::SkipVarint,
            (_, proto_schema::COUNTED) => Step::SkipCounted,
            _ => Step::Any,
        });
        Self {
            steps: Box::new(steps),
            dense: Vec::new(),
            sparse: Vec::new(),
            defaults: Vec::new(),
        }
    }
}

impl Plan {
    #[inline]
    pub fn step(&self, first: u8) -> Step {
        self.steps
            .get(usize::from(first))
            .copied()
            .unwrap_or(Step::Any)
    }

    /// Columns that have a step of their own.
    pub fn columns_by_step(&self) -> usize {
        let of_a_column =
            |step: &&Step| matches!(step, Step::Bigint(_) | Step::Timestamp(_) | Step::Text(_));
        self.steps.iter().filter(of_a_column).count()
    }

    #[inline]
    pub fn action(&self, number: u32) -> Option<&Action> {
        if let Some(action) = self.dense.get(number as usize) {
            return action.as_ref();
        }
        let found = self
            .sparse
            .binary_search_by_key(&number, |(number, _)| *number);
        found.ok().map(|at| &self.sparse[at].1)
    }

    /// A column that is what stands at `path` in a message.
    pub fn add(
        &mut self,
        schema: &Schema,
        message: &Message,
        path: &[String],
        column: usize,
        target: &ColumnField,
    ) -> Result<(), FormatError> {
        let missing = || FormatError::Field {
            column: target.name().clone(),
            message: message.name.clone(),
        };
        let (name, rest) = path.split_first().ok_or_else(missing)?;
        let field = message
            .fields
            .iter()
            .find(|field| field.name == *name)
            .ok_or_else(missing)?;
        if path.len() > DEPTH_MAX {
            return Err(FormatError::PathDepth {
                column: target.name().clone(),
            });
        }
        if rest.is_empty() {
            let action = self.column(schema, field, column, target)?;
            let step = step(&action, target);
            self.insert(field.number, action, step);
            return Ok(());
        }
        let schema::Kind::Message(inner) = field.kind else {
            return Err(mismatch(target));
        };
        if field.is_repeated {
            return Err(mismatch(target));
        }
        let inner = &schema.messages[inner];
        if let Some(plan) = self.path(field.number) {
            return plan.add(schema, inner, rest, column, target);
        }
        let mut plan = Self::default();
        plan.add(schema, inner, rest, column, target)?;
        self.insert(field.number, Action::Path(Box::new(plan)), None);
        Ok(())
    }

    fn column(
        &mut self,
        schema: &Schema,
        field: &Field,
        column: usize,
        target: &ColumnField,
    ) -> Result<Action, FormatError> {
        if field.is_repeated {
            let DataType::List(element) = target.data_type() else {
                return Err(mismatch(target));
            };
            self.defaults.push((column, None));
            let kind = kind(schema, &field.kind, element)?;
            return Ok(Action::List { column, kind });
        }
        let kind = kind(schema, &field.kind, target)?;
        if !field.has_presence {
            self.defaults.push((column, Some(kind.clone())));
        }
        Ok(Action::Value { column, kind })
    }

    fn slot(&mut self, number: u32) -> &mut Option<Action> {
        let at = number as usize;
        if self.dense.len() <= at {
            self.dense.resize_with(at + 1, || None);
        }
        &mut self.dense[at]
    }

    fn path(&mut self, number: u32) -> Option<&mut Plan> {
        let found = if number < DENSE {
            self.slot(number).as_mut()
        } else {
            let mut sparse = self.sparse.iter_mut();
            sparse
                .find(|(other, _)| *other == number)
                .map(|(_, action)| action)
        };
        let actions = match found? {
            Action::Several(actions) => actions.as_mut_slice(),
            action => std::slice::from_mut(action),
        };
        actions.iter_mut().find_map(|action| match action {
            Action::Path(plan) => Some(&mut **plan),
            _ => None,
        })
    }

    fn insert(&mut self, number: u32, action: Action, step: Option<(u8, Step)>) {
        if number < DENSE {
            let slot = self.slot(number);
            let is_alone = slot.is_none();
            *slot = Some(both(slot.take(), action));
            let first = (number as usize) << 3;
            if let Some(steps) = self.steps.get_mut(first..first + 8) {
                steps.fill(Step::Any);
                if let (true, Some((wire, step))) = (is_alone, step) {
                    steps[usize::from(wire)] = step;
                }
            }
            return;
        }
        match self
            .sparse
            .binary_search_by_key(&number, |(number, _)| *number)
        {
            Err(at) => self.sparse.insert(at, (number, action)),
            Ok(at) => {
                let (_, before) = self.sparse.remove(at);
                self.sparse.insert(at, (number, both(Some(before), action)));
            }
        }
    }
}

/// For what wire type a field's action is a step.
fn step(action: &Action, target: &ColumnField) -> Option<(u8, Step)> {
    let Action::Value {
        column,
        kind: Kind::Scalar(scalar),
    } = action
    else {
        return None;
    };
    let column = u8::try_from(*column).ok()?;
    let step = match (scalar, target.data_type()) {
        (Scalar::Int64, DataType::Int64) => Step::Bigint(column),
        (Scalar::Int64, DataType::Timestamp(..)) => Step::Timestamp(column),
        (Scalar::String, DataType::Utf8) if !is_json(target) => Step::Text(column),
        _ => return None,
    };
    Some((scalar.wire(), step))
}

fn both(before: Option<Action>, action: Action) -> Action {
    match before {
        None => action,
        Some(Action::Several(mut actions)) => {
            actions.push(action);
            Action::Several(actions)
        }
        Some(before) => Action::Several(vec![before, action]),
    }
}

pub(super) fn mismatch(target: &ColumnField) -> FormatError {
    FormatError::FieldType {
        column: target.name().clone(),
        data_type: target.data_type().clone(),
    }
}

/// How a field of this type becomes a value of the column.
fn kind(
    schema: &Schema,
    declared: &schema::Kind,
    target: &ColumnField,
) -> Result<Kind, FormatError> {
    let data_type = target.data_type();
    let kind = match declared {
        schema::Kind::Scalar(scalar) if fits(*scalar, data_type) => Kind::Scalar(*scalar),
        schema::Kind::Enum(at) if matches!(data_type, DataType::Utf8) => {
            let mut values = schema.enums[*at].values.clone();
            values.sort_by_key(|(number, _)| *number);
            Kind::Enum(values.into())
        }
        schema::Kind::Enum(_) if fits(Scalar::Int32, data_type) => Kind::Scalar(Scalar::Int32),
        schema::Kind::Message(at) => {
            let message = &schema.messages[*at];
            match (data_type, wrapped(message)) {
                (DataType::Timestamp(..), _) if is_timestamp(message) => Kind::Timestamp,
                (DataType::Struct(columns), _) => {
                    let mut plan = Plan::default();
                    for (at, column) in columns.iter().enumerate() {
                        plan.add(schema, message, &[column.name().clone()], at, column)?;
                    }
                    Kind::Struct(Arc::new(plan))
                }
                (data_type, Some(scalar)) if fits(scalar, data_type) => Kind::Wrapper(scalar),
                _ => return Err(mismatch(target)),
            }
        }
        _ => return Err(mismatch(target)),
    };
    Ok(kind)
}

pub(super) fn is_timestamp(message: &Message) -> bool {
    message.name == "google.protobuf.Timestamp"
}

/// What a well-known wrapper wraps.
fn wrapped(message: &Message) -> Option<Scalar> {
    let name = message.name.strip_prefix("google.protobuf.")?;
    match (name.ends_with("Value"), message.fields.as_slice()) {
        (true, [field]) => match field.kind {
            schema::Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        },
        _ => None,
    }
}

fn fits(scalar: Scalar, data_type: &DataType) -> bool {
    use DataType::{
        Binary, Boolean, Date32, Decimal128, Float32, Float64, Int16, Int32, Int64, List, Struct,
        Timestamp, Utf8,
    };
    match scalar {
        Scalar::Double => matches!(data_type, Float64),
        Scalar::Float => matches!(data_type, Float32 | Float64),
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 | Scalar::Uint32 | Scalar::Fixed32 => {
            matches!(
                data_type,
                Int16 | Int32 | Int64 | Decimal128(..) | Date32 | Float64
            )
        }
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 | Scalar::Uint64 | Scalar::Fixed64 => {
            matches!(
                data_type,
                Int16 | Int32 | Int64 | Decimal128(..) | Timestamp(..)
            )
        }
        Scalar::Bool => matches!(data_type, Boolean),
        Scalar::String => !matches!(data_type, List(_) | Struct(_)),
        Scalar::Bytes => matches!(data_type, Binary | Utf8),
    }
}

/// Columns for all fields of a message.
pub(in crate::format) fn implied_schema(
    text: &SchemaText,
    name: &str,
) -> Result<SchemaRef, FormatError> {
    let schema = super::parse(text)?;
    let fields = implied_fields(
        &schema,
        super::message(&schema, name)?,
        &mut Implied::default(),
    )?;
    Ok(Arc::new(arrow_schema::Schema::new(fields)))
}

fn implied_fields(
    schema: &Schema,
    message: &Message,
    implied: &mut Implied,
) -> Result<Vec<ColumnField>, FormatError> {
    let fields = message.fields.iter().map(|field| {
        implied.enter(&message.name)?;
        let data_type = match &field.kind {
            schema::Kind::Scalar(scalar) => implied_scalar(*scalar),
            schema::Kind::Enum(_) => DataType::Utf8,
            schema::Kind::Message(at) => {
                let message = &schema.messages[*at];
                match wrapped(message) {
                    Some(scalar) => implied_scalar(scalar),
                    None if is_timestamp(message) => {
                        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
                    }
                    None => DataType::Struct(implied_fields(schema, message, implied)?.into()),
                }
            }
            schema::Kind::Named(name) => {
                return Err(FormatError::Message { name: name.clone() });
            }
        };
        let data_type = if field.is_repeated {
            DataType::List(Arc::new(ColumnField::new_list_field(data_type, true)))
        } else {
            data_type
        };
        implied.leave();
        Ok(ColumnField::new(&field.name, data_type, true))
    });
    fields.collect()
}

fn implied_scalar(scalar: Scalar) -> DataType {
    match scalar {
        Scalar::Double => DataType::Float64,
        Scalar::Float => DataType::Float32,
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => DataType::Int32,
        Scalar::Uint32 | Scalar::Fixed32 => DataType::Int64,
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => DataType::Int64,
        Scalar::Uint64 | Scalar::Fixed64 => DataType::Decimal128(20, 0),
        Scalar::Bool => DataType::Boolean,
        Scalar::String => DataType::Utf8,
        Scalar::Bytes => DataType::Binary,
    }
}
