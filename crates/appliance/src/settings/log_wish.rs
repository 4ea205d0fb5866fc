//! What CONTEXT wishes of a program's own log.
//!
//! It promises that a wish that cannot be understood keeps nobody from logging: it is recorded as any
//! wrong key, with the others. It refuses to start a log.

use zonemesh_context::input::InputType;
use zonemesh_context::keys::flower::{LOG_FORMAT, LOG_LEVEL};
use zonemesh_context::values::{ValueError, listed};
use zonemesh_context::{ContextKey, Variables};

/// How a program is to log, as far as CONTEXT says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogWish {
    /// As a filter.
    pub filter: Option<&'static str>,
    /// For machines.
    pub json: bool,
}

/// Reads it; what is wrong stands for nothing here.
#[must_use]
pub fn read(variables: &Variables<'_>) -> LogWish {
    let said = |key: ContextKey| variables.raw(key).and_then(|text| of(key, &text).ok());
    let filter = said(LOG_LEVEL).and_then(|level| match level {
        // Of the libraries below nobody wants all.
        "DEBUG" => Some("info,zonemesh=debug"),
        "WARNING" => Some("warn"),
        "ERROR" => Some("error"),
        _ => None,
    });
    LogWish { filter, json: said(LOG_FORMAT) == Some("json") }
}

/// Records what is wrong.
pub fn check(variables: &mut Variables<'_>) {
    for key in [LOG_LEVEL, LOG_FORMAT] {
        let _known = variables.optional(key, |text| of(key, text));
    }
}

fn of(key: ContextKey, text: &str) -> Result<&'static str, ValueError> {
    let InputType::List(list) = key.input else { return Err(ValueError::Unlisted(&[])) };
    listed(text, list)
}

#[cfg(test)]
mod tests {
    use zonemesh_context::source::Environment;

    use super::*;

    #[test]
    fn a_wish_is_read_and_one_that_is_none_is_told_and_stands_for_nothing() {
        for (level, format, filter, json, faults) in [
            ("", "", None, false, 0),
            ("INFO", "text", None, false, 0),
            ("DEBUG", "json", Some("info,zonemesh=debug"), true, 0),
            ("WARNING", "json", Some("warn"), true, 0),
            ("ERROR", "", Some("error"), false, 0),
            ("verbose", "xml", None, false, 2),
        ] {
            let environment = Environment(|name: &str| match name {
                "ONEAPP_FL_LOG_LEVEL" => Some(level.to_owned()),
                "ONEAPP_FL_LOG_FORMAT" => Some(format.to_owned()),
                _ => None,
            });
            let mut variables = Variables::new(vec![&environment]);
            assert_eq!(read(&variables), LogWish { filter, json }, "{level} {format}");
            check(&mut variables);
            let told = variables.finish(Some(())).err().map_or(0, |errors| errors.0.len());
            assert_eq!(told, faults, "{level} {format}");
        }
    }
}
