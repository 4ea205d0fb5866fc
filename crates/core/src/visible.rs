//! Text of others, made safe to look at: what a terminal or an editor would obey is spelled out.
//!
//! Promises: what comes out holds no control, format, line or paragraph separator character
//! (Unicode general categories Cc, Cf, Zl, Zp), so that it neither moves the cursor nor turns the
//! order of what stands beside it, and begins no new line; and that what is [`brief`] is so, however
//! long the text was. Refuses to know where it is shown.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Categories Cf, Zl and Zp of Unicode 16.0 (`DerivedGeneralCategory.txt`), with what is unassigned
/// between them.
const HIDDEN: [RangeInclusive<char>; 20] = [
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0001}'..='\u{e0001}',
    '\u{e0020}'..='\u{e007f}',
];

/// True if nobody sees `character`, and a terminal or an editor may obey it.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || (!character.is_ascii() && HIDDEN.iter().any(|range| range.contains(&character)))
}

/// `text` with what is hidden in it spelled out: `\n`, `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_hidden(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown.into()
}

/// As [`visible`], with the ends of lines as they are.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let is_hidden = |character: char| character != '\n' && is_hidden(character);
    if !text.contains(is_hidden) {
        return text.into();
    }
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n").into()
}

/// Most characters of one value that a message repeats.
const REPEATED: usize = 200;
/// Most characters of a line that another program part has made, with a value in it or not.
const LINE: usize = 1000;

/// A value as a message repeats it: [`visible`], and of a long one the beginning and the end, with
/// how much lies between.
#[must_use]
pub fn brief(value: &str) -> Cow<'_, str> {
    shortened(value, REPEATED)
}

/// A message that may repeat a value, line by line: as [`brief`], and far longer.
#[must_use]
pub fn brief_lines(message: &str) -> String {
    message.split('\n').map(|line| shortened(line, LINE)).collect::<Vec<_>>().join("\n")
}

fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    // Bytes are at least as many as characters.
    if text.len() <= most || text.chars().count() <= most {
        return visible(text);
    }
    let (begin, end) = (most * 3 / 4, most / 8);
    let at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    let count = text.chars().count();
    let (begins, ends) = (&text[..at(begin)], &text[at(count - end)..]);
    let between = count - begin - end;
    format!("{}[{between} more characters]{}", visible(begins), visible(ends)).into()
}

/// As [`brief`], in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    brief(&format!("{text:?}")).into_owned()
}

/// JSON text, which holds such characters only in its strings, with each as JSON spells it out. The
/// ends of lines between its parts stay.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_hidden = |character: char| character != '\n' && is_hidden(character);
    if !json.contains(is_hidden) {
        return json.into();
    }
    let mut shown = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        if !is_hidden(character) {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_hides_nothing_and_plain_text_stays(text: String) {
            prop_assert!(!visible(&text).contains(is_hidden));
            prop_assert!(text.contains(is_hidden) || visible(&text) == text);
        }
    }

    proptest! {
        #[test]
        fn what_is_brief_hides_nothing_and_says_how_much_is_left_out(text in "(?s).{0,400}") {
            let shown = brief(&text);
            prop_assert!(!shown.contains(is_hidden));
            let left_out = text.chars().count().checked_sub(REPEATED + 1).map(|more| more + 26);
            let said = left_out.map(|count| format!("[{count} more characters]"));
            prop_assert!(said.is_none_or(|said| shown.contains(&said)));
        }
    }

    #[test]
    fn a_megabyte_is_told_in_a_line_with_its_length() {
        let text = format!("{}\u{202e}end", "a".repeat(1 << 20));
        let shown = quoted(&text);
        assert!(shown.len() < 260, "{}", shown.len());
        assert!(shown.starts_with("\"aaa") && shown.ends_with("aa\\u{202e}end\""), "{shown}");
        assert!(shown.contains("[1048"), "{shown}");
        assert_eq!(quoted("a \"b\"\n"), "\"a \\\"b\\\"\\n\"");
        let lines = brief_lines(&format!("one\n{text}\u{1b}\nthree"));
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.len() < 1100 && !lines.contains('\u{1b}'), "{lines}");
        assert_eq!(visible_lines("a\n\u{1b}b\n"), "a\n\\u{1b}b\n");
    }

    #[test]
    fn what_turns_the_order_of_a_line_or_begins_one_is_spelled_out() {
        let text = "a\u{1b}[2J\u{9b}\u{202e}b\u{2028}\u{200b}\u{feff}\u{e0041}\n";
        let shown = "a\\u{1b}[2J\\u{9b}\\u{202e}b\\u{2028}\\u{200b}\\u{feff}\\u{e0041}\\n";
        assert_eq!(visible(text), shown);
        assert_eq!(visible("M\u{fc}nchen \u{65e5}\u{672c} \u{1f600}"), "München 日本 😀");
    }

    #[test]
    fn in_json_it_is_spelled_as_json_does_and_means_the_same() {
        let json = "{\n  \"a\u{202e}\": \"\u{9b}\u{e0041}\"\n}\n";
        assert_eq!(visible_json(json), "{\n  \"a\\u202e\": \"\\u009b\\udb40\\udc41\"\n}\n");
    }
}
