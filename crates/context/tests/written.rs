//! What is written elsewhere of the keys is what the table says: REFERENCE.md, the parameters of the
//! images, the inputs of the service templates.
//!
//! After a change of the table `UPDATE_REFERENCE=1 cargo test -p zonemesh-context --test written`
//! writes them anew. The words round them are written by hand.

use std::path::{Path, PathBuf};

use zonemesh_context::key::STAGE;
use zonemesh_context::keys::KEYS;
use zonemesh_context::keys::mesh::GATEWAY;
use zonemesh_context::{Appliance, ContextKey, Image};

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).expect("a file of the project")
}

/// The file has this text, or is given it.
fn is_written(path: &str, expected: &str) {
    let found = read(path);
    if std::env::var_os("UPDATE_REFERENCE").is_some() && found != expected {
        // Whole or not at all: other tests read the file meanwhile.
        let new = file(path).with_extension("new");
        std::fs::write(&new, expected).expect("the folder can be written to");
        let mode = std::fs::metadata(file(path)).expect("it was read").permissions();
        std::fs::set_permissions(&new, mode).expect("it is this user's");
        std::fs::rename(&new, file(path)).expect("the file can be replaced");
        return;
    }
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{path}, line {}: see the head of this test", number + 1);
    }
    assert_eq!(found.len(), expected.len(), "{path}");
}

/// The text with `inside` between the end of `begin`, the first behind `after`, and the next `end`.
fn with(text: &str, [after, begin, end]: [&str; 3], inside: &str) -> String {
    let from = text.find(after).expect("behind what it stands");
    let from = from + text[from..].find(begin).expect("what it begins with") + begin.len();
    let to = from + text[from..].find(end).expect("what it ends with");
    format!("{}{inside}{}", &text[..from], &text[to..])
}

fn row(key: &ContextKey) -> String {
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} |\n",
        key.name,
        key.readers.words(),
        key.default,
        key.documented(),
        key.input.word(),
        key.since,
        if key.restarts_flower { "yes" } else { "no" },
    )
}

#[test]
fn the_table_in_the_reference_is_the_one_of_the_code() {
    const PATH: &str = "docs/REFERENCE.md";
    const RULE: &str = "|---|---|---|---|---|---|---|\n";
    let rows: String = KEYS.iter().map(row).collect();
    let place = ["\n## CONTEXT keys\n", RULE, "\n### "];
    is_written(PATH, &with(&read(PATH), place, &rows));
}

#[test]
fn an_image_asks_for_what_the_table_says() {
    for (folder, image) in [
        ("service_ZonemeshGateway", Image::One(Appliance::Gateway)),
        ("service_FlowerSuperLink", Image::One(Appliance::SuperLink)),
        ("service_FlowerSuperNode", Image::One(Appliance::SuperNode)),
        ("service_FlowerSuperLinkGateway", Image::SuperLinkGateway),
    ] {
        let parameter = |key: &ContextKey| {
            let (asked, input) = (key.question.in_image()?, key.image_input()?);
            Some(format!("    '{}' '{STAGE}' '{}' '{input}'\n", key.name, asked.text))
        };
        let asked = image.keys().filter(|key| image.asks(key));
        let parameters: String = asked.filter_map(parameter).collect();
        let path = format!("packer/{folder}/appliance.sh");
        let place = ["\nONE_SERVICE_PARAMS=", "(\n", ")\n\n"];
        is_written(&path, &with(&read(&path), place, &parameters));
    }
}

/// What begins the role of an image.
fn role(image: Image) -> String {
    format!("\"name\": \"{}\"", image.role())
}

#[test]
fn every_service_template_asks_for_what_the_table_says() {
    let entries = std::fs::read_dir(file("oneflow")).expect("the project has oneflow/");
    let paths = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.ends_with(".json").then(|| format!("oneflow/{name}"))
    });
    let paths: Vec<String> = paths.collect();
    assert!(paths.len() >= 7, "{paths:?}");
    for path in paths {
        let text = Image::ALL.into_iter().fold(read(&path), |text, image| {
            let has_gateway =
                Image::ALL.into_iter().any(|one| one.has_gateway() && text.contains(&role(one)));
            let role = role(image);
            if !text.contains(&role) {
                return text;
            }
            let input = |key: &ContextKey| {
                let asked = match key.name == GATEWAY.name && !has_gateway {
                    // In a service without one nobody tells it.
                    true => "M|text|IP:PORT of the local API of the zone's gateway".to_owned(),
                    false => key.service_input()?,
                };
                Some(format!("        \"{}\": \"{asked}\"", key.name))
            };
            let asked = image.keys().filter(|key| image.asks(key));
            let inputs: Vec<String> = asked.filter_map(input).collect();
            let place = [role.as_str(), "\"user_inputs\": {\n", "\n      }"];
            with(&text, place, &inputs.join(",\n"))
        });
        is_written(&path, &text);
    }
}

/// Bash reads a parameter between single quotes, JSON an input between double ones; `|` parts the
/// fields of an input, and of a row of a document.
#[test]
fn no_text_of_a_row_breaks_the_form_that_it_stands_in() {
    for key in KEYS {
        let asked = key.question.in_image().map_or("", |asked| asked.text);
        assert!(!asked.contains(['\'', '"', '\\', '|', '\n']), "{}: {asked}", key.name);
        for text in [key.default, key.meaning] {
            assert!(!text.contains(['|', '\n']) && !text.is_empty(), "{}: {text}", key.name);
        }
        assert!(!key.expected.is_empty(), "{}", key.name);
        assert!(!key.name.is_empty());
        for name in key.names() {
            let of_name = KEYS.iter().flat_map(ContextKey::names).filter(|other| *other == name);
            assert_eq!(of_name.count(), 1, "{name}");
        }
        // Whoever is asked for a secret does not see it on the screen.
        let is_hidden = ["password", "text64"].contains(&key.input.word());
        assert!(!key.secret || asked.is_empty() || is_hidden, "{}", key.name);
    }
}
