//! Which addresses count as one client.
//!
//! Decides nothing else. An IPv4 address written as IPv6 is the IPv4 address (RFC 4291 2.5.5.2); an IPv6
//! address counts as its network, because one subscriber holds a whole /64 (SPEC 1.5).

use std::net::{IpAddr, Ipv6Addr};

/// The IPv6 prefix length counted as one client unless the policy says otherwise.
pub const IPV6_PREFIX_DEFAULT: u8 = 64;

/// The address, or network, that a client is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpKey(IpAddr);

impl IpKey {
    /// The key of an address; `ipv6_prefix` is 1..=128 and anything outside is clamped.
    #[must_use]
    pub fn of(ip: IpAddr, ipv6_prefix: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self(IpAddr::V4(v4)),
            IpAddr::V6(v6) => {
                let host_bits = 128 - u32::from(ipv6_prefix.clamp(1, 128));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                Self(IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask)))
            }
        }
    }

    /// The address, or the network's first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }
}

impl std::fmt::Display for IpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_client_share_a_key() {
        let cases = [
            ("192.0.2.1", 64, "192.0.2.1"),
            ("::ffff:192.0.2.1", 64, "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", 64, "2001:db8:1:2::"),
            ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::"),
            ("ffff::1", 1, "8000::"),
            ("ffff::1", 0, "8000::"),
            ("::1", 255, "::1"),
        ];
        for (ip, prefix, want) in cases {
            assert_eq!(IpKey::of(ip.parse().unwrap(), prefix).to_string(), want, "{ip}/{prefix}");
        }
    }
}
