//! The command line: what can be typed, and its help.

pub mod consume;
pub mod format;
pub mod group;
pub mod produce;
pub mod shard;
pub mod status;
pub mod topic;

#[cfg(test)]
mod tests;

use clap::{Args, Parser, Subcommand, ValueEnum, builder::StyledStr};
use std::{path::PathBuf, time::Duration};

use crate::{
    config::{self, ConfigError, Loaded, SETTINGS},
    exit,
};

/// A durable Kafka-API log in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "forebay",
    version,
    about = "A durable Kafka-API log in one binary",
    long_about = "A durable Kafka-API log in one binary: thread per core, no page cache, synced to disk before every \
                  acknowledgement. Any Kafka client works.",
    after_help = TOP_EXAMPLES,
    after_long_help = format!("{TOP_EXAMPLES}\n\n{}", exit::HELP),
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 120
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const TOP_EXAMPLES: &str = "\
Start here:
  forebay demo                        a node with half a million real flight records, and what to try on it
  forebay start --data-dir /var/lib/forebay
  forebay topic create orders -p 6
  echo '{\"id\": 1}' | forebay produce orders
  forebay consume orders -o beginning";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until SIGTERM or SIGINT
    #[command(after_help = START_EXAMPLES, after_long_help = format!("{START_EXAMPLES}\n\n{}", exit::HELP))]
    Start(NodeArgs),
    /// Run a node on an empty directory, load real flight data through Kafka, and report what the log holds
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Create, list, describe, change, trim and delete topics
    #[command(after_help = TOPIC_EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
    Topic(TopicArgs),
    /// Write records: one per line of standard input
    #[command(after_help = PRODUCE_EXAMPLES)]
    Produce(ProduceArgs),
    /// Read records
    #[command(after_help = CONSUME_EXAMPLES)]
    Consume(ConsumeArgs),
    /// List, describe, rewind and delete consumer groups
    #[command(after_help = GROUP_EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
    Group(GroupArgs),
    /// Show brokers, topics and sizes
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Print every setting of a node with its meaning, value and where the value came from
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(NodeArgs),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

const START_EXAMPLES: &str = "\
Examples:
  forebay start                                            in ./forebay-data, Kafka on 127.0.0.1:9092
  forebay start --data-dir /var/lib/forebay --shards 4
  forebay start --kafka-addr 127.0.0.1:0 --http-addr 127.0.0.1:0 --ready-file /tmp/ready.json
  forebay start --kafka-addr 0.0.0.0:9092 --advertised-addr log.example:9092 --allow-plaintext true
  FOREBAY_SHARDS=2 forebay start --config forebay.toml     flags win over variables, variables over the file";

const DEMO_EXAMPLES: &str = "\
Examples:
  forebay demo                        stays up until Ctrl-C; its data is in a temporary directory
  forebay demo --exit                 ends after the report; exit code 1 if the log gave back anything else
  forebay demo --data-dir ./demo      keeps the data: `forebay start --data-dir ./demo` serves it again";

const TOPIC_EXAMPLES: &str = "\
Examples:
  forebay topic create orders payments -p 6 -c retention.ms=604800000
  forebay topic list
  forebay topic describe orders
  forebay topic config orders --set max.message.bytes=2000000 --delete retention.ms
  forebay topic trim orders --partition 0 --offset 1000
  forebay topic delete payments";

const PRODUCE_EXAMPLES: &str = "\
Examples:
  echo hello | forebay produce greetings
  printf 'k1:v1\\nk2:v2\\n' | forebay produce orders -k :          key before the first ':'
  forebay produce orders -z zstd -H source=import < orders.jsonl
  printf 'k1:\\n' | forebay produce orders -k : --null-empty       an empty value becomes a tombstone";

const CONSUME_EXAMPLES: &str = "\
Examples:
  forebay consume orders -o beginning -n 10
  forebay consume orders -o end                                   only what comes from now on
  forebay consume orders -o @2001-01-02T00:00:00Z -e              from a time on, until the end
  forebay consume orders -f '%p/%o %k = %v\\n'
  forebay consume orders --json | jq .value
  forebay consume orders payments --group billing                 shares partitions and commits offsets

Format (-f): %t topic  %p partition  %o offset  %k key  %v value  %h headers  %T timestamp (ms)  %D timestamp
             %K and %V lengths in bytes  %% percent  \\n \\t \\r \\0 \\\\";

const GROUP_EXAMPLES: &str = "\
Examples:
  forebay group list
  forebay group describe billing                        members, offsets and lag per partition
  forebay group reset-offsets billing --topic orders --to beginning
  forebay group reset-offsets billing --topic orders --to @2001-01-02T00:00:00Z --dry-run
  forebay group delete billing";

const STATUS_EXAMPLES: &str = "\
Examples:
  forebay status
  forebay status --brokers log.example:9092 --json";

const CONFIG_EXAMPLES: &str = "\
Examples:
  forebay config > forebay.toml             a file with every setting, explained, to edit
  forebay config --config forebay.toml      what a node started with this file would use";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  forebay completions bash > ~/.local/share/bash-completion/completions/forebay
  forebay completions zsh > \"${fpath[1]}/_forebay\"
  forebay completions fish > ~/.config/fish/completions/forebay.fish";

/// Flags of the table of settings, and the file that may hold them.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// TOML file with settings (see `forebay config`)
    #[arg(
        long,
        value_name = "FILE",
        env = "FOREBAY_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub flags: SettingFlags,
}

impl NodeArgs {
    /// All layers together.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        config::load(self.config.as_deref(), std::env::vars(), &self.flags.given)
    }
}

/// One flag per row of the table of settings.
#[derive(Debug, Default)]
pub struct SettingFlags {
    /// (name, value) as given.
    pub given: Vec<(String, String)>,
}

impl clap::FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.given = SETTINGS
            .iter()
            .filter_map(|s| {
                Some((
                    s.name.to_owned(),
                    matches.get_one::<String>(s.name)?.clone(),
                ))
            })
            .collect();
        Ok(())
    }
}

impl Args for SettingFlags {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for setting in SETTINGS {
            let doc: String = setting.doc.concat();
            let doc = doc.trim().trim_end_matches('.');
            let help = match setting.default {
                "" => doc.to_owned(),
                default => format!("{doc} [default: {default}]"),
            };
            let mut arg = clap::Arg::new(setting.name)
                .long(setting.flag())
                .value_name(setting.value_name)
                .help(StyledStr::from(help));
            if setting.value_name == "BOOL" {
                arg = arg.num_args(0..=1).default_missing_value("true");
            }
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// How the commands reach a cluster.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// Brokers to ask first, comma-separated
    #[arg(
        short = 'b',
        long,
        value_name = "HOST:PORT,..",
        env = "FOREBAY_BROKERS",
        default_value = "127.0.0.1:9092",
        global = true,
        value_delimiter = ','
    )]
    pub brokers: Vec<String>,
    /// How long to wait for answers
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, global = true)]
    pub timeout: Duration,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after the report
    #[arg(long)]
    pub exit: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `topic`.
#[derive(Debug, Args)]
pub struct TopicArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(subcommand)]
    pub command: TopicCommand,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create topics
    Create {
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Partitions of each [default: the node's setting]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// Topic setting, such as retention.ms=-1 (repeatable)
        #[arg(short = 'c', long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
    },
    /// List topics
    List {
        /// Also the internal ones
        #[arg(short = 'i', long)]
        internal: bool,
        #[arg(long)]
        json: bool,
    },
    /// Show partitions, offsets, sizes and settings of topics
    Describe {
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Also settings that are at their default
        #[arg(short, long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Change settings of a topic, or show them
    Config {
        topic: String,
        /// Set a value (repeatable)
        #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
        set: Vec<(String, String)>,
        /// Back to the default (repeatable)
        #[arg(short, long, value_name = "KEY")]
        delete: Vec<String>,
    },
    /// Raise the number of partitions of a topic
    AddPartitions {
        topic: String,
        /// The number it shall have in the end
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        total: i32,
    },
    /// Delete the records of a partition before an offset
    Trim {
        topic: String,
        #[arg(short, long, value_name = "N")]
        partition: i32,
        /// First offset to keep; `end` keeps none
        #[arg(short, long)]
        offset: String,
    },
    /// Delete topics with all their records
    Delete {
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
    },
}

/// Arguments of `produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    pub topic: String,
    /// Text between key and value of a line [default: lines have no key]
    #[arg(short = 'k', long, value_name = "DELIMITER")]
    pub key_delimiter: Option<String>,
    /// Header of every record (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = key_value)]
    pub headers: Vec<(String, String)>,
    /// Compression of batches
    #[arg(short = 'z', long, value_enum, default_value_t = Codec::None)]
    pub compression: Codec,
    /// Partition [default: by key, or spread]
    #[arg(short, long, value_name = "N")]
    pub partition: Option<i32>,
    /// Who must have a record before it counts as written
    #[arg(long, value_enum, default_value_t = Acks::All)]
    pub acks: Acks,
    /// Empty keys and values become null (a null value is a tombstone)
    #[arg(long)]
    pub null_empty: bool,
    /// Print partition and offset of every record
    #[arg(short, long)]
    pub verbose: bool,
}

/// Arguments of `consume`.
#[derive(Clone, Debug, Args)]
pub struct ConsumeArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Where to start: beginning, end, an offset, -N (the last N of each partition) or @TIME (RFC 3339 or
    /// milliseconds) [default: beginning, or where the group is]
    #[arg(short, long, allow_hyphen_values = true)]
    pub offset: Option<String>,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub num: Option<u64>,
    /// End when everything that was there at the start is read
    #[arg(short = 'e', long)]
    pub exit: bool,
    /// Only this partition
    #[arg(short, long, value_name = "N")]
    pub partition: Option<i32>,
    /// Read as a member of this group
    #[arg(short, long)]
    pub group: Option<String>,
    /// How to print a record
    #[arg(short, long, default_value = "%v\\n", conflicts_with = "json")]
    pub format: String,
    /// One JSON object per record
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `group`.
#[derive(Debug, Args)]
pub struct GroupArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(subcommand)]
    pub command: GroupCommand,
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List groups
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show members, committed offsets and lag
    Describe {
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Move the committed offsets of a group without members
    ResetOffsets {
        group: String,
        /// Topics to move (repeatable) [default: all the group has offsets of]
        #[arg(long = "topic", value_name = "TOPIC")]
        topics: Vec<String>,
        /// beginning, end, an offset, or @TIME (RFC 3339 or milliseconds)
        #[arg(long, value_name = "WHERE")]
        to: String,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete groups without members
    Delete {
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[arg(long)]
    pub json: bool,
}

/// Compression by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Acknowledgements by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Acks {
    /// Nobody: fire and forget
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// Every in-sync replica
    All,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE")?;
    if key.is_empty() {
        return Err("the part before '=' is empty".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let millis = <config::Millis as config::Value>::parse(text)?;
    Ok(Duration::from_millis(millis.0))
}
