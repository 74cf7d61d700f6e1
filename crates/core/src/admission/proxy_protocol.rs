//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): the client's address before the
//! first byte of HTTP. Parses; whether the peer may say it is the listener's question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest version 1 header, bytes (section 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Longest version 2 header read, bytes: 16, 216 of addresses, and some for TLVs.
pub const V2_BYTES_MAX: usize = 536;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// The client; `None` where the proxy speaks for itself (LOCAL, UNKNOWN).
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.0
    }
}

/// The bytes are no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY protocol header")]
pub struct Malformed;

/// Reads a header off the front; `None` needs more bytes. Tells how many bytes it took.
///
/// # Errors
/// [`Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    if starts(bytes, V2_SIGNATURE) {
        return v2(bytes);
    }
    if starts(bytes, b"PROXY ") {
        return v1(bytes);
    }
    Err(Malformed)
}

/// Whether `bytes` begin with `mark`, as far as there are any.
fn starts(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(a, b)| a == b)
}

fn v1(bytes: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let head = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= V1_BYTES_MAX { Err(Malformed) } else { Ok(None) };
    };
    let line = head.get(..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().ok_or(Malformed)?;
    if family == "UNKNOWN" {
        return Ok(Some((Source(None), end + 2)));
    }
    let mut next = || words.next().ok_or(Malformed);
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port.to_string() == text);
    if next().is_ok() || !port(source_port) || !port(destination_port) {
        return Err(Malformed);
    }
    let ip = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination).map(IpAddr::V4),
        "TCP6" => both::<Ipv6Addr>(source, destination).map(IpAddr::V6),
        _ => None,
    };
    Ok(Some((Source(Some(ip.ok_or(Malformed)?)), end + 2)))
}

fn both<T: std::str::FromStr>(source: &str, destination: &str) -> Option<T> {
    destination.parse::<T>().ok()?;
    source.parse().ok()
}

fn v2(bytes: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let Some([version, family, high, low]) = bytes.get(12..16) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let total = 16 + length;
    if total > V2_BYTES_MAX || version >> 4 != 2 {
        return Err(Malformed);
    }
    let Some(addresses) = bytes.get(16..total) else { return Ok(None) };
    let ip = match (version & 0x0F, family >> 4) {
        (0, _) | (1, 0) => None,
        (1, 1) => Some(IpAddr::from(array::<4>(addresses.get(..12))?)),
        (1, 2) => Some(IpAddr::from(array::<16>(addresses.get(..36))?)),
        // A Unix socket's client has no address.
        (1, 3) => None,
        _ => return Err(Malformed),
    };
    Ok(Some((Source(ip), total)))
}

/// The first address of a block that must be whole.
fn array<const N: usize>(block: Option<&[u8]>) -> Result<[u8; N], Malformed> {
    block.and_then(|block| block.first_chunk()).copied().ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2_header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE.as_slice(), &[0x20 | command, family], &length, block].concat()
    }

    #[test]
    fn version_one_names_the_client() {
        let parsed = parse(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET /").unwrap().unwrap();
        assert_eq!(parsed, (Source(Some("192.0.2.1".parse().unwrap())), 45));
        let parsed = parse(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n").unwrap().unwrap();
        assert_eq!(parsed.0.client(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n").unwrap().unwrap().0.client(), None);
    }

    #[test]
    fn version_two_names_the_client() {
        let block = [192, 0, 2, 1, 198, 51, 100, 1, 0, 80, 1, 187];
        let parsed = parse(&v2_header(1, 0x11, &block)).unwrap().unwrap();
        assert_eq!(parsed, (Source(Some("192.0.2.1".parse().unwrap())), 28));
        let with_tlv = [block.as_slice(), &[4, 0, 1, 0]].concat();
        assert_eq!(parse(&v2_header(1, 0x11, &with_tlv)).unwrap().unwrap().1, 32);
        assert_eq!(parse(&v2_header(0, 0, &[])).unwrap().unwrap().0.client(), None);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bad in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        ] {
            assert_eq!(parse(bad), Err(Malformed), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(&v2_header(1, 0x11, &[1, 2])), Err(Malformed));
        assert_eq!(parse(&v2_header(2, 0x11, &[0; 12])), Err(Malformed));
        assert_eq!(parse(&v2_header(1, 0x11, &[0; V2_BYTES_MAX - 15])), Err(Malformed));
        assert!(parse(&v2_header(1, 0x11, &[0; V2_BYTES_MAX - 16])).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn any_cut_of_a_header_asks_for_more(cut in 0usize..45) {
            prop_assert_eq!(parse(&b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"[..cut]), Ok(None));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
            let _ = parse(&[V2_SIGNATURE.as_slice(), &bytes].concat());
        }
    }
}
