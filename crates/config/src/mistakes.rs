//! Everything that one reading of a file finds: its mistakes, and the place of every value.
//!
//! The stages of reading add to it, none stops at the first mistake. A [`Placed`] value remembers
//! where it stands, so that a check between sections reports it as exactly as its own parser does.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;
use zonemesh_core::finding::Code;

use crate::complaint::{Complaint, Parse};
use crate::error::ConfigError;
use crate::source::{FilePlace, SourceText};

/// A value with its dotted key and its offset in the file.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) key: String,
    pub(crate) offset: usize,
}

/// The mistakes so far, and the places.
pub(crate) struct Mistakes<'t> {
    source: SourceText<'t>,
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
        let place = self.source.place(offset);
        self.errors.push(complaint.at(&self.file, place, key));
    }

    pub(crate) fn report_at<T>(&mut self, at: &Placed<T>, complaint: Complaint) {
        self.report(&at.key, at.offset, complaint);
    }

    /// Reports a value that cannot stand beside another one.
    pub(crate) fn report_conflict<T>(&mut self, at: &Placed<T>, complaint: Complaint) {
        self.report_at(at, complaint.coded(Code::ConfigConflict));
    }

    /// True if a key is written, be it right or wrong.
    pub(crate) fn is_written(&self, key: &str) -> bool {
        self.places.contains_key(key) || self.errors.iter().any(|error| error.key.starts_with(key))
    }

    /// The line number of a value, for messages that name two places.
    pub(crate) fn line_of<T>(&self, at: &Placed<T>) -> usize {
        self.source.place(at.offset).line
    }

    /// The line number of an offset.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        self.source.place(offset).line
    }

    /// Remembers where a key stands.
    pub(crate) fn note(&mut self, key: &str, offset: usize) {
        let place = self.source.place(offset);
        self.places.insert(key.to_owned(), place);
    }

    /// Reads one value with `parse`, or reports why it cannot be.
    pub(crate) fn parse<T>(
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

    pub(crate) fn into_parts(self) -> (Vec<ConfigError>, BTreeMap<String, FilePlace>) {
        (self.errors, self.places)
    }
}
