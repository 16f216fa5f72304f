//! Settings of a session: names, defaults, what values they take, and what a transaction undoes.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    backend::SqlError,
    text::{Style, interval_of},
    zone,
};

/// Told to drivers, which switch features on it.
pub const SERVER_VERSION: &str = concat!("16.6 (Forebay ", env!("CARGO_PKG_VERSION"), ")");
const SERVER_VERSION_NUM: &str = "160006";
/// Names with a prefix that are nobody's here, as applications make them up.
const CUSTOM_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 << 10;

/// What a setting takes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Bool,
    Integer(i64, i64),
    /// Milliseconds when no unit stands behind.
    Span,
    OneOf(&'static [&'static str]),
    Zone,
    Encoding,
    /// `DateStyle`: only the form that is written here.
    DateStyle,
    /// Set at the start or never.
    Fixed,
}

/// A row of `pg_settings`.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// As Postgres writes it; found in any case.
    pub name: &'static str,
    pub default: &'static str,
    kind: Kind,
    /// A client is told of each change.
    pub is_reported: bool,
    pub description: &'static str,
}

const fn setting(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        kind,
        is_reported: false,
        description,
    }
}

impl Setting {
    const fn reported(mut self) -> Self {
        self.is_reported = true;
        self
    }
}

const ISOLATION: Kind = Kind::OneOf(&[
    "serializable",
    "repeatable read",
    "read committed",
    "read uncommitted",
]);
const INT_MAX: i64 = i32::MAX as i64;

/// All there are, by name.
pub const SETTINGS: &[Setting] = &[
    setting(
        "application_name",
        "",
        Kind::Text,
        "Name of the client's program.",
    )
    .reported(),
    setting(
        "bytea_output",
        "hex",
        Kind::OneOf(&["hex"]),
        "Form of bytea values.",
    ),
    setting(
        "client_encoding",
        "UTF8",
        Kind::Encoding,
        "Encoding that the client uses.",
    )
    .reported(),
    setting(
        "client_min_messages",
        "notice",
        Kind::Text,
        "Levels of messages that are sent.",
    ),
    setting("DateStyle", "ISO, MDY", Kind::DateStyle, "Form of dates.").reported(),
    setting(
        "default_table_access_method",
        "heap",
        Kind::Text,
        "Taken and not used.",
    ),
    setting(
        "default_transaction_deferrable",
        "off",
        Kind::Bool,
        "Taken and not used.",
    ),
    setting(
        "default_transaction_isolation",
        "serializable",
        ISOLATION,
        "Every transaction reads one epoch.",
    ),
    setting(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "New transactions only read.",
    )
    .reported(),
    setting(
        "extra_float_digits",
        "1",
        Kind::Integer(-15, 3),
        "Digits of floating-point values.",
    ),
    setting(
        "forebay.after",
        "",
        Kind::Text,
        "Reads wait until these records were read: topic/partition@offset, with commas.",
    ),
    setting(
        "forebay.read",
        "epoch",
        Kind::OneOf(&["epoch", "live"]),
        "A transaction reads one epoch, or the newest one with each statement.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Span,
        "Taken and not used.",
    ),
    setting(
        "idle_session_timeout",
        "0",
        Kind::Span,
        "Taken and not used.",
    ),
    setting("in_hot_standby", "off", Kind::Fixed, "Never.").reported(),
    setting(
        "integer_datetimes",
        "on",
        Kind::Fixed,
        "Times are integers.",
    )
    .reported(),
    setting(
        "IntervalStyle",
        "postgres",
        Kind::OneOf(&["postgres"]),
        "Form of intervals.",
    )
    .reported(),
    setting(
        "is_superuser",
        "on",
        Kind::Fixed,
        "Whether the user may do all.",
    )
    .reported(),
    setting("jit", "off", Kind::Bool, "Taken and not used."),
    setting(
        "lc_collate",
        "C",
        Kind::Fixed,
        "Order of text: by code points.",
    ),
    setting("lc_ctype", "C", Kind::Fixed, "Classes of characters."),
    setting("lc_messages", "C", Kind::Text, "Language of messages."),
    setting("lc_monetary", "C", Kind::Text, "Taken and not used."),
    setting("lc_numeric", "C", Kind::Text, "Taken and not used."),
    setting("lc_time", "C", Kind::Text, "Taken and not used."),
    setting("lock_timeout", "0", Kind::Span, "Taken and not used."),
    setting(
        "max_identifier_length",
        "63",
        Kind::Fixed,
        "Bytes of a name.",
    ),
    setting("max_index_keys", "32", Kind::Fixed, "Columns of an index."),
    setting("row_security", "on", Kind::Bool, "Taken and not used."),
    setting(
        "scram_iterations",
        "4096",
        Kind::Fixed,
        "Rounds of SCRAM-SHA-256.",
    )
    .reported(),
    setting(
        "search_path",
        "\"$user\", public",
        Kind::Text,
        "Schemas that names without one are looked up in.",
    ),
    setting("server_encoding", "UTF8", Kind::Fixed, "Encoding of text.").reported(),
    setting(
        "server_version",
        SERVER_VERSION,
        Kind::Fixed,
        "The version of PostgreSQL that clients may expect.",
    )
    .reported(),
    setting(
        "server_version_num",
        SERVER_VERSION_NUM,
        Kind::Fixed,
        "The same as a number.",
    ),
    setting("session_authorization", "", Kind::Fixed, "The user.").reported(),
    setting(
        "standard_conforming_strings",
        "on",
        Kind::OneOf(&["on"]),
        "A backslash is a backslash.",
    )
    .reported(),
    setting(
        "statement_timeout",
        "0",
        Kind::Span,
        "What a statement may take; 0: any time.",
    ),
    setting(
        "synchronize_seqscans",
        "on",
        Kind::Bool,
        "Taken and not used.",
    ),
    setting(
        "TimeZone",
        "UTC",
        Kind::Zone,
        "Zone in which times are read and shown.",
    )
    .reported(),
    setting(
        "transaction_deferrable",
        "off",
        Kind::Bool,
        "Taken and not used.",
    ),
    setting(
        "transaction_isolation",
        "serializable",
        ISOLATION,
        "A transaction reads one epoch.",
    ),
    setting(
        "transaction_read_only",
        "off",
        Kind::Bool,
        "The transaction only reads.",
    ),
    setting("work_mem", "4MB", Kind::Text, "Taken and not used."),
    setting("xmloption", "content", Kind::Text, "Taken and not used."),
];

/// Values of a session.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the connection was opened with; RESET goes back to it.
    initial: BTreeMap<String, String>,
    changed: BTreeMap<String, String>,
    /// Until the transaction ends.
    local: BTreeMap<String, String>,
    /// At the start of the transaction, to go back to.
    before: Option<BTreeMap<String, String>>,
    /// Names whose values a client has not been told yet.
    to_report: Vec<&'static str>,
    usual: Usual,
}

/// Values that every statement asks for, read once when one is set: to find one by its name touches all names.
#[derive(Clone, Debug, Default)]
struct Usual {
    style: Style,
    statement_timeout: Option<Duration>,
    waits: bool,
}

impl Settings {
    /// `given` are a startup packet's; such that nobody knows are refused as SET would.
    pub fn new(given: &[(String, String)], user: &str) -> Result<Self, SqlError> {
        let mut settings = Self::default();
        for (name, value) in given {
            let (name, value) = checked(name, value)?;
            settings.initial.insert(name, value);
        }
        settings
            .initial
            .insert("session_authorization".to_owned(), user.to_owned());
        settings.read_usual();
        Ok(settings)
    }

    /// As SHOW gives it.
    pub fn get(&self, name: &str) -> Result<&str, SqlError> {
        let key = key(name);
        let own = [&self.local, &self.changed, &self.initial];
        if let Some(value) = own.iter().find_map(|values| values.get(&key)) {
            return Ok(value);
        }
        let known = find(&key).ok_or_else(|| unknown(name))?;
        Ok(known.default)
    }

    /// Names, values and what they are, as SHOW ALL gives them.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        SETTINGS.iter().map(|setting| {
            let value = self.get(setting.name).unwrap_or(setting.default);
            (setting.name, value, setting.description)
        })
    }

    pub fn set(&mut self, name: &str, value: &str, is_local: bool) -> Result<(), SqlError> {
        if find(&key(name)).is_some_and(|found| matches!(found.kind, Kind::Fixed)) {
            let message = format!("parameter \"{name}\" cannot be changed");
            return Err(SqlError::new(*b"55P02", message));
        }
        let (key, value) = checked(name, value)?;
        if !key.contains('.') || find(&key).is_some() {
            self.report(&key);
        } else if self.changed.len() + self.local.len() >= CUSTOM_MAX {
            return Err(SqlError::new(*b"53400", "too many settings"));
        }
        if is_local {
            self.local.insert(key, value);
        } else {
            self.local.remove(&key);
            self.changed.insert(key, value);
        }
        self.read_usual();
        Ok(())
    }

    /// `None`: all.
    pub fn reset(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        let Some(name) = name else {
            let names: Vec<_> = self
                .changed
                .keys()
                .chain(self.local.keys())
                .cloned()
                .collect();
            names.iter().for_each(|name| self.report(name));
            self.changed.clear();
            self.local.clear();
            self.read_usual();
            return Ok(());
        };
        self.get(name)?;
        let key = key(name);
        self.report(&key);
        self.changed.remove(&key);
        self.local.remove(&key);
        self.read_usual();
        Ok(())
    }

    pub fn begin(&mut self) {
        self.before = Some(self.changed.clone());
    }

    /// What SET LOCAL set ends; after a failure, what SET set as well.
    pub fn end(&mut self, committed: bool) {
        let mut ended: Vec<String> = std::mem::take(&mut self.local).into_keys().collect();
        if let Some(before) = self.before.take()
            && !committed
        {
            let after = std::mem::replace(&mut self.changed, before);
            let names = after.keys().chain(self.changed.keys());
            let differs = |name: &&String| after.get(*name) != self.changed.get(*name);
            ended.extend(names.filter(differs).cloned());
        }
        if !ended.is_empty() {
            ended.iter().for_each(|name| self.report(name));
            self.read_usual();
        }
    }

    fn read_usual(&mut self) {
        let of = |name| self.get(name).unwrap_or_default();
        let timeout = milliseconds(of("statement_timeout")).and_then(|ms| ms.try_into().ok());
        self.usual = Usual {
            style: Style::new(of("TimeZone"), of("extra_float_digits")),
            statement_timeout: timeout.filter(|ms| *ms > 0).map(Duration::from_millis),
            waits: !of("forebay.after").is_empty(),
        };
    }

    fn report(&mut self, key: &str) {
        if let Some(found) = find(key).filter(|found| found.is_reported)
            && !self.to_report.contains(&found.name)
        {
            self.to_report.push(found.name);
        }
    }

    /// Changes that a client is to be told of.
    pub fn take_reports(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.to_report)
    }

    /// None: any time.
    #[must_use]
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.usual.statement_timeout
    }

    /// How values are printed.
    #[must_use]
    pub fn style(&self) -> &Style {
        &self.usual.style
    }

    /// Whether `forebay.after` names what reads are to wait for.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.usual.waits
    }
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.name.eq_ignore_ascii_case(key))
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(
        *b"42704",
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

/// The name in lower case, and the value as it is shown.
fn checked(name: &str, value: &str) -> Result<(String, String), SqlError> {
    let key = key(name);
    if value.len() > VALUE_BYTES_MAX {
        return Err(SqlError::new(
            *b"54000",
            format!("the value of \"{name}\" is too long"),
        ));
    }
    let Some(known) = find(&key) else {
        // Applications keep values of their own under names with a prefix; ours are all known.
        let is_custom = key.contains('.') && !key.starts_with("forebay.");
        return is_custom
            .then(|| (key, value.to_owned()))
            .ok_or_else(|| unknown(name));
    };
    let invalid = || {
        SqlError::new(
            *b"22023",
            format!(
                "invalid value for parameter \"{}\": \"{value}\"",
                known.name
            ),
        )
    };
    let lower = value.trim().to_ascii_lowercase();
    let shown = match known.kind {
        Kind::Text | Kind::Fixed => value.to_owned(),
        Kind::Bool => boolean(&lower).ok_or_else(invalid)?.to_owned(),
        Kind::Integer(min, max) => {
            let number: i64 = lower.parse().map_err(|_| invalid())?;
            if !(min..=max).contains(&number) {
                let message = format!(
                    "{number} is outside the valid range for parameter \"{}\" ({min} .. {max})",
                    known.name
                );
                return Err(SqlError::new(*b"22023", message));
            }
            number.to_string()
        }
        Kind::Span => span_shown(
            milliseconds(&lower)
                .filter(|ms| *ms <= INT_MAX)
                .ok_or_else(invalid)?,
        ),
        Kind::OneOf(values) => {
            let lower = if values.contains(&"on") {
                boolean(&lower).unwrap_or("")
            } else {
                &lower
            };
            let found = values.iter().find(|one| **one == lower);
            (*found.ok_or_else(|| {
                invalid().with_hint(format!("Available values: {}.", values.join(", ")))
            })?)
            .to_owned()
        }
        Kind::Zone => shown_zone(value).ok_or_else(invalid)?,
        Kind::Encoding => match lower.replace(['-', '_', '\'', '"'], "").as_str() {
            "utf8" | "unicode" | "" => "UTF8".to_owned(),
            _ => return Err(invalid().with_hint("Text is UTF8 only.")),
        },
        Kind::DateStyle => {
            let known = |part: &str| {
                matches!(
                    part.trim(),
                    "iso"
                        | "mdy"
                        | "dmy"
                        | "ymd"
                        | "us"
                        | "european"
                        | "euro"
                        | "noneuropean"
                        | "default"
                )
            };
            if !lower.split(',').all(known) {
                return Err(invalid().with_hint("Dates are written in the ISO form only."));
            }
            "ISO, MDY".to_owned()
        }
    };
    Ok((key, shown))
}

fn boolean(text: &str) -> Option<&'static str> {
    match text {
        "on" | "true" | "yes" | "1" | "t" | "y" => Some("on"),
        "off" | "false" | "no" | "0" | "f" | "n" => Some("off"),
        _ => None,
    }
}

/// `30s`, `5min`, `1000`: milliseconds, as PostgreSQL reads them.
fn milliseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

fn span_shown(ms: i64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ];
    let found = units.iter().find(|(factor, _)| ms > 0 && ms % factor == 0);
    match found {
        Some((factor, unit)) => format!("{}{unit}", ms / factor),
        None if ms == 0 => "0".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// As PostgreSQL shows it: names of zones, hours east of Greenwich as a number or an interval, and POSIX's forms.
fn shown_zone(text: &str) -> Option<String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if ["utc", "gmt", "z", "zulu", "default", "local", "uct"].contains(&lower.as_str()) {
        return Some("UTC".to_owned());
    }
    if lower == "etc/utc" {
        return Some("Etc/UTC".to_owned());
    }
    let hours = || {
        let hours = lower
            .parse::<f64>()
            .ok()
            .filter(|hours| hours.is_finite())?;
        #[expect(clippy::cast_possible_truncation, reason = "it is bounded below")]
        Some((hours * 3600.0) as i64)
    };
    let span = || {
        let quoted = lower.strip_prefix("interval")?.trim();
        let span = interval_of(quoted.strip_prefix('\'')?.strip_suffix('\'')?)?;
        let is_clock = span.months == 0 && span.days == 0;
        is_clock.then_some(span.nanoseconds / 1_000_000_000)
    };
    match hours().or_else(span) {
        Some(east_s) => zone::posix(east_s),
        None => zone::setting(text).map(|_| text.to_owned()),
    }
}
