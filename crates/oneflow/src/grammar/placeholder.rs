//! `@name@` in a template: what stands for an ID or an address of one OpenNebula.

/// The names in a text.
pub(crate) fn names(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_before, behind)) = rest.split_once('@') {
        rest = behind;
        if let Some((name, after)) = behind.split_once('@').filter(|(name, _)| is_name(name)) {
            found.push(name);
            rest = after;
        }
    }
    found
}

/// The one name of which the whole text is.
pub(crate) fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix('@')?.strip_suffix('@')?;
    is_name(name).then_some(name)
}

/// The text with what stands for the name.
pub(crate) fn filled(text: &str, name: &str, value: &str) -> String {
    text.replace(&format!("@{name}@"), value)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_addresses_of_mail_are_none() {
        assert_eq!(names("id:@zone_network@, @gateway_ip@"), ["zone_network", "gateway_ip"]);
        assert_eq!(names("a@b.c, d@e.f @@ @x"), Vec::<&str>::new());
        assert_eq!((whole("@gateway@"), whole("id:@gateway@")), (Some("gateway"), None));
        assert_eq!(filled("id:@n@", "n", "7"), "id:7");
    }
}
