//! Settings as SET, SHOW and RESET take and give them.

use super::*;

fn settings() -> Settings {
    let given = [("application_name".to_owned(), "psql".to_owned())];
    Settings::new(&given, "ann").expect("the setting is known")
}

#[test]
fn values_are_checked() {
    let mut settings = settings();
    let cases = [
        ("statement_timeout", "1500", Ok("1500ms")),
        ("statement_timeout", "30s", Ok("30s")),
        ("STATEMENT_TIMEOUT", "60000", Ok("1min")),
        ("extra_float_digits", "3", Ok("3")),
        ("extra_float_digits", "9", Err(*b"22023")),
        ("client_encoding", "utf-8", Ok("UTF8")),
        ("client_encoding", "latin1", Err(*b"22023")),
        ("datestyle", "ISO", Ok("ISO, MDY")),
        ("forebay.after", "t/0@7", Ok("t/0@7")),
        ("forebay.aftre", "t/0@7", Err(*b"42704")),
        ("no_such", "1", Err(*b"42704")),
        ("my.own", "1", Ok("1")),
        ("server_version", "9", Err(*b"55P02")),
        ("timezone", "+02:00", Ok("+02:00")),
        ("timezone", "Mars/Olympus", Err(*b"22023")),
        ("timezone", "-5", Ok("<-05>+05")),
        ("timezone", "5.5", Ok("<+05:30>-05:30")),
        ("timezone", "interval '-02:00'", Ok("<-02>+02")),
        ("timezone", "interval '1 day'", Err(*b"22023")),
        ("timezone", "UTC+3", Ok("UTC+3")),
        ("timezone", "<+05:30>-05:30", Ok("<+05:30>-05:30")),
        ("timezone", "EST5EDT,M3.2.0", Err(*b"22023")),
        ("standard_conforming_strings", "true", Ok("on")),
    ];
    for (name, value, expected) in cases {
        let set = settings
            .set(name, value, false)
            .map_err(|error| error.sqlstate);
        let found = set.map(|()| settings.get(name).expect("it was set").to_owned());
        assert_eq!(found, expected.map(str::to_owned), "{name} = {value}");
    }
}

#[test]
fn transactions_undo() {
    let mut settings = settings();
    settings.begin();
    settings
        .set("application_name", "inside", false)
        .expect("the value is right");
    settings
        .set("statement_timeout", "1s", true)
        .expect("the value is right");
    assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(1)));
    settings.end(false);
    assert_eq!(settings.get("application_name"), Ok("psql"));
    assert_eq!(settings.statement_timeout(), None);
    settings.begin();
    settings
        .set("application_name", "kept", false)
        .expect("the value is right");
    settings.end(true);
    assert_eq!(settings.get("application_name"), Ok("kept"));
    settings.reset(None).expect("everything can be reset");
    assert_eq!(settings.get("application_name"), Ok("psql"));
    assert!(settings.take_reports().contains(&"application_name"));
}

#[test]
fn what_a_failed_transaction_reset_is_set_again() {
    let mut settings = settings();
    for (name, value) in [("statement_timeout", "1s"), ("TimeZone", "Europe/Berlin")] {
        settings
            .set(name, value, false)
            .expect("the value is right");
    }
    settings.take_reports();
    settings.begin();
    settings.reset(None).expect("everything can be reset");
    assert_eq!(settings.statement_timeout(), None);
    assert_eq!(settings.take_reports(), ["TimeZone"]);
    settings.end(false);
    assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(1)));
    let style = Style::new("Europe/Berlin", "1");
    assert_eq!(format!("{:?}", settings.style()), format!("{style:?}"));
    assert_eq!(settings.take_reports(), ["TimeZone"]);
}

#[test]
fn defaults_are_themselves() {
    for setting in SETTINGS
        .iter()
        .filter(|setting| !setting.default.is_empty())
    {
        let (_, shown) = checked(setting.name, setting.default).expect("defaults are valid");
        assert_eq!(shown, setting.default, "{}", setting.name);
    }
}
