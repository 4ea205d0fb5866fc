//! From bytes to the body of a service template: encoding, size, JSON, equal keys, and the wrapper
//! that `oneflow-template show -j` prints around it.

use std::collections::BTreeSet;

use crate::json::{self, JsonNode, JsonValue};
use crate::mistake::{Spot, TemplateMistake, TemplateMistakes, TemplateRule};

/// More than this is no template.
pub const MAX_BYTES: usize = 1 << 20;

/// Where the body lies in what OneFlow prints.
const WRAPPERS: [&str; 3] = ["DOCUMENT", "TEMPLATE", "BODY"];

/// Reads the text.
pub(crate) fn read(bytes: &[u8]) -> Result<JsonNode, TemplateMistake> {
    let refuse =
        |at, found: &str| TemplateMistake::of_text(TemplateRule::Json, at, found.to_owned());
    if bytes.len() > MAX_BYTES {
        return Err(refuse(None, "more than 1 MiB"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(refuse(None, "UTF-16"));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(refuse(None, "bytes that are no UTF-8"));
    };
    // Editors of Windows write it, and Ruby's parser refuses it: what is rendered has none.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let node = json::parse(text).map_err(|error| refuse(Some(error.at), &error.why))?;
    match node.value {
        JsonValue::Object(_) => Ok(node),
        _ => {
            let found = node.kind().to_owned();
            Err(TemplateMistake::of_text(TemplateRule::Document, Some(node.at), found))
        }
    }
}

/// Whether the body lies in what OpenNebula prints around it.
pub(crate) fn is_printed(document: &JsonNode) -> bool {
    document.get(WRAPPERS[0]).is_some()
}

/// The body of the template in a document.
pub(crate) fn body(document: &JsonNode) -> Spot<'_> {
    let whole = Spot { node: document, path: String::new() };
    let inner = WRAPPERS.iter().try_fold(whole.clone(), |spot, key| spot.get(key));
    inner.filter(|inner| matches!(inner.node.value, JsonValue::Object(_))).unwrap_or(whole)
}

/// Complains of each key that stands twice in one object.
pub(crate) fn refuse_equal_keys(spot: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let mut seen = BTreeSet::new();
    for member in spot.node.members() {
        if !seen.insert(member.key.as_str()) {
            let here = JsonNode { at: member.at, value: JsonValue::Null };
            let (rule, path) = (TemplateRule::DuplicateKey, spot.child(&member.key, &here).path);
            mistakes.add(rule, &Spot { node: &here, path }, "this key for the second time");
        }
    }
    for member in spot.node.members() {
        refuse_equal_keys(&spot.child(&member.key, &member.node), mistakes);
    }
    for item in spot.items() {
        refuse_equal_keys(&item, mistakes);
    }
}
