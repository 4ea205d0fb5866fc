//! A JSON document as a tree that knows where each value stands.
//!
//! Promises the order of the text, both of two equal keys, and that it can be written again. Refuses
//! to know what any key means. A document may hold secrets: there is no `Debug`, and texts are wiped.

mod told;

use std::collections::BTreeMap;

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use zeroize::Zeroizing;

/// Line and column, both from 1; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// A value and where it begins.
pub(crate) struct JsonNode {
    pub(crate) at: TextPlace,
    pub(crate) value: JsonValue,
}

pub(crate) enum JsonValue {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(Zeroizing<String>),
    List(Vec<JsonNode>),
    Object(Vec<JsonMember>),
}

/// A key with its value.
pub(crate) struct JsonMember {
    pub(crate) key: String,
    pub(crate) at: TextPlace,
    pub(crate) node: JsonNode,
}

/// Why a text is no JSON, and where.
#[derive(Debug)]
pub(crate) struct NotJson {
    pub(crate) at: TextPlace,
    pub(crate) why: String,
}

/// Where what was not in the text is said to stand.
pub(crate) const NOWHERE: TextPlace = TextPlace { line: 1, column: 1 };

/// Nothing beyond RFC 8259: OneFlow reads with Ruby's own parser.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Ruby's own parser goes no deeper.
const MAX_DEPTH: usize = 100;

/// Reads a text. serde_json judges it, the places come from a parser that keeps them and bounds its
/// own depth.
pub(crate) fn parse(text: &str) -> Result<JsonNode, NotJson> {
    let lines = Lines::of(text);
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| told::in_our_words(&error, &lines))?;
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT);
    let parsed = parsed.map_err(|error| {
        // All that serde_json has taken is JSON: what is left is how deep it goes.
        let at = TextPlace { line: error.line_display(), column: error.column_display() };
        NotJson { at, why: told::TOO_DEEP.to_owned() }
    })?;
    let Some(value) = parsed.value else {
        return Err(NotJson { at: NOWHERE, why: "it is empty".to_owned() });
    };
    node(&value, &lines, MAX_DEPTH)
}

fn node(value: &Value<'_>, lines: &Lines<'_>, depth: usize) -> Result<JsonNode, NotJson> {
    let at = lines.place(value.start());
    let is_nest = matches!(value, Value::Array(_) | Value::Object(_));
    let Some(below) = depth.checked_sub(usize::from(is_nest)) else {
        return Err(NotJson { at, why: told::TOO_DEEP.to_owned() });
    };
    let value = match value {
        Value::NullKeyword(_) => JsonValue::Null,
        Value::BooleanLit(literal) => JsonValue::Bool(literal.value),
        Value::StringLit(literal) => JsonValue::Text(Zeroizing::new(literal.value.to_string())),
        Value::NumberLit(literal) => {
            let number = literal.value.parse();
            JsonValue::Number(number.map_err(|_beyond| NotJson {
                at,
                why: "a number that is out of range".to_owned(),
            })?)
        }
        Value::Array(array) => {
            let items = array.elements.iter().map(|item| node(item, lines, below));
            JsonValue::List(items.collect::<Result<_, _>>()?)
        }
        Value::Object(object) => {
            let members = object.properties.iter().map(|member| {
                let key = match &member.name {
                    ObjectPropName::String(name) => name.value.to_string(),
                    ObjectPropName::Word(word) => word.value.to_owned(),
                };
                let at = lines.place(member.name.start());
                Ok(JsonMember { key, at, node: node(&member.value, lines, below)? })
            });
            JsonValue::Object(members.collect::<Result<_, _>>()?)
        }
    };
    Ok(JsonNode { at, value })
}

/// Where the lines of a text begin, and how many characters lie before each of its steps: a text may
/// be one line, with many places in it.
struct Lines<'t> {
    text: &'t str,
    /// The line that begins at a byte.
    starts: BTreeMap<usize, usize>,
    /// How many characters begin before byte `index * STEP`.
    steps: Vec<usize>,
}

/// Bytes that are counted anew for each place, at most.
const STEP: usize = 256;

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, newline)| at + newline.len());
        let starts = std::iter::once(0).chain(newlines).zip(1..).collect();
        let mut before = 0;
        let steps = text.as_bytes().chunks(STEP).map(|step| {
            before += beginnings(step);
            before
        });
        let steps = std::iter::once(0).chain(steps).collect();
        Self { text, starts, steps }
    }

    /// Where serde_json means: columns are bytes from 1, and 0 is the end of the line before.
    fn byte_of(&self, line: usize, column: usize) -> usize {
        let start =
            self.starts.iter().find(|(_, number)| **number == line).map_or(0, |(at, _)| *at);
        (start + column).saturating_sub(1).min(self.text.len())
    }

    fn place(&self, byte: usize) -> TextPlace {
        let (start, line) = self.starts.range(..=byte).next_back().unwrap_or((&0, &1));
        TextPlace { line: *line, column: self.characters(byte) - self.characters(*start) + 1 }
    }

    /// How many characters begin before this byte.
    fn characters(&self, byte: usize) -> usize {
        let (step, byte) = (byte / STEP, byte.min(self.text.len()));
        let since = self.text.as_bytes().get(step * STEP..byte).unwrap_or_default();
        self.steps.get(step).copied().unwrap_or_default() + beginnings(since)
    }
}

/// How many characters begin in a piece of a text: all bytes but those that go on with one.
fn beginnings(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| *byte & 0xc0 != 0x80).count()
}

impl JsonNode {
    /// A text that stood nowhere.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { at: NOWHERE, value: JsonValue::Text(Zeroizing::new(text.into())) }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            JsonValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a VM is given of it: numbers and truths as OneFlow writes them.
    pub(crate) fn as_given(&self) -> Option<String> {
        match &self.value {
            JsonValue::Text(text) => Some(text.to_string()),
            JsonValue::Number(number) => Some(number.to_string()),
            JsonValue::Bool(truth) => Some(truth.to_string()),
            JsonValue::Null | JsonValue::List(_) | JsonValue::Object(_) => None,
        }
    }

    pub(crate) fn as_whole(&self) -> Option<i64> {
        match &self.value {
            JsonValue::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            JsonValue::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn items_mut(&mut self) -> &mut [Self] {
        match &mut self.value {
            JsonValue::List(items) => items,
            _ => &mut [],
        }
    }

    pub(crate) fn members(&self) -> &[JsonMember] {
        match &self.value {
            JsonValue::Object(members) => members,
            _ => &[],
        }
    }

    /// The value of a key: of two equal ones the last, as Ruby takes it; null is as if not there.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let member = self.members().iter().rfind(|member| member.key == key)?;
        (!matches!(member.node.value, JsonValue::Null)).then_some(&member.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            JsonValue::Object(members) => {
                members.iter_mut().rfind(|member| member.key == key).map(|member| &mut member.node)
            }
            _ => None,
        }
    }

    /// Puts a value in the place of the key's, or behind the others.
    pub(crate) fn put(&mut self, key: &str, node: Self) {
        if let Some(old) = self.get_mut(key) {
            *old = node;
        } else if let JsonValue::Object(members) = &mut self.value {
            members.push(JsonMember { key: key.to_owned(), at: NOWHERE, node });
        }
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &str) {
        if let JsonValue::Object(members) = &mut self.value {
            members.retain(|member| member.key != key);
        }
    }

    /// Each text in it, with what is to be done to it.
    pub(crate) fn for_each_text(&mut self, change: &mut impl FnMut(&mut Self)) {
        match &mut self.value {
            JsonValue::Text(_) => change(self),
            JsonValue::List(items) => items.iter_mut().for_each(|item| item.for_each_text(change)),
            JsonValue::Object(members) => {
                members.iter_mut().for_each(|member| member.node.for_each_text(change));
            }
            JsonValue::Null | JsonValue::Bool(_) | JsonValue::Number(_) => {}
        }
    }

    /// What it is, for people; never what is in it.
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.value {
            JsonValue::Null => "null",
            JsonValue::Bool(_) => "true or false",
            JsonValue::Number(_) => "a number",
            JsonValue::Text(_) => "a text",
            JsonValue::List(_) => "a list",
            JsonValue::Object(_) => "an object",
        }
    }
}

impl Serialize for JsonNode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            JsonValue::Null => serializer.serialize_unit(),
            JsonValue::Bool(value) => serializer.serialize_bool(*value),
            JsonValue::Number(number) => number.serialize(serializer),
            JsonValue::Text(text) => serializer.serialize_str(text),
            JsonValue::List(items) => serializer.collect_seq(items),
            JsonValue::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for member in members {
                    map.serialize_entry(&member.key, &member.node)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_knows_its_place_and_is_written_in_the_order_of_its_text() {
        let text = "{\n  \"z\": [1, \"\u{e4}\u{f6}\", {\"b\": null}],\r\n  \"a\": true}";
        let node = parse(text).ok().unwrap();
        let list = node.get("z").unwrap();
        assert_eq!(list.items()[2].at, TextPlace { line: 2, column: 18 });
        assert_eq!(node.get("a").unwrap().at, TextPlace { line: 3, column: 8 });
        assert!(list.items()[2].get("b").is_none(), "null is as if not there");
        let written = serde_json::to_string(&node).unwrap();
        assert_eq!(written, "{\"z\":[1,\"\u{e4}\u{f6}\",{\"b\":null}],\"a\":true}");
    }

    #[test]
    fn places_in_one_long_line_are_those_of_its_characters() {
        let item = "\"\u{20ac}\u{1f600}x\",";
        let text = format!("[{}0]", item.repeat(2000));
        let node = parse(&text).ok().unwrap();
        let (last, items) = node.items().split_last().unwrap();
        assert_eq!((items.len(), last.at.column), (2000, 2 + 2000 * item.chars().count()));
        for (index, one) in items.iter().enumerate() {
            assert_eq!(one.at.column, 2 + index * item.chars().count());
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place_and_deep_nesting_ends() {
        for (text, line) in
            [("", 1), ("{\n'a': 1}", 2), ("{\"a\": 1,\n}", 2), ("{}\n{}", 2), ("// x\n{}", 1)]
        {
            let told = parse(text).err().map(|error| error.at.line);
            assert_eq!(told, Some(line), "{text}");
        }
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        for depth in [MAX_DEPTH + 1, 1 << 19] {
            let told = parse(&deep(depth)).err().map(|error| error.why);
            assert_eq!(told.as_deref(), Some(told::TOO_DEEP), "{depth}");
        }
    }
}
