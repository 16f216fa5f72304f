//! Frames that real clients and Apache Kafka exchange, caught by a proxy between them and kept as golden bytes of the codec.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc::channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::Scratch;
use crate::client::{At, From, Reporter, Target, Worker};
use crate::node::{Node, Server};
use crate::record::Record;
use crate::toolchain::{Family, Program, Toolchain};

/// Longer frames show nothing that shorter ones do not.
const FRAME_BYTES_MAX: usize = 4096;
/// What a client can be made to send by it: the largest request or response of a kind that fits is kept.
type Frames = BTreeMap<(&'static str, i16, i16), Vec<u8>>;

/// Lets each client family write, read and join a group through the proxy; one file per family in `into`.
pub fn run(root: &Path, into: &Path) -> Result<()> {
    let scratch = Scratch::new()?;
    let toolchain = Toolchain::prepare(root, false)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let mut node = Node::new(&Server::Kafka, &toolchain, &scratch.path)?;
    node.settings
        .push(format!("advertised.listeners=PLAINTEXT://{address}"));
    node.start()?;
    let frames = Arc::new(Mutex::new(Frames::new()));
    let (target, sink) = (node.bootstrap(), Arc::clone(&frames));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (target, sink) = (target.clone(), Arc::clone(&sink));
            std::thread::spawn(move || relay(client, &target, &sink));
        }
    });
    std::fs::create_dir_all(into)?;
    for (family, program) in toolchain.families() {
        if family != Family::Kcat {
            exercise(family, program, &address)?;
            let caught = std::mem::take(&mut *frames.lock().expect("no relay panics"));
            ensure!(!caught.is_empty(), "{} said nothing", family.name());
            std::fs::write(into.join(format!("{}.txt", family.name())), text(&caught))?;
        }
    }
    Ok(())
}

fn exercise(family: Family, program: &Program, address: &str) -> Result<()> {
    let topic = format!("golden-{}", family.name());
    let mut worker = Worker::spawn(program, address)?;
    worker.create(&topic, 2, &json!({ "retention.ms": "-1" }))?;
    for (partition, idempotent) in [(0, false), (1, true)] {
        let to = Target {
            topic: &topic,
            partition,
            compression: "none",
            idempotent,
        };
        worker.produce(&to, records())?;
    }
    let from = |partition, at| From {
        partition,
        at,
        count: 3,
    };
    worker.read(&topic, &[from(0, At::Offset(0)), from(1, At::Time(0))])?;
    let (sender, events) = channel();
    let args = ["member", address, &topic, "golden-group"];
    let mut member = Reporter::spawn(program, &args, (), sender)?;
    // Until it has its partitions and has read something; how it says so is the group suite's to know.
    for _ in 0..4 {
        let _ = events.recv_timeout(Duration::from_secs(8));
    }
    member.finish();
    while let Ok((_, line)) = events.recv_timeout(Duration::from_secs(15)) {
        if line.is_empty() {
            break;
        }
    }
    Ok(())
}

fn records() -> Vec<Record> {
    (0..3)
        .map(|at| Record {
            offset: -1,
            time_ms: 1_700_000_000_000 + at,
            key: (at > 0).then(|| "a2V5".to_owned()),
            value: Some("dmFsdWU=".to_owned()),
            headers: vec![("name".to_owned(), Some("dGV4dA==".to_owned()))],
        })
        .collect()
}

/// Carries one connection both ways and notes its frames; ends with either side.
fn relay(client: TcpStream, target: &str, sink: &Arc<Mutex<Frames>>) -> Result<()> {
    let server = TcpStream::connect(target)?;
    let asked = Arc::new(Mutex::new(BTreeMap::<[u8; 4], (i16, i16)>::new()));
    let back = {
        let (server, client) = (server.try_clone()?, client.try_clone()?);
        let (asked, sink) = (Arc::clone(&asked), Arc::clone(sink));
        std::thread::spawn(move || {
            carry(server, client, |frame| {
                let of = frame.first_chunk::<4>().and_then(|id| {
                    let mut asked = asked.lock().expect("no relay panics");
                    asked.remove(id)
                });
                if let Some((key, version)) = of {
                    note(&sink, ("response", key, version), frame);
                }
            })
        })
    };
    let done = carry(client, server, |frame| {
        if let Some(&[k0, k1, v0, v1, ref id @ ..]) = frame.first_chunk::<8>() {
            let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
            let id = [id[0], id[1], id[2], id[3]];
            let mut asked = asked.lock().expect("no relay panics");
            asked.insert(id, (key, version));
            drop(asked);
            note(sink, ("request", key, version), frame);
        }
    });
    let _ = back.join();
    done
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut on_frame: impl FnMut(&[u8])) -> Result<()> {
    let mut size = [0; 4];
    while from.read_exact(&mut size).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        from.read_exact(&mut frame).context("the frame ends")?;
        on_frame(&frame);
        to.write_all(&[&size[..], &frame].concat())?;
    }
    let _ = to.shutdown(Shutdown::Both);
    Ok(())
}

fn note(sink: &Mutex<Frames>, kind: (&'static str, i16, i16), frame: &[u8]) {
    if frame.len() <= FRAME_BYTES_MAX {
        let mut frames = sink.lock().expect("no relay panics");
        let held = frames.entry(kind).or_default();
        if held.len() < frame.len() {
            *held = frame.to_vec();
        }
    }
}

/// One line per frame: direction, key, version, bytes behind the size in hexadecimal.
fn text(frames: &Frames) -> String {
    let mut text = String::new();
    for ((direction, key, version), frame) in frames {
        let _ = write!(text, "{direction} {key} {version} ");
        for byte in frame {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}
