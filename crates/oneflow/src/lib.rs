//! OneFlow service templates: what they must be, and how one is made ready for an OpenNebula.
//!
//! It owns the templates that come with the project, the rules that OpenNebula's own validator
//! keeps and those that it does not know ([`check`]), and the way from a template to a document that
//! `oneflow-template create` takes ([`render`]). It promises that all mistakes are told at once and
//! that no value of a secret is repeated. It refuses to know files, networks and OpenNebula's API:
//! bytes come in, bytes and mistakes go out.
//!
//! Specification: OpenNebula's `src/oca/ruby/opennebula/flow/service_template.rb`, its
//! `validator.rb` and `grammar.treetop`; `parse_user_inputs` in `src/cli/one_helper.rb` and what
//! `src/flow/oneflow-server.rb` asks at an instantiate.

mod appliance;
pub mod check;
mod document;
mod given;
mod grammar;
mod json;
mod mistake;
pub mod render;
mod shipped;

pub use document::MAX_BYTES;
pub use json::TextPlace;
pub use mistake::{TemplateMistake, TemplateRule};
pub use shipped::{SHIPPED, ShippedTemplate};
