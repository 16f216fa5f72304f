//! Tests of the histogram against sorted samples.

use super::*;

#[test]
fn bounds_and_buckets_agree() {
    let mut previous = None;
    for bucket in 0..2000 {
        let bound = upper_bound(bucket);
        assert_eq!(bucket_of(bound), bucket);
        assert_eq!(bucket_of(bound + 1), bucket + 1);
        assert!(previous < Some(bound));
        previous = Some(bound);
    }
}

#[test]
fn quantiles_are_within_a_bucket() {
    let mut histogram = Histogram::default();
    let mut samples = Vec::new();
    let mut state = 1u64;
    for _ in 0..10_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        let micros = (state >> 33) % 1_000_000;
        samples.push(micros);
        histogram.record(Duration::from_micros(micros));
    }
    samples.sort_unstable();
    for q in [0.0, 0.01, 0.5, 0.99, 0.999, 1.0] {
        let rank = ((samples.len() as f64 * q).ceil() as usize).max(1) - 1;
        let exact = samples[rank] as f64;
        let got = histogram.quantile(q).as_micros() as f64;
        assert!(
            got >= exact && got <= exact * 1.017 + 1.0,
            "{q}: {got} for {exact}"
        );
    }
    assert_eq!(histogram.max().as_micros() as u64, samples[9_999]);
    assert_eq!(histogram.count_le(Duration::from_secs(2)), 10_000);
    let below: usize = samples.iter().filter(|s| **s <= 63).count();
    assert_eq!(histogram.count_le(Duration::from_micros(63)), below as u64);
}

#[test]
fn merging_adds() {
    let mut a = Histogram::default();
    let mut b = Histogram::default();
    assert_eq!(a.quantile(0.5), Duration::ZERO);
    a.record(Duration::from_micros(10));
    b.record(Duration::from_micros(1000));
    a.merge(&b);
    assert_eq!((a.count(), a.max()), (2, Duration::from_micros(1000)));
    assert_eq!(a.sum(), Duration::from_micros(1010));
    assert_eq!(a.quantile(0.5), Duration::from_micros(10));
}
