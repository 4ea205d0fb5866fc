//! One answer, two forms: columns for people, JSON for programs.
//!
//! A [`Rendered`] is built from a reply without a clock, a terminal or a daemon. Its JSON form is its
//! serde form; the first key of every view is `schema`, and a schema's shape never changes under
//! the same name.

use std::io::Write;

use serde::Serialize;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::visible::visible_json;

use crate::arguments::Format;
use crate::failure::{CommandFailure, Exit, OrFail as _};

/// What the text form depends on besides the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) header: bool,
    /// All columns, instead of what fits a terminal of 80.
    pub(crate) wide: bool,
    pub(crate) now: UnixMillis,
}

/// An answer that can be shown.
pub(crate) trait Rendered: Serialize {
    /// The text for people: whole lines.
    fn text(&self, page: Page) -> String;
}

/// The chosen form and what it depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    pub(crate) page: Page,
}

impl Printer {
    pub(crate) fn show(
        self,
        view: &impl Rendered,
        out: &mut impl Write,
    ) -> Result<(), CommandFailure> {
        let text = match self.format {
            Format::Table => view.text(self.page),
            Format::Json => {
                let json = serde_json::to_string_pretty(view);
                let json = json.or_exit(Exit::Negative, || "cannot write JSON".to_owned())?;
                format!("{}\n", visible_json(&json))
            }
        };
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Told {
        reason: &'static str,
    }

    impl Rendered for Told {
        fn text(&self, _: Page) -> String {
            String::new()
        }
    }

    #[test]
    fn what_others_write_into_json_is_spelled_out_and_means_the_same() {
        let told = Told { reason: "\u{9b}2J\u{202e}x\u{2028}\u{1b}\u{7f}" };
        let page = Page { header: true, wide: false, now: UnixMillis(0) };
        let mut out = Vec::new();
        Printer { format: Format::Json, page }.show(&told, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let spelled = "\\u009b2J\\u202ex\\u2028\\u001b\\u007f";
        assert_eq!(text, format!("{{\n  \"reason\": \"{spelled}\"\n}}\n"));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["reason"], told.reason);
    }
}
