//! Tests of precedence, refusals and round trips of settings.

use super::*;
use expect_test::{Expect, expect};

fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(name: &str, text: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("forebay-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the temporary directory can be written");
    let path = dir.join(name);
    std::fs::write(&path, text).expect("the temporary directory can be written");
    path
}

#[test]
fn defaults_round_trip() {
    let defaults = Settings::default();
    for setting in SETTINGS {
        assert_eq!(setting.show(&defaults), setting.default, "{}", setting.name);
    }
    let loaded = load(None, [], &[]).expect("defaults are valid together");
    assert_eq!(loaded.settings, defaults);
}

#[test]
fn precedence() {
    let path = file(
        "precedence.toml",
        "shards = 2\ndefault_partitions = 3\nconnections_max = 7\ncache_bytes = \"1MiB\"\n",
    );
    let variables = flags(&[
        ("FOREBAY_DEFAULT_PARTITIONS", "4"),
        ("FOREBAY_CONNECTIONS_MAX", "8"),
        ("FOREBAY_BROKERS", "ignored here"),
        ("HOME", "/"),
    ]);
    let loaded = load(Some(&path), variables, &flags(&[("connections_max", "9")])).expect("valid");
    let s = &loaded.settings;
    assert_eq!(
        (s.shards, s.default_partitions, s.connections_max),
        (2, 4, 9)
    );
    assert_eq!(s.cache_bytes, Bytes(1 << 20));
    assert_eq!(loaded.origins["shards"], Origin::File(path));
    assert_eq!(
        loaded.origins["default_partitions"],
        Origin::Variable("FOREBAY_DEFAULT_PARTITIONS".into())
    );
    assert_eq!(loaded.origins["connections_max"], Origin::Flag);
    assert_eq!(loaded.origins["http_addr"], Origin::Default);
}

fn refused(result: Result<Loaded, ConfigError>, expected: Expect) {
    expected.assert_eq(&result.expect_err("must be refused").to_string());
}

#[test]
fn refusals() {
    refused(
        load(None, [], &flags(&[("kafka_adr", "x")])),
        expect![
            "command line: no setting is called 'kafka_adr'; did you mean 'kafka_addr'? (`forebay config` lists all)"
        ],
    );
    refused(
        load(None, flags(&[("FOREBAY_SHARD", "2")]), &[]),
        expect![
            "environment: no setting is called 'FOREBAY_SHARD'; did you mean 'FOREBAY_SHARDS'? (`forebay config` lists all)"
        ],
    );
    refused(
        load(None, [], &flags(&[("shards", "many")])),
        expect!["command line: 'shards' = 'many': not a number from 0 to 65535"],
    );
    refused(
        load(None, [], &flags(&[("cache_bytes", "12 parsecs")])),
        expect![
            "command line: 'cache_bytes' = '12 parsecs': not a size: write a number, with one of KiB, MiB, GiB, TiB, kB, KB, MB, GB, TB, B behind it or none"
        ],
    );
    refused(
        load(None, [], &flags(&[("kafka_addr", "0.0.0.0:9092")])),
        expect![
            "kafka_addr 0.0.0.0:9092 is not on loopback: other machines reach it, without encryption or authentication. Listen on 127.0.0.1, or say --allow-plaintext true when the network is trusted"
        ],
    );
    refused(
        load(
            None,
            [],
            &flags(&[("kafka_addr", "0.0.0.0:9092"), ("allow_plaintext", "true")]),
        ),
        expect![
            "kafka_addr 0.0.0.0:9092 listens on every address, but clients must be told one they can reach: set advertised_addr to HOST:PORT"
        ],
    );
    refused(
        load(None, [], &flags(&[("pg_addr", "0.0.0.0:5433")])),
        expect![
            "pg_addr 0.0.0.0:5433 is not on loopback: other machines reach it. Set pg_users, pg_tls_cert, pg_tls_key and pg_tls = required; or listen on 127.0.0.1, or say --allow-plaintext true when the network is trusted"
        ],
    );
    refused(
        load(None, [], &flags(&[("pg_tls_cert", "cert.pem")])),
        expect!["pg_tls_cert and pg_tls_key belong together: one of them is not set"],
    );
    refused(
        load(None, [], &flags(&[("pg_tls", "required")])),
        expect!["pg_tls is required, but pg_tls_cert and pg_tls_key are not set"],
    );
    refused(
        load(None, [], &flags(&[("pg_tls", "verify-full")])),
        expect!["command line: 'pg_tls' = 'verify-full': one of optional, required"],
    );
    refused(
        load(None, [], &flags(&[("cpus", "0-1"), ("shards", "3")])),
        expect!["cpus names 2 CPUs but shards is 3: leave one of them out or make them agree"],
    );
    let unknown = file("unknown.toml", "data_directory = \"x\"\n");
    let error = load(Some(&unknown), [], &[]).expect_err("must be refused");
    assert!(
        error.to_string().contains("did you mean 'data_dir'?"),
        "{error}"
    );
    let nested = file("nested.toml", "[shards]\ncount = 1\n");
    assert!(matches!(
        load(Some(&nested), [], &[]),
        Err(ConfigError::Invalid { .. })
    ));
    let broken = file("broken.toml", "shards = = 1\n");
    assert!(matches!(
        load(Some(&broken), [], &[]),
        Err(ConfigError::Toml { .. })
    ));
    assert!(matches!(
        load(Some(Path::new("/no/such/file.toml")), [], &[]),
        Err(ConfigError::Read { .. })
    ));
}

/// Each of these alone leaves other machines a way in.
#[test]
fn beyond_loopback_the_sql_listener_wants_users_and_tls() {
    let secured = [
        ("pg_addr", "0.0.0.0:5433"),
        ("pg_users", "users.txt"),
        ("pg_tls_cert", "cert.pem"),
        ("pg_tls_key", "key.pem"),
        ("pg_tls", "required"),
    ];
    load(None, [], &flags(&secured)).expect("it is as safe as can be");
    for without in [
        &["pg_users"][..],
        &["pg_tls"],
        &["pg_tls", "pg_tls_cert", "pg_tls_key"],
    ] {
        let left: Vec<_> = secured
            .into_iter()
            .filter(|(name, _)| !without.contains(name))
            .collect();
        let error = load(None, [], &flags(&left)).expect_err("it is refused");
        assert!(matches!(error, ConfigError::Exposed(_)), "{error}");
        let trusted = [&left[..], &[("allow_plaintext", "true")]].concat();
        load(None, [], &flags(&trusted)).expect("the network is trusted");
    }
}

#[test]
fn values() {
    assert_eq!(Bytes::parse("1 GB"), Ok(Bytes(1_000_000_000)));
    assert_eq!(Bytes(3 << 20).show(), "3MiB");
    assert_eq!(Millis::parse("90s"), Ok(Millis(90_000)));
    assert_eq!(Millis(1_500).show(), "1500ms");
    assert_eq!(Cpus::parse("0-2, 7"), Ok(Cpus(vec![0, 1, 2, 7])));
    assert!(Cpus::parse("3-1").is_err());
    assert!(Cpus::parse("1,1").is_err());
    assert!(Bytes::parse("99999999999999999999").is_err());
    assert!(Bytes::parse("99999999999GiB").is_err());
    let six = HostPort::parse("[::1]:9092").expect("an IPv6 address with a port");
    assert_eq!(
        (six.host.as_str(), six.show().as_str()),
        ("::1", "[::1]:9092")
    );
    assert!(HostPort::parse("host").is_err());
}

#[test]
fn the_printed_file_loads_again() {
    let given = flags(&[
        ("shards", "2"),
        ("ready_file", "/tmp/x y"),
        ("stop_grace", "3s"),
    ]);
    let loaded = load(None, [], &given).expect("valid");
    let path = file("printed.toml", &loaded.to_toml());
    let again = load(Some(&path), [], &[]).expect("what is printed is valid");
    assert_eq!(again.settings, loaded.settings);
}
