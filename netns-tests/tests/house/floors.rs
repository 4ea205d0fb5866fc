//! The floors of the daemon: facts, plan, administration, act, serve.
//!
//! What is known does not depend on what follows from it, what follows not on who carries it out or
//! shows it. Only `serve` speaks the wire's language.

use crate::modules::edges;
use crate::sources::workspace;

/// The package that has floors.
pub(crate) const DAEMON: &str = "zonemeshd";

/// The floors, from below.
pub(crate) const NAMES: [&str; 5] = ["facts", "plan", "administration", "act", "serve"];

/// Which floors a floor may name besides itself. What lies beside the floors (failures, supervisor)
/// may be named by all.
const MAY_NAME: [(&str, &[&str]); 5] = [
    ("facts", &[]),
    ("plan", &[]),
    ("administration", &["facts", "plan"]),
    ("act", &["facts", "plan", "administration"]),
    ("serve", &["facts", "plan", "administration", "act"]),
];

/// What the wire is made of.
const WIRE: [&str; 3] = ["zonemesh_api :: v1", "tonic ::", "zonemesh_api :: wire"];

fn floor_of(module: &str) -> Option<&'static str> {
    let first = module.split("::").next()?;
    NAMES.into_iter().find(|name| *name == first)
}

#[test]
fn each_floor_names_only_those_that_it_may() {
    let edges = edges(DAEMON, &workspace());
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (from, all) in &edges {
        let Some(floor) = floor_of(from) else { continue };
        let (_, may) =
            MAY_NAME.iter().find(|(name, _)| *name == floor).expect("it is in the table");
        for (to, file) in all {
            let Some(other) = floor_of(to).filter(|other| *other != floor) else { continue };
            seen += 1;
            if !may.contains(&other) {
                wrong.push(format!("{from} -> {to} ({file})"));
            }
        }
    }
    assert!(wrong.is_empty(), "a floor names one that it may not:\n{}", wrong.join("\n"));
    assert!(seen > 20, "the daemon must have floors, and they name each other: {seen} times");
}

#[test]
fn only_serve_speaks_the_language_of_the_wire() {
    use quote::ToTokens as _;
    let sources = workspace();
    let below = sources.iter().filter(|source| source.package == DAEMON);
    let below = below.filter(|source| source.module.first().is_some_and(|first| first != "serve"));
    let mut wrong = Vec::new();
    for source in below {
        let text = source.items.to_token_stream().to_string();
        wrong.extend(
            WIRE.iter()
                .filter(|word| text.contains(**word))
                .map(|word| format!("{} names {}", source.path.display(), word.replace(' ', ""))),
        );
    }
    assert!(wrong.is_empty(), "wire types outside of serve:\n{}", wrong.join("\n"));
}
