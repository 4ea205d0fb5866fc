//! Walks the parsed file section by section.
//!
//! A [`SectionReader`] hands out the values of one section through their parsers and knows from the
//! table of keys which it may have and which it must. A value that cannot be read is reported and
//! left out, so that one reading reports all mistakes. serde's `deny_unknown_fields` is as strict but
//! stops at the first.

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zonemesh_core::finding::Code;

use crate::complaint::{Complaint, Parse, kind, nearest};
use crate::mistakes::{Mistakes, Placed};
use crate::schema::{KeySpec, SectionCount, SectionSpec};

/// The file itself, which has sections instead of keys.
const ROOT: SectionSpec = SectionSpec { name: "", count: SectionCount::Once, keys: &[] };

/// One table of the file that is being read.
pub(crate) struct SectionReader<'f, 't> {
    mistakes: &'f mut Mistakes<'t>,
    /// All sections of the file.
    sections: &'static [SectionSpec],
    spec: SectionSpec,
    path: String,
    table: &'f DeTable<'t>,
    offset: usize,
}

impl<'f, 't> SectionReader<'f, 't> {
    /// Opens the file itself; reports unknown sections.
    pub(crate) fn root(
        mistakes: &'f mut Mistakes<'t>,
        sections: &'static [SectionSpec],
        table: &'f DeTable<'t>,
    ) -> Self {
        let mut section =
            Self { mistakes, sections, spec: ROOT, path: String::new(), table, offset: 0 };
        section.report_unknown_keys();
        section
    }

    /// Opens `[name]` below this section, if it is there; reports its unknown keys.
    pub(crate) fn table(&mut self, spec: SectionSpec) -> Option<SectionReader<'_, 't>> {
        let (_, entry) = self.entry(last_part(spec.name))?;
        let offset = entry.span().start;
        let path = spec.name.to_owned();
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
        Some(self.open(spec, path, table, offset))
    }

    /// Opens `[name]` as [`SectionReader::table`] does; its absence is a mistake.
    pub(crate) fn required_table(&mut self, spec: SectionSpec) -> Option<SectionReader<'_, 't>> {
        if self.entry(spec.name).is_none() {
            let (name, examples) = (spec.name, spec.examples().join(" and "));
            let complaint = Complaint::new(
                "the section is missing",
                format!("[{name}] with {}", spec.key_names().join(", ")),
                format!("add a line [{name}] and below it {examples}"),
            )
            .coded(Code::ConfigMissingKey);
            self.mistakes.report(name, 0, complaint);
        }
        self.table(spec)
    }

    /// Reads every `[[name]]` below this section with `read`.
    pub(crate) fn tables<T>(
        &mut self,
        spec: SectionSpec,
        read: fn(SectionReader<'_, 't>) -> T,
    ) -> Vec<T> {
        let Some((_, entry)) = self.entry(last_part(spec.name)) else {
            return Vec::new();
        };
        let expected = || format!("sections [[{}]]", spec.name);
        let Some(array) = entry.get_ref().as_array() else {
            let found = format!("found {}", kind(entry.get_ref()));
            let fix = format!("write [[{}]], with two brackets, for each", spec.name);
            let complaint = Complaint::new(found, expected(), fix);
            self.mistakes.report(spec.name, entry.span().start, complaint);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, item) in array.iter().enumerate() {
            let path = format!("{}[{index}]", spec.name);
            let offset = item.span().start;
            if let Some(table) = item.get_ref().as_table() {
                all.push(read(self.open(spec, path, table, offset)));
            } else {
                let found = format!("found {}", kind(item.get_ref()));
                let fix = format!("write [[{}]] and its keys below", spec.name);
                let complaint = Complaint::new(found, expected(), fix);
                self.mistakes.report(&path, offset, complaint);
            }
        }
        all
    }

    /// The value of a key; reports that it is missing, if the key must be given.
    pub(crate) fn one<T>(&mut self, key: &str, parse: Parse<T>) -> Option<Placed<T>> {
        let Some((path, value)) = self.entry(key) else {
            self.report_missing(key);
            return None;
        };
        self.mistakes.parse(path, value, parse)
    }

    /// The items of a key's list; at least one, if the key must be given.
    pub(crate) fn list<T>(&mut self, key: &str, parse: Parse<T>) -> Vec<Placed<T>> {
        let Some((path, value)) = self.entry(key) else {
            self.report_missing(key);
            return Vec::new();
        };
        let offset = value.span().start;
        let Some(items) = value.get_ref().as_array() else {
            let complaint = Complaint::new(
                format!("found {}", kind(value.get_ref())),
                "a list in brackets",
                format!("write {key} = [\"...\"]"),
            );
            self.mistakes.report(&path, offset, complaint);
            return Vec::new();
        };
        if let (true, Some(example)) = (items.is_empty(), self.example(key)) {
            let fix = format!("write for example {example}");
            let complaint = Complaint::new("found an empty list", "at least one item", fix);
            self.mistakes.report(&path, offset, complaint.coded(Code::ConfigMissingKey));
        }
        self.mistakes.note(&path, offset);
        let item = |(index, item)| {
            let path = format!("{path}[{index}]");
            self.mistakes.parse(path, item, parse)
        };
        items.iter().enumerate().filter_map(item).collect()
    }

    fn open<'s>(
        &'s mut self,
        spec: SectionSpec,
        path: String,
        table: &'s DeTable<'t>,
        offset: usize,
    ) -> SectionReader<'s, 't> {
        self.mistakes.note(&path, offset);
        let Self { mistakes, sections, .. } = self;
        let mut section = SectionReader { mistakes, sections, spec, path, table, offset };
        section.report_unknown_keys();
        section
    }

    fn entry(&self, key: &str) -> Option<(String, &'f Spanned<DeValue<'t>>)> {
        debug_assert!(self.names().contains(&key), "{key} is in the table of keys");
        let value = self.table.get(key)?;
        Some((self.path_of(key), value))
    }

    /// What may stand in this table.
    fn names(&self) -> Vec<&'static str> {
        if self.spec != ROOT {
            return self.spec.key_names();
        }
        let names = self.sections.iter().map(|section| section.name);
        names.filter(|name| !name.contains('.')).collect()
    }

    fn example(&self, key: &str) -> Option<&'static str> {
        self.spec.key(key).and_then(KeySpec::example)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn report_missing(&mut self, key: &str) {
        let Some(example) = self.example(key) else {
            return;
        };
        let complaint = Complaint::new(
            "the key is missing",
            format!("{key} in {}", self.spec.heading()),
            format!("add a line such as {example}"),
        )
        .coded(Code::ConfigMissingKey);
        self.mistakes.report(&self.path_of(key), self.offset, complaint);
    }

    fn report_unknown_keys(&mut self) {
        let names = self.names();
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if names.contains(&name) {
                continue;
            }
            let what = if self.path.is_empty() { "section" } else { "key" };
            let complaint = Complaint::new(
                format!("unknown {what} {name:?}"),
                format!("one of {}", names.join(", ")),
                self.what_was_meant(name, &names),
            )
            .coded(Code::ConfigUnknownKey);
            let path = self.path_of(&name.escape_debug().to_string());
            self.mistakes.report(&path, key.span().start, complaint);
        }
    }

    /// The way out for a key that does not belong where it stands.
    fn what_was_meant(&self, name: &str, names: &[&str]) -> String {
        if let Some(near) = nearest(name, names) {
            return format!("did you mean {near:?}?");
        }
        let holders = self.sections.iter().filter(|section| section.key(name).is_some());
        let homes: Vec<String> = holders.map(SectionSpec::heading).collect();
        if homes.is_empty() {
            "remove it".to_owned()
        } else {
            format!("move it to {}", homes.join(" or "))
        }
    }
}

fn last_part(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}
