//! What a companion's log is written through: nothing in it steers a terminal.
//!
//! It promises that whatever stood in a CONTEXT, came from OneGate or was said by a program is shown
//! and not obeyed, in both forms of the log. It refuses to know what is logged.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;
use zonemesh_core::visible::{visible_json, visible_lines};

/// Writes to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter {
    /// Each line is an object.
    pub(crate) is_json: bool,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = ShownWriter<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        ShownWriter { is_json: self.is_json, into: io::stderr() }
    }
}

/// Spells out what is hidden in each text that is written, which is one event.
pub(crate) struct ShownWriter<W> {
    is_json: bool,
    into: W,
}

impl<W: Write> Write for ShownWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let shown = if self.is_json { visible_json(&text) } else { visible_lines(&text) };
        self.into.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out_in_both_forms() {
        let written = |is_json, text: &str| {
            let mut writer = ShownWriter { is_json, into: Vec::new() };
            writer.write_all(text.as_bytes()).unwrap();
            String::from_utf8(writer.into).unwrap()
        };
        let event = "a\u{202e}b\u{1b}[2J\u{9b}\nsecond line\n";
        assert_eq!(written(false, event), "a\\u{202e}b\\u{1b}[2J\\u{9b}\nsecond line\n");
        let json = "{\"a\":\"\u{202e}\"}\n";
        assert_eq!(written(true, json), "{\"a\":\"\\u202e\"}\n");
    }
}
