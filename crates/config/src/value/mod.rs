//! The parsers of single values: one TOML value to one typed value, or what is wrong with it.
//!
//! Each says what was found, what was expected and the way out. Keys and hashes are never repeated
//! in a message, because people paste the secret where the public half belongs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::de::DeValue;
use zonemesh_core::key::{KeyError, WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::name::{FederationName, NameError, ZoneName};

use crate::endpoint::{Endpoint, EndpointError, is_dns_name};
use crate::reader::{Complaint, kind, nearest};
use crate::settings::{Lanes, LogFormat, LogLevel, SubjectName};

/// The longest path of a unix socket (`sun_path` of 108 bytes, with its final zero).
const SOCKET_PATH_MAX: usize = 107;
/// The longest name of a network interface (`IFNAMSIZ` of 16, with its final zero).
const INTERFACE_NAME_MAX: usize = 15;
/// RFC 8200, section 5: every IPv6 link carries 1280 bytes.
const MTU_MIN: u16 = 1280;
/// An IPv6 header, a UDP header and WireGuard's 32 bytes have to fit round a packet of this size.
const MTU_MAX: u16 = 65535 - 80;
/// Seldom enough to weigh nothing, often enough to see a cut within seconds.
const PROBE_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(5);

fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, Complaint> {
    value.as_str().ok_or_else(|| {
        Complaint::new(format!("found {}", kind(value)), expected, "write it in quotes")
    })
}

pub(crate) fn zone_name(value: &DeValue<'_>) -> Result<ZoneName, Complaint> {
    label(value, "a zone name")
}

pub(crate) fn federation_name(value: &DeValue<'_>) -> Result<FederationName, Complaint> {
    label(value, "a federation name")
}

/// A gateway's name obeys the same rule as a zone's.
pub(crate) fn gateway_name(value: &DeValue<'_>) -> Result<String, Complaint> {
    label::<ZoneName>(value, "a gateway name").map(String::from)
}

fn label<N: std::str::FromStr<Err = NameError>>(
    value: &DeValue<'_>,
    what: &str,
) -> Result<N, Complaint> {
    let expected = format!("{what} of 1 to 63 characters a-z, 0-9 and '-'");
    let name = text(value, &expected)?;
    name.parse().map_err(|error: NameError| {
        let lower = name.to_lowercase().replace(['_', '.', ' '], "-");
        let fix = match lower.parse::<N>() {
            Ok(_) => format!("write {lower:?}"),
            Err(_) => error.to_string(),
        };
        Complaint::new(format!("found {name:?}"), expected, fix)
    })
}

/// A name for logs: anything printable that fits a line.
pub(crate) fn token_name(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "a name of 1 to 64 printable characters";
    let name = text(value, expected)?;
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(Complaint::new(format!("found {name:?}"), expected, "name the VM or its owner"))
}

pub(crate) fn prefix(value: &DeValue<'_>) -> Result<IpNet, Complaint> {
    let expected = "a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"";
    let text = text(value, expected)?;
    let complaint = |fix: String| Complaint::new(format!("found {text:?}"), expected, fix);
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (Err(_), Ok(_)) => return Err(complaint("add the length after a '/'".to_owned())),
        (Err(_), Err(_)) => {
            let fix = "write the address, a '/' and a length of at most 32 (IPv4) or 128 (IPv6)";
            return Err(complaint(fix.to_owned()));
        }
    };
    if net.prefix_len() == 0 {
        let fix = "name the zone's own subnets: this would take every packet";
        return Err(complaint(fix.to_owned()));
    }
    if net.addr() != net.network() {
        let found = format!("found {text:?}, which has host bits set");
        let fix = format!("write \"{}\"", net.trunc());
        return Err(Complaint::new(found, expected, fix));
    }
    Ok(net)
}

pub(crate) fn tunnel_address(value: &DeValue<'_>) -> Result<IpAddr, Complaint> {
    let expected = "an IP address such as \"10.255.0.1\"";
    let text = text(value, expected)?;
    let complaint = |fix: String| Complaint::new(format!("found {text:?}"), expected, fix);
    let Ok(address) = text.parse::<IpAddr>() else {
        let fix = match text.parse::<IpNet>() {
            Ok(net) => format!("write \"{}\", without a length", net.addr()),
            Err(_) => "give one address, without port or length".to_owned(),
        };
        return Err(complaint(fix));
    };
    if address.is_unspecified() || address.is_multicast() {
        return Err(complaint("choose an address that belongs to one gateway".to_owned()));
    }
    Ok(address)
}

pub(crate) fn endpoint(value: &DeValue<'_>) -> Result<Endpoint, Complaint> {
    let expected = "an address or DNS name with a port, such as \"203.0.113.1:51820\"";
    let text = text(value, expected)?;
    text.parse().map_err(|error: EndpointError| {
        let fix = match &error {
            EndpointError::NoPort => format!("write \"{text}:51820\""),
            EndpointError::Port(_) => "give a port from 1 to 65535".to_owned(),
            EndpointError::Brackets => match text.parse::<IpAddr>() {
                Ok(ip) => format!("write \"[{ip}]:51820\""),
                Err(_) => "write \"[address]:port\"".to_owned(),
            },
            EndpointError::Host(_) | EndpointError::NotOneMachine(_) => {
                "give the address at which the gateway is reached".to_owned()
            }
        };
        Complaint::new(format!("found {text:?}: {error}"), expected, fix)
    })
}

/// `http://host:port` or `https://host:port`, in lower case.
pub(crate) fn url(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "a URL with a port, such as \"https://10.10.10.9:2379\"";
    let text = text(value, expected)?;
    let complaint = |fix: String| Complaint::new(format!("found {text:?}"), expected, fix);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(complaint("begin it with https:// or http://".to_owned()));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(complaint("begin it with https:// or http://".to_owned()));
    }
    let endpoint = rest.trim_end_matches('/').parse::<Endpoint>();
    let endpoint = endpoint.map_err(|error| complaint(format!("after {scheme}:// {error}")))?;
    Ok(format!("{scheme}://{endpoint}"))
}

/// The beginning of etcd keys.
pub(crate) fn key_prefix(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected =
        "a prefix of 2 to 200 printable characters that begins with '/' and does not end with one";
    let text = text(value, expected)?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = (2..=200).contains(&text.len()) && printable;
    if fits && text.starts_with('/') && !text.ends_with('/') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("found {text:?}"), expected, "\"/zonemesh\" is usual"))
}

/// A user of etcd.
pub(crate) fn user(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "a user of etcd, 1 to 64 printable characters";
    let name = text(value, expected)?;
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(Complaint::new(format!("found {name:?}"), expected, "ask whoever runs etcd"))
}

pub(crate) fn truth(value: &DeValue<'_>) -> Result<bool, Complaint> {
    value.as_bool().ok_or_else(|| {
        let found = format!("found {}", kind(value));
        Complaint::new(found, "true or false", "write it without quotes")
    })
}

pub(crate) fn listen_address(value: &DeValue<'_>) -> Result<SocketAddr, Complaint> {
    let expected = "an IP address with a port, such as \"10.10.10.1:51822\"";
    let text = text(value, expected)?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        Ok(_) => Err(Complaint::new(
            format!("found {text:?}"),
            expected,
            "give a port from 1 to 65535: VMs must know it beforehand",
        )),
        Err(_) => Err(Complaint::new(
            format!("found {text:?}"),
            expected,
            "give the gateway's address on the zone's LAN and a port",
        )),
    }
}

pub(crate) fn port(value: &DeValue<'_>) -> Result<u16, Complaint> {
    let fix = match integer(value) {
        Some(port @ 1..) => return Ok(port),
        _ if value.is_str() => "write a number without quotes",
        _ => "leave it out for the default",
    };
    Err(Complaint::new(format!("found {}", kind(value)), "a port from 1 to 65535", fix))
}

pub(crate) fn lanes(value: &DeValue<'_>) -> Result<Lanes, Complaint> {
    match integer(value) {
        Some(count @ 1..=8) => Ok(Lanes::Count(count as u8)),
        _ if value.as_str() == Some("auto") => Ok(Lanes::Auto),
        _ => Err(Complaint::new(
            format!("found {}", kind(value)),
            "\"auto\" or 1 to 8 lanes",
            "leave it out: each lane needs a core of its own on both gateways",
        )),
    }
}

pub(crate) fn neighbours(value: &DeValue<'_>) -> Result<u16, Complaint> {
    match integer(value) {
        Some(count @ 2..=64) => Ok(count),
        _ => Err(Complaint::new(
            format!("found {}", kind(value)),
            "2 to 64 neighbours",
            "6 is usual: fewer make changes slow to arrive, more cost traffic",
        )),
    }
}

pub(crate) fn mtu(value: &DeValue<'_>) -> Result<u16, Complaint> {
    match integer(value) {
        Some(mtu @ MTU_MIN..=MTU_MAX) => Ok(mtu),
        _ => Err(Complaint::new(
            format!("found {}", kind(value)),
            format!("{MTU_MIN} to {MTU_MAX} bytes"),
            "leave it out, or take the path's MTU less 80 (1420 on Ethernet); IPv6 needs at least 1280",
        )),
    }
}

fn integer(value: &DeValue<'_>) -> Option<u16> {
    let number = value.as_integer()?;
    u16::from_str_radix(number.as_str(), number.radix()).ok()
}

pub(crate) fn interface(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "an interface name of 1 to 15 characters without '/', ':' and spaces";
    let name = text(value, expected)?;
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let fits = (1..=INTERFACE_NAME_MAX).contains(&name.len());
    if fits && !name.contains(forbidden) && name != "." && name != ".." {
        return Ok(name.to_owned());
    }
    Err(Complaint::new(format!("found {name:?}"), expected, "\"zm0\" is usual"))
}

pub(crate) fn file(value: &DeValue<'_>) -> Result<PathBuf, Complaint> {
    let expected = "an absolute path";
    let path = text(value, expected)?;
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(PathBuf::from(path));
    }
    let fix = "begin it with '/': a service starts in a folder of the system's choice";
    Err(Complaint::new(format!("found {path:?}"), expected, fix))
}

pub(crate) fn socket(value: &DeValue<'_>) -> Result<PathBuf, Complaint> {
    let path = file(value)?;
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_MAX {
        return Ok(path);
    }
    Err(Complaint::new(
        format!("found a path of {length} bytes"),
        format!("at most {SOCKET_PATH_MAX} bytes, the limit of unix sockets"),
        "choose a shorter folder, such as /run/zonemesh",
    ))
}

pub(crate) fn duration(value: &DeValue<'_>) -> Result<Duration, Complaint> {
    let expected = "a duration with its unit, such as \"25s\"";
    if let Some(number) = value.as_integer() {
        let found = format!("found the number {}", number.as_str());
        let fix = format!("write \"{}s\" if seconds are meant", number.as_str());
        return Err(Complaint::new(found, expected, fix));
    }
    let text = text(value, expected)?;
    humantime::parse_duration(text)
        .map_err(|error| Complaint::new(format!("found {text:?}"), expected, error.to_string()))
}

pub(crate) fn probe_interval(value: &DeValue<'_>) -> Result<Duration, Complaint> {
    let interval = duration(value)?;
    if PROBE_INTERVALS.contains(&interval) {
        return Ok(interval);
    }
    let found = format!("found {}", humantime::format_duration(interval));
    let fix = "\"1s\" is usual: a cut is then seen after 6s";
    Err(Complaint::new(found, "100ms to 5s", fix))
}

pub(crate) fn expiry(value: &DeValue<'_>) -> Result<SystemTime, Complaint> {
    let expected = "a time of RFC 3339 in quotes, such as \"2027-01-01T00:00:00Z\"";
    let text = text(value, expected)?;
    OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from).map_err(|error| {
        let fix = format!("write date, 'T', time and zone ({error})");
        Complaint::new(format!("found {text:?}"), expected, fix)
    })
}

pub(crate) fn wireguard_key(value: &DeValue<'_>) -> Result<WireGuardPublicKey, Complaint> {
    let expected = "the peer's WireGuard public key, 44 characters of base64";
    let ask = "ask the peer for what `zonemesh key public /var/lib/zonemesh/wireguard.key` prints";
    let key: WireGuardPublicKey = public_key(value, expected, ask)?;
    if key.0 == [0; 32] {
        let found = "found 32 zero bytes: the key is a placeholder";
        return Err(Complaint::new(found, expected, ask));
    }
    Ok(key)
}

pub(crate) fn zone_key(value: &DeValue<'_>) -> Result<ZonePublicKey, Complaint> {
    let expected = "the peer's zone public key, \"ed25519:\" and 44 characters of base64";
    let ask = "ask the peer for what `zonemesh key public /var/lib/zonemesh/zone.key` prints";
    public_key(value, expected, ask)
}

fn public_key<K: std::str::FromStr<Err = KeyError>>(
    value: &DeValue<'_>,
    expected: &str,
    ask: &str,
) -> Result<K, Complaint> {
    let text = text(value, expected)?;
    text.parse().map_err(|error: KeyError| {
        let found = format!("found {} characters: {error}", text.chars().count());
        Complaint::new(found, expected, ask)
    })
}

pub(crate) fn sha256(value: &DeValue<'_>) -> Result<[u8; 32], Complaint> {
    let expected = "the token's SHA-256, 64 hexadecimal digits";
    let text = text(value, expected)?;
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Option<[u8; 32]> = digits
        .filter(|digits| digits.len() == 64)
        .map(|digits| std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1]));
    bytes.ok_or_else(|| {
        Complaint::new(
            format!("found {} other characters", text.chars().count()),
            expected,
            "`zonemesh key generate token` prints both the token and its SHA-256",
        )
    })
}

pub(crate) fn subject_name(value: &DeValue<'_>) -> Result<SubjectName, Complaint> {
    let expected = "a DNS name or an IP address";
    let text = text(value, expected)?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SubjectName::Ip(ip));
    }
    if is_dns_name(text) {
        return Ok(SubjectName::Dns(text.to_ascii_lowercase()));
    }
    let fix = "write it without scheme, port, length and wildcard";
    Err(Complaint::new(format!("found {text:?}"), expected, fix))
}

pub(crate) fn log_level(value: &DeValue<'_>) -> Result<LogLevel, Complaint> {
    one_of(value, &LogLevel::ALL.map(|level| (level.as_str(), level)))
}

pub(crate) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, Complaint> {
    one_of(value, &LogFormat::ALL.map(|format| (format.as_str(), format)))
}

fn one_of<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, Complaint> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let expected = format!("one of {}", words.join(", "));
    let text = text(value, &expected)?;
    let choice = choices.iter().find(|(word, _)| *word == text);
    choice.map(|(_, choice)| *choice).ok_or_else(|| {
        let fix = match nearest(text, &words) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write {:?}", words[0]),
        };
        Complaint::new(format!("found {text:?}"), expected, fix)
    })
}
