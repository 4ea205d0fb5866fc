//! Every mistake of a service template, those that OpenNebula's validator passes over too.
//!
//! Promises that whatever the validator refuses is refused here, that all is told at once, and that
//! nothing found repeats a secret. It judges the document alone: whether a VM template or network of
//! that ID is there, nobody knows before OpenNebula is asked.

mod context;
mod fields;
mod inputs;
mod networks;
mod parents;
mod policies;
mod role;
pub(crate) mod role_keys;
mod service;
mod without_mesh;

use crate::document;
use crate::mistake::{TemplateMistake, TemplateMistakes};

/// What a check has found.
#[derive(Debug, Default)]
pub struct CheckedTemplate {
    /// The service's name, if it has one.
    pub name: Option<String>,
    /// The roles' names.
    pub roles: Vec<String>,
    /// Each mistake, in the order of the text.
    pub mistakes: Vec<TemplateMistake>,
    /// What is valid and worth knowing.
    pub notes: Vec<String>,
}

/// Checks a template, or a document as `oneflow-template show -j` prints it.
#[must_use]
pub fn check(bytes: &[u8]) -> CheckedTemplate {
    let document = match document::read(bytes) {
        Ok(document) => document,
        Err(mistake) => return CheckedTemplate { mistakes: vec![mistake], ..Default::default() },
    };
    let mut mistakes = TemplateMistakes::default();
    let mut notes = Vec::new();
    let body = document::body(&document);
    document::refuse_equal_keys(&body, &mut mistakes);
    service::check(&body, &mut mistakes, &mut notes);
    let name =
        |spot: &crate::mistake::Spot<'_>| spot.node.get("name")?.as_text().map(str::to_owned);
    let roles =
        body.get("roles").map(|roles| roles.items().filter_map(|role| name(&role)).collect());
    CheckedTemplate {
        name: name(&body),
        roles: roles.unwrap_or_default(),
        mistakes: mistakes.into_sorted(),
        notes,
    }
}
