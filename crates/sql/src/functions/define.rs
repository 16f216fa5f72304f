//! Own functions with little ceremony: a name, types, and what to do with arrays of equal length.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::bounded::{foldable, spread};
use crate::column_type::marked;

/// What a function says of itself that stands around another one, its `inner`.
macro_rules! as_inner {
    () => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }

        fn signature(&self) -> &Signature {
            self.inner.signature()
        }

        fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
            self.inner.inner().coerce_types(arguments)
        }
    };
}

pub(super) use as_inner;

type Answer = fn(&[DataType]) -> Result<DataType, DataFusionError>;
type Body = fn(&[ArrayRef], &DataType) -> Result<ArrayRef, DataFusionError>;

/// A function that works on whole columns.
pub struct Function {
    pub name: &'static str,
    pub aliases: Vec<String>,
    pub signature: Signature,
    pub answer: Answer,
    pub body: Body,
    /// Of an answer that is more than text, its type.
    marked: Option<&'static str>,
}

impl Function {
    pub fn new(name: &'static str, signature: Signature, answer: Answer, body: Body) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            signature,
            answer,
            body,
            marked: None,
        }
    }

    /// With exactly these types of arguments.
    pub fn exact(name: &'static str, arguments: Vec<DataType>, answer: Answer, body: Body) -> Self {
        Self::new(
            name,
            Signature::exact(arguments, Volatility::Immutable),
            answer,
            body,
        )
    }

    #[must_use]
    pub fn alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }

    /// Says of its answer, a text, that it is `json`, `jsonb` or `uuid`.
    #[must_use]
    pub fn marked(mut self, name: &'static str) -> Self {
        self.marked = Some(name);
        self
    }

    pub fn build(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.signature == other.signature
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        (self.answer)(arguments)
    }

    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        let types = arguments.arg_fields.iter().map(|field| field.data_type());
        let types: Vec<DataType> = types.cloned().collect();
        let field = Field::new(self.name, (self.answer)(&types)?, true);
        Ok(Arc::new(match self.marked {
            Some(name) => marked(field, name),
            None => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        on_arrays(&args, |arrays| {
            (self.body)(arrays, args.return_field.data_type())
        })
    }
}

/// Runs it over one row when all arguments are constants.
pub fn on_arrays(
    args: &ScalarFunctionArgs,
    body: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef, DataFusionError>,
) -> Result<ColumnarValue, DataFusionError> {
    let is_constant = args
        .args
        .iter()
        .all(|value| matches!(value, ColumnarValue::Scalar(_)));
    let rows = if is_constant { 1 } else { args.number_rows };
    let arrays = args
        .args
        .iter()
        .map(|value| spread(value, rows))
        .collect::<Result<Vec<_>, _>>()?;
    let array = body(&arrays)?;
    if is_constant {
        let value = ScalarValue::try_from_array(&array, 0)?;
        return foldable(ColumnarValue::Scalar(value), &args.config_options);
    }
    Ok(ColumnarValue::Array(array))
}
