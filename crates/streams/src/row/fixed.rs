//! Values of one width as bytes that sort as they do, and the types that have them.

use arrow_buffer::{IntervalDayTime, IntervalMonthDayNano, i256};

/// A value whose bytes are as many for each of its type.
pub(super) trait Fixed: Copy {
    const WIDTH: usize;

    /// Into exactly `WIDTH` bytes.
    fn write(self, out: &mut [u8]);

    /// Of exactly `WIDTH` bytes.
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! integers {
    ($($signed:ident $unsigned:ident),*) => { $(
        impl Fixed for $unsigned {
            const WIDTH: usize = size_of::<Self>();

            #[inline]
            fn write(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_be_bytes());
            }

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                Self::from_be_bytes(bytes.try_into().expect("the caller gives as many"))
            }
        }

        impl Fixed for $signed {
            const WIDTH: usize = size_of::<Self>();

            #[inline]
            fn write(self, out: &mut [u8]) {
                (self.cast_unsigned() ^ (1 << (Self::BITS - 1))).write(out);
            }

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                ($unsigned::read(bytes) ^ (1 << (Self::BITS - 1))).cast_signed()
            }
        }
    )* };
}

integers!(i8 u8, i16 u16, i32 u32, i64 u64, i128 u128);

macro_rules! floats {
    ($($float:ident $bits:ident),*) => { $(
        impl Fixed for $float {
            const WIDTH: usize = size_of::<Self>();

            #[inline]
            fn write(self, out: &mut [u8]) {
                let sign = 1 << ($bits::BITS - 1);
                let bits = if self.is_nan() {
                    $float::NAN.to_bits() & !sign
                } else if self == 0.0 {
                    0
                } else {
                    self.to_bits()
                };
                let bits = if bits & sign == 0 { bits | sign } else { !bits };
                bits.write(out);
            }

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                let sign = 1 << ($bits::BITS - 1);
                let bits = $bits::read(bytes);
                $float::from_bits(if bits & sign == 0 { !bits } else { bits ^ sign })
            }
        }
    )* };
}

floats!(f32 u32, f64 u64);

impl Fixed for i256 {
    const WIDTH: usize = 32;

    fn write(self, out: &mut [u8]) {
        out.copy_from_slice(&self.to_be_bytes());
        out[0] ^= 0x80;
    }

    fn read(bytes: &[u8]) -> Self {
        let mut bytes: [u8; 32] = bytes.try_into().expect("the caller gives as many");
        bytes[0] ^= 0x80;
        Self::from_be_bytes(bytes)
    }
}

const DAY_NS: i128 = 24 * 60 * 60 * 1_000_000_000;
const MONTH_NS: i128 = 30 * DAY_NS;

impl Fixed for IntervalMonthDayNano {
    const WIDTH: usize = 16 + 4 + 4;

    fn write(self, out: &mut [u8]) {
        let length = i128::from(self.months) * MONTH_NS
            + i128::from(self.days) * DAY_NS
            + i128::from(self.nanoseconds);
        length.write(&mut out[..16]);
        self.months.write(&mut out[16..20]);
        self.days.write(&mut out[20..]);
    }

    fn read(bytes: &[u8]) -> Self {
        let months = i32::read(&bytes[16..20]);
        let days = i32::read(&bytes[20..]);
        // Damaged bytes may hold any number, so nothing here may overflow.
        let rest = i128::read(&bytes[..16])
            .wrapping_sub(i128::from(months) * MONTH_NS + i128::from(days) * DAY_NS);
        Self::new(months, days, i64::try_from(rest).unwrap_or(0))
    }
}

impl Fixed for IntervalDayTime {
    const WIDTH: usize = 8 + 4;

    fn write(self, out: &mut [u8]) {
        let length = i64::from(self.days) * 24 * 60 * 60 * 1000 + i64::from(self.milliseconds);
        length.write(&mut out[..8]);
        self.days.write(&mut out[8..]);
    }

    fn read(bytes: &[u8]) -> Self {
        let days = i32::read(&bytes[8..]);
        let rest = i64::read(&bytes[..8]).wrapping_sub(i64::from(days) * 24 * 60 * 60 * 1000);
        Self::new(days, i32::try_from(rest).unwrap_or(0))
    }
}

/// Runs `$body` with the type named `$t` being that of the values, when they are numbers, times, or made of such.
macro_rules! by_primitive {
    ($data_type:expr, $t:ident => $body:expr, else $other:expr) => {{
        use arrow_array::types as t;
        use arrow_schema::{DataType as D, IntervalUnit as I, TimeUnit as U};
        macro_rules! run {
            ($of:ty) => {{
                type $t = $of;
                $body
            }};
        }
        match $data_type {
            D::Int8 => run!(t::Int8Type),
            D::Int16 => run!(t::Int16Type),
            D::Int32 => run!(t::Int32Type),
            D::Int64 => run!(t::Int64Type),
            D::UInt8 => run!(t::UInt8Type),
            D::UInt16 => run!(t::UInt16Type),
            D::UInt32 => run!(t::UInt32Type),
            D::UInt64 => run!(t::UInt64Type),
            D::Float32 => run!(t::Float32Type),
            D::Float64 => run!(t::Float64Type),
            D::Decimal32(..) => run!(t::Decimal32Type),
            D::Decimal64(..) => run!(t::Decimal64Type),
            D::Decimal128(..) => run!(t::Decimal128Type),
            D::Decimal256(..) => run!(t::Decimal256Type),
            D::Date32 => run!(t::Date32Type),
            D::Date64 => run!(t::Date64Type),
            D::Time32(U::Second) => run!(t::Time32SecondType),
            D::Time32(U::Millisecond) => run!(t::Time32MillisecondType),
            D::Time64(U::Microsecond) => run!(t::Time64MicrosecondType),
            D::Time64(U::Nanosecond) => run!(t::Time64NanosecondType),
            D::Timestamp(U::Second, _) => run!(t::TimestampSecondType),
            D::Timestamp(U::Millisecond, _) => run!(t::TimestampMillisecondType),
            D::Timestamp(U::Microsecond, _) => run!(t::TimestampMicrosecondType),
            D::Timestamp(U::Nanosecond, _) => run!(t::TimestampNanosecondType),
            D::Duration(U::Second) => run!(t::DurationSecondType),
            D::Duration(U::Millisecond) => run!(t::DurationMillisecondType),
            D::Duration(U::Microsecond) => run!(t::DurationMicrosecondType),
            D::Duration(U::Nanosecond) => run!(t::DurationNanosecondType),
            D::Interval(I::YearMonth) => run!(t::IntervalYearMonthType),
            D::Interval(I::DayTime) => run!(t::IntervalDayTimeType),
            D::Interval(I::MonthDayNano) => run!(t::IntervalMonthDayNanoType),
            _ => $other,
        }
    }};
}
pub(crate) use by_primitive;

/// Runs `$body` with the array by its own type, when its values are text or bytes of any length.
macro_rules! by_bytes {
    ($array:expr, $values:ident => $body:expr, else $other:expr) => {
        match $array.data_type() {
            arrow_schema::DataType::Utf8 => {
                let $values = $array.as_string::<i32>();
                $body
            }
            arrow_schema::DataType::LargeUtf8 => {
                let $values = $array.as_string::<i64>();
                $body
            }
            arrow_schema::DataType::Utf8View => {
                let $values = $array.as_string_view();
                $body
            }
            arrow_schema::DataType::Binary => {
                let $values = $array.as_binary::<i32>();
                $body
            }
            arrow_schema::DataType::LargeBinary => {
                let $values = $array.as_binary::<i64>();
                $body
            }
            arrow_schema::DataType::BinaryView => {
                let $values = $array.as_binary_view();
                $body
            }
            _ => $other,
        }
    };
}
pub(crate) use by_bytes;
