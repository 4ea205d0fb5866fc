//! From a template to a document that `oneflow-template create` takes: placeholders get the IDs of
//! one OpenNebula, inputs the values that a zone's folder holds.
//!
//! Promises that what is missing is told at once with the way to give it, that a document which is
//! rendered passes every check, and that no value of a secret stands in a message. With a zone's
//! folder nothing is left to be typed at an instantiate but a secret that no folder has.

mod fill;
mod gateway;
mod inputs;
mod zone_folder;

use zeroize::Zeroizing;

use crate::check::{CheckedTemplate, check};
use crate::document;
use crate::mistake::{TemplateMistake, TemplateRule};

pub use zone_folder::{ZoneFile, ZoneFolder};

/// A value for a placeholder: `gateway=12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceholderValue {
    /// The name between the two @.
    pub name: String,
    /// What stands there then.
    pub value: String,
}

/// A value for an input: `supernode.ONEAPP_FL_NODE_CONFIG=x=1`. No secret: whoever sees the
/// process list sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputGiven {
    /// The role's name.
    pub role: String,
    /// The input's key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What a template is rendered with.
#[derive(Default)]
pub struct RenderValues {
    /// For its placeholders.
    pub placeholders: Vec<PlaceholderValue>,
    /// For its inputs.
    pub inputs: Vec<InputGiven>,
    /// What the founding of the mesh has written for this zone.
    pub zone: Option<ZoneFolder>,
    /// Which federation, where the zone has a part in several.
    pub federation: Option<String>,
}

/// Something that is missing or does not fit, and what to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderLack {
    /// What it is.
    pub what: String,
    /// What to give.
    pub give: String,
}

/// Why nothing was rendered.
#[derive(Debug)]
pub enum RenderRefusal {
    /// Of what was given, this is missing or does not fit.
    Lacks(Vec<RenderLack>),
    /// The template is wrong.
    Mistakes(Vec<TemplateMistake>),
}

/// A document that can be created.
pub struct RenderedTemplate {
    /// Its text.
    pub text: Zeroizing<String>,
    /// Whether it holds secrets.
    pub is_secret: bool,
    /// The inputs that are asked for at an instantiate, as `role.KEY`.
    pub asked: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Renders a template.
///
/// # Errors
/// All that is missing or does not fit; else each mistake of what would come of it.
pub fn render(template: &[u8], values: &RenderValues) -> Result<RenderedTemplate, RenderRefusal> {
    let mut node =
        document::read(template).map_err(|error| RenderRefusal::Mistakes(vec![error]))?;
    if document::is_printed(&node) {
        let found = "a document as OpenNebula prints it".to_owned();
        let mistake = TemplateMistake::of_text(TemplateRule::Document, Some(node.at), found);
        return Err(RenderRefusal::Mistakes(vec![mistake]));
    }
    let filled = fill::fill(&mut node, values).map_err(RenderRefusal::Lacks)?;
    let text = serde_json::to_string_pretty(&node).map(|text| Zeroizing::new(format!("{text}\n")));
    // Texts, lists and objects with texts for keys are always JSON.
    let text = text.unwrap_or_default();
    let CheckedTemplate { mistakes, mut notes, .. } = check(text.as_bytes());
    if !mistakes.is_empty() {
        return Err(RenderRefusal::Mistakes(mistakes));
    }
    notes.extend(filled.notes);
    Ok(RenderedTemplate { text, is_secret: filled.is_secret, asked: filled.asked, notes })
}
