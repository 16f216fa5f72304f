//! Prometheus' text format (version 0.0.4).

use std::{fmt::Write, time::Duration};

use runtime::stats::Histogram;

/// Upper bounds of latency buckets: from below one journal write to beyond what anybody waits for.
const BOUNDS: [Duration; 20] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(300),
    Duration::from_micros(500),
    Duration::from_micros(750),
    Duration::from_millis(1),
    Duration::from_micros(1500),
    Duration::from_millis(2),
    Duration::from_millis(3),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Collects the text; each metric's head once, before its samples.
#[derive(Default)]
pub struct Page {
    text: String,
}

/// Label names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a metric.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        let labels = show_labels(labels);
        self.push(format_args!("{name}{labels} {value}\n"));
    }

    /// Buckets, sum and count, in seconds.
    pub fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        for bound in BOUNDS {
            let le = bound.as_secs_f64().to_string();
            let labels = show_labels(&[labels, &[("le", &le)]].concat());
            let count = histogram.count_le(bound);
            self.push(format_args!("{name}_bucket{labels} {count}\n"));
        }
        let count = histogram.count();
        let all = show_labels(&[labels, &[("le", "+Inf")]].concat());
        let labels = show_labels(labels);
        let sum = histogram.sum().as_secs_f64();
        self.push(format_args!(
            "{name}_bucket{all} {count}\n{name}_sum{labels} {sum}\n{name}_count{labels} {count}\n"
        ));
    }

    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text
            .write_fmt(text)
            .expect("writing to a string does not fail");
    }
}

fn show_labels(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let parts: Vec<_> = labels
        .iter()
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", parts.join(","))
}
