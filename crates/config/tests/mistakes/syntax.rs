//! A file that is no TOML: the first place that is wrong, in words that help whoever wrote it.

use zonemesh_config::Config;

use crate::{PARIS, VALID, messages, mistake};

#[test]
fn an_open_end_is_one_mistake_at_its_line() {
    mistake(
        "\"berlin\"",
        "\"berlin",
        "zm.toml:2:15: (syntax): invalid basic string; expected `\"`; correct this line",
    );
    mistake(
        "[[peer]]",
        "[[peer",
        "zm.toml:22:7: (syntax): unclosed array table; expected `]]`; correct this line",
    );
    assert_eq!(messages("a = \nb = [\nc = }\n").len(), 1);
}

#[test]
fn a_key_or_section_that_stands_twice_is_named_with_its_first_line() {
    mistake(
        "[gateway]",
        "[gateway]\nname = \"gw1\"\nname = \"gw2\"",
        "zm.toml:6:1: (syntax): name stands in line 5 already; expected each key once in a section; keep one of the two",
    );
    mistake(
        "[log]",
        "[zone]",
        "zm.toml:29:2: (syntax): [zone] stands in line 1 already; expected each section once; put the keys of both below one of them",
    );
}

#[test]
fn one_bracket_where_two_belong_is_told_as_that() {
    let again = format!("{VALID}{}", PARIS.replace("[[peer]]", "[peer]"));
    assert_eq!(
        messages(&again),
        [
            "zm.toml:31:2: (syntax): found [peer] again; expected sections [[peer]]; write [[peer]], with two brackets, each time"
        ]
    );
}

#[test]
fn quotes_that_are_curly_or_missing_are_told() {
    mistake(
        "name = \"berlin\"",
        "name = \u{201c}berlin\u{201d}",
        "zm.toml:2:8: (syntax): found curly quotes; expected straight ones (\"); type the quotes anew, in a plain text editor",
    );
    mistake(
        "name = \"berlin\"",
        "name = berlin",
        "zm.toml:2:8: (syntax): found a value without quotes; expected a text in double quotes, a number, true, false, or a list of those; put it in quotes",
    );
}

#[test]
fn other_forms_of_files_are_recognised() {
    assert_eq!(
        messages("zone:\n  name: berlin\n"),
        [
            "zm.toml:1:5: (syntax): found a ':' as in YAML; expected TOML; write [zone] for a section and name = \"berlin\" for a value"
        ]
    );
    assert_eq!(
        messages("[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"),
        [
            "zm.toml:2:14: (syntax): found a file as wg-quick has it; expected zonemesh.toml; begin with the example, configs/zonemesh.example.toml"
        ]
    );
}

fn of_bytes(bytes: &[u8]) -> String {
    Config::parse_bytes(bytes, "zm.toml").expect_err("no UTF-8").to_string()
}

#[test]
fn more_than_a_mebibyte_is_no_configuration() {
    assert_eq!(
        of_bytes(&vec![b'#'; Config::MAX_BYTES + 1]),
        "zm.toml:1:1: (syntax): found more than 1 MiB; expected at most 1 MiB; name the configuration file"
    );
    let mut whole = VALID.as_bytes().to_vec();
    whole.resize(Config::MAX_BYTES, b'\n');
    assert!(Config::parse_bytes(&whole, "zm.toml").is_ok());
}

#[test]
fn bytes_that_are_no_utf8_have_a_line_and_a_way_out() {
    let utf16: Vec<u8> =
        "\u{feff}[zone]\n".encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
    assert_eq!(
        of_bytes(&utf16),
        "zm.toml:1:1: (syntax): found UTF-16; expected UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        of_bytes(b"[zone]\nname = \"berl\xefn\"\n"),
        "zm.toml:2:13: (syntax): found the byte 0xef; expected UTF-8; save the file as UTF-8: `iconv -f latin1 -t utf-8`"
    );
    let with_mark = [b"\xef\xbb\xbf", VALID.as_bytes()].concat();
    assert!(Config::parse_bytes(&with_mark, "zm.toml").is_ok());
}
