//! What is logged, and how.
//!
//! Both are words of a short list; a word that is nearly one of them gets it as its way out.

use toml::de::DeValue;

use super::text;
use crate::complaint::{Complaint, nearest};

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// The daemon stops.
    Error,
    /// Worth waking someone.
    Warn,
    /// Few, and for users.
    Info,
    /// For finding out why.
    Debug,
    /// Also per packet.
    Trace,
}

impl LogLevel {
    /// All levels, the quietest first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The text in the file, which is also what `tracing` calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text per message.
    Text,
    /// One JSON object per message.
    Json,
}

impl LogFormat {
    /// Both formats.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The text in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

pub(crate) fn log_level(value: &DeValue<'_>) -> Result<LogLevel, Complaint> {
    /// As other programs call them.
    const ELSEWHERE: [(&str, LogLevel); 9] = [
        ("critical", LogLevel::Error),
        ("fatal", LogLevel::Error),
        ("quiet", LogLevel::Error),
        ("silent", LogLevel::Error),
        ("warning", LogLevel::Warn),
        ("notice", LogLevel::Info),
        ("information", LogLevel::Info),
        ("verbose", LogLevel::Debug),
        ("all", LogLevel::Trace),
    ];
    one_of(value, &LogLevel::ALL.map(|level| (level.as_str(), level))).map_err(|complaint| {
        let word = value.as_str().map(str::to_lowercase);
        let known = ELSEWHERE.iter().find(|(elsewhere, _)| word.as_deref() == Some(elsewhere));
        match known {
            Some((_, level)) => {
                Complaint { fix: format!("write {:?}", level.as_str()), ..complaint }
            }
            None => complaint,
        }
    })
}

pub(crate) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, Complaint> {
    one_of(value, &LogFormat::ALL.map(|format| (format.as_str(), format)))
}

fn one_of<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, Complaint> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let expected = format!("one of {}", words.join(", "));
    let text = text(value, &expected)?;
    let choice = choices.iter().find(|(word, _)| *word == text);
    choice.map(|(_, choice)| *choice).ok_or_else(|| {
        let fix = match nearest(text, &words) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write {:?}", words[0]),
        };
        Complaint::new(format!("found {text:?}"), expected, fix)
    })
}
