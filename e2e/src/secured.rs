//! libpq, psql and asyncpg against a node with users and TLS.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::Stage;
use crate::node::Node;
use crate::report::Suite;
use crate::toolchain::{self, Program};

/// What `with_tls.py` says.
pub const CASES: [&str; 5] = [
    "users",
    "verify-full",
    "direct",
    "cancel over TLS",
    "asyncpg",
];

/// Ann's password has a character that SASLprep drops; Bob's is `pencil`.
const USERS: &str = "; who may connect\n\
    \"ann\" \"pass\u{ad}word\"\n\
    \"bob\" \"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n";

/// A node that lets in who knows a password, with TLS; and the root that its clients trust.
pub fn node(stage: &Stage, name: &str, more: &[&str]) -> Result<(Node, PathBuf)> {
    let place = stage.place.join(name);
    fs::create_dir_all(&place)?;
    let mut root = CertificateParams::new(Vec::<String>::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Of one name with what it signs, it would be taken for that.
    root.distinguished_name
        .push(DnType::CommonName, "root of the tests");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new(["localhost".to_owned()])?;
    own.use_authority_key_identifier_extension = true;
    let own = own.signed_by(&key, &root)?;
    let file = |name: &str, text: &str| -> Result<PathBuf> {
        let path = place.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    };
    let trusted = file("root.pem", &root.pem())?;
    let settings = [
        ("--pg-tls-cert", file("cert.pem", &own.pem())?),
        ("--pg-tls-key", file("key.pem", &key.serialize_pem())?),
        ("--pg-users", file("users.txt", USERS)?),
    ];
    let mut node = Node::new(&stage.options.server, stage.toolchain, &place.join("node"))?;
    for (flag, path) in settings {
        node.settings.push(flag.to_owned());
        node.settings.push(path.display().to_string());
    }
    node.settings
        .extend(more.iter().map(|word| (*word).to_owned()));
    node.start()?;
    Ok((node, trusted))
}

/// As `python`, told where the root is.
pub fn trusting(mut python: Program, root: &Path) -> Program {
    let root = root.display().to_string();
    python.env.push(("ROOT".to_owned(), root));
    python
}

/// psql, against a node that wants TLS.
pub fn psql(stage: &Stage, suite: &mut Suite) -> Result<()> {
    if let Err(error) = toolchain::on_path("psql") {
        suite.skipped("psql with TLS", format!("{error:#}"));
        return Ok(());
    }
    let (node, root) = node(stage, "required", &["--pg-tls", "required"])?;
    suite.case("psql with TLS", strict(node.pg_port(), &root));
    suite.case("the log of the node that wants TLS", node.is_quiet());
    Ok(())
}

fn strict(port: u16, root: &Path) -> Result<()> {
    let ask = |user: &str, password: &str, more: &str| -> Result<(bool, String)> {
        let to = format!("host=localhost port={port} user={user} dbname=forebay {more}");
        let mut command = Command::new("psql");
        command.args(["-X", "-At", "-c", "SELECT current_user"]);
        command.arg(to).env("PGPASSWORD", password);
        let output = command.stdin(Stdio::null()).output().context("psql")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        ))
    };
    let full = format!(
        "sslmode=verify-full sslrootcert={} channel_binding=require",
        root.display()
    );
    let (is_in, said) = ask("bob", "pencil", &full)?;
    ensure!(is_in && said.contains("bob"), "{said}");
    for (user, password, more, wanted) in [
        (
            "bob",
            "pen",
            &full[..],
            "password authentication failed for user \"bob\"",
        ),
        (
            "eve",
            "pencil",
            &full[..],
            "password authentication failed for user \"eve\"",
        ),
        (
            "bob",
            "pencil",
            "sslmode=disable",
            "no pg_hba.conf entry for host",
        ),
        (
            "bob",
            "pencil",
            "sslmode=verify-full sslrootcert=/no/such",
            "does not exist",
        ),
    ] {
        let (is_in, said) = ask(user, password, more)?;
        ensure!(
            !is_in && said.contains(wanted),
            "{user} {more}: no {wanted:?} in {said}"
        );
    }
    Ok(())
}
