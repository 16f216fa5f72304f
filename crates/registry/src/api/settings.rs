//! `/config` and `/mode`: of all subjects, or of one.

use serde_json::json;

use super::{Asked, subjects::check_writable};
use crate::{
    answer::{Answer, Refusal},
    limits::SETTINGS_MAX,
    record::Record,
    state::{Level, Mode, Registry},
};

const DEFAULT_LEVEL: &str = "BACKWARD";
const DEFAULT_MODE: &str = "READWRITE";

pub fn level(
    registry: &Registry,
    asked: &Asked<'_>,
    subject: Option<&str>,
) -> Result<Answer, Refusal> {
    let own = registry.level_of(subject);
    let name = match (own, subject) {
        (Some(level), _) => level.name(),
        (None, None) => DEFAULT_LEVEL,
        (None, Some(subject)) if asked.is_set("defaultToGlobal") => registry.level(subject).name(),
        (None, Some(subject)) => return Err(Refusal::NoLevel(subject.to_owned())),
    };
    Ok(Answer::of(json!({ "compatibilityLevel": name })))
}

pub fn set_level(
    registry: &Registry,
    asked: &Asked<'_>,
    subject: Option<&str>,
) -> Result<Answer, Refusal> {
    let wanted = asked.body()?;
    if wanted.other(&["compatibility"]).is_some() {
        return Err(Refusal::Unsupported(
            "configuration beyond the compatibility level",
        ));
    }
    let level = wanted.text("compatibility")?.and_then(Level::named);
    let level = level.ok_or(Refusal::LevelInvalid)?.name();
    check_writable(registry, subject)?;
    check_count(registry, subject, registry.level_of(subject).is_some())?;
    let answer = Answer::of(json!({ "compatibility": level }));
    Ok(answer.with(vec![Record::level(subject, Some(level))]))
}

pub fn unset_level(registry: &Registry, subject: Option<&str>) -> Result<Answer, Refusal> {
    check_writable(registry, subject)?;
    let own = registry.level_of(subject);
    let name = match (own, subject) {
        (Some(level), _) => level.name(),
        (None, None) => DEFAULT_LEVEL,
        (None, Some(subject)) => return Err(Refusal::NoLevel(subject.to_owned())),
    };
    let answer = Answer::of(json!({ "compatibilityLevel": name }));
    Ok(answer.with(vec![Record::level(subject, None)]))
}

pub fn mode(
    registry: &Registry,
    asked: &Asked<'_>,
    subject: Option<&str>,
) -> Result<Answer, Refusal> {
    let own = registry.mode_of(subject);
    let name = match (own, subject) {
        (Some(mode), _) => mode.name(),
        (None, None) => DEFAULT_MODE,
        (None, Some(subject)) if asked.is_set("defaultToGlobal") => {
            registry.mode(Some(subject)).name()
        }
        (None, Some(subject)) => return Err(Refusal::NoMode(subject.to_owned())),
    };
    Ok(Answer::of(json!({ "mode": name })))
}

pub fn set_mode(
    registry: &Registry,
    asked: &Asked<'_>,
    subject: Option<&str>,
) -> Result<Answer, Refusal> {
    let wanted = asked.body()?;
    let mode = wanted.text("mode")?.and_then(Mode::named);
    let mode = mode.ok_or(Refusal::ModeInvalid)?;
    let has_schemas = || match subject {
        Some(subject) => registry.newest(subject, false).is_some(),
        None => registry
            .subjects()
            .any(|(subject, _)| registry.newest(subject, false).is_some()),
    };
    let is_import = registry.mode(subject) == Mode::Import;
    if mode == Mode::Import && !is_import && !asked.is_set("force") && has_schemas() {
        return Err(Refusal::NotPermitted(
            "Cannot import since found existing subjects".to_owned(),
        ));
    }
    check_count(registry, subject, registry.mode_of(subject).is_some())?;
    let answer = Answer::of(json!({ "mode": mode.name() }));
    Ok(answer.with(vec![Record::mode(subject, Some(mode.name()))]))
}

pub fn unset_mode(registry: &Registry, subject: &str) -> Result<Answer, Refusal> {
    let own = registry.mode_of(Some(subject));
    let mode = own.ok_or_else(|| Refusal::NoMode(subject.to_owned()))?;
    let answer = Answer::of(json!({ "mode": mode.name() }));
    Ok(answer.with(vec![Record::mode(Some(subject), None)]))
}

/// That there is room for one more, if it is one more.
fn check_count(registry: &Registry, subject: Option<&str>, is_known: bool) -> Result<(), Refusal> {
    let is_new = subject.is_some() && !is_known;
    if is_new && registry.settings_count() >= SETTINGS_MAX {
        return Err(Refusal::Full("levels and modes of subjects"));
    }
    Ok(())
}
