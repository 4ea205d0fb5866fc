//! What people and OpenNebula write: configuration, endpoints, contexts, service templates.

use std::path::Path;

use zonemesh_config::{Config, Endpoint};
use zonemesh_context::source::context::ContextFile;
use zonemesh_oneflow::check::check;
use zonemesh_oneflow::render::{RenderRefusal, RenderValues, render};

/// The bytes as a configuration file.
///
/// # Panics
/// If a mistake has no place in the text, or a message shows more than a person can read.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::parse(text, "fuzzed.toml") {
        Ok(config) => assert!(!config.zone.name.to_string().is_empty()),
        Err(errors) => assert!(errors.to_string().contains("fuzzed.toml")),
    }
}

/// The bytes as an endpoint.
///
/// # Panics
/// If an endpoint that was read is another one after being written.
pub fn endpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match text.parse::<Endpoint>() {
        Ok(endpoint) => assert_eq!(endpoint.to_string().parse(), Ok(endpoint)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The bytes as the context of a VM.
///
/// # Panics
/// If a key that was read has no value or no line, or a line that was passed over none.
pub fn context(bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let context = ContextFile::parse(bytes, Path::new("context.sh"));
    for key in context.keys() {
        assert!(context.get(key).is_some());
        assert!(context.line_of(key).is_some_and(|line| (1..=lines).contains(&line)));
    }
    let passed_over = context.passed_over(|_key| false).expect("no key matters here");
    assert!(passed_over.iter().all(|one| (1..=lines).contains(&one.line)));
}

/// The bytes as a service template of OneFlow.
///
/// # Panics
/// If a mistake has no line in the text, or a valid template is another one after being written.
pub fn service_template(bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let checked = check(bytes);
    assert!(checked.mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.at.line)));
    let nothing = RenderValues::default();
    match render(bytes, &nothing) {
        Ok(made) => {
            let again = render(made.text.as_bytes(), &nothing).ok().map(|again| again.text);
            assert_eq!(again, Some(made.text));
        }
        // What OpenNebula prints around a template is checked, and not rendered.
        Err(RenderRefusal::Mistakes(mistakes)) => assert!(!mistakes.is_empty()),
        Err(RenderRefusal::Lacks(lacks)) => {
            assert!(!lacks.is_empty() && !checked.mistakes.is_empty());
        }
    }
}
