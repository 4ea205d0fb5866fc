//! Mistakes in `[registry.etcd]`, and what a valid section becomes.

use std::path::Path;

use zonemesh_config::Config;

use crate::{VALID, messages};

fn with(section: &str) -> String {
    VALID.replacen("[local_api]\n", &format!("[registry.etcd]\n{section}\n[local_api]\n"), 1)
}

fn etcd_mistakes(section: &str) -> Vec<String> {
    messages(&with(section))
}

#[test]
fn without_the_section_there_is_no_etcd_and_streams_are_kept_beside_it() {
    assert_eq!(Config::parse(VALID, "zm.toml").unwrap().registry.etcd, None);
    let text = with("endpoints = [\"http://ETCD.example.org:2379/\"]");
    let etcd = Config::parse(&text, "zm.toml").unwrap().registry.etcd.unwrap();
    assert_eq!(etcd.endpoints, ["http://etcd.example.org:2379"]);
    assert_eq!((etcd.prefix.as_str(), etcd.streams), ("/zonemesh", true));
    assert_eq!((etcd.ca_file, etcd.certificate_file, etcd.key_file), (None, None, None));
    assert_eq!((etcd.user, etcd.password_file), (None, None));
}

#[test]
fn the_files_of_the_example_arrive() {
    let text = include_str!("../../../../configs/zonemesh.example.toml");
    let etcd = Config::parse(text, "zm.toml").unwrap().registry.etcd.unwrap();
    assert_eq!(etcd.ca_file.as_deref(), Some(Path::new("/etc/zonemesh/etcd-ca.pem")));
    assert_eq!(etcd.certificate_file.as_deref(), Some(Path::new("/etc/zonemesh/etcd-client.pem")));
    assert_eq!(etcd.key_file.as_deref(), Some(Path::new("/etc/zonemesh/etcd-client.key")));
    assert_eq!(etcd.user.as_deref(), Some("berlin"));
    assert_eq!(etcd.password_file.as_deref(), Some(Path::new("/etc/zonemesh/etcd-password")));
}

#[test]
fn an_endpoint_that_is_no_url_is_told() {
    assert_eq!(
        etcd_mistakes("endpoints = [\"10.10.10.9:2379\", \"http://10.10.10.9\"]"),
        [
            "zm.toml:13:14: registry.etcd.endpoints[0]: found \"10.10.10.9:2379\"; expected a URL with a port, such as \"https://10.10.10.9:2379\"; begin it with https:// or http://",
            "zm.toml:13:33: registry.etcd.endpoints[1]: found \"http://10.10.10.9\"; expected a URL with a port, such as \"https://10.10.10.9:2379\"; after http:// the port is missing",
        ]
    );
}

#[test]
fn tls_needs_a_ca_and_secrets_need_tls() {
    assert_eq!(
        etcd_mistakes("endpoints = [\"https://10.10.10.9:2379\"]"),
        [
            "zm.toml:13:14: registry.etcd.endpoints[0]: found \"https://10.10.10.9:2379\"; expected a ca_file that says whose certificates are good; add ca_file = \"/etc/zonemesh/etcd-ca.pem\""
        ]
    );
    let secrets =
        "endpoints = [\"http://10.10.10.9:2379\"]\nuser = \"berlin\"\npassword_file = \"/p\"";
    assert_eq!(
        etcd_mistakes(secrets),
        [
            "zm.toml:13:14: registry.etcd.endpoints[0]: found \"http://10.10.10.9:2379\"; expected https where a password or a certificate is to be shown; write https://, or take user, password_file, certificate_file and key_file out"
        ]
    );
}

#[test]
fn half_a_pair_is_of_no_use() {
    let text =
        "endpoints = [\"https://e:1\"]\nca_file = \"/ca\"\nkey_file = \"/k\"\nuser = \"berlin\"";
    assert_eq!(
        etcd_mistakes(text),
        [
            "zm.toml:15:12: registry.etcd.key_file: found it without certificate_file; expected both or neither; add certificate_file, or take this out",
            "zm.toml:16:8: registry.etcd.user: found it without password_file; expected both or neither; add password_file, or take this out",
        ]
    );
}

#[test]
fn a_prefix_is_a_path_and_streams_are_true_or_false() {
    assert_eq!(
        etcd_mistakes("endpoints = [\"http://e:1\"]\nprefix = \"zonemesh/\"\nstreams = \"no\""),
        [
            "zm.toml:14:10: registry.etcd.prefix: found \"zonemesh/\"; expected a prefix of 2 to 200 printable characters that begins with '/' and does not end with one; \"/zonemesh\" is usual",
            "zm.toml:15:11: registry.etcd.streams: found a text; expected true or false; write it without quotes",
        ]
    );
}
