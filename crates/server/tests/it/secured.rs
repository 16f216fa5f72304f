//! Whom the Postgres listener lets in: what it asks of names, TLS in either way, and clients that mean harm. That those who
//! know a password are let in is for real clients to show (`e2e`).

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
    pki_types::CertificateDer,
};

use super::node::Node;

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
/// Of version 3.0, for the user `ann`.
const STARTUP: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0ann\0\0";
/// The password `pencil`, as Postgres keeps it.
const BOB: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
/// What the settings name, in a directory that goes with it.
struct Files {
    dir: PathBuf,
    certificate: CertificateDer<'static>,
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Files {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("forebay-{name}-files-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for files");
        let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]);
        let made = made.expect("a certificate");
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).expect("the directory can be written");
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, mode).expect("it is ours");
        };
        write("cert.pem", &made.cert.pem());
        write("key.pem", &made.signing_key.serialize_pem());
        write(
            "users.txt",
            &format!("\"ann\" \"secret\"\n\"bob\" \"{BOB}\"\n"),
        );
        Self {
            certificate: made.cert.der().clone(),
            dir,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn flags(&self) -> Vec<String> {
        let pairs = [
            ("--pg-tls-cert", "cert.pem"),
            ("--pg-tls-key", "key.pem"),
            ("--pg-users", "users.txt"),
        ];
        let flags = pairs.map(|(flag, name)| [flag.to_owned(), self.path(name)]);
        flags.into_iter().flatten().collect()
    }

    /// A client that trusts the certificate, and names this protocol.
    fn client(&self, alpn: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that the provider has")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

fn start(name: &str, flags: &[String]) -> Node {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Node::start(name, &flags)
}

/// A startup packet of version 3.0, and messages behind it.
fn session(user: &str, database: &str, messages: &[&str]) -> Vec<u8> {
    let startup = format!("\0\x03\0\0user\0{user}\0database\0{database}\0no_such\01\0\0");
    let mut said = (startup.len() as u32 + 4).to_be_bytes().to_vec();
    said.extend(startup.as_bytes());
    for message in messages {
        said.push(b'p');
        said.extend((message.len() as u32 + 4).to_be_bytes());
        said.extend(message.as_bytes());
    }
    said
}

/// The first message of an exchange; its length, which is 9, is a tab.
const FIRST: &str = "SCRAM-SHA-256\0\0\0\0\tn,,n=,r=a";

/// What a name is asked before it has shown anything: salt and iterations.
fn asked(node: &Node, user: &str) -> String {
    let mut stream = node.connect("pg_addr");
    let said = session(user, "forebay", &[FIRST]);
    stream.write_all(&said).expect("the node reads");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let heard = heard(stream, b"");
    let salt = heard.split(",s=").nth(1).expect("a challenge");
    salt.to_owned()
}

/// What a name hears whose proof is wrong.
fn refused(node: &Node, user: &str, database: &str) -> String {
    let mut stream = node.connect("pg_addr");
    let said = session(user, database, &[FIRST]);
    stream.write_all(&said).expect("the node reads");
    let mut challenge = Vec::new();
    let mut byte = [0];
    while !challenge.ends_with(b",i=4096") {
        stream.read_exact(&mut byte).expect("a challenge");
        challenge.extend(byte);
    }
    let challenge = String::from_utf8_lossy(&challenge).into_owned();
    let nonce = challenge.split("r=").nth(1).expect("a nonce");
    let nonce = nonce.split(',').next().expect("a nonce");
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let last = format!("c=biws,r={nonce},p={proof}");
    let mut message = vec![b'p'];
    message.extend((last.len() as u32 + 4).to_be_bytes());
    message.extend(last.as_bytes());
    heard(stream, &message)
}

#[test]
fn no_name_is_told_apart_from_a_wrong_password() {
    let files = Files::new("refused");
    let node = start("refused", &files.flags());
    for user in ["ann", "bob", "eve"] {
        let heard = refused(&node, user, "forebay");
        let expected = format!("C28P01\0Mpassword authentication failed for user \"{user}\"\0\0");
        assert!(heard.ends_with(&expected), "{heard}");
        // Nor does one hear of databases and settings.
        assert_eq!(heard, refused(&node, user, "no_such"));
        assert_eq!(
            heard.len(),
            refused(&node, "eve", "forebay").len(),
            "{heard}"
        );
    }
    // Salts stay, also over a restart: those of names that are made up would change alone.
    let both = |node: &Node| ["ann", "eve"].map(|user| asked(node, user));
    let before = both(&node);
    assert_eq!(before, both(&node));
    assert_ne!(before[0], before[1]);
    let flags = files.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let node = node.restart_with(|_| {}, &flags);
    assert_eq!(before, both(&node));
    // The key that they are made of is the node's alone.
    let key = fs::metadata(node.dir.join("data/pg-salt-key")).expect("the key");
    assert_eq!((key.len(), key.permissions().mode() & 0o777), (32, 0o600));
}

#[test]
fn plain_connections_are_refused_where_tls_is_required() {
    let files = Files::new("required");
    let flags = [files.flags(), vec!["--pg-tls".into(), "required".into()]].concat();
    let node = start("required", &flags);
    let heard_plain = heard(node.connect("pg_addr"), &session("bob", "sales", &[]));
    let expected = "C28000\0Mno pg_hba.conf entry for host \"127.0.0.1\", user \"bob\", database \"sales\", no encryption\0";
    assert!(heard_plain.contains(expected), "{heard_plain}");
    let mut stream = node.connect("pg_addr");
    stream.write_all(SSL_REQUEST).expect("the node reads");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"S");
    let stream = encrypted(stream, files.client(None));
    let asked = heard(stream, &[STARTUP, b"X\0\0\0\x04"].concat());
    assert!(asked.contains("SCRAM-SHA-256-PLUS\0"), "{asked}");
}

/// What is heard until the node closes.
fn heard(mut stream: impl Read + Write, says: &[u8]) -> String {
    // It may close while this is being written.
    let _ = stream.write_all(says);
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        heard.extend(&buffer[..bytes]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

fn encrypted(
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().expect("a name");
    let client = ClientConnection::new(config, name).expect("a client");
    StreamOwned::new(client, stream)
}

#[test]
fn clients_that_mean_harm() {
    let files = Files::new("harm");
    let node = start("harm", &files.flags());
    let says = |says: &[u8]| heard(node.connect("pg_addr"), says);
    // Statements that somebody puts before the handshake are never taken for the client's.
    let injected = says(&[SSL_REQUEST, STARTUP].concat());
    assert!(
        injected.contains("C08P01")
            && injected.contains("received unencrypted data after SSL request"),
        "{injected}"
    );
    let mut stream = node.connect("pg_addr");
    stream.write_all(SSL_REQUEST).expect("the node reads");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"S");
    assert!(!heard(stream, &[0; 64]).contains("C0"), "no handshake");
    // TLS at once wants the protocol's name.
    let stream = encrypted(node.connect("pg_addr"), files.client(None));
    assert_eq!(heard(stream, STARTUP), "");
    let stream = encrypted(node.connect("pg_addr"), files.client(Some("postgresql")));
    let asked = heard(stream, &[STARTUP, b"X\0\0\0\x04"].concat());
    assert!(
        asked.contains("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"),
        "{asked}"
    );
    assert!(asked.contains("expected SASL response, got message type 88"));
    let after = |message: &[u8]| says(&[STARTUP, message].concat());
    for (message, told) in [
        (&b"Q\0\0\0\x0dSELECT 1\0"[..], "expected SASL response"),
        (b"p\x7f\xff\xff\xff", "at most 1024 are taken"),
        (b"p\0\0\x04\x01", "at most 1024 are taken"),
        (b"p\0\0\0\x00", "invalid message length"),
        (b"p\0\0\0\x0bpencil\0", "insufficient data left"),
        (b"p\0\0\0\x0ax\0\0\0\0\x09", "insufficient data left"),
        (
            b"p\0\0\0\x16SCRAM-SHA-1\0\0\0\0\0\0\0",
            "invalid message format",
        ),
        (
            b"p\0\0\0\x16SCRAM-SHA-1\0\0\0\0\x02n,",
            "invalid SASL authentication mechanism",
        ),
        (
            b"p\0\0\0\x18SCRAM-SHA-256\0\0\0\0\x02n,",
            "malformed SCRAM message",
        ),
    ] {
        let heard = after(message);
        assert!(heard.contains(told), "{message:?}: {heard}");
        assert!(!heard.contains("SELECT"), "{message:?}: {heard}");
    }
    assert!(!says(&[0x16; 100]).contains("C0"), "no handshake");
    assert_eq!(node.ask_sql("SELECT 1").matches("SCRAM").count(), 1);
    assert!(!node.trace().contains("WARN"), "{}", node.trace());
}

/// Whoever opens connections and says nothing does not keep the others out.
#[test]
fn silent_clients_give_their_places_to_others() {
    let files = Files::new("silent");
    let node = start("silent", &files.flags());
    let mut silent: Vec<TcpStream> = (0..400).map(|_| node.connect("pg_addr")).collect();
    let heard = refused(&node, "bob", "forebay");
    assert!(heard.contains("C28P01"), "it is attended to: {heard}");
    // The oldest are ended, the newest wait.
    let mut byte = [0];
    assert!(matches!(silent[0].read(&mut byte), Ok(0) | Err(_)));
    let newest = silent.last_mut().expect("there are many");
    newest
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    let waits = newest.read(&mut byte).err().map(|error| error.kind());
    assert_eq!(waits, Some(std::io::ErrorKind::WouldBlock));
}

#[test]
fn files_that_cannot_be_used_stop_the_start() {
    let files = Files::new("unusable");
    let other = Files::new("unusable-other");
    let write = |name: &str, text: &str| {
        fs::write(files.dir.join(name), text).expect("the directory can be written");
        files.path(name)
    };
    let empty = write("empty", "\n");
    let md5 = write("md5", "\"ann\" \"md5900150983cd24fb0d6963f7d28e17f72\"\n");
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let cases = [
        (
            vec!["--pg-users", "/no/such"],
            "pg_users: cannot read /no/such",
        ),
        (vec!["--pg-users", &empty], "it names nobody"),
        (vec!["--pg-users", &md5], "is an MD5 hash"),
        (
            vec!["--pg-tls-cert", &empty, "--pg-tls-key", &key],
            "holds no certificate",
        ),
        (
            vec!["--pg-tls-cert", &cert, "--pg-tls-key", &empty],
            "holds no private key",
        ),
    ];
    for (flags, told) in &cases {
        refuses_to_start(&files.dir, flags, told);
    }
    let other = other.path("key.pem");
    let flags = ["--pg-tls-cert", &cert, "--pg-tls-key", &other];
    refuses_to_start(&files.dir, &flags, "is not the one of the certificate");
}

fn refuses_to_start(dir: &Path, flags: &[&str], told: &str) {
    let ended = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["start", "--data-dir"])
        .arg(dir.join("data"))
        .args(flags)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains(told), "no {told:?} in {said}");
    assert!(!dir.join("data").exists(), "nothing was made");
}
