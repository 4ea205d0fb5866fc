//! Prefixes of zones: which lies in which, and that no two owners share an address.
//!
//! Two zones with overlapping prefixes would silently steal each other's packets: WireGuard's
//! allowed IPs belong to the last peer that was set. So the overlap is an error that names both.

use std::net::IpAddr;

use ipnet::IpNet;

/// Two owners claim the same addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{second_owner}'s prefix {second} overlaps {first_owner}'s prefix {first}")]
pub struct Overlap {
    /// Who claimed first.
    pub first_owner: String,
    /// What the first one claimed.
    pub first: IpNet,
    /// Who claimed second; may be the same owner.
    pub second_owner: String,
    /// What the second one claimed.
    pub second: IpNet,
}

/// True if the two share an address.
#[must_use]
pub fn overlaps(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// True if all of `inner` lies in one of `outer`.
#[must_use]
pub fn covered(inner: &IpNet, outer: &[IpNet]) -> bool {
    outer.iter().any(|net| net.contains(inner))
}

/// True if `address` lies in one of `prefixes`.
#[must_use]
pub fn contains(prefixes: &[IpNet], address: &IpAddr) -> bool {
    prefixes.iter().any(|net| net.contains(address))
}

/// A single address as a prefix (/32 or /128).
#[must_use]
pub fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// Checks that no two of `claims` (owner, prefix) overlap.
///
/// # Errors
/// The first [`Overlap`] in the order of the claims.
pub fn check_disjoint<'a>(
    claims: impl IntoIterator<Item = (&'a str, IpNet)>,
) -> Result<(), Overlap> {
    let mut seen: Vec<(&str, IpNet)> = Vec::new();
    for (owner, net) in claims {
        if let Some((first_owner, first)) = seen.iter().find(|(_, other)| overlaps(other, &net)) {
            return Err(Overlap {
                first_owner: (*first_owner).to_owned(),
                first: *first,
                second_owner: owner.to_owned(),
                second: net,
            });
        }
        seen.push((owner, net));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn an_overlap_names_both_owners() {
        let error =
            check_disjoint([("berlin", net("10.10.10.0/24")), ("madrid", net("10.10.0.0/16"))])
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "madrid's prefix 10.10.0.0/16 overlaps berlin's prefix 10.10.10.0/24"
        );
    }

    #[test]
    fn neighbouring_prefixes_and_other_families_do_not_overlap() {
        let claims =
            [("a", net("10.10.10.0/24")), ("b", net("10.10.11.0/24")), ("c", net("fd00::/64"))];
        assert_eq!(check_disjoint(claims), Ok(()));
    }

    #[test]
    fn a_larger_prefix_is_not_covered_by_a_smaller_one() {
        let bounds = [net("10.10.10.0/24")];
        assert!(covered(&net("10.10.10.128/25"), &bounds));
        assert!(!covered(&net("10.10.0.0/16"), &bounds));
        assert!(contains(&bounds, &"10.10.10.9".parse().unwrap()));
        assert!(!contains(&bounds, &"10.10.11.9".parse().unwrap()));
    }
}
