//! `nexmark`: records for the benchmarks of streams, into new topics of any Kafka-API cluster.

mod encode;
mod events;
mod load;
mod pace;

use std::future::Future;

use anyhow::{Result, bail};
use base::ShardId;
use runtime::{Class, sync::Shutdown};
use std::rc::Rc;

use load::Load;
use pace::Pace;

const USAGE: &str = "\
nexmark load BOOTSTRAP json|protobuf PREFIX EVENTS RATE PARTITIONS CreateTime|LogAppendTime
    Nexmark's events into the topics PREFIX_person, PREFIX_auction and PREFIX_bid, RATE of them a second of event time
nexmark pace BOOTSTRAP TOPIC FIRST RECORDS PER_SECOND KEYS
    records {\"key\", \"sent\": microseconds since 1970, \"note\"}, PER_SECOND of them by the clock (0: as many as go)";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let records = match &words[..] {
        ["load", rest @ ..] => {
            let load = Load::parse(rest)?;
            on_a_shard(move || load.run())?
        }
        ["pace", rest @ ..] => {
            let pace = Pace::parse(rest)?;
            on_a_shard(move || pace.run())?
        }
        _ => bail!("{USAGE}"),
    };
    println!("{records} records");
    Ok(())
}

/// Runs on a runtime of one shard that ends with it.
fn on_a_shard<W: Future<Output = Result<u64>> + 'static>(
    work: impl FnOnce() -> W + Send + 'static,
) -> Result<u64> {
    let config = runtime::Config {
        shards: 1,
        cpus: Some(Vec::new()),
        ..runtime::Config::default()
    };
    let running = runtime::start(config, || async {
        let stop = Rc::new(Shutdown::new());
        runtime::set_local(stop.clone());
        stop.triggered().await;
    })?;
    let handle = running.handle();
    let shard = ShardId(0);
    let worked = handle.call_blocking(shard, Class::Admin, "work", work);
    handle.call_blocking(shard, Class::Admin, "stop", || async {
        if let Some(stop) = runtime::local::<Shutdown>() {
            stop.trigger();
        }
    });
    running.join()?;
    worked
}
