//! Tokens: their form, and what is refused.

use super::*;
use crate::key::ZoneIdentity;
use crate::mesh::MeshId;

fn key_pin() -> ZonePin {
    ZonePin::Key(ZoneIdentity::from_seed(&[7; 32]).public_key())
}

fn mesh_pin() -> ZonePin {
    let zone = "eu-west-1".parse().unwrap();
    ZonePin::Mesh(MeshPin { mesh: MeshId::new("0f".repeat(32)), zone, head: [9; 32] })
}

fn token(pin: ZonePin) -> VmToken {
    VmToken::new(pin, &[5; SECRET_BYTES])
}

fn refused(text: &str) -> VmTokenError {
    text.parse::<VmToken>().expect_err("it is refused")
}

#[test]
fn a_token_tells_its_zone_and_survives_its_text_form() {
    for pin in [key_pin(), mesh_pin()] {
        let made = token(pin.clone());
        let read: VmToken = made.reveal().parse().expect("it is a token");
        assert_eq!(read.pin(), &pin);
        assert_eq!(read.reveal(), made.reveal());
        assert_eq!(read.hash(), made.hash());
        assert!(made.reveal().starts_with("zmt1."), "{}", made.reveal());
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        assert!(made.reveal().chars().all(plain), "CONTEXT keeps it as it is: {}", made.reveal());
    }
}

#[test]
fn a_pin_can_be_written_before_there_is_a_gateway() {
    let berlin = || "berlin".parse().unwrap();
    let id = "0F".repeat(32);
    let first = MeshPin::written(&id, berlin(), None).unwrap();
    assert_eq!((first.mesh, first.head), (MeshId::new("0f".repeat(32)), [15; 32]));
    let later = MeshPin::written(&id, berlin(), Some(&"09".repeat(32))).unwrap();
    assert_eq!(later.head, [9; 32]);
    assert_eq!(MeshPin::written("0f", berlin(), None), Err(ZonePinError::Digits("a mesh id")));
    let short = MeshPin::written(&id, berlin(), Some("09"));
    assert_eq!(short, Err(ZonePinError::Digits("an authority set")));
}

#[test]
fn a_token_of_0_1_0_is_refused_with_the_command_that_makes_a_new_one() {
    let old = "kntYxMidj3dFQp8G-YJbCa1tgHXuJcACjx4i2bSicjY";
    assert_eq!(refused(old), VmTokenError::OldForm);
    assert!(refused(old).to_string().contains("zonemesh key generate token"));
}

#[test]
fn a_token_that_was_cut_is_known_by_its_length() {
    let made = token(key_pin());
    assert_eq!(made.secret_length(), super::SECRET_CHARACTERS);
    let cut = &made.reveal()[..made.reveal().len() - 4];
    let cut: VmToken = cut.parse().unwrap();
    assert_eq!(cut.secret_length(), super::SECRET_CHARACTERS - 4);
}

#[test]
fn damaged_and_short_tokens_are_refused_and_never_repeated() {
    let good = token(key_pin());
    let text = good.reveal();
    let (head, secret) = text.rsplit_once('.').unwrap();
    let cases = [
        (String::new(), VmTokenError::Form),
        ("hunter2".to_owned(), VmTokenError::Form),
        (head.to_owned(), VmTokenError::Form),
        (text.replace("zmt1", "zmt2"), VmTokenError::Form),
        (format!("{text}.more"), VmTokenError::Form),
        (format!("{head}.{}", &secret[..20]), VmTokenError::Secret),
        (format!("{head}.{secret}="), VmTokenError::Secret),
        (format!("{head}.{}", "A".repeat(90)), VmTokenError::Secret),
        (text.replace("key:", "kex:"), VmTokenError::Pin(ZonePinError::Form)),
        (text.replace("key:", "key:A"), VmTokenError::Pin(ZonePinError::Bytes("the key"))),
        ("A".repeat(4096), VmTokenError::Form),
    ];
    for (text, error) in cases {
        let found = refused(&text);
        assert_eq!(found, error, "{text}");
        assert!(!found.to_string().contains(secret), "{found}");
    }
    let upper = token(mesh_pin()).reveal().replace("eu-west-1", "Berlin");
    assert!(matches!(refused(&upper), VmTokenError::Pin(ZonePinError::Zone(_))));
}

#[test]
fn a_hash_is_known_by_its_form_and_that_of_0_1_0_is_told_apart() {
    let token = token(mesh_pin());
    let text = token.hash().to_string();
    assert_eq!(text.parse(), Ok(token.hash()));
    assert!(token.hash().is_of(token.reveal()));
    assert!(!token.hash().is_of("zmt1.another"));
    let digits = text.strip_prefix("zmt1:").unwrap();
    assert_eq!(digits.parse::<TokenHash>(), Err(TokenHashError::OldForm));
    assert_eq!(format!("zmt1:{}", digits.to_uppercase()).parse(), Ok(token.hash()));
    for text in ["", "zmt1:", "zmt1:00", &text[..68], token.reveal()] {
        assert_eq!(text.parse::<TokenHash>(), Err(TokenHashError::Form), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_token_or_none_and_what_is_read_is_the_text(
        text in "(zmt1)?[.]?(key|mesh)?[:.a-zA-Z0-9_=-]{0,140}[.]?[A-Za-z0-9_-]{0,44}"
    ) {
        if let Ok(token) = text.parse::<VmToken>() {
            proptest::prop_assert_eq!(token.reveal(), &text);
            proptest::prop_assert!(text.contains(&token.pin().to_string()));
        }
    }

    #[test]
    fn a_token_with_one_other_character_is_another_one_or_none(
        at in 0..120_usize,
        other in "[A-Za-z0-9._:-]",
    ) {
        let good = token(mesh_pin());
        let mut text = good.reveal().to_owned();
        let at = at % text.len();
        if text[at..=at] == other {
            return Ok(());
        }
        text.replace_range(at..=at, &other);
        if let Ok(changed) = text.parse::<VmToken>() {
            proptest::prop_assert!(changed.hash() != good.hash());
            proptest::prop_assert!(!good.hash().is_of(changed.reveal()));
        }
    }
}
