//! Sums against whole numbers, in any order.

use super::ExactSum;

fn sum(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::default();
    values.iter().for_each(|value| sum.add(*value, 1));
    sum
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(0x5851_F42D_4C95_7F2D)
        .wrapping_add(0x1405_7B7E_F767_814F);
    *seed ^ (*seed >> 29)
}

#[test]
fn what_cancels_out_leaves_nothing() {
    for values in [
        &[1e300, 1.0, -1e300][..],
        &[1e16, 1.0, -1e16],
        &[f64::MAX, f64::MAX, -f64::MAX, 1.0, -f64::MAX],
    ] {
        assert_eq!(sum(values).round(), 1.0);
    }
    assert_eq!(sum(&[5e-324, 5e-324]).round(), 1e-323);
    assert_eq!(
        sum(&[f64::MIN_POSITIVE, -5e-324]).round(),
        f64::MIN_POSITIVE - 5e-324
    );
    assert_eq!(sum(&[f64::MAX, f64::MAX]).round(), f64::INFINITY);
    assert_eq!(sum(&[-f64::MAX, -f64::MAX]).round(), f64::NEG_INFINITY);
    assert_eq!(sum(&[0.1; 10]).round(), 1.0);
    assert_eq!(sum(&[]).round(), 0.0);
}

#[test]
fn it_is_rounded_once_to_even() {
    let half = 2_f64.powi(-53);
    assert_eq!(sum(&[1.0, half]).round(), 1.0);
    assert_eq!(sum(&[1.0, half, 5e-324]).round(), 1.0 + 2.0 * half);
    assert_eq!(sum(&[1.0 + 2.0 * half, half]).round(), 1.0 + 4.0 * half);
    assert_eq!(sum(&[1.0, half, -5e-324]).round(), 1.0);
}

#[test]
fn infinities_and_nan_can_be_taken_back() {
    let mut sum = sum(&[1.0, f64::INFINITY]);
    assert_eq!(sum.round(), f64::INFINITY);
    sum.add(f64::NEG_INFINITY, 1);
    assert!(sum.round().is_nan());
    sum.add(f64::INFINITY, -1);
    assert_eq!(sum.round(), f64::NEG_INFINITY);
    sum.add(f64::NEG_INFINITY, -1);
    sum.add(f64::NAN, 1);
    assert!(sum.round().is_nan());
    sum.add(f64::NAN, -1);
    assert_eq!(sum.round(), 1.0);
}

/// Floats of any exponent; those that remain add up to the same whichever came and went between, and in whatever order.
#[test]
fn order_and_retractions_leave_no_trace() {
    let mut seed = 11;
    for _ in 0..2000 {
        let mut value = || loop {
            // Exponents of all sizes, or only those of common numbers.
            let bits = random(&mut seed);
            let bits = if seed.is_multiple_of(3) {
                bits
            } else {
                bits & !(0x7C0 << 52) | 0x3C0 << 52
            };
            let value = f64::from_bits(bits);
            if value.is_finite() {
                return value;
            }
        };
        let kept: Vec<f64> = (0..8).map(|_| value()).collect();
        let gone: Vec<f64> = (0..8).map(|_| value()).collect();
        let mut mixed = ExactSum::default();
        for (kept, gone) in kept.iter().rev().zip(&gone) {
            mixed.add(*gone, 3);
            mixed.add(*kept, 1);
        }
        gone.iter().for_each(|gone| mixed.add(*gone, -3));
        let plain = sum(&kept);
        assert_eq!(mixed.round().to_bits(), plain.round().to_bits());
        let mut bytes = Vec::new();
        mixed.write(&mut bytes);
        let read = ExactSum::read(&mut bytes.as_slice()).expect("what was written");
        assert_eq!(read.round().to_bits(), plain.round().to_bits());
        let (first, second) = plain.round_twice();
        assert!(
            !first.is_finite() || first + second / 2.0 == first,
            "{first:e} {second:e}"
        );
    }
}

/// Integers times a power of two, of which the exact sum is known.
#[test]
fn it_is_the_float_nearest_to_the_sum() {
    let mut seed = 5;
    for _ in 0..2000 {
        let exponent = -300 + (random(&mut seed) % 600) as i32;
        let scale = 2_f64.powi(exponent);
        let mut exact = 0_i128;
        let mut sum = ExactSum::default();
        for _ in 0..20 {
            let number = (random(&mut seed) >> 11) as i64 - (1 << 52);
            let weight = random(&mut seed) as i64 % 1000 - 500;
            exact += i128::from(number) * i128::from(weight);
            sum.add(number as f64 * scale, weight);
        }
        assert_eq!(sum.round(), exact as f64 * scale);
    }
}
