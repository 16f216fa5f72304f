//! Tests of resident memory: an idle node stays small, also after stalls were reported.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What an idle node of two shards may keep resident, and may have had resident since it began.
const IDLE_MIB_MAX: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(60);

/// A node on a directory of its own; killed, and its directory removed, when it is dropped.
struct Node {
    child: Child,
    dir: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Node {
    fn start(name: &str, flags: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("forebay-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for the node");
        let trace = fs::File::create(dir.join("trace")).expect("a file for its trace");
        let child = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["start", "--shards", "2", "--kafka-addr", "127.0.0.1:0"])
            .args(["--http-addr", "127.0.0.1:0"])
            .args(["--pg-addr", "127.0.0.1:0"])
            .args(["--registry-addr", "127.0.0.1:0", "--ready-file"])
            .arg(dir.join("ready"))
            .arg("--data-dir")
            .arg(dir.join("data"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(trace)
            .spawn()
            .expect("the binary starts");
        let node = Self { child, dir };
        node.wait_until("it serves", || node.dir.join("ready").exists());
        node
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "waited for: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Gives the shards something to do.
    fn ask(&self) {
        let ready = fs::read_to_string(self.dir.join("ready")).expect("the ready file");
        let addr = ready.split("\"http_addr\":\"").nth(1);
        let addr = addr.and_then(|rest| rest.split('"').next());
        let stream = TcpStream::connect(addr.expect("the ready file names it"));
        let mut stream = stream.expect("the node answers HTTP");
        let asked =
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n");
        asked.expect("the node reads HTTP");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .expect("the node answers HTTP");
    }

    fn trace(&self) -> String {
        fs::read_to_string(self.dir.join("trace")).unwrap_or_default()
    }

    /// A field of the kernel's account of the process, in MiB.
    fn mib(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find(|line| line.starts_with(field));
        let words = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: Option<u64> = words.and_then(|word| word.parse().ok());
        kib.expect("the kernel tells it") / 1024
    }
}

#[test]
fn an_idle_node_is_small_after_it_reported_stalls() {
    // Every poll that takes a microsecond is a stall to this node.
    let node = Node::start("idle-memory", &["--stall-us", "1"]);
    node.wait_until("a stall with the names of its stack", || {
        node.ask();
        node.trace().contains("::") && node.trace().contains(" [0x")
    });
    thread::sleep(Duration::from_secs(1));
    for field in ["VmRSS:", "VmHWM:"] {
        let mib = node.mib(field);
        assert!(mib <= IDLE_MIB_MAX, "{field} {mib} MiB\n{}", node.trace());
    }
}
