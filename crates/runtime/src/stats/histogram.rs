//! A log-linear histogram of latencies.

use std::time::Duration;

const SUB_BUCKETS: u64 = 64;
const SUB_BITS: u32 = 6;
/// Longer samples (19 hours) count as this long.
const MICROS_MAX: u64 = 1 << 36;

/// Log-linear latency histogram in microseconds (64 buckets per power of two: 1.6 % wide). Samples are rounded up to
/// whole microseconds. Takes memory for the buckets up to its largest sample only.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
    max: Duration,
}

fn bucket_of(micros: u64) -> usize {
    if micros < SUB_BUCKETS {
        return micros as usize;
    }
    let exponent = micros.ilog2() - SUB_BITS;
    (SUB_BUCKETS * u64::from(exponent) + (micros >> exponent)) as usize
}

/// The largest number of microseconds that falls into the bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let exponent = bucket / SUB_BUCKETS - 1;
    ((bucket - SUB_BUCKETS * exponent + 1) << exponent) - 1
}

impl Histogram {
    pub fn record(&mut self, value: Duration) {
        let micros = (value.as_nanos().div_ceil(1000)).min(u128::from(MICROS_MAX)) as u64;
        let bucket = bucket_of(micros);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += value;
        self.max = self.max.max(value);
    }

    pub fn merge(&mut self, other: &Histogram) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    /// The value that a share `q` (0 to 1) of the samples does not exceed, at most one bucket too high; zero when
    /// there are no samples.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper_bound(bucket)).min(self.max);
            }
        }
        Duration::ZERO
    }

    /// Samples at or below `bound`, for Prometheus buckets (to the bucket's width).
    pub fn count_le(&self, bound: Duration) -> u64 {
        let micros = bound.as_micros().min(u128::from(MICROS_MAX)) as u64;
        let end = (bucket_of(micros) + 1).min(self.buckets.len());
        self.buckets[..end].iter().sum()
    }
}

#[cfg(test)]
mod tests;
