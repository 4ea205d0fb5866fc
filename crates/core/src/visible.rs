//! Text of others, made safe to look at: what a terminal or an editor would obey is spelled out.
//!
//! Promises: what comes out holds no control, format, line or paragraph separator character
//! (Unicode general categories Cc, Cf, Zl, Zp), so that it neither moves the cursor nor turns the
//! order of what stands beside it, and begins no new line. Refuses to know where it is shown.

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
