//! The node config of a SuperNode, as Flower reads it.
//!
//! It promises that Flower takes what is taken here, and passes nothing over that was written: Flower
//! itself leaves out what is no pair, and ends at its start for a value that it does not know.
//! Specification: `parse_config_args` in common/config.py of flwr 1.25.0; the values are those
//! of TOML.

use zonemesh_core::visible::quoted;

use super::checks;

/// One pair after the other, each a line of TOML.
pub(super) fn parse(text: &str) -> Result<String, String> {
    checks::argument(text).map_err(|error| error.to_string())?;
    if text.contains(['\n', '\r', '\0']) {
        return Err("it has more than one line".to_owned());
    }
    if text.ends_with(".toml") {
        return Err("Flower would take it for the name of a file".to_owned());
    }
    let mut rest = text;
    let mut read = toml::Table::new();
    while !rest.trim_start().is_empty() {
        let (pair, after) = first_pair(rest.trim_start())?;
        for (key, value) in value_of(pair)? {
            if read.insert(key.clone(), value).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        rest = after;
    }
    if read.is_empty() { Err("it has no pair".to_owned()) } else { Ok(text.to_owned()) }
}

/// `key=value` at the beginning, and what follows: a value in quotes may have spaces.
fn first_pair(text: &str) -> Result<(&str, &str), String> {
    let word = text.split_whitespace().next().unwrap_or_default();
    let Some(equals) = word.find('=').filter(|at| *at > 0) else {
        return Err(format!("{} is no key=value", quoted(word)));
    };
    let value = &text[equals + 1..];
    let quote = value.chars().next().filter(|quote| "'\"".contains(*quote));
    let length = match quote.map(|quote| value[1..].find(quote)) {
        None => value.find(char::is_whitespace).unwrap_or(value.len()),
        Some(Some(end)) => end + 2,
        Some(None) => return Err(format!("{} has no closing quote", quoted(word))),
    };
    let (pair, after) = text.split_at(equals + 1 + length);
    if after.chars().next().is_some_and(|next| !next.is_whitespace()) {
        return Err(format!("after {} a space is missing", quoted(pair)));
    }
    Ok((pair, after))
}

/// The pair as TOML reads it; a key with dots is a table in a table.
fn value_of(pair: &str) -> Result<Vec<(String, toml::Value)>, String> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let no_value = || {
        let comma = if value.ends_with(',') { "; pairs have no comma between them" } else { "" };
        let pair = quoted(pair);
        format!("{pair}: a text stands in quotes, {key}='{}'{comma}", value.trim_end_matches(','))
    };
    let table: toml::Table = pair.parse().map_err(|_malformed: toml::de::Error| no_value())?;
    let mut flat = Vec::new();
    flatten(String::new(), toml::Value::Table(table), &mut flat);
    let is_simple = |value: &toml::Value| {
        value.is_bool() || value.is_integer() || value.is_float() || value.is_str()
    };
    match flat.iter().all(|(_, value)| is_simple(value)) {
        true => Ok(flat),
        false => Err(no_value()),
    }
}

fn flatten(prefix: String, value: toml::Value, into: &mut Vec<(String, toml::Value)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(name, value, into);
            }
        }
        value => into.push((prefix, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flower_takes_is_taken_as_it_is() {
        for text in [
            "partition-id=0 num-partitions=2",
            "site='berlin' rate=0.5 deep=true",
            "note=\"two words\"   a.b=1 a.c=2",
        ] {
            assert_eq!(parse(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_flower_refuses_or_leaves_out_is_named() {
        for (text, expected) in [
            ("site=berlin", "\"site=berlin\": a text stands in quotes, site='berlin'"),
            (
                "a=1, b=2",
                "\"a=1,\": a text stands in quotes, a='1'; pairs have no comma between them",
            ),
            ("a=1 berlin", "\"berlin\" is no key=value"),
            ("a=1 =2", "\"=2\" is no key=value"),
            ("a='x", "\"a='x\" has no closing quote"),
            ("a='x'y", "after \"a='x'\" a space is missing"),
            ("a=1 a=2", "a is there twice"),
            ("day=2026-11-30", "\"day=2026-11-30\": a text stands in quotes, day='2026-11-30'"),
            ("list=[1,2]", "\"list=[1,2]\": a text stands in quotes, list='[1,2]'"),
            ("config.toml", "Flower would take it for the name of a file"),
            ("a=1\nb=2", "it has more than one line"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
    }
}
