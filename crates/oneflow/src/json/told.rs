//! What is wrong with a text that is no JSON: what stands there, and what was expected, in our words.
//!
//! serde_json says where and of which kind; it counts columns in bytes, and its words are for those
//! who know its source. Promises that of the text at most a word is repeated.

use super::{Lines, MAX_DEPTH, NOWHERE, NotJson};

/// Deeper than Ruby's own parser goes.
pub(super) const TOO_DEEP: &str = "lists and objects that are nested deeper than 100";
const _: () = assert!(MAX_DEPTH == 100, "the message says so");

/// Most characters of a word that are repeated.
const WORD: usize = 32;

const VALUE: &str =
    "a value: a text in double quotes, a number, true, false, null, a list or an object";

const BEHIND_COMMA: &str = "one more behind the comma: JSON has none before ] and }";

/// The beginnings of serde_json's messages, with what is expected instead.
const EXPECTED: [(&str, &str); 18] = [
    ("EOF while parsing a list", "a comma or the ] of its list"),
    ("EOF while parsing an object", "a comma or the } of its object"),
    ("EOF while parsing a string", "the \" of a text"),
    ("EOF while parsing a value", VALUE),
    ("expected `:`", "a : between a key and its value"),
    ("expected `,` or `]`", "a comma or the ] of the list"),
    ("expected `,` or `}`", "a comma or the } of the object"),
    ("expected ident", VALUE),
    ("expected value", VALUE),
    ("key must be a string", "a key in double quotes"),
    ("trailing comma", BEHIND_COMMA),
    ("trailing characters", "nothing behind the document"),
    ("invalid escape", r#"\", \\, \/, \b, \f, \n, \r, \t or \u with four digits behind a \"#),
    ("invalid number", "a number such as 12 or 1.5"),
    ("number out of range", "a number that a computer can hold"),
    ("control character", r"\n, \r or \t in a text, in the place of a line's end or a tab"),
    ("recursion limit", TOO_DEEP),
    ("", r"a character, as \u and four digits write it"),
];

/// Where a text ceases to be JSON, and why.
pub(super) fn in_our_words(error: &serde_json::Error, lines: &Lines<'_>) -> NotJson {
    let message = error.to_string();
    let known = EXPECTED.iter().find(|(begin, _)| message.starts_with(begin));
    let expected = known.map_or(VALUE, |(_, expected)| expected);
    if expected == TOO_DEEP {
        return NotJson { at: NOWHERE, why: TOO_DEEP.to_owned() };
    }
    let byte = match error.is_eof() {
        true => lines.text.len(),
        // It stands before what it means there, and behind it else.
        false if message.starts_with("control character") => {
            lines.byte_of(error.line(), error.column() + 1)
        }
        false => lines.byte_of(error.line(), error.column()),
    };
    let byte = lines.text.floor_char_boundary(byte);
    // It has read on in a word that began like one of its own.
    let of_word = || lines.text[..byte].rsplit(|c: char| !c.is_alphanumeric()).next();
    let byte = match message.starts_with("expected ident") {
        true => byte - of_word().map_or(0, str::len),
        false => byte,
    };
    let is_end = lines.text[byte..].starts_with(['}', ']']);
    let expected = match is_end && lines.text[..byte].trim_end().ends_with(',') {
        true => BEHIND_COMMA,
        false => expected,
    };
    let why = format!("{}, where {expected} is expected", found(&lines.text[byte..]));
    NotJson { at: lines.place(byte), why }
}

/// What stands there.
fn found(rest: &str) -> String {
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric()).take(WORD).collect();
    match rest.chars().next() {
        None => "the end of the text".to_owned(),
        Some('\n' | '\r') => "the end of a line".to_owned(),
        Some('\t') => "a tab".to_owned(),
        Some(_) if !word.is_empty() => format!("{word:?}"),
        Some('\'') => "a single quote".to_owned(),
        Some(other) => format!("{:?}", other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn each_mistake_is_told_at_its_place_in_our_words() {
        for (text, line, column, words) in [
            ("", 1, 1, "the end of the text, where a value"),
            ("name: x", 1, 1, "\"name\", where a value"),
            ("{\n'a': 1}", 2, 1, "a single quote, where a key in double quotes"),
            ("{\"a\" 1}", 1, 6, "\"1\", where a : between a key"),
            ("{\"a\": 1 \"b\": 2}", 1, 9, "\"\\\"\", where a comma or the } of the object"),
            ("[1 2]", 1, 4, "\"2\", where a comma or the ] of the list"),
            ("{\"a\": 1,\n}", 2, 1, "\"}\", where one more behind the comma"),
            ("{}\n{}", 2, 1, "\"{\", where nothing behind the document"),
            ("// x\n{}", 1, 1, "\"/\", where a value"),
            ("{\"\u{e4}\u{f6}\": yes}", 1, 8, "\"yes\", where a value"),
            ("{\"a\": True}", 1, 7, "\"True\", where a value"),
            ("{\"a\": nil}", 1, 7, "\"nil\", where a value"),
            ("{\"a\": \"x\ny\"}", 1, 9, "the end of a line, where \\n"),
            ("{\"a\": \"x", 1, 9, "the end of the text, where the \" of a text"),
            ("{\"a\": [1", 1, 9, "the end of the text, where a comma or the ]"),
            ("{\"a\": {\"b\": 1}", 1, 15, "the end of the text, where a comma or the }"),
            ("{\"a\": \"\\x\"}", 1, 9, "\"x\", where \\\", \\\\"),
            ("{\"a\": 01}", 1, 8, "\"1\", where a number"),
        ] {
            let told = parse(text).err().unwrap();
            assert_eq!((told.at.line, told.at.column), (line, column), "{text}: {}", told.why);
            assert!(told.why.starts_with(words), "{text}: {}", told.why);
            assert!(told.why.ends_with(" is expected"), "{text}: {}", told.why);
        }
    }
}
