//! The document with the ratios.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::load::Sample;
use super::{Row, Samples, Stalls, Variant};

/// Why tasks of a kind may hold their shard too long: what stacks of such stalls showed, or the code suggests.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "flusher",
        "copies 256 KiB into a segment's write; an index that grows: its memory is used for the first time (page faults)",
    ),
    (
        "journal files",
        "hands a piece of zeroes to a helper thread, and waits for the queue's lock when that thread lost its processor",
    ),
    (
        "connection",
        "lists and buffers of the cache grow: the allocator prepares a fresh page (up to 8 ms of page faults); a request of \
         hundreds of partitions is read in one go",
    ),
    (
        "produce",
        "as `connection`, for batches that another shard's connection received",
    ),
    (
        "journal",
        "after a commit, every partition in it moves its durable position and wakes who waits",
    ),
    (
        "answers",
        "no stack was caught; by the code: answers of many partitions are written out in one go",
    ),
    (
        "cold read",
        "no stack was caught; by the code: a block's memory is used for the first time when a reader comes",
    ),
    (
        "seal",
        "encodes a segment's index into fresh memory (page faults)",
    ),
    (
        "manifest",
        "no stack was caught; by the code: encodes a checkpoint of every partition",
    ),
    (
        "open",
        "start: opens the shard's home, before the node serves",
    ),
    ("main", "start: before the node serves"),
    (
        "producer snapshot",
        "no stack was caught; by the code: encodes a partition's producers",
    ),
    (
        "space",
        "no stack was caught; by the code: hands a question to a helper thread, as `journal files` does",
    ),
];

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
pub fn markdown(samples: &Samples, stalls: &[Stalls], runs: usize, seconds: u32) -> Result<String> {
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
        "{runs} runs of {seconds} s, after load until the rate was steady. Apache Kafka 4.3.1 with the JVM settings of its own scripts (heap 1 GiB)."
    )?;
    writeln!(
        text,
        "CPU seconds suffer less from a busy machine than rates and latencies, but they suffer: {}.\n",
        load_average()
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
        Variant::Forebay => "Forebay (synced)",
        Variant::Kafka => "Kafka as shipped (not synced)",
        Variant::KafkaFlush => "Kafka, flush per batch (synced)",
    }
}

fn what(row: Row) -> &'static str {
    match row {
        Row::One => "1 KiB records, acks=all, 1 partition",
        Row::Sixteen => "1 KiB records, acks=all, 16 partitions",
        Row::Thousand => "100-byte records, one in a batch, 1,000 partitions",
        Row::Read => "reading 1 KiB records from the start, 1 partition",
        Row::Latency => "1 KiB records at half of Kafka's rate, 16 partitions",
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
        "| load | Forebay (synced) | Kafka as shipped (not synced) | Kafka, flush per batch (synced) | Forebay / shipped | Forebay / flush | records per CPU second, Forebay / shipped |"
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
    writeln!(
        text,
        "| server | p50 | p99 | p99.9 | p99.99 | max | CPU seconds per million |"
    )?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for variant in [Variant::Forebay, Variant::Kafka, Variant::KafkaFlush] {
        if samples
            .get(&(Row::Latency, variant))
            .is_some_and(|list| list.iter().any(|sample| sample.too_slow))
        {
            writeln!(
                text,
                "| {} | cannot keep this rate up | | | | | |",
                title(variant)
            )?;
            continue;
        }
        let at = |place: usize| {
            median(samples, Row::Latency, variant, |sample| {
                sample.latency_ms.map(|list| list[place])
            })
        };
        let cpu = median(samples, Row::Latency, variant, |sample| {
            sample.cpu_per_million
        });
        let cells: Vec<String> = (0..5)
            .map(at)
            .chain([cpu])
            .map(|value| value.map_or("–".to_owned(), |value| format!("{value:.2}")))
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
    for row in [Row::One, Row::Sixteen, Row::Thousand, Row::Latency] {
        let per_cpu = over(cpu(row, Variant::Kafka), cpu(row, Variant::Forebay));
        lines.push((
            format!(
                "records per CPU second at least those of Kafka as shipped: {}",
                what(row)
            ),
            per_cpu.map(|found| found >= 1.0),
        ));
        if row == Row::Latency {
            continue;
        }
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

/// Counted stalls by shard, kind of task and run, and what is known of them.
fn stalled(text: &mut String, stalls: &[Stalls]) -> Result<()> {
    if stalls.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## Stalls\n")?;
    writeln!(
        text,
        "What Forebay's own detector counted from start to end of each run, all loads and warm-ups (a task that held its"
    )?;
    writeln!(
        text,
        "shard over 500 µs). Background tasks flush the journal into segments and prepare its files; the rest serve clients.\n"
    )?;
    let mut kinds: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (turn, run) in stalls.iter().enumerate() {
        for (kind, count) in &run.by_kind {
            let counts = kinds.entry(kind).or_insert_with(|| vec![0; stalls.len()]);
            counts[turn] += count;
        }
    }
    writeln!(
        text,
        "| kind of task | stalls by run | what stacks of such stalls, or the code, suggest |"
    )?;
    writeln!(text, "| --- | --- | --- |")?;
    for (kind, counts) in kinds.iter().filter(|(_, list)| list.iter().any(|n| *n > 0)) {
        let why = EXPLAINED.iter().find(|(name, _)| name == kind);
        writeln!(
            text,
            "| {kind} | {} | {} |",
            counts
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            why.map_or("not explained: no stack was caught", |(_, why)| why)
        )?;
    }
    let longest: Vec<_> = stalls
        .iter()
        .map(|run| format!("{:.2} ms", run.longest_s * 1000.0))
        .collect();
    writeln!(text, "\nThe longest by run: {}.", longest.join(", "))?;
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
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
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

/// How many were running or waiting to, and with what right these did: a reader can tell a quiet run from another.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let quarter_hour = text.split(' ').nth(2).unwrap_or("unknown");
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let niceness = after_name.split_whitespace().nth(16).unwrap_or("unknown");
    format!(
        "its load average over 15 minutes, this benchmark included, was {quarter_hour}, and servers and generator ran at niceness {niceness}"
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
