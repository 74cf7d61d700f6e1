//! Lists of addresses that somebody warns of (SPEC 7.4): one address or network a line, FireHOL's netsets, Spamhaus'
//! DROP as text or JSON.
//!
//! Decides which lines name a network and whether the whole is a list at all. Comments begin with `#` or `;`; what
//! stands behind the first column is left out. A broken line is counted, and a text that is mostly broken lines is
//! refused: an error page is no list. Never fetches anything: bytes come in.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::ranges::{NETWORKS_MAX, Ranges};

/// Most lists: each is a search at every admission.
pub const LISTS_MAX: usize = 16;
/// Of all lines with content, this part may be broken: one in so many.
pub const BROKEN_SHARE: usize = 2;
/// Longest line read, bytes.
const LINE_BYTES_MAX: usize = 4096;

/// Why bytes are no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Nothing is on it.
    #[error("it holds no network")]
    Empty,
    /// It is something else.
    #[error(
        "{broken} of {lines} lines are neither address nor network, first line {first}; it is no list of addresses"
    )]
    Broken {
        /// Lines that name no network.
        broken: usize,
        /// Lines with content.
        lines: usize,
        /// The first broken line, from 1.
        first: usize,
    },
    /// It is too long.
    #[error("it has more than {NETWORKS_MAX} networks")]
    TooMany,
}

/// One list, read.
#[derive(Debug, Clone)]
pub struct ThreatList {
    ranges: Ranges<()>,
    networks: usize,
    broken: Option<(usize, usize)>,
}

impl ThreatList {
    /// Reads a list. One on which nothing stands is refused unless it may be empty: a file that an operator keeps may,
    /// a download that came to nothing may not.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn parse(bytes: &[u8], may_be_empty: bool) -> Result<Self, ListError> {
        let (mut networks, mut lines, mut broken, mut first) = (Vec::new(), 0, 0, 0);
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match read(line) {
                Line::Nothing => {}
                Line::Networks(found) => {
                    lines += 1;
                    if networks.len() + found.len() > NETWORKS_MAX {
                        return Err(ListError::TooMany);
                    }
                    networks.extend(found);
                }
                Line::Broken => {
                    lines += 1;
                    broken += 1;
                    if first == 0 {
                        first = number + 1;
                    }
                }
            }
        }
        if broken * BROKEN_SHARE > lines {
            return Err(ListError::Broken { broken, lines, first });
        }
        if networks.is_empty() && !(may_be_empty && broken == 0) {
            return Err(ListError::Empty);
        }
        let broken = (broken > 0).then_some((broken, first));
        Ok(Self { networks: networks.len(), ranges: Ranges::new(networks.into_iter().map(|net| (net, ()))), broken })
    }

    /// Networks named.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.networks
    }

    /// How many lines are broken, and the first of them, from 1.
    #[must_use]
    pub fn broken(&self) -> Option<(usize, usize)> {
        self.broken
    }
}

/// What a line says.
enum Line {
    Nothing,
    Networks(Vec<IpNet>),
    Broken,
}

fn read(line: &[u8]) -> Line {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    if line.len() > LINE_BYTES_MAX {
        return Line::Broken;
    }
    let Ok(line) = std::str::from_utf8(line) else { return Line::Broken };
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) || line.starts_with("//") {
        return Line::Nothing;
    }
    if line.starts_with('{') {
        return read_json(line);
    }
    let content = line.split(['#', ';', ',']).next().unwrap_or_default().trim();
    let mut words = content.split_whitespace();
    let (word, second, third) = (words.next().unwrap_or_default(), words.next(), words.next());
    let span = match (word.split_once('-'), second, third) {
        (Some(ends), ..) => Some(ends),
        (None, Some("-"), Some(end)) => Some((word, end)),
        _ => None,
    };
    let found = match span {
        Some((start, end)) => between(start, end),
        None => network(word).map(|net| vec![net]),
    };
    found.map_or(Line::Broken, Line::Networks)
}

/// Spamhaus' JSON: an object a line, the last one about the list itself.
fn read_json(line: &str) -> Line {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { return Line::Broken };
    match value.get("cidr").map(|cidr| cidr.as_str().and_then(network)) {
        Some(Some(net)) => Line::Networks(vec![net]),
        Some(None) => Line::Broken,
        None if value.get("type").is_some() => Line::Nothing,
        None => Line::Broken,
    }
}

/// All of the Internet is no threat; nobody lists it but by mistake.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(IpNet::from(ip.to_canonical()));
    }
    text.parse::<IpNet>().ok().filter(|net| net.prefix_len() > 0).map(|net| net.trunc())
}

fn between(start: &str, end: &str) -> Option<Vec<IpNet>> {
    let nets: Vec<IpNet> = match (start.trim().parse().ok()?, end.trim().parse().ok()?) {
        (IpAddr::V4(start), IpAddr::V4(end)) if start <= end => {
            Ipv4Subnets::new(start, end, 0).map(IpNet::V4).collect()
        }
        (IpAddr::V6(start), IpAddr::V6(end)) if start <= end => {
            Ipv6Subnets::new(start, end, 0).map(IpNet::V6).collect()
        }
        _ => return None,
    };
    nets.iter().all(|net| net.prefix_len() > 0).then_some(nets)
}

/// All lists, as admission asks them.
#[derive(Debug, Clone, Default)]
pub struct ThreatLists(Vec<Listed>);

/// A list under its name.
#[derive(Debug, Clone)]
struct Listed {
    name: Arc<str>,
    observe: bool,
    list: Arc<ThreatList>,
}

impl ThreatLists {
    /// Lists with their names, and whether who is on one is only observed. Those past [`LISTS_MAX`] are left out.
    pub fn new(lists: impl IntoIterator<Item = (Arc<str>, bool, Arc<ThreatList>)>) -> Self {
        let listed = lists.into_iter().take(LISTS_MAX);
        let mut listed: Vec<Listed> = listed.map(|(name, observe, list)| Listed { name, observe, list }).collect();
        // What refuses is asked first.
        listed.sort_by_key(|listed| listed.observe);
        Self(listed)
    }

    /// The list on which an address stands, and whether it refuses; one that refuses before one that observes.
    #[must_use]
    pub fn find(&self, ip: IpAddr) -> Option<(&Arc<str>, bool)> {
        let found = self.0.iter().find(|listed| listed.list.ranges.find(ip).is_some());
        found.map(|listed| (&listed.name, !listed.observe))
    }

    /// Names, and networks on each.
    pub fn sizes(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.0.iter().map(|listed| (&listed.name, listed.list.networks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn holds(list: &ThreatList, ip: &str) -> bool {
        list.ranges.find(ip.parse().unwrap()).is_some()
    }

    #[test]
    fn every_usual_form_of_a_line_is_read() {
        let text = "\u{feff}# a comment\n; another\n// and another\n\n192.0.2.1\r\n198.51.100.0/24 ; SBL1\n203.0.113.7\t# why\n\
            2001:db8::/32\n::ffff:192.0.2.9\n10.0.0.5/8,bad,2024\n192.0.3.1-192.0.3.4\n192.0.4.9 - 192.0.4.10\n\
            {\"cidr\":\"192.0.5.0/24\",\"sblid\":\"SBL2\",\"rir\":\"apnic\"}\n{\"type\":\"metadata\",\"records\":1}\n";
        let list = ThreatList::parse(text.as_bytes(), false).unwrap();
        assert_eq!(list.broken(), None);
        for ip in [
            "192.0.2.1",
            "198.51.100.200",
            "203.0.113.7",
            "2001:db8::9",
            "192.0.2.9",
            "10.9.9.9",
            "192.0.3.1",
            "192.0.3.4",
            "192.0.4.10",
            "192.0.5.77",
        ] {
            assert!(holds(&list, ip), "{ip}");
        }
        for ip in ["192.0.2.2", "192.0.3.5", "192.0.4.11", "198.51.101.0", "11.0.0.0", "2001:db9::"] {
            assert!(!holds(&list, ip), "{ip}");
        }
    }

    #[test]
    fn broken_lines_are_counted_and_the_first_is_named() {
        let list = ThreatList::parse(b"192.0.2.1\nnonsense\n192.0.2.2\n300.1.1.1\n", false).unwrap();
        assert_eq!((list.networks(), list.broken()), (2, Some((2, 2))));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let page = b"<!doctype html>\n<html>\n<body>not found</body>\n192.0.2.1\n";
        assert_eq!(ThreatList::parse(page, false).unwrap_err(), ListError::Broken { broken: 3, lines: 4, first: 1 });
        for (bytes, may_be_empty) in [(&b""[..], false), (b"# nothing\n", false)] {
            assert_eq!(ThreatList::parse(bytes, may_be_empty).unwrap_err(), ListError::Empty);
            assert!(ThreatList::parse(bytes, true).is_ok());
        }
        for line in [
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0-255.255.255.255",
            "192.0.2.9-192.0.2.1",
            "{\"cidr\":\"0.0.0.0/0\"}",
            "{}",
            "{",
        ] {
            assert!(ThreatList::parse(line.as_bytes(), true).is_err(), "{line}");
        }
        assert!(ThreatList::parse(&[0xFF; 10_000], true).is_err());
    }

    #[test]
    fn a_list_that_refuses_is_asked_before_one_that_observes() {
        let list = |text: &str| Arc::new(ThreatList::parse(text.as_bytes(), false).unwrap());
        let lists = ThreatLists::new([
            ("watch".into(), true, list("192.0.2.0/24\n203.0.113.1")),
            ("drop".into(), false, list("192.0.2.1")),
        ]);
        let found = |ip: &str| lists.find(ip.parse().unwrap()).map(|(name, refuses)| (name.to_string(), refuses));
        assert_eq!(found("192.0.2.1"), Some(("drop".into(), true)));
        assert_eq!(found("192.0.2.2"), Some(("watch".into(), false)));
        assert_eq!(found("198.51.100.1"), None);
    }

    #[test]
    fn published_lists_are_read_whole() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/ipsets");
        for (file, least, inside) in [
            ("sample_firehol.netset", 5, "192.0.2.1"),
            ("sample_ipset_single.ipset", 3, "192.0.2.200"),
            ("sample_spamhaus_drop.txt", 2, "198.51.100.77"),
            ("sample_spamhaus_drop_v6.json", 2, "2001:db8::5"),
        ] {
            let path = folder.join(file);
            let Ok(bytes) = std::fs::read(&path) else {
                println!("skipped: {} is not here", path.display());
                continue;
            };
            let list = ThreatList::parse(&bytes, false).unwrap();
            assert_eq!(list.broken(), None, "{file}");
            assert!(list.networks() >= least, "{file}: {}", list.networks());
            // Nothing is lost: the first column of every line is inside.
            let text = String::from_utf8(bytes).unwrap();
            for line in text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
                let net = network(line.split([' ', ';']).next().unwrap()).unwrap();
                assert!(list.ranges.find(net.network()).is_some(), "{file}: {line}");
            }
            assert!(holds(&list, inside), "{file}: {inside}");
        }
    }
}
