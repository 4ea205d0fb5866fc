//! The grammar of user inputs, as the command line of OpenNebula and Sunstone read it.
//!
//! Specification: `parse_user_inputs` in OpenNebula's `src/cli/one_helper.rb`. What it ends a dialog
//! with, or asks for ever, is refused here.

use std::ops::RangeInclusive;

use zonemesh_core::suggestion::nearest;

/// What may be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputKind {
    Text,
    Text64,
    Password,
    Number,
    NumberFloat,
    Range,
    RangeFloat,
    List,
    ListMultiple,
    Boolean,
    Fixed,
}

const KINDS: [(&str, InputKind); 11] = [
    ("text", InputKind::Text),
    ("text64", InputKind::Text64),
    ("password", InputKind::Password),
    ("number", InputKind::Number),
    ("number-float", InputKind::NumberFloat),
    ("range", InputKind::Range),
    ("range-float", InputKind::RangeFloat),
    ("list", InputKind::List),
    ("list-multiple", InputKind::ListMultiple),
    ("boolean", InputKind::Boolean),
    ("fixed", InputKind::Fixed),
];

/// One input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserInput {
    pub(crate) mandatory: bool,
    pub(crate) kind: InputKind,
    /// What is taken where nothing is typed; empty is a value too, for texts.
    pub(crate) default: String,
}

/// Why a text is no input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InputError {
    #[error("{0} fields between |, and neither 3 nor 5")]
    Fields(usize),
    #[error("it begins with {0:?}, and neither with M nor with O")]
    First(String),
    #[error("type {0:?}{hint}", hint = .1.map(|like| format!(": is {like} meant?")).unwrap_or_default())]
    Kind(String, Option<&'static str>),
    #[error("no description")]
    NoDescription,
    #[error("type {0} without its options: it takes five fields")]
    NoOptions(&'static str),
    #[error("options {0:?}, and no list a,b,c without empty or equal entries")]
    List(String),
    #[error("options {0:?}, and no range such as 1..64, the smaller number first")]
    Range(String),
    #[error("the default {0:?}, which its own type or options refuse")]
    Default(String),
}

impl UserInput {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Self, InputError> {
        let fields: Vec<&str> = text.split('|').map(str::trim).collect();
        let (first, kind, description, options) = match fields.as_slice() {
            [first, kind, description] => (*first, *kind, *description, None),
            [first, kind, description, options, default] => {
                (*first, *kind, *description, Some((*options, *default)))
            }
            _ => return Err(InputError::Fields(fields.len())),
        };
        let mandatory = match first {
            "M" => true,
            "O" => false,
            other => return Err(InputError::First(other.to_owned())),
        };
        let Some((name, kind)) = KINDS.into_iter().find(|(name, _)| *name == kind) else {
            let like = nearest(kind, &KINDS.map(|(name, _)| name));
            return Err(InputError::Kind(kind.to_owned(), like));
        };
        if description.is_empty() {
            return Err(InputError::NoDescription);
        }
        let takes_options = matches!(
            kind,
            InputKind::Range
                | InputKind::RangeFloat
                | InputKind::List
                | InputKind::ListMultiple
                | InputKind::Fixed
        );
        if takes_options && options.is_none() {
            return Err(InputError::NoOptions(name));
        }
        let (options, default) = options.unwrap_or_default();
        check(kind, options, default)?;
        Ok(Self { mandatory, kind, default: default.to_owned() })
    }

    /// Whether nothing typed would be no value: the dialog ends then, or the server refuses.
    pub(crate) fn may_lack_value(&self) -> bool {
        let (optional, none) = (!self.mandatory, self.default.is_empty());
        match self.kind {
            InputKind::Text | InputKind::Text64 | InputKind::Password => false,
            InputKind::Fixed => none,
            _ => optional && none,
        }
    }
}

/// The options of a type, and a default that keeps them.
fn check(kind: InputKind, options: &str, default: &str) -> Result<(), InputError> {
    let fits = match kind {
        InputKind::Range | InputKind::RangeFloat => {
            let range = range(kind, options);
            let range = range.ok_or_else(|| InputError::Range(options.to_owned()))?;
            number(kind, default).is_some_and(|number| range.contains(&number))
        }
        InputKind::List | InputKind::ListMultiple => {
            let entries: Vec<&str> = options.split(',').collect();
            let once = |(at, entry): (usize, &&str)| !entries[..at].contains(entry);
            if !entries.iter().enumerate().all(once)
                || entries.iter().any(|entry| entry.trim().is_empty())
            {
                return Err(InputError::List(options.to_owned()));
            }
            match kind {
                InputKind::List => entries.contains(&default),
                _ => default.split(',').all(|one| entries.contains(&one)),
            }
        }
        InputKind::Number | InputKind::NumberFloat => number(kind, default).is_some(),
        InputKind::Boolean => matches!(default, "YES" | "NO"),
        InputKind::Text | InputKind::Text64 | InputKind::Password | InputKind::Fixed => true,
    };
    if default.is_empty() || fits {
        return Ok(());
    }
    Err(InputError::Default(default.to_owned()))
}

fn range(kind: InputKind, options: &str) -> Option<RangeInclusive<f64>> {
    let (low, high) = options.split_once("..")?;
    let (low, high) = (number(kind, low)?, number(kind, high)?);
    (low <= high).then_some(low..=high)
}

/// `-?\d+`, and with floats `(\.\d+)?`.
fn number(kind: InputKind, text: &str) -> Option<f64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let positive = text.strip_prefix('-').unwrap_or(text);
    let shaped = match positive.split_once('.') {
        Some((whole, part)) => {
            matches!(kind, InputKind::RangeFloat | InputKind::NumberFloat)
                && digits(whole)
                && digits(part)
        }
        None => digits(positive),
    };
    shaped.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        UserInput::parse(text).map_or_else(|error| error.to_string(), |_| "well".to_owned())
    }

    #[test]
    fn inputs_of_every_type_are_read() {
        for text in [
            "M|text|Name",
            "O|text|Name||",
            "O|password|Secret||",
            "M|text64|File",
            "O|number|N||-3",
            "M|number-float|N||1.5",
            "O|range|N|1..64|2",
            "M|range-float|N|0..1.5|",
            "M|boolean|Yes",
            "M|number|N",
            "O|list|One|a,b,c|b",
            "O|list-multiple|Some|a,b,c|a,c",
            "M|fixed|That||x",
            "M | text | Name",
        ] {
            assert_eq!(told(text), "well", "{text}");
        }
    }

    #[test]
    fn each_field_is_judged() {
        for (text, why) in [
            ("M|text", "2 fields"),
            ("M|text|Name|", "4 fields"),
            ("M|text|Name|||", "6 fields"),
            ("X|text|Name", "neither with M nor with O"),
            ("M|txt|Name", "is text meant?"),
            ("M|network|Name", "type \"network\""),
            ("M|text| ", "no description"),
            ("M|list|One", "without its options"),
            ("M|list|One||", "no list a,b,c"),
            ("M|list|One|a,,b|", "no list a,b,c"),
            ("M|list|One|a,b,a|", "no list a,b,c"),
            ("M|list|One|a,b|c", "the default \"c\""),
            ("M|range|N|1-64|", "no range"),
            ("M|range|N|64..1|", "no range"),
            ("M|range|N|1..6.5|", "no range"),
            ("M|range|N|1..64|65", "the default \"65\""),
            ("M|number|N||1.5", "the default \"1.5\""),
            ("M|boolean|Yes||true", "the default \"true\""),
        ] {
            assert!(told(text).contains(why), "{text}: {}", told(text));
        }
    }

    #[test]
    fn where_nothing_typed_is_no_value_a_default_is_missed() {
        let lacks = |text: &str| UserInput::parse(text).unwrap().may_lack_value();
        for text in
            ["O|number|N||", "O|range|N|1..2|", "O|list|L|a,b|", "O|boolean|B||", "M|fixed|F||"]
        {
            assert!(lacks(text), "{text}");
        }
        for text in ["M|number|N||", "O|text|T||", "O|number|N||1", "M|list|L|a,b|", "O|password|P"]
        {
            assert!(!lacks(text), "{text}");
        }
    }
}
