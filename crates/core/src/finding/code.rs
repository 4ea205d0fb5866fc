//! The one closed list of codes.
//!
//! A code never changes its meaning and its number is never used again; each has a page in
//! `docs/codes` with the same title. A new one is a row here and a page there. The letter: C context,
//! configuration and files; N network; P policy; T trust; F Flower.

use std::fmt;

use super::Severity;

/// What the list says of a code.
struct ListedCode {
    code: &'static str,
    severity: Severity,
    title: &'static str,
    sentence: &'static str,
    fix: &'static str,
}

/// Makes the enum and its table from one list, so that a code stands in one place.
macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $title:literal $sentence:literal $fix:literal;)+) => {
        /// What can be the matter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(
                #[doc = concat!($code, ": ", $title, ".")]
                $name,
            )+
        }

        impl Code {
            /// All of them, in the order of their letters and numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }

        const ROWS: &[ListedCode] = &[$(ListedCode {
            code: $code,
            severity: Severity::$severity,
            title: $title,
            sentence: $sentence,
            fix: $fix,
        }),+];
    };
}

codes! {
    RequestRefused "C101" Down "the gateway finds a field wrong"
        "the gateway refuses the request: {reason}"
        "correct the setting that the gateway names";
    FileUnusable "C102" Down "a file cannot be written or read"
        "[{file}: ]{reason}"
        "check the folder: its owner, its mount (`findmnt -T`), its free space (`df -h`) and inodes (`df -i`)";
    OtherVersion "C103" Down "the daemon is of another version"
        "this is {version} and the daemon does not know the question[: {reason}]"
        "install the same version of both; `zonemesh --version`";
    StateFolderUnwritable "C104" Degraded "the state folder cannot be written"
        "nothing can be written there: {reason}; tunnels run on, and no change is kept"
        "check the mount (`findmnt -T` it), the folder's owner, its free space (`df -h`) and inodes (`df -i`)";
    StateFolderOpen "C105" Note "others can open the state folder"
        "it is open to {found}"
        "nothing to do where the platform wants it; else `chmod 700` it";
    FileSetAside "C106" Note "a stored file could not be used"
        "{count} stored {count:file|files} could not be used and {count:was|were} set aside: {file}"
        "the journal said why: `journalctl -u zonemeshd`; when it is of no more use, delete it";
    TrustSetAside "C107" Degraded "a stored item of the mesh could not be used"
        "{count} stored {count:item|items} could not be used and {count:was|were} set aside: {file}; a revocation that is lost lets its zone in until a neighbour brings it"
        "compare `zonemesh zone list` here and on another gateway; when they agree, delete the file";
    BarsNotKept "C108" Degraded "what is barred is not kept for the next boot"
        "what is barred in the clear is not written down for the next boot: {reason}"
        "remove what stands in its place, or give the folder back to the user of the service";
    ConfigSyntax "C110" Down "the configuration is no TOML"
        "{file}: {found}, expected {expected}"
        "correct this line; `zonemesh config check` names every mistake";
    ConfigUnknownKey "C111" Down "the configuration has a key that nobody reads"
        "{file}: {setting}: {found}, expected {expected}"
        "correct its name, or remove it";
    ConfigMissingKey "C112" Down "the configuration lacks a key"
        "{file}: {setting}: {found}, expected {expected}"
        "add it";
    ConfigValue "C113" Down "a key does not take this value"
        "{file}: {setting}: {found}, expected {expected}"
        "correct the value";
    ConfigConflict "C114" Down "two settings contradict each other"
        "{file}: {setting}: {found}, expected {expected}"
        "correct one of the two";
    ReloadRefused "C115" Degraded "a reload was refused"
        "the reload of {file} was refused whole: {reason}"
        "correct the file and `zonemesh reload`, or put back what was there";
    ConfigNotInForce "C116" Note "the configuration file is not what is in force"
        "{file} is not what is in force: {found}"
        "`zonemesh config check` says more; `zonemesh reload` takes it";
    ConfigOfBefore "C117" Down "the gateway runs with the last good configuration"
        "{file} cannot be used, the last one that was in force is: {reason}"
        "correct the file (`zonemesh config check`), then `zonemesh reload`";
    OtherKeyWritten "C118" Note "a peer has another WireGuard key than is written here"
        "its WireGuard key is written here as {key}, its record names {expected}"
        "write the record's key into the section, then `zonemesh reload`";

    GatewayUnreachable "N201" Down "the gateway does not answer"
        "the gateway {address} does not answer: {reason}"
        "on the gateway: `zonemesh status`; here: check {vm:gateway} and the route to it";
    SuperLinkUnreachable "N202" Down "the SuperLink does not answer"
        "the SuperLink {address} does not answer: {reason}"
        "in the SuperLink's VM: is flower-superlink listening? between: `zonemesh peers`, firewalls";
    ZoneUnreachable "N203" Down "the gateway does not reach the SuperLink's zone"
        "the SuperLink {address} does not answer, and the gateway does not reach its zone {zone}"
        "on this zone's gateway: `zonemesh peers`";
    KeepaliveMismatch "N204" Degraded "keepalives do not fit the gateway's"
        "keepalives: {reason}"
        "install the same Zonemesh on both ends; `zonemesh status` shows both figures";
    TunnelSilent "N205" Down "nothing comes back through a tunnel"
        "{reason}[ ({address})]"
        "`ping` the address from here; the path broke, or the other gateway stopped";
    HandshakesUnanswered "N206" Down "handshakes are not answered"
        "{count} handshake {count:initiation|initiations} unanswered[ ({address})]"
        "check the peer's endpoint, its UDP port and both public keys";
    NoEndpoint "N207" Down "no endpoint of a peer is known"
        "no endpoint is known, and it has not called"
        "set {gateway.endpoints} in that zone or in this one: of two zones one must be called";
    PathLoses "N208" Degraded "a path loses packets"
        "tunnel degraded, {reason}[ ({address})]"
        "`mtr` to the address shows where; a shaped or busy uplink drops first";
    BlackHole "N209" Degraded "long packets do not pass"
        "nothing above {bytes} passes[ {found}][, though the underlay has {expected}]"
        "packets are kept below it; look for a link or firewall that drops longer ones";
    LaneUnanswered "N210" Degraded "a lane is not answered"
        "lane {lane} is not answered[ ({address})], the first carries its flows"
        "open its UDP port on both ends, or set {tunnel.lanes} to 1";
    StreamBroken "N211" Degraded "a registry stream is not up"
        "registry stream not up: {reason}"
        "it is tried again by itself; if it lasts, open TCP {registry.port} on the tunnel addresses of both gateways";
    EtcdOutOfReach "N212" Degraded "etcd is out of reach"
        "etcd is out of reach at {address}: {reason}; this zone works on without it"
        "check the cluster and {registry.etcd.endpoints}";
    PlanNotApplied "N213" Degraded "a route or peer cannot be set"
        "{reason}; trying again"
        "the kernel's words say why; another program may own the route or the address";
    ForwardingOff "N214" Degraded "the kernel does not forward packets"
        "{setting} is off: packets of this zone's VMs end here"
        "`sysctl -w` it to 1, and keep that in /etc/sysctl.d; a container is given it: `--sysctl`";
    NameUnresolved "N215" Degraded "an endpoint's name does not resolve"
        "cannot resolve {address}: {reason}"
        "check the name and this gateway's resolver; known addresses stay in use";
    KeepaliveMissed "N216" Note "a keepalive came late"
        "nothing was sent for longer than {seconds}"
        "nothing to do unless it repeats: the machine was too busy or stood still";
    BulkWorkRefused "N217" Note "the kernel does less in bulk"
        "more CPU for each packet: {reason}"
        "a newer kernel or another network card does more in bulk";
    TooManyRequests "N218" Note "a caller asks too much"
        "{reason}, {count} refused"
        "find out what runs there; `journalctl -u zonemeshd` names the caller";
    JoinNotListening "N219" Degraded "the join service cannot listen"
        "cannot listen[ on {address}]: {reason}"
        "free the port, or set another {join.listen}";
    DaemonUnreachable "N220" Down "no daemon at the admin socket"
        "no daemon answers at {address}[: {reason}]"
        "`systemctl status zonemeshd`";
    DaemonSilent "N221" Down "the daemon does not answer in time"
        "no answer within {seconds}"
        "`journalctl -u zonemeshd`";
    OuterAddressCovered "N222" Degraded "a granted network holds an outer address"
        "{prefix} holds {address}, {reason}"
        "grant that zone its own networks only: `zonemesh zone grant`, or correct its peer entry here";
    LocalNetworkInside "N223" Degraded "a local network lies inside another zone's"
        "{prefix} is this machine's as well ({found}): what is sent there from here stays here"
        "give one of the two other addresses, or remove that route of the table `local`; the rest of that zone works";
    ForeignRoute "N224" Note "somebody else routes another zone's network too"
        "{prefix} is also routed {found}: the tunnel is taken all the same"
        "nothing to do; who wants this line gone removes that route: `ip route`";
    GuardMissing "N225" Degraded "no packet filter bars other zones' packets in the clear"
        "the table inet zonemesh cannot be there: {reason}; only routes bar packets in the clear"
        "the kernel needs nf_tables: `modprobe nf_tables`; in a container load it on the host";
    NotListening "N226" Down "a service of this gateway cannot listen"
        "cannot listen on {address}: {reason}[, held by {found}]; trying again"
        "give this machine the address, or free the port: `ss -tanp`";
    Ipv6Off "N229" Degraded "IPv6 is switched off on this machine"
        "{setting} is 1: IPv4 goes on without IPv6 (addresses and networks left out: {count})"
        "`sysctl -w` it to 0, and keep that in /etc/sysctl.d (a container is given it: `--sysctl`); or take IPv6 out of {tunnel.addresses} and {zone.prefixes}";
    PeerStopped "N230" Down "a gateway was stopped"
        "its gateway said goodbye: it was stopped"
        "nothing to do if that is meant; else on that gateway: `systemctl start zonemeshd`";
    SendingRefused "N231" Down "this machine refuses to send to a peer"
        "what is sent to it is refused here: {reason}[ ({address})]"
        "`ip route get` the address from here; `nft list ruleset` shows what drops UDP that leaves";
    PassesOneWay "N232" Down "packets pass one way only"
        "what is sent there does not arrive, what comes from there does[ ({address})]"
        "look for a firewall between that drops UDP to the address, or on that gateway port {registry.port} on the tunnel's interface";
    LanDown "N233" Down "the link to this zone's VMs is down"
        "{found}: this zone's VMs are cut off"
        "`ip link` and `ip address`: plug it in, set it up, give it its address again";
    VmCutOff "N234" Degraded "other zones do not reach a VM"
        "it answers this gateway, and not what comes through the tunnel ({count} {count:time|times})"
        "is there a `forward` filter here (`nft list ruleset`), and a route back to other zones in the VM?";
    KeyUsedTwice "N235" Down "two hosts use one WireGuard key"
        "two hosts use its WireGuard key: {address}"
        "stop the gateway that was cloned, or give it keys of its own: a VM is not copied with them";
    GatewayNotFound "N236" Down "no gateway is found through OneGate"
        "no gateway of this zone is found through OneGate yet: {reason}"
        "nothing to do if the gateway's VM is still to come; else set {vm:gateway} to its address";
    WanDown "N237" Down "this gateway's own link to other zones is down"
        "{found}: zones behind it are cut off"
        "`ip link` and `ip route`: plug it in, set it up, give it its routes again";
    ChangedAgain "N238" Degraded "something else changes this gateway's routes again and again"
        "something else on this machine changes it each time that it is put right: {found}"
        "find out which program does: `ip monitor all` and `nft monitor`; NetworkManager, or another WireGuard tool?";
    WireGuardPeerRefused "N240" Degraded "a WireGuard peer does not get what is somebody else's"
        "{reason}: it does not get that"
        "take it out of its [[wireguard_peer]] section, or renumber one of the two; then `zonemesh reload`";
    HandshakesUnused "N241" Down "a WireGuard peer asks for sessions and uses none"
        "it has asked {count} {count:time|times} for a session and used none[ ({address})]"
        "compare the secret (`preshared_key`) at both ends; else this gateway's answers do not reach it";

    RegistrationRefused "P301" Down "the gateway refuses this VM"
        "the gateway refuses this VM: {reason}"
        "do what the words ask for: of {vm:federation}, {vm:token} and the address here, or of {federation}, {local_api.token} and {zone.prefixes} on the gateway";
    FederationClaimedTwice "P302" Degraded "two zones claim the federation"
        "more than one zone has registered a SuperLink for this federation[; {zone}'s is used]"
        "stop zonemesh-superlink in all zones but one; `zonemesh superlink list`";
    ForeignClaim "P303" Degraded "a zone claims what is not its own"
        "its record was refused: {reason}[ ({prefix})][, heard from {heard_from}]"
        "that zone's {zone.prefixes} and {tunnel.addresses} must be what it was granted";
    GrantsContradict "P304" Degraded "grants contradict each other"
        "{reason}"
        "`zonemesh zone list` shows both; revoke one and invite it again with other prefixes";
    NotAMember "P305" Down "this zone is not a member"
        "this zone is not granted in its mesh"
        "`zonemesh zone list`; an authority must grant it: `zonemesh zone invite`";
    ZoneBlocked "P306" Note "a zone is blocked here"
        "this gateway has no tunnel to it, as it was told"
        "`zonemesh zone unblock` ends that";
    AnnouncementRefused "P307" Degraded "this zone's record stays as it was"
        "what this zone would say now is refused: {reason}"
        "keep {zone.prefixes} and {tunnel.addresses} within the grant, or have it granted anew";
    InvitedNotGranted "P308" Degraded "an invited zone cannot be granted"
        "its invitation was redeemed, and it cannot be granted: {reason}"
        "`zonemesh zone list`; invite it again when that is repaired";
    ZoneLeft "P309" Note "this zone has left the mesh"
        "this zone has left the mesh[, at {time}]"
        "nothing to do if that is meant; to come back: `zonemesh zone join` with a new invitation";
    ChangeRefused "P310" Degraded "the mesh refuses a change"
        "{reason}"
        "`zonemesh zone list` shows how the mesh stands";
    GrantOverlaps "P311" Degraded "a grant would overlap another zone's"
        "{reason}"
        "grant other prefixes; `zonemesh zone list` shows those in use";
    NotPermitted "P312" Down "a permission is missing"
        "{reason}"
        "type the same with sudo in front";
    GrantReserved "P313" Degraded "a grant names addresses that no zone may have"
        "{reason}"
        "revoke it and invite the zone again with its own prefixes";
    AuthorityConflict "P314" Degraded "two authority sets follow the same one"
        "{reason}: owners have signed both"
        "`zonemesh authority list`; ask the owners which one counts, then `zonemesh authority pin` at each gateway";
    AuthorityPinned "P315" Note "the authority set was pinned here"
        "this gateway follows a set that its operator has chosen"
        "nothing to do: told until the next set";
    GrantNotListed "P316" Degraded "a zone is out, as the authority set does not list it"
        "its grant came while the authority set was changed, or it was left out"
        "if it belongs to the mesh, sign its grant anew: `zonemesh zone invite`";
    RevocationOvertaken "P317" Degraded "a revoked zone is granted by the new authority set"
        "it was revoked here, and the author of the new set had not heard: it is kept out here"
        "`zonemesh zone revoke` confirms it, `zonemesh zone unblock` lets the zone in here";
    AuthorityAwaited "P318" Degraded "an authority set waits for its list"
        "{count} {count:part of its list of zones is|parts of its list of zones are} not here yet"
        "wait for a gateway that has them, or give this one the file: `zonemesh trust import`";
    BeyondGrant "P319" Degraded "this zone has more than it is granted"
        "{prefix} is not granted: no other zone reaches it. At an authority: {expected}"
        "have it granted, or take it out of {zone.prefixes} and {tunnel.addresses}";
    HostingNotGranted "P320" Down "this zone may not host a federation that it hosts"
        "the grant of this zone does not let it host the federation: no zone finds its SuperLink here"
        "have it granted with host (`zonemesh zone grant`); or take its {federation} out here and stop its SuperLink";
    NoMesh "P321" Degraded "this gateway is in no mesh yet"
        "nothing is founded or joined here, and no peer is written"
        "`zonemesh zone join FILE` with an invitation; the first zone: `zonemesh mesh init`";
    VmRefused "P322" Degraded "this gateway refuses a VM"
        "it is refused: {reason}"
        "correct what its companion shows: {vm:token}, {vm:federation}, {vm:address}";

    WrongCa "T401" Down "wrong CA"
        "[the SuperLink {address}: ]{reason}"
        "restart zonemesh-superlink in the SuperLink's VM so that it takes a certificate of this federation's CA";
    OtherName "T402" Down "the certificate is not for the address that is dialled"
        "the SuperLink {address}: {reason}"
        "set {vm:address} in the SuperLink's VM, or add the address to extra_sans of the federation";
    CertificateOver "T403" Down "the certificate is over, or not valid yet"
        "the SuperLink {address}: {reason}"
        "check both clocks (`timedatectl`); restart zonemesh-superlink in the SuperLink's VM to renew its certificate";
    ClockSkew "T404" Down "this clock is too far from the SuperLink's"
        "this clock is {clock_ahead_ms} the SuperLink's; Flower accepts at most 5 s ahead, 300 s behind"
        "run NTP (chrony) here and in the SuperLink's VM; `chronyc tracking` shows the offset";
    OtherGatewayKey "T405" Down "the gateway is not of the zone that the token pins"
        "the gateway {address} does not prove to be of the zone that the token pins: {reason}"
        "is {vm:gateway} this zone's gateway, and {vm:token} one of this zone? `LOCAL API` of `zonemesh status` there shows what its tokens pin";
    TokenRefused "T406" Down "the gateway does not know the token"
        "the gateway refuses the token: {reason}"
        "was {vm:token} copied whole? on the gateway `zonemesh token list` shows which it takes; only if it is none of them: `zonemesh key generate token`, its sha256 into {local_api.token}, the token into {vm:token}";
    NotTls "T407" Down "no Flower with TLS at the Fleet port"
        "{address} does not answer as Flower does with TLS: {reason}"
        "find out which program listens there: only the SuperLink's companion should start it";
    CertificateRefused "T408" Down "the certificate is refused for another reason"
        "the SuperLink {address}: {reason}"
        "find out which program listens there: only zonemesh-superlink should start it";
    KeyRevoked "T409" Down "this zone's key was revoked"
        "this zone's key was revoked[ by {key}][ at {time}][: {reason}]"
        "move {registry.identity_key_file} away, restart, and join again with a new invitation";
    GrantedOtherKey "T410" Down "this zone is granted with another key"
        "this zone is granted with another key than this gateway's"
        "give this gateway its old {registry.identity_key_file} back, or join again with a new invitation";
    ClonedGateway "T411" Degraded "two gateways write with one zone key"
        "{count} records of one version but other bytes: a gateway was cloned with its keys"
        "stop the clone; to be safe revoke the key and join again with a new one";
    InvalidItem "T412" Degraded "a neighbour sends what is not valid"
        "a {kind} was refused: {reason}[, heard from {heard_from}]"
        "bring both gateways to the same release; if it lasts, `zonemesh zone block` it";
    StreamRefused "T413" Degraded "a registry stream is refused"
        "registry stream refused: {reason}"
        "both ends must be of one mesh and know each other's zone key: `zonemesh zone list`";
    WireGuardKeyTaken "T414" Degraded "a WireGuard key is another's"
        "{reason}"
        "each gateway has a key of its own: `zonemesh key rotate` there, in both zones if both prove it";
    ClockWentBack "T415" Degraded "the clock went back"
        "the clock is {seconds} behind where it was before: peers may refuse handshakes from here until it is right"
        "run NTP (chrony); `timedatectl`";
    PeerClockOff "T416" Degraded "a zone's clock is off"
        "its clock is {clock_ahead_ms} this gateway's"
        "run NTP (chrony) on both gateways; `timedatectl`";
    FederationCaUnusable "T417" Down "a federation's CA cannot be used"
        "its SuperLink cannot be certified: {reason}"
        "restore its files in {gateway.state_dir}: `zonemesh state restore`";
    RotationStuck "T418" Degraded "the old WireGuard key stays"
        "the rotation cannot be finished: {reason}"
        "`zonemesh key rotate --show` says who is waited for";
    KeyFileOpen "T419" Degraded "others can read a key file"
        "others can read {file}"
        "`chmod 600` it, and rotate the key if somebody did";
    Unusable "T420" Down "a certificate, invitation or trust item cannot be used"
        "{reason}"
        "ask for a new one";

    OtherFlower "F501" Down "the two Flowers are of different versions"
        "Flower is {version} here and {their_version} in the SuperLink: they cannot connect"
        "install the SuperLink's version here, or this one in the SuperLink's VM";
    FlowerPrograms "F502" Down "Flower's programs are not usable"
        "{reason}"
        "check {vm:flower_bin} and {vm:flower_version}; `flwr --version` must work there";
    FlowerEnded "F503" Degraded "Flower ended by itself"
        "Flower ended: {reason}"
        "the last lines of Flower's log in {vm:state_dir}/log say why";
    FlowerUnsupported "F504" Down "this Flower is not supported"
        "Flower {version} is installed here, and this companion runs {expected} only"
        "install a version that is supported";
    NotServing "F505" Degraded "the SuperLink does not serve yet"
        "the SuperLink does not serve on {address} yet: {reason}"
        "wait; if it lasts longer than two minutes, read Flower's log in {vm:state_dir}/log";
    PartitionUnknown "F506" Down "a SuperNode's partition is not known"
        "this VM's partition is not known yet: {reason}"
        "nothing to do if OneGate is only late; else set {vm:node_config}, as in `partition-id=0 num-partitions=2`";
    FlowerSilent "F507" Degraded "Flower's programs do not answer"
        "{reason}"
        "nothing to do if this machine is only busy; else `flwr --version` in {vm:flower_bin}, as Flower's user, must end";
    NoSuperLink "F510" Degraded "no SuperLink is registered"
        "no zone has registered a SuperLink for the federation {federation} yet"
        "nothing to do if its VM is still to come; else `zonemesh superlink list` on its gateway";
    SuperLinkNotReady "F511" Degraded "the SuperLink is not ready"
        "the SuperLink in zone {zone} is {found}"
        "wait; if it lasts, read the log of zonemesh-superlink in that VM";
    CompanionBlocked "F512" Degraded "a companion does not get on"
        "its companion does not get on: {found}: {reason}"
        "`journalctl` of the companion in that VM says more";
    NodeKeyReplaced "F513" Note "a SuperNode has a new key"
        "the key that Flower knew this SuperNode by is set aside, and there is a new one: {reason}"
        "nothing to do: it is registered by itself; Flower gives the SuperNode another number";
    NodeNotRegistered "F514" Degraded "a SuperNode's key is not registered"
        "the SuperLink in zone {zone} has not registered this SuperNode's key yet"
        "wait; if it lasts, read the log of zonemesh-superlink in that VM; `zonemesh zone list`: does this zone's grant let it train?";
    NodeNotOnline "F515" Degraded "a SuperNode is not online"
        "Flower runs here, and the SuperLink in zone {zone} does not have it online"
        "wait; if it lasts longer than two minutes, read Flower's log in {vm:state_dir}/log";
    ControlRefused "F516" Degraded "SuperNodes cannot be registered"
        "this SuperLink cannot be told or asked which SuperNodes take part: {reason}"
        "who takes part already goes on; `flwr supernode list` and Flower's log in {vm:state_dir}/log say more";
    NodeKeyTaken "F517" Down "a SuperNode's key was registered by somebody else"
        "the SuperLink in zone {zone} does not take this SuperNode's key, and never had it: somebody else has registered it there before; another one is made within {seconds}"
        "find out who reaches the SuperLink's Control API and let only its own VM: `flwr supernode list` there shows what nobody named";
    OwnGatewayAway "F520" Down "the gateway of this VM is not there yet"
        "the gateway of this VM is not there yet: {reason}"
        "nothing to do while it starts; else here: `journalctl -u zonemesh-gateway -u zonemeshd`";
    RouteNotSet "F525" Degraded "a VM's route to another zone is not set"
        "{reason}"
        "in this VM: `ip route`; remove the route that leads elsewhere, or give the network's ROUTES by CONTEXT";
}

impl Code {
    /// The stable code: `N206`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// What it is about, as its page is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// How bad it usually is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.row().severity
    }

    /// The evidence in one sentence, with gaps: see [`super::sentence`].
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.row().sentence
    }

    /// True if its sentence has a gap.
    #[must_use]
    pub fn needs_evidence(self) -> bool {
        self.sentence().contains('{')
    }

    /// What usually helps, with settings in braces: see [`super::Fix`].
    #[must_use]
    pub const fn fix(self) -> &'static str {
        self.row().fix
    }

    /// The code of this text, if it is on the list.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    const fn row(self) -> &'static ListedCode {
        &ROWS[self as usize]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Evidence, Fix, placeholders, sentence};
    use super::*;

    #[test]
    fn every_code_is_a_letter_and_three_digits_and_stands_once() {
        for code in Code::ALL {
            let text = code.as_str();
            assert!(text.len() == 4 && text.starts_with(['C', 'N', 'P', 'T', 'F']), "{text}");
            assert!(text[1..].chars().all(|digit| digit.is_ascii_digit()), "{text}");
            assert_eq!(Code::of(text), Some(*code));
        }
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        assert_eq!(Code::of("N999"), None);
    }

    #[test]
    fn the_list_is_in_the_order_of_its_numbers() {
        let place = |code: &Code| ("CNPTF".find(&code.as_str()[..1]), &code.as_str()[1..]);
        assert!(Code::ALL.is_sorted_by_key(place));
    }

    #[test]
    fn sentences_ask_for_evidence_that_there_is() {
        for code in Code::ALL {
            for name in placeholders(code.sentence()) {
                assert!(Evidence::NAMES.contains(&name), "{code} asks for {name:?}");
            }
            let whole = sentence(code.sentence(), |name| Some(name.to_owned()));
            assert!(!whole.contains(['{', '}', '[', ']']), "{code}: {whole}");
            assert!(!whole.ends_with('.'), "{code} ends with a full stop");
        }
    }

    #[test]
    fn every_code_says_what_to_do() {
        for code in Code::ALL {
            let fix = Fix::from(code.fix()).spelled();
            assert!(!fix.is_empty() && !fix.contains(['{', '}']), "{code}: {fix}");
            assert!(!code.title().is_empty() && !code.title().ends_with('.'), "{code}");
        }
    }
}
