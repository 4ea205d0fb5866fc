//! `zonemesh-gateway configure`: from CONTEXT to the configuration file.
//!
//! It promises that what is refused changes nothing, that a file which somebody has edited stays
//! and that this is said, and an exit code that tells refused (7), denied (6) and broken (1) apart.
//! It refuses to ask anybody: what OneGate knows comes later, from `run`.

use std::path::Path;

use zonemesh_appliance::startup;
use zonemesh_config::{Config, ConfigErrors};
use zonemesh_context::{SettingError, SettingsErrors};
use zonemesh_core::exit::Exit;

use crate::configuration;
use crate::settings::{GatewaySettings, NOTHING_GIVEN};
use crate::written::{self, FileOutcome, WantedFile, WrittenError};

/// Writes the configuration that CONTEXT asks for, and prints what came of it.
///
/// # Errors
/// CONTEXT asks for none and there is none, the daemon would not take it, or it cannot be written.
pub(crate) fn configure(settings: &GatewaySettings, file: &Path) -> anyhow::Result<Exit> {
    let wanted = wanted(settings, file).map_err(|mistakes| refused(mistakes.to_string()))?;
    let outcome = written::settle(file, wanted.as_ref())?;
    let outcome = outcome.ok_or_else(|| refused(NOTHING_GIVEN.to_owned()))?;
    say(file, outcome);
    startup::print(&format!("{}: {}", file.display(), outcome.words()))
}

/// What CONTEXT asks for, with what OneGate was heard to say before.
fn wanted(settings: &GatewaySettings, file: &Path) -> Result<Option<WantedFile>, ConfigErrors> {
    let hint = written::of_context(file).map(|text| configuration::hinted(&text));
    let hint = hint.unwrap_or_default();
    settings.wanted.as_ref().map(|wanted| configuration::wanted(wanted, &hint)).transpose()
}

/// A file that counts instead of CONTEXT is somebody's, and so are its mistakes.
pub(crate) fn say(file: &Path, outcome: FileOutcome) {
    let name = file.display().to_string();
    if outcome.is_passed_over() {
        tracing::warn!("{name}: {}", outcome.words());
    }
    if outcome.is_passed_over() || outcome == FileOutcome::Kept {
        let text = written::read(file).unwrap_or_default();
        if let Err(mistakes) = Config::parse_bytes(&text, &name) {
            tracing::warn!("{name} has mistakes; zonemesh config check {name} says:\n{mistakes}");
        }
    }
}

/// Told to `settle` the file with a hint of OneGate's.
pub(crate) fn with_hint(
    settings: &GatewaySettings,
    hint: &[zonemesh_config::Endpoint],
    file: &Path,
) -> Result<Option<FileOutcome>, WrittenError> {
    let Some(wanted) = &settings.wanted else { return Ok(None) };
    match configuration::wanted(wanted, hint) {
        Ok(wanted) => written::settle(file, Some(&wanted)),
        Err(mistakes) => {
            tracing::warn!("what OneGate knows of this VM is of no use: {mistakes}");
            Ok(None)
        }
    }
}

fn refused(problem: String) -> SettingsErrors {
    SettingsErrors(vec![SettingError {
        key: "ONEAPP_ZONEMESH_INVITATION",
        place: String::new(),
        problem,
        expected: "the zone's invitation, or its founding bundle",
        example: "em9uZW1lc2gtaW52aXRhdGlvbi0x....",
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{told, usual};

    #[test]
    fn what_onegate_has_said_once_stays_until_context_says_something() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zonemesh.toml");
        let [_, invitation] = usual();
        let values =
            [("ONEAPP_ZONEMESH_INVITATION", invitation.as_str()), ("ETH0_IP", "10.10.11.1")];
        let settings = told(&values).unwrap();
        let endpoints = || {
            let text = std::fs::read_to_string(&file).unwrap();
            let endpoints = Config::parse(&text, "test").unwrap().gateway.endpoints;
            endpoints.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        configure(&settings, &file).unwrap();
        assert!(endpoints().is_empty());
        let hint = ["203.0.113.9:51820".parse().unwrap()];
        assert_eq!(with_hint(&settings, &hint, &file).unwrap(), Some(FileOutcome::Written));
        // A boot without OneGate.
        configure(&settings, &file).unwrap();
        assert_eq!(endpoints(), ["203.0.113.9:51820"]);
        let said = [&values[..], &[("ONEAPP_ZONEMESH_ENDPOINT", "203.0.113.2")]].concat();
        configure(&told(&said).unwrap(), &file).unwrap();
        assert_eq!(endpoints(), ["203.0.113.2:51820"]);
        configure(&settings, &file).unwrap();
        assert!(endpoints().is_empty(), "what CONTEXT has said is no hint");
    }

    #[test]
    fn without_a_value_a_file_stays_and_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zonemesh.toml");
        let nothing = told(&[("ETH0_IP", "10.10.11.1")]).unwrap();
        let error = configure(&nothing, &file).unwrap_err();
        assert_eq!(startup::exit_code(&error), Exit::Configuration);
        assert!(error.to_string().contains("ONEAPP_ZONEMESH_INVITATION: is not set"), "{error}");
        std::fs::write(&file, "[zone]\n").unwrap();
        assert_eq!(configure(&nothing, &file).unwrap(), Exit::Ok);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[zone]\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_broken_and_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("missing/zonemesh.toml");
        let [bundle, _] = usual();
        let settings =
            told(&[("ONEAPP_ZONEMESH_INVITATION", &bundle), ("ETH0_IP", "10.10.10.1")]).unwrap();
        let error = configure(&settings, &file).unwrap_err();
        assert_eq!(startup::exit_code(&error), Exit::Negative, "{error:#}");
    }
}
