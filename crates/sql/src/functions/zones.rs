//! `AT TIME ZONE`, which is `timezone`: between moments and what the clocks of a zone show.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, TimestampMicrosecondArray, timezone::Tz},
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
};
use datafusion_common::DataFusionError;
use datafusion_expr::{ScalarUDF, Signature, TypeSignature, Volatility};

use super::{define::Function, times::out_of_range};
use crate::{
    column_type::timestamptz,
    error::{raise, sqlstate},
    zone,
};

pub const TIMEZONE: &str = "timezone";

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let signature = Signature::one_of(
        vec![
            TypeSignature::Exact(vec![DataType::Utf8, timestamptz()]),
            TypeSignature::Exact(vec![DataType::Utf8, local()]),
        ],
        Volatility::Immutable,
    );
    vec![Function::new(TIMEZONE, signature, answer, moved).build()]
}

fn local() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn answer(types: &[DataType]) -> Result<DataType, DataFusionError> {
    Ok(match types {
        [_, DataType::Timestamp(_, Some(_))] => local(),
        _ => timestamptz(),
    })
}

fn moved(arrays: &[ArrayRef], to: &DataType) -> Result<ArrayRef, DataFusionError> {
    let names = arrays[0].as_string::<i32>();
    let times = arrays[1].as_primitive::<TimestampMicrosecondType>();
    let is_local = *to == local();
    let mut last: Option<(&str, Tz)> = None;
    let rows = names.iter().zip(times).map(|(name, time)| {
        let (Some(name), Some(time)) = (name, time) else {
            return Ok(None);
        };
        let zone = match last {
            Some((known, zone)) if known == name => zone,
            _ => found(name)?,
        };
        last = Some((name, zone));
        let moved = match is_local {
            true => zone::local_us(time, zone),
            false => zone::moment_us(time, zone),
        };
        moved.map(Some).ok_or_else(out_of_range)
    });
    let rows = rows.collect::<Result<TimestampMicrosecondArray, _>>()?;
    Ok(Arc::new(rows.with_data_type(to.clone())))
}

/// Offsets are POSIX's here, as in PostgreSQL: `+02` is two hours west of Greenwich.
fn found(name: &str) -> Result<Tz, DataFusionError> {
    let zone = match name.split_at_checked(1) {
        Some(("+", offset)) => zone::named(&format!("-{offset}")),
        Some(("-", offset)) => zone::named(&format!("+{offset}")),
        _ => zone::named(name),
    };
    let message = || format!("time zone \"{name}\" not recognized");
    zone.ok_or_else(|| raise(sqlstate::INVALID_PARAMETER_VALUE, message()))
}
