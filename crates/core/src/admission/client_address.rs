//! Who the client is behind proxies (SPEC 1.5).
//!
//! Believes a header only when the TCP peer is a trusted proxy, and reads it from the right: each trusted proxy
//! vouches for the address before it, and the first that is not trusted is the client. What a client wrote at the
//! left is never reached. A trusted proxy whose header cannot be read is refused: guessing would let its clients
//! share one address, or choose one.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::policy::checked::{ClientAddressFrom, Listen};
use crate::verdict::Reason;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses read from one request's headers.
pub const HOPS_MAX: usize = 32;

/// The client's address.
///
/// # Errors
/// [`Reason::ProxyHeaderInvalid`] where a trusted proxy's header holds something else than addresses.
pub fn resolve(peer: IpAddr, headers: &HeaderMap, listen: &Listen) -> Result<IpAddr, Reason> {
    let peer = peer.to_canonical();
    if !trusted(&listen.trusted_proxies, peer) {
        return Ok(peer);
    }
    let hops = match listen.client_address {
        // A PROXY header was taken off the socket before.
        ClientAddressFrom::Peer | ClientAddressFrom::ProxyProtocol => return Ok(peer),
        ClientAddressFrom::XForwardedFor => x_forwarded_for(headers),
        ClientAddressFrom::Forwarded => forwarded(headers),
    };
    let hops = hops.ok_or(Reason::ProxyHeaderInvalid)?;
    let client = hops.iter().rev().find(|hop| !trusted(&listen.trusted_proxies, **hop));
    Ok(client.or(hops.first()).copied().unwrap_or(peer))
}

fn trusted(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

fn x_forwarded_for(headers: &HeaderMap) -> Option<Vec<IpAddr>> {
    let mut hops = Vec::new();
    for value in headers.get_all(&X_FORWARDED_FOR) {
        for part in value.to_str().ok()?.split(',') {
            hops.push(address(part.trim())?);
        }
    }
    (hops.len() <= HOPS_MAX).then_some(hops)
}

/// RFC 7239 4: `for=` of each element.
fn forwarded(headers: &HeaderMap) -> Option<Vec<IpAddr>> {
    let mut hops = Vec::new();
    for value in headers.get_all(header::FORWARDED) {
        for element in value.to_str().ok()?.split(',') {
            let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
            let node = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, node)| node).next()?;
            hops.push(address(node.trim_matches('"'))?);
        }
    }
    (hops.len() <= HOPS_MAX).then_some(hops)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn listen(from: ClientAddressFrom) -> Listen {
        Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            workers: None,
            tls: None,
            tls_terminated_by_proxy: true,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            client_address: from,
            ipv6_prefix: 64,
            header_bytes_max: 16384,
            headers_max: 64,
            handshake_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(1),
            connections_max: 1,
        }
    }

    fn resolved(from: ClientAddressFrom, peer: &str, name: &'static str, value: &str) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        resolve(peer.parse().unwrap(), &headers, &listen(from)).map(|ip| ip.to_string())
    }

    #[test]
    fn a_header_counts_only_from_a_trusted_proxy_and_only_as_far_as_trust_goes() {
        use ClientAddressFrom::{Forwarded, Peer, XForwardedFor};
        let cases = [
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "192.0.2.1", Ok("192.0.2.1")),
            (XForwardedFor, "192.0.2.9", "x-forwarded-for", "192.0.2.1", Ok("192.0.2.9")),
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "1.1.1.1, 192.0.2.1", Ok("192.0.2.1")),
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.2", Ok("192.0.2.1")),
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "10.0.0.3, 10.0.0.2", Ok("10.0.0.3")),
            (XForwardedFor, "::ffff:10.0.0.1", "x-forwarded-for", "::ffff:192.0.2.1", Ok("192.0.2.1")),
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "192.0.2.1:4711", Ok("192.0.2.1")),
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "unknown", Err(Reason::ProxyHeaderInvalid)),
            (XForwardedFor, "10.0.0.1", "x-forwarded-for", "1.1.1.1,,2.2.2.2", Err(Reason::ProxyHeaderInvalid)),
            (XForwardedFor, "10.0.0.1", "forwarded", "for=192.0.2.1", Ok("10.0.0.1")),
            (Forwarded, "10.0.0.1", "forwarded", "for=192.0.2.1;proto=https", Ok("192.0.2.1")),
            (Forwarded, "10.0.0.1", "forwarded", "for=\"[2001:db8::1]:80\", for=10.0.0.2", Ok("2001:db8::1")),
            (Forwarded, "10.0.0.1", "forwarded", "for=_hidden", Err(Reason::ProxyHeaderInvalid)),
            (Peer, "10.0.0.1", "x-forwarded-for", "192.0.2.1", Ok("10.0.0.1")),
        ];
        for (from, peer, name, value, expected) in cases {
            assert_eq!(resolved(from, peer, name, value), expected.map(str::to_owned), "{from:?} {peer} {value}");
        }
    }

    #[test]
    fn so_many_hops_are_read_and_no_more() {
        let hops = |count: usize| vec!["192.0.2.1"; count].join(",");
        let from = ClientAddressFrom::XForwardedFor;
        assert!(resolved(from, "10.0.0.1", "x-forwarded-for", &hops(HOPS_MAX)).is_ok());
        assert!(resolved(from, "10.0.0.1", "x-forwarded-for", &hops(HOPS_MAX + 1)).is_err());
    }
}
