//! Walks the parsed file section by section and gathers every mistake.
//!
//! [`Mistakes`] holds the mistakes and the place of every value; a [`SectionReader`] hands out its values
//! through a parser of `value`. A value that cannot be read is reported and left out, so that one
//! reading reports all mistakes. serde's `deny_unknown_fields` is as strict but stops at the first.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::ConfigError;
use crate::schema;
use crate::source::{FilePlace, SourceText};

/// What is wrong with one value, before its place is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) found: String,
    pub(crate) expected: String,
    pub(crate) fix: String,
}

impl Complaint {
    pub(crate) fn new(
        found: impl Into<String>,
        expected: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { found: found.into(), expected: expected.into(), fix: fix.into() }
    }
}

/// A value with its dotted key and its offset in the file.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) key: String,
    pub(crate) offset: usize,
}

/// Everything that one reading has found.
pub(crate) struct Mistakes<'t> {
    pub(crate) source: SourceText<'t>,
    file: String,
    errors: Vec<ConfigError>,
    places: BTreeMap<String, FilePlace>,
}

impl<'t> Mistakes<'t> {
    pub(crate) fn new(text: &'t str, file: &str) -> Self {
        Self {
            source: SourceText::new(text),
            file: file.to_owned(),
            errors: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    pub(crate) fn report(&mut self, key: &str, offset: usize, complaint: Complaint) {
        let FilePlace { line, column } = self.source.place(offset);
        self.errors.push(ConfigError {
            file: self.file.clone(),
            line,
            column,
            key: key.to_owned(),
            found: complaint.found,
            expected: complaint.expected,
            fix: complaint.fix,
        });
    }

    pub(crate) fn report_at<T>(&mut self, at: &Placed<T>, complaint: Complaint) {
        self.report(&at.key, at.offset, complaint);
    }

    /// The line number of a value, for messages that name two places.
    pub(crate) fn line_of<T>(&self, at: &Placed<T>) -> usize {
        self.source.place(at.offset).line
    }

    pub(crate) fn into_parts(self) -> (Vec<ConfigError>, BTreeMap<String, FilePlace>) {
        (self.errors, self.places)
    }
}

/// A parser of one value.
pub(crate) type Parse<T> = fn(&DeValue<'_>) -> Result<T, Complaint>;

/// One table of the file that is being read.
pub(crate) struct SectionReader<'f, 't> {
    mistakes: &'f mut Mistakes<'t>,
    schema: schema::Section,
    path: String,
    table: &'f DeTable<'t>,
    offset: usize,
}

impl<'f, 't> SectionReader<'f, 't> {
    /// Opens the file itself; reports unknown sections.
    pub(crate) fn root(mistakes: &'f mut Mistakes<'t>, table: &'f DeTable<'t>) -> Self {
        let mut section =
            Self { mistakes, schema: schema::ROOT, path: String::new(), table, offset: 0 };
        section.report_unknown_keys();
        section
    }

    /// Opens `[name]` below this section, if it is there; reports its unknown keys.
    pub(crate) fn table(&mut self, schema: schema::Section) -> Option<SectionReader<'_, 't>> {
        let (_, entry) = self.entry(last_part(schema.name))?;
        let offset = entry.span().start;
        let path = schema.name.to_owned();
        let Some(table) = entry.get_ref().as_table() else {
            let found = format!("found {}", kind(entry.get_ref()));
            let (expected, fix) = if entry.get_ref().is_array() {
                ("one section", format!("write [{path}], with one bracket, once"))
            } else {
                ("a section", format!("write [{path}] on a line of its own and its keys below"))
            };
            let complaint = Complaint::new(found, expected, fix);
            self.mistakes.report(&path, offset, complaint);
            return None;
        };
        Some(self.open(schema, path, table, offset))
    }

    /// Opens `[name]` as [`SectionReader::table`] does; its absence is a mistake.
    pub(crate) fn required_table(
        &mut self,
        schema: schema::Section,
        example: &[&str],
    ) -> Option<SectionReader<'_, 't>> {
        if self.entry(schema.name).is_none() {
            let complaint = Complaint::new(
                "the section is missing",
                format!("[{}] with {}", schema.name, schema.keys.join(", ")),
                format!("add a line [{}] and below it {}", schema.name, example.join(" and ")),
            );
            self.mistakes.report(schema.name, 0, complaint);
        }
        self.table(schema)
    }

    /// Reads every `[[name]]` below this section with `read`.
    pub(crate) fn tables<T>(
        &mut self,
        schema: schema::Section,
        read: fn(SectionReader<'_, 't>) -> T,
    ) -> Vec<T> {
        let Some((_, entry)) = self.entry(last_part(schema.name)) else {
            return Vec::new();
        };
        let expected = || format!("sections [[{}]]", schema.name);
        let Some(array) = entry.get_ref().as_array() else {
            let found = format!("found {}", kind(entry.get_ref()));
            let fix = format!("write [[{}]], with two brackets, for each", schema.name);
            let complaint = Complaint::new(found, expected(), fix);
            self.mistakes.report(schema.name, entry.span().start, complaint);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, item) in array.iter().enumerate() {
            let path = format!("{}[{index}]", schema.name);
            let offset = item.span().start;
            if let Some(table) = item.get_ref().as_table() {
                all.push(read(self.open(schema, path, table, offset)));
            } else {
                let found = format!("found {}", kind(item.get_ref()));
                let fix = format!("write [[{}]] and its keys below", schema.name);
                let complaint = Complaint::new(found, expected(), fix);
                self.mistakes.report(&path, offset, complaint);
            }
        }
        all
    }

    /// A value that may be left out.
    pub(crate) fn optional<T>(&mut self, key: &str, parse: Parse<T>) -> Option<Placed<T>> {
        let (path, value) = self.entry(key)?;
        self.mistakes.parse(path, value, parse)
    }

    /// A value that must be given; `example` is a line that would do.
    pub(crate) fn required<T>(
        &mut self,
        key: &str,
        parse: Parse<T>,
        example: &str,
    ) -> Option<Placed<T>> {
        if self.entry(key).is_none() {
            self.report_missing(key, example);
        }
        self.optional(key, parse)
    }

    /// A list that may be left out.
    pub(crate) fn list<T>(&mut self, key: &str, parse: Parse<T>) -> Vec<Placed<T>> {
        let Some((path, value)) = self.entry(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            let complaint = Complaint::new(
                format!("found {}", kind(value.get_ref())),
                "a list in brackets",
                format!("write {key} = [\"...\"]"),
            );
            self.mistakes.report(&path, value.span().start, complaint);
            return Vec::new();
        };
        self.mistakes.note(&path, value.span().start);
        let item = |(index, item)| {
            let path = format!("{path}[{index}]");
            self.mistakes.parse(path, item, parse)
        };
        items.iter().enumerate().filter_map(item).collect()
    }

    /// A list of at least one; `example` is a line that would do.
    pub(crate) fn required_list<T>(
        &mut self,
        key: &str,
        parse: Parse<T>,
        example: &str,
    ) -> Vec<Placed<T>> {
        match self.entry(key) {
            None => self.report_missing(key, example),
            Some((path, value)) if value.get_ref().as_array().is_some_and(|a| a.is_empty()) => {
                let complaint = Complaint::new(
                    "found an empty list",
                    "at least one item",
                    format!("write for example {example}"),
                );
                self.mistakes.report(&path, value.span().start, complaint);
            }
            Some(_) => {}
        }
        self.list(key, parse)
    }

    fn open<'s>(
        &'s mut self,
        schema: schema::Section,
        path: String,
        table: &'s DeTable<'t>,
        offset: usize,
    ) -> SectionReader<'s, 't> {
        self.mistakes.note(&path, offset);
        let mut section = SectionReader { mistakes: self.mistakes, schema, path, table, offset };
        section.report_unknown_keys();
        section
    }

    fn entry(&self, key: &str) -> Option<(String, &'f Spanned<DeValue<'t>>)> {
        debug_assert!(self.schema.keys.contains(&key), "{key} is in the schema");
        let value = self.table.get(key)?;
        Some((self.path_of(key), value))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn report_missing(&mut self, key: &str, example: &str) {
        let complaint = Complaint::new(
            "the key is missing",
            format!("{key} in {}", self.schema.heading()),
            format!("add a line such as {example}"),
        );
        self.mistakes.report(&self.path_of(key), self.offset, complaint);
    }

    fn report_unknown_keys(&mut self) {
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if self.schema.keys.contains(&name) {
                continue;
            }
            let what = if self.path.is_empty() { "section" } else { "key" };
            let complaint = Complaint::new(
                format!("unknown {what} {name:?}"),
                format!("one of {}", self.schema.keys.join(", ")),
                what_was_meant(name, self.schema.keys),
            );
            let path = self.path_of(&name.escape_debug().to_string());
            self.mistakes.report(&path, key.span().start, complaint);
        }
    }
}

/// The way out for a key that does not belong where it stands.
fn what_was_meant(name: &str, keys: &[&str]) -> String {
    if let Some(near) = nearest(name, keys) {
        return format!("did you mean {near:?}?");
    }
    let holders = schema::SCHEMA.iter().filter(|section| section.keys.contains(&name));
    let homes: Vec<String> = holders.map(|section| section.heading()).collect();
    if homes.is_empty() {
        "remove it".to_owned()
    } else {
        format!("move it to {}", homes.join(" or "))
    }
}

impl Mistakes<'_> {
    fn note(&mut self, key: &str, offset: usize) {
        let place = self.source.place(offset);
        self.places.insert(key.to_owned(), place);
    }

    fn parse<T>(
        &mut self,
        key: String,
        value: &Spanned<DeValue<'_>>,
        parse: Parse<T>,
    ) -> Option<Placed<T>> {
        let offset = value.span().start;
        self.note(&key, offset);
        match parse(value.get_ref()) {
            Ok(value) => Some(Placed { value, key, offset }),
            Err(complaint) => {
                self.report(&key, offset, complaint);
                None
            }
        }
    }
}

fn last_part(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What a value is, for people.
pub(crate) fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(truth) => format!("{truth}"),
        DeValue::Datetime(time) => format!("the date-time {time} without quotes"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The candidate that `text` was probably meant to be.
pub(crate) fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let text = text.to_lowercase().replace('-', "_");
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&text, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
