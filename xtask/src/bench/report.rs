//! The document with the ratios.

use std::fmt::Write;

use anyhow::Result;

use super::load::Sample;
use super::{Row, Samples, Variant};

/// What stands behind an acknowledgement.
const DURABILITY: &[(Variant, &str)] = &[
    (
        Variant::Forebay,
        "written with data-sync to the disk before the acknowledgement",
    ),
    (
        Variant::Kafka,
        "in the operating system's memory; written to the disk some time later (as shipped)",
    ),
    (
        Variant::KafkaFlush,
        "fsync before the acknowledgement, once per batch (`log.flush.interval.messages=1`)",
    ),
];

/// The whole document.
pub fn markdown(
    samples: &Samples,
    stalls: &[Vec<String>],
    runs: usize,
    seconds: u32,
) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "# Forebay beside Apache Kafka\n")?;
    writeln!(
        text,
        "Written by `cargo xtask bench kafka`: both servers on one machine, one node each, in alternation, with the"
    )?;
    writeln!(
        text,
        "same load generator (`bench/kload`, on franz-go), which shares the machine's cores with the server. Medians of"
    )?;
    writeln!(
        text,
        "{runs} runs of {seconds} s after a warm-up. Apache Kafka 4.3.1 with the JVM settings of its own scripts (heap 1 GiB).\n"
    )?;
    writeln!(text, "Machine: {}.\n", machine())?;
    writeln!(text, "An acknowledged record is:\n")?;
    for (variant, what) in DURABILITY {
        writeln!(text, "- {}: {what}", title(*variant))?;
    }
    rates(&mut text, samples)?;
    latencies(&mut text, samples)?;
    rest(&mut text, samples)?;
    bars(&mut text, samples)?;
    stalled(&mut text, stalls)?;
    Ok(text)
}

fn title(variant: Variant) -> &'static str {
    match variant {
        Variant::Forebay => "Forebay",
        Variant::Kafka => "Kafka as shipped",
        Variant::KafkaFlush => "Kafka, flush per batch",
    }
}

fn what(row: Row) -> &'static str {
    match row {
        Row::One => "1 KiB records, acks=all, 1 partition",
        Row::Sixteen => "1 KiB records, acks=all, 16 partitions",
        Row::Thousand => "100-byte records, one in a batch, 1,000 partitions",
        Row::Read => "reading 1 KiB records from the start, 1 partition",
        Row::Latency => "latency",
        Row::Ready => "time to ready on an empty directory, ms",
        Row::Memory => "resident memory, MiB",
    }
}

fn rates(text: &mut String, samples: &Samples) -> Result<()> {
    writeln!(text, "\n## Rates\n")?;
    writeln!(
        text,
        "Records per second, and in brackets the server's CPU seconds per million records.\n"
    )?;
    writeln!(
        text,
        "| load | Forebay | Kafka as shipped | Kafka, flush per batch | Forebay / shipped | Forebay / flush | records per CPU second, Forebay / shipped |"
    )?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for row in [Row::One, Row::Sixteen, Row::Thousand, Row::Read] {
        let rate = |variant| median(samples, row, variant, |sample| sample.records_per_s);
        let cpu = |variant| median(samples, row, variant, |sample| sample.cpu_per_million);
        let cell = |variant| match (rate(variant), cpu(variant)) {
            (Some(rate), Some(cpu)) => format!("{} ({cpu:.2})", thousands(rate)),
            _ => "–".to_owned(),
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            what(row),
            cell(Variant::Forebay),
            cell(Variant::Kafka),
            cell(Variant::KafkaFlush),
            ratio(rate(Variant::Forebay), rate(Variant::Kafka)),
            ratio(rate(Variant::Forebay), rate(Variant::KafkaFlush)),
            ratio(cpu(Variant::Kafka), cpu(Variant::Forebay)),
        )?;
    }
    Ok(())
}

fn latencies(text: &mut String, samples: &Samples) -> Result<()> {
    let held = samples
        .iter()
        .find(|((row, _), _)| *row == Row::Latency)
        .and_then(|(_, list)| list.first()?.rate);
    let Some(held) = held else { return Ok(()) };
    writeln!(text, "\n## Latency\n")?;
    writeln!(
        text,
        "Milliseconds from when a record was due to its acknowledgement, at {} records/s: half of what Kafka as",
        thousands(held)
    )?;
    writeln!(
        text,
        "shipped takes on 16 partitions. The load is open, so a server that stalls cannot hide it.\n"
    )?;
    writeln!(text, "| server | p50 | p99 | p99.9 | p99.99 | max |")?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    for variant in [Variant::Forebay, Variant::Kafka, Variant::KafkaFlush] {
        if samples
            .get(&(Row::Latency, variant))
            .is_some_and(|list| list.iter().any(|sample| sample.too_slow))
        {
            writeln!(
                text,
                "| {} | cannot keep this rate up | | | | |",
                title(variant)
            )?;
            continue;
        }
        let at = |place: usize| {
            median(samples, Row::Latency, variant, |sample| {
                sample.latency_ms.map(|list| list[place])
            })
        };
        let cells: Vec<String> = (0..5)
            .map(|place| at(place).map_or("–".to_owned(), |value| format!("{value:.2}")))
            .collect();
        writeln!(text, "| {} | {} |", title(variant), cells.join(" | "))?;
    }
    Ok(())
}

fn rest(text: &mut String, samples: &Samples) -> Result<()> {
    writeln!(text, "\n## Start and memory\n")?;
    writeln!(
        text,
        "| what | Forebay | Kafka as shipped | Kafka / Forebay |"
    )?;
    writeln!(text, "| --- | ---: | ---: | ---: |")?;
    let mut line = |name: &str, row: Row, field: fn(&Sample) -> Option<f64>| {
        let of = |variant| median(samples, row, variant, field);
        let cell = |variant| of(variant).map_or("–".to_owned(), |value| format!("{value:.0}"));
        let cells = (
            cell(Variant::Forebay),
            cell(Variant::Kafka),
            ratio(of(Variant::Kafka), of(Variant::Forebay)),
        );
        writeln!(text, "| {name} | {} | {} | {} |", cells.0, cells.1, cells.2)
    };
    line(what(Row::Ready), Row::Ready, |sample| sample.ready_ms)?;
    line("resident memory idle, MiB", Row::Memory, |sample| {
        sample.idle_mib
    })?;
    line(
        "resident memory after the load, MiB",
        Row::Memory,
        |sample| sample.after_mib,
    )?;
    Ok(())
}

/// The bars the project has set itself, and whether this run clears them.
fn bars(text: &mut String, samples: &Samples) -> Result<()> {
    let rate = |row, variant| median(samples, row, variant, |sample| sample.records_per_s);
    let cpu = |row, variant| median(samples, row, variant, |sample| sample.cpu_per_million);
    let over = |upper: Option<f64>, lower: Option<f64>| Some(upper? / lower?);
    let mut lines: Vec<(String, Option<bool>)> = Vec::new();
    for row in [Row::One, Row::Sixteen, Row::Thousand] {
        let per_cpu = over(cpu(row, Variant::Kafka), cpu(row, Variant::Forebay));
        lines.push((
            format!(
                "records per CPU second at least those of Kafka as shipped: {}",
                what(row)
            ),
            per_cpu.map(|found| found >= 1.0),
        ));
        let wanted = if row == Row::Thousand { 20.0 } else { 5.0 };
        let flushed = over(rate(row, Variant::Forebay), rate(row, Variant::KafkaFlush));
        lines.push((
            format!(
                "{wanted:.0} times the records per second of Kafka with a flush per batch: {}",
                what(row)
            ),
            flushed.map(|found| found >= wanted),
        ));
    }
    let ready = median(samples, Row::Ready, Variant::Forebay, |sample| {
        sample.ready_ms
    });
    lines.push((
        "ready within 150 ms".to_owned(),
        ready.map(|found| found <= 150.0),
    ));
    let idle = median(samples, Row::Memory, Variant::Forebay, |sample| {
        sample.idle_mib
    });
    lines.push((
        "at most 64 MiB resident when idle".to_owned(),
        idle.map(|found| found <= 64.0),
    ));
    writeln!(text, "\n## Bars\n")?;
    for (name, met) in lines {
        let word = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        writeln!(text, "- {word}: {name}")?;
    }
    Ok(())
}

fn stalled(text: &mut String, stalls: &[Vec<String>]) -> Result<()> {
    if stalls.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## Stalls\n")?;
    writeln!(
        text,
        "What Forebay's own detector counted over all loads of each run (a task that held its shard over 500 µs):\n"
    )?;
    for (turn, lines) in stalls.iter().enumerate() {
        writeln!(
            text,
            "Run {}:\n\n```text\n{}\n```",
            turn + 1,
            lines.join("\n")
        )?;
    }
    Ok(())
}

fn median(
    samples: &Samples,
    row: Row,
    variant: Variant,
    field: impl Fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    let mut values: Vec<f64> = samples
        .get(&(row, variant))?
        .iter()
        .filter_map(field)
        .collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn ratio(upper: Option<f64>, lower: Option<f64>) -> String {
    match (upper, lower) {
        (Some(upper), Some(lower)) if lower > 0.0 => format!("{:.2} ×", upper / lower),
        _ => "–".to_owned(),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The processor, its count, and the kernel.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} × {}, Linux {}",
        model.map_or("unknown", |(_, name)| name),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_bars_follow_the_samples() {
        let mut samples = Samples::new();
        for (variant, rate, cpu) in [
            (Variant::Forebay, 300_000.0, 2.0),
            (Variant::Kafka, 100_000.0, 4.0),
            (Variant::KafkaFlush, 10_000.0, 9.0),
        ] {
            let sample = Sample {
                records_per_s: Some(rate),
                cpu_per_million: Some(cpu),
                ..Sample::default()
            };
            samples.insert(
                (Row::Thousand, variant),
                vec![sample.clone(), sample.clone(), sample],
            );
        }
        let text = markdown(&samples, &[], 3, 10).expect("writing to a string does not fail");
        assert!(
            text.contains(
                "| 300,000 (2.00) | 100,000 (4.00) | 10,000 (9.00) | 3.00 × | 30.00 × | 2.00 × |"
            ),
            "{text}"
        );
        assert!(
            text.contains("- met: 20 times the records per second"),
            "{text}"
        );
        assert!(text.contains("- not measured: 5 times"), "{text}");
    }
}
