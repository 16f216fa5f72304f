//! A running node of the binary under test.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node on a directory of its own; killed, and its directory removed, when it is dropped.
pub struct Node {
    child: Child,
    pub dir: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Node {
    pub fn start(name: &str, flags: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("forebay-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for the node");
        Self::start_in(&dir, flags)
    }

    fn start_in(dir: &Path, flags: &[&str]) -> Self {
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
        let dir = dir.to_owned();
        let node = Self { child, dir };
        node.wait_until("it serves", || node.dir.join("ready").exists());
        node
    }

    /// Kills it, does something to its directory, and starts it again.
    pub fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        self.restart_with(change, &[])
    }

    /// As `restart_after`, with flags.
    pub fn restart_with(mut self, change: impl FnOnce(&Path), flags: &[&str]) -> Self {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        let dir = std::mem::take(&mut self.dir);
        fs::remove_file(dir.join("ready")).expect("it was ready");
        change(&dir);
        Self::start_in(&dir, flags)
    }

    pub fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "waited for: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// That of the name.
    pub fn addr(&self, name: &str) -> SocketAddr {
        let ready = fs::read_to_string(self.dir.join("ready")).expect("the ready file");
        let addr = ready.split(&format!("\"{name}\":\"")).nth(1);
        let addr = addr.and_then(|rest| rest.split('"').next());
        let addr = addr.and_then(|addr| addr.parse().ok());
        addr.expect("the ready file names it")
    }

    /// To the address of that name.
    pub fn connect(&self, name: &str) -> TcpStream {
        TcpStream::connect(self.addr(name)).expect("the node listens")
    }

    /// A session that says these words at once.
    pub fn sql(&self, statement: &str, ends: bool) -> TcpStream {
        let mut stream = self.connect("pg_addr");
        let version = 196_608_u32.to_be_bytes();
        let startup = [&version[..], b"user\0it\0database\0forebay\0\0"].concat();
        let statement = format!("{statement}\0");
        let mut said = message(None, &startup);
        said.extend(message(Some(b'Q'), statement.as_bytes()));
        if ends {
            said.extend(message(Some(b'X'), &[]));
        }
        stream.write_all(&said).expect("the node reads");
        stream
    }

    /// Everything that the node says to that.
    pub fn ask_sql(&self, statement: &str) -> String {
        let mut answer = Vec::new();
        let mut stream = self.sql(statement, true);
        stream.read_to_end(&mut answer).expect("the node answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The session ends when the statement has hardly begun.
    pub fn tell_sql_and_go(&self, statement: &str) {
        let stream = self.sql(statement, false);
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut answer = Vec::new();
        (&stream).read_to_end(&mut answer).expect("it is ended");
    }

    /// A request to the schema registry of which so many bytes are sent, at first.
    pub fn registry(&self, path: &str, body: &str, bytes: usize) -> TcpStream {
        let mut stream = self.connect("registry_addr");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let said = [head.as_bytes(), &body.as_bytes()[..bytes]].concat();
        stream.write_all(&said).expect("the node reads HTTP");
        stream
    }

    pub fn ask_registry(&self, path: &str, body: &str) -> String {
        let mut answer = String::new();
        let mut stream = self.registry(path, body, body.len());
        let answered = stream.read_to_string(&mut answer);
        answered.expect("the node answers HTTP");
        answer
    }

    /// Makes a topic, by the command line.
    pub fn make_topic(&self, name: &str) {
        let made = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["topic", "create", name, "--brokers"])
            .arg(self.addr("kafka_addr").to_string())
            .output()
            .expect("the binary starts");
        assert!(made.status.success(), "{made:?}");
    }

    /// Gives the shards something to do.
    pub fn ask(&self) {
        let mut stream = self.connect("http_addr");
        let asked =
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n");
        asked.expect("the node reads HTTP");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .expect("the node answers HTTP");
    }

    pub fn trace(&self) -> String {
        fs::read_to_string(self.dir.join("trace")).unwrap_or_default()
    }

    /// A field of the kernel's account of the process, in MiB.
    pub fn mib(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find(|line| line.starts_with(field));
        let words = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: Option<u64> = words.and_then(|word| word.parse().ok());
        kib.expect("the kernel tells it") / 1024
    }
}

/// A message of the Postgres protocol: its kind, if it has one, its length and its bytes.
fn message(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    let mut message: Vec<u8> = kind.into_iter().collect();
    message.extend(length);
    message.extend(body);
    message
}
