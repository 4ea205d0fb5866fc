//! How many of a thing one zone may say of itself: the bounds of its record.
//!
//! Other gateways refuse a record beyond them, and none is published: a gateway with such a file would
//! end at each start. Each is reported at the first value that is too many. The bounds themselves
//! belong to `zonemesh_core::record`.

use zonemesh_core::record::{MAX_ENDPOINTS, MAX_FEDERATIONS, MAX_PREFIXES, MAX_TUNNEL_IPS};

use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::mistakes::{Mistakes, Placed};

/// What is counted, how many there may be, and the way out.
struct Bound {
    what: &'static str,
    most: usize,
    fix: &'static str,
}

const ENDPOINTS: Bound = Bound {
    what: "endpoints of one gateway",
    most: MAX_ENDPOINTS,
    fix: "keep those that are reached best; one name may stand for many addresses",
};
const TUNNEL_ADDRESSES: Bound = Bound {
    what: "tunnel addresses of one gateway",
    most: MAX_TUNNEL_IPS,
    fix: "one of each family is enough: keep those that are in use",
};
const PREFIXES: Bound = Bound {
    what: "prefixes of one zone",
    most: MAX_PREFIXES,
    fix: "write neighbouring subnets as one wider subnet",
};
const FEDERATIONS: Bound = Bound {
    what: "federations of one zone",
    most: MAX_FEDERATIONS,
    fix: "let further federations have their SuperLinks in another zone",
};

pub(super) fn are_kept(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    ENDPOINTS.check(&draft.gateway.endpoints, mistakes);
    TUNNEL_ADDRESSES.check(&draft.tunnel.addresses, mistakes);
    PREFIXES.check(&draft.zone.prefixes, mistakes);
    FEDERATIONS.check(draft.federations.iter().filter_map(|one| one.name.as_ref()), mistakes);
    for peer in &draft.peers {
        ENDPOINTS.check(&peer.endpoints, mistakes);
        TUNNEL_ADDRESSES.check(&peer.tunnel_addresses, mistakes);
        PREFIXES.check(&peer.prefixes, mistakes);
    }
}

impl Bound {
    fn check<'d, T: 'd>(
        &self,
        values: impl IntoIterator<Item = &'d Placed<T>>,
        mistakes: &mut Mistakes<'_>,
    ) {
        let mut further = values.into_iter().skip(self.most);
        let Some(first_too_many) = further.next() else { return };
        let count = self.most + 1 + further.count();
        let found = format!("this is one of {count} {}", self.what);
        let complaint = Complaint::new(found, format!("at most {}", self.most), self.fix);
        mistakes.report_at(first_too_many, complaint);
    }
}
