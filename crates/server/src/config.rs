//! The node's settings: one table, from which defaults, file, environment, flags and help are made.
//!
//! # Invariants
//! 1. Rising precedence: built-in default, TOML file, environment `FOREBAY_*`, flag (`tests::precedence`).
//! 2. A name that is not in the table is refused with the nearest one that is, in every layer.
//! 3. Every default parses and shows as itself (`tests::defaults_round_trip`).

mod value;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::Path, path::PathBuf};

pub use value::{Bytes, Cpus, HostPort, KeyValues, Millis, TlsUse, TraceFormat, Value};

/// Environment variables of the binary that are no settings of the node.
pub const OTHER_VARIABLES: [&str; 2] = ["FOREBAY_CONFIG", "FOREBAY_BROKERS"];

/// More than the largest machines have CPUs, so that a typo does not fill the disk with journals.
const SHARDS_MAX: u16 = 512;

/// One row of the table.
pub struct Setting {
    /// `data_dir`: the TOML key; `--data-dir` and `FOREBAY_DATA_DIR` follow from it.
    pub name: &'static str,
    /// What stands for the value in help.
    pub value_name: &'static str,
    pub default: &'static str,
    pub doc: &'static [&'static str],
    set: fn(&mut Settings, &str) -> Result<(), String>,
    get: fn(&Settings) -> String,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty, $value_name:literal, $default:literal;)+) => {
        /// Every setting of a node, parsed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        /// The table, in the order help shows it.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            value_name: $value_name,
            default: $default,
            doc: &[$($doc),+],
            set: |settings, text| Ok(settings.$name = <$type as Value>::parse(text)?),
            get: |settings| settings.$name.show(),
        }),+];

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: <$type as Value>::parse($default).expect("a test parses every default"),)+ }
            }
        }
    };
}

settings! {
    /// Directory that holds everything the node keeps. One process at a time; made when absent.
    data_dir: PathBuf, "DIR", "forebay-data";
    /// Where Kafka clients connect. Port 0 picks a free one (the ready file tells which).
    kafka_addr: SocketAddr, "ADDR", "127.0.0.1:9092";
    /// Address told to clients in metadata, when it differs from kafka_addr (containers, NAT). Empty: kafka_addr.
    advertised_addr: Option<HostPort>, "HOST:PORT", "";
    /// Where /metrics, /health and /ready answer. Port 0 picks a free one.
    http_addr: SocketAddr, "ADDR", "127.0.0.1:9644";
    /// Where Postgres clients connect (psql, drivers, Grafana). Port 0 picks a free one. The database is called forebay.
    pg_addr: SocketAddr, "ADDR", "127.0.0.1:5433";
    /// Certificate of the Postgres listener and those between it and its root (PEM): TLS is offered. Read at the start.
    pg_tls_cert: Option<PathBuf>, "FILE", "";
    /// Private key of pg_tls_cert (PEM, without a pass phrase).
    pg_tls_key: Option<PathBuf>, "FILE", "";
    /// Whether Postgres clients may do without TLS: optional or required.
    pg_tls: TlsUse, "USE", "optional";
    /// Who may connect to the Postgres listener (SCRAM-SHA-256): lines of "name" "SCRAM-SHA-256$..." or "name" "password",
    /// as in pgbouncer's userlist.txt. Read at the start. Empty: everyone, under any name.
    pg_users: Option<PathBuf>, "FILE", "";
    /// Where the schema registry answers, as Confluent's does. Port 0 picks a free one; empty: nowhere.
    registry_addr: Option<SocketAddr>, "ADDR", "127.0.0.1:8081";
    /// Listen without encryption beyond loopback. Anyone who reaches a port can read and write everything.
    /// Postgres clients are still asked for what pg_tls and pg_users say.
    allow_plaintext: bool, "BOOL", "false";
    /// Shards, each one pinned thread with its own memory. 0: one per CPU the process may use.
    /// The first start makes a home on disk for each; later a shard serves several homes, or new ones are made.
    shards: u16, "N", "0";
    /// CPUs to pin the shards to, such as 0-3,8. Empty: the first ones the process may use.
    cpus: Cpus, "LIST", "";
    /// I/O backend: auto (io_uring, else epoll), io_uring or epoll.
    backend: value::BackendChoice, "NAME", "auto";
    /// File written (atomically) once the node serves: JSON with the bound addresses and the pid. Removed on stop.
    ready_file: Option<PathBuf>, "PATH", "";
    /// Create a topic when a client first asks for it.
    auto_create_topics: bool, "BOOL", "true";
    /// Partitions of topics that are created without a number.
    default_partitions: u16, "N", "1";
    /// Defaults of topic settings, as KEY=VALUE,KEY=VALUE, such as retention.ms=-1 (see forebay topic config).
    topic_defaults: KeyValues, "LIST", "";
    /// Kafka's node id of this node.
    broker_id: u16, "N", "1";
    /// Partitions of the internal topic that holds consumer groups. Fixed once groups exist.
    offsets_partitions: u16, "N", "50";
    /// Memory of each home for batches not yet in segments and for the newest ones, which fetches read from there.
    cache_bytes: Bytes, "SIZE", "128MiB";
    /// Memory of each shard for requests from before they are read until they are answered.
    network_bytes: Bytes, "SIZE", "256MiB";
    /// Memory of each shard for records on their way to clients.
    fetch_bytes: Bytes, "SIZE", "256MiB";
    /// Memory of all views, tables and sinks together: their rows and what their operators keep. Who needs more stops and
    /// says so. 0: half of what the process may use.
    state_bytes: Bytes, "SIZE", "0";
    /// Client connections of the node; one more is closed at once.
    connections_max: u32, "N", "10000";
    /// A connection without requests for so long is closed.
    connection_idle: Millis, "DURATION", "10m";
    /// Size of one journal file. The journal of a home is a ring of journal_files of them.
    journal_file_bytes: Bytes, "SIZE", "64MiB";
    /// Most files in the journal ring of a home; recovery reads at most so many.
    journal_files: u16, "N", "8";
    /// Free disk below which produce is refused (with a retriable error); fetch and deletes go on.
    free_bytes_min: Bytes, "SIZE", "256MiB";
    /// Free disk below which the node warns.
    free_bytes_warn: Bytes, "SIZE", "1GiB";
    /// A task that holds its shard for longer is reported with its stack.
    stall_us: u32, "MICROSECONDS", "500";
    /// How long SIGTERM waits for requests in flight.
    stop_grace: Millis, "DURATION", "5s";
    /// What is traced to stderr: error, warn, info, debug, trace, or per module such as info,broker=debug.
    log_level: String, "FILTER", "info";
    /// Form of the traces: human or json (one object a line).
    log_format: TraceFormat, "FORM", "human";
}

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Variable(name) => write!(f, "from ${name}"),
            Self::Flag => f.write_str("from its flag"),
        }
    }
}

/// Why the settings cannot be used. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {error}")]
    Read { path: PathBuf, error: String },
    #[error("{path} is not valid TOML: {error}")]
    Toml { path: PathBuf, error: String },
    #[error("{origin}: no setting is called '{name}'{} (`forebay config` lists all)", nearest(.near.as_deref()))]
    Unknown {
        name: String,
        near: Option<String>,
        origin: String,
    },
    #[error("{origin}: '{name}' = '{value}': {error}")]
    Invalid {
        name: String,
        value: String,
        error: String,
        origin: String,
    },
    #[error(
        "{setting} {addr} is not on loopback: other machines reach it, without encryption or authentication. \
         Listen on 127.0.0.1, or say --allow-plaintext true when the network is trusted"
    )]
    Plaintext {
        setting: &'static str,
        addr: SocketAddr,
    },
    #[error(
        "pg_addr {0} is not on loopback: other machines reach it. Set pg_users, pg_tls_cert, pg_tls_key and \
         pg_tls = required; or listen on 127.0.0.1, or say --allow-plaintext true when the network is trusted"
    )]
    Exposed(SocketAddr),
    #[error("{0}")]
    Conflict(String),
}

fn nearest(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean '{near}'?"))
        .unwrap_or_default()
}

/// Settings and the origin of each, by name.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub origins: BTreeMap<&'static str, Origin>,
}

impl Setting {
    /// `--data-dir` without the dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// `FOREBAY_DATA_DIR`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("FOREBAY_{}", self.name.to_uppercase())
    }

    /// The value in `settings`, as it would be written.
    #[must_use]
    pub fn show(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }
}

/// Merges the layers; `variables` are the process's, `flags` are (name, value) as given.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded {
        settings: Settings::default(),
        origins: SETTINGS.iter().map(|s| (s.name, Origin::Default)).collect(),
    };
    if let Some(path) = file {
        for (name, value) in read_file(path)? {
            loaded.apply(&name, &name, &value, Origin::File(path.to_owned()))?;
        }
    }
    let mut ours: Vec<_> = variables
        .into_iter()
        .filter(|(name, _)| {
            name.starts_with("FOREBAY_") && !OTHER_VARIABLES.contains(&name.as_str())
        })
        .collect();
    ours.sort();
    for (variable, value) in ours {
        let name = variable["FOREBAY_".len()..].to_lowercase();
        loaded.apply(&name, &variable, &value, Origin::Variable(variable.clone()))?;
    }
    for (name, value) in flags {
        loaded.apply(name, name, value, Origin::Flag)?;
    }
    loaded.check()?;
    Ok(loaded)
}

impl Settings {
    /// Who could reach them, and with what.
    fn check_listeners(&self) -> Result<(), ConfigError> {
        let has_tls = self.pg_tls_cert.is_some();
        if has_tls != self.pg_tls_key.is_some() {
            return Err(ConfigError::Conflict(
                "pg_tls_cert and pg_tls_key belong together: one of them is not set".into(),
            ));
        }
        let is_tls_required = self.pg_tls == TlsUse::Required;
        if is_tls_required && !has_tls {
            return Err(ConfigError::Conflict(
                "pg_tls is required, but pg_tls_cert and pg_tls_key are not set".into(),
            ));
        }
        if !cfg!(feature = "pipelines") && (has_tls || self.pg_users.is_some()) {
            return Err(ConfigError::Conflict(
                "this program is built without SQL: there is no listener for pg_tls_cert, pg_tls_key and pg_users".into(),
            ));
        }
        if self.allow_plaintext {
            return Ok(());
        }
        let listeners = [
            ("kafka_addr", Some(self.kafka_addr)),
            ("http_addr", Some(self.http_addr)),
            ("registry_addr", self.registry_addr),
        ];
        for (setting, addr) in listeners {
            if let Some(addr) = addr.filter(|addr| !addr.ip().is_loopback()) {
                return Err(ConfigError::Plaintext { setting, addr });
            }
        }
        if !(self.pg_addr.ip().is_loopback() || is_tls_required && self.pg_users.is_some()) {
            return Err(ConfigError::Exposed(self.pg_addr));
        }
        Ok(())
    }
}

impl Loaded {
    fn apply(
        &mut self,
        name: &str,
        shown: &str,
        value: &str,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let Some(setting) = SETTINGS.iter().find(|s| s.name == name) else {
            return Err(ConfigError::Unknown {
                name: shown.to_owned(),
                near: near_name(name).map(|near| match origin {
                    Origin::Variable(_) => near.variable(),
                    _ => near.name.to_owned(),
                }),
                origin: layer(&origin),
            });
        };
        (setting.set)(&mut self.settings, value).map_err(|error| ConfigError::Invalid {
            name: shown.to_owned(),
            value: value.to_owned(),
            error,
            origin: layer(&origin),
        })?;
        self.origins.insert(setting.name, origin);
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let s = &self.settings;
        s.check_listeners()?;
        if s.advertised_addr.is_none() && s.kafka_addr.ip().is_unspecified() {
            return Err(ConfigError::Conflict(format!(
                "kafka_addr {} listens on every address, but clients must be told one they can reach: \
                 set advertised_addr to HOST:PORT",
                s.kafka_addr
            )));
        }
        if !s.cpus.0.is_empty() && s.shards != 0 && s.cpus.0.len() != usize::from(s.shards) {
            return Err(ConfigError::Conflict(format!(
                "cpus names {} CPUs but shards is {}: leave one of them out or make them agree",
                s.cpus.0.len(),
                s.shards
            )));
        }
        if s.shards > SHARDS_MAX {
            return Err(ConfigError::Conflict(format!(
                "shards is {}: at most {SHARDS_MAX}, each is a thread with memory and a journal of its own",
                s.shards
            )));
        }
        if let Err(error) = cluster::TopicDefaults::new(s.topic_defaults.0.clone()) {
            return Err(ConfigError::Conflict(format!("topic_defaults: {error}")));
        }
        if s.default_partitions == 0 || s.offsets_partitions == 0 {
            return Err(ConfigError::Conflict(
                "default_partitions and offsets_partitions must be at least 1".into(),
            ));
        }
        let partitions_max = base::limits::TOPIC_PARTITIONS_MAX;
        if i32::from(s.default_partitions.max(s.offsets_partitions)) > partitions_max {
            return Err(ConfigError::Conflict(format!(
                "default_partitions and offsets_partitions may be at most {partitions_max}"
            )));
        }
        if s.connection_idle.0 == 0 {
            return Err(ConfigError::Conflict(
                "connection_idle must be above 0: it closes connections that are silent for so long".into(),
            ));
        }
        if s.free_bytes_warn.0 < s.free_bytes_min.0 {
            return Err(ConfigError::Conflict(format!(
                "free_bytes_warn ({}) must be at least free_bytes_min ({})",
                s.free_bytes_warn.show(),
                s.free_bytes_min.show()
            )));
        }
        Ok(())
    }

    /// The effective settings as a TOML file that explains itself; also what `forebay config` prints.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# Settings of a Forebay node. Rising precedence: these defaults, a TOML file (--config FILE or\n\
             # $FOREBAY_CONFIG), environment variables FOREBAY_<NAME>, flags --<name>.\n",
        );
        for setting in SETTINGS {
            out.push('\n');
            for line in setting.doc {
                out.push_str(&format!("#{line}\n"));
            }
            let origin = &self.origins[setting.name];
            let value = toml_value(&setting.show(&self.settings));
            match origin {
                Origin::Default => out.push_str(&format!("# {} = {value}\n", setting.name)),
                _ => out.push_str(&format!("{} = {value}  # {origin}\n", setting.name)),
            }
        }
        out
    }
}

fn layer(origin: &Origin) -> String {
    match origin {
        Origin::Default => "built-in defaults".into(),
        Origin::File(path) => path.display().to_string(),
        Origin::Variable(_) => "environment".into(),
        Origin::Flag => "command line".into(),
    }
}

fn near_name(name: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .map(|s| (strsim::jaro_winkler(name, s.name), s))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, s)| s)
}

fn toml_value(text: &str) -> String {
    if text == "true" || text == "false" || text.parse::<i64>().is_ok() {
        text.to_owned()
    } else {
        toml::Value::String(text.to_owned()).to_string()
    }
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
        path: path.to_owned(),
        error: error.to_string(),
    })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Toml {
            path: path.to_owned(),
            error: error.to_string(),
        })?;
    table
        .into_iter()
        .map(|(name, value)| match scalar(&value) {
            Some(text) => Ok((name, text)),
            None => Err(ConfigError::Invalid {
                name,
                value: value.to_string(),
                error: "a setting is a string, a number, true or false".into(),
                origin: path.display().to_string(),
            }),
        })
        .collect()
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(scalar).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}
