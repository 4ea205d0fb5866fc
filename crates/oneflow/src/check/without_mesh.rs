//! A role whose SuperNodes find their SuperLink by an address of their own, without a mesh.
//!
//! It promises that such a role is asked for no token, and has the CA that its companion asks for. It
//! refuses to judge the two values: `inputs` does.

use zonemesh_context::Image;

use crate::appliance::{self, CA_OF_ADDRESS, OF_MESH};
use crate::grammar::input::UserInput;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// Compares what stands beside the address with what the companion takes there.
pub(super) fn check(
    role: &Spot<'_>,
    image: Image,
    places: &[Spot<'_>],
    mistakes: &mut TemplateMistakes,
) {
    if !appliance::is_without_mesh(role.node, image) {
        return;
    }
    for (key, spot) in places.iter().flat_map(Spot::members) {
        let is_input =
            role.get("user_inputs").is_some_and(|inputs| spot.path.starts_with(&inputs.path))
                && !spot.path.contains("user_inputs_values");
        let text = spot.node.as_text().unwrap_or_default();
        let has_value = match UserInput::parse(text) {
            Ok(input) if is_input => input.mandatory || !input.default.is_empty(),
            _ => !text.trim().is_empty(),
        };
        if OF_MESH.contains(&key) && has_value {
            let found =
                format!("{key} beside ONEAPP_FL_SUPERLINK_ADDRESS, which is without a mesh");
            mistakes.add_with_fix(
                TemplateRule::InputValue,
                &spot,
                found,
                "take one of the two out",
            );
        }
    }
    let has_ca = places.iter().flat_map(Spot::members).any(|(key, _)| key == CA_OF_ADDRESS);
    if !has_ca {
        let found = format!("ONEAPP_FL_SUPERLINK_ADDRESS without {CA_OF_ADDRESS}");
        let fix = "give the CA certificate that signed the SuperLink's: PEM in base64";
        mistakes.add_with_fix(TemplateRule::InputValue, role, found, fix);
    }
}
