//! Generator of the Kafka message codec: Kafka's descriptors in, `crates/kafka/src/messages` out.
//!
//! # Invariants
//! 1. The output depends on the descriptors and this code only, so `--check` can compare it byte by byte.
//! 2. No version above [`STABLE_VERSIONS_MAX`] is generated, hence none can be advertised by mistake.

mod emit;
mod schema;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use schema::{Message, Versions};

/// Where Kafka's descriptor goes further than the newest release's stable versions: Apache Kafka 4.3
/// (`ApiKeys.latestVersion(false)`), the descriptors being of 4.4.
const STABLE_VERSIONS_MAX: &[(&str, i16)] = &[
    ("ApiVersions", 4),
    ("DeleteGroups", 2),
    ("InitProducerId", 5),
    ("StreamsGroupDescribe", 0),
    ("StreamsGroupHeartbeat", 0),
    ("TxnOffsetCommit", 5),
];

/// What lives in the consumer protocol's byte fields; each is read behind its own version.
const CONSUMER_PROTOCOL: &[&str] = &["ConsumerProtocolSubscription", "ConsumerProtocolAssignment"];

/// One output module: a request and its response, or the consumer protocol's pair.
struct Module {
    name: String,
    api: Option<Api>,
    messages: Vec<Message>,
}

/// A row of the table of APIs.
struct Api {
    key: i16,
    name: String,
    versions: Versions,
    flexible_version: i16,
}

/// Writes the codec, or with `--check` only compares it with what is committed.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [check] if check == "--check" => true,
        _ => bail!("usage: cargo xtask codegen [--check]"),
    };
    let modules = load(&root.join("crates/kafka/messages"))?;
    let mut files = BTreeMap::new();
    let source = root.join("crates/kafka/src");
    files.insert(source.join("messages.rs"), format(&emit::table(&modules))?);
    for module in &modules {
        let path = source.join("messages").join(format!("{}.rs", module.name));
        files.insert(path, format(&emit::module(module))?);
    }
    let present: Vec<PathBuf> = match fs::read_dir(source.join("messages")) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?,
        Err(_) => Vec::new(),
    };
    let stale: Vec<_> = present
        .into_iter()
        .filter(|path| !files.contains_key(path))
        .collect();
    if check {
        ensure!(stale.is_empty(), "not generated: {stale:?}");
        for (path, text) in &files {
            let on_disk = fs::read_to_string(path).unwrap_or_default();
            ensure!(
                on_disk == *text,
                "{} differs from what `cargo xtask codegen` writes",
                path.display()
            );
        }
        return Ok(());
    }
    fs::create_dir_all(source.join("messages"))?;
    for path in stale {
        fs::remove_file(path)?;
    }
    for (path, text) in files {
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn load(descriptors: &Path) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    let mut names: Vec<String> = fs::read_dir(descriptors)
        .with_context(|| descriptors.display().to_string())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    for name in &names {
        let Some(api) = name.strip_suffix("Request.json") else {
            continue;
        };
        let stable = STABLE_VERSIONS_MAX
            .iter()
            .find(|(stable, _)| *stable == api)
            .map_or(i16::MAX, |(_, version)| *version);
        let request = schema::load(&descriptors.join(name), stable)?;
        let mut response = schema::load(&descriptors.join(format!("{api}Response.json")), stable)?;
        let key = request.api_key.context("a request has an API key")?;
        ensure!(response.api_key == Some(key), "{api}: keys differ");
        ensure!(
            response.versions == request.versions,
            "{api}: versions differ"
        );
        ensure!(
            response.flexible_version == request.flexible_version,
            "{api}: flexible versions differ"
        );
        response.rename_apart_from(&request);
        modules.push(Module {
            name: emit::snake(api),
            api: Some(Api {
                key,
                name: api.to_owned(),
                versions: request.versions,
                flexible_version: request.flexible_version,
            }),
            messages: vec![request, response],
        });
    }
    modules.sort_by_key(|module| module.api.as_ref().map(|api| api.key));
    let mut consumer = Vec::new();
    for name in CONSUMER_PROTOCOL {
        let mut message = schema::load(&descriptors.join(format!("{name}.json")), i16::MAX)?;
        for earlier in &consumer {
            message.rename_apart_from(earlier);
        }
        consumer.push(message);
    }
    modules.push(Module {
        name: "consumer_protocol".to_owned(),
        api: None,
        messages: consumer,
    });
    Ok(modules)
}

/// The committed code passes `cargo fmt --check`, so it is formatted here too.
fn format(code: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt")?;
    let mut input = child.stdin.take().context("the pipe was asked for")?;
    let code = code.to_owned();
    let feeder = std::thread::spawn(move || input.write_all(code.as_bytes()));
    let output = child.wait_with_output()?;
    match feeder.join() {
        Ok(fed) => fed?,
        Err(_) => bail!("feeding rustfmt panicked"),
    }
    ensure!(output.status.success(), "rustfmt refused generated code");
    Ok(String::from_utf8(output.stdout)?)
}
