//! Values by address: sorted ranges, looked up by halving (SPEC 7.4).
//!
//! Made once from networks, then immutable: whoever has newer ones swaps the whole. A range of IPv4 costs 8 bytes and
//! its value, one of IPv6 32. An address in IPv4-mapped form is the IPv4 address.

use std::net::IpAddr;

use ipnet::IpNet;

/// Most networks that one set is made of: twice what the largest public databases hold.
pub const NETWORKS_MAX: usize = 8_000_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Ranges<V> {
    v4: Table<u32, V>,
    v6: Table<u128, V>,
}

#[derive(Debug, Clone)]
struct Table<A, V> {
    starts: Box<[A]>,
    ends: Box<[A]>,
    values: Box<[V]>,
}

impl<V> Default for Ranges<V> {
    fn default() -> Self {
        Self { v4: Table::default(), v6: Table::default() }
    }
}

impl<A, V> Default for Table<A, V> {
    fn default() -> Self {
        Self { starts: Box::default(), ends: Box::default(), values: Box::default() }
    }
}

impl<V: Copy + PartialEq> Ranges<V> {
    /// Sorts networks and their values. Where networks overlap, the widest one's value holds in all of it.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = (IpNet, V)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, value) in networks {
            match network {
                IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()), value)),
                IpNet::V6(net) => v6.push((u128::from(net.network()), u128::from(net.broadcast()), value)),
            }
        }
        Self { v4: Table::new(v4, |end| end.checked_add(1)), v6: Table::new(v6, |end| end.checked_add(1)) }
    }

    /// The value of an address.
    #[must_use]
    pub fn find(&self, ip: IpAddr) -> Option<V> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.find(u32::from(ip)),
            IpAddr::V6(ip) => self.v6.find(u128::from(ip)),
        }
    }

    /// Ranges held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.starts.len() + self.v6.starts.len()
    }

    /// Whether no address has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<A: Copy + Ord, V: Copy + PartialEq> Table<A, V> {
    fn new(mut spans: Vec<(A, A, V)>, after: impl Fn(A) -> Option<A>) -> Self {
        // The widest first where several begin at one address.
        spans.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut merged: Vec<(A, A, V)> = Vec::with_capacity(spans.len());
        for (start, end, value) in spans {
            match merged.last_mut() {
                // Networks never overlap by halves: one that begins within another ends there too.
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(last) if last.2 == value && after(last.1) == Some(start) => last.1 = end,
                _ => merged.push((start, end, value)),
            }
        }
        Self {
            starts: merged.iter().map(|span| span.0).collect(),
            ends: merged.iter().map(|span| span.1).collect(),
            values: merged.iter().map(|span| span.2).collect(),
        }
    }

    fn find(&self, address: A) -> Option<V> {
        let at = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        let end = *self.ends.get(at)?;
        if address <= end { self.values.get(at).copied() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_found_at_both_ends_of_its_network_and_not_beside_it() {
        let nets =
            [("10.0.0.0/8", 1), ("192.0.2.4/30", 2), ("255.255.255.255/32", 3), ("2001:db8::/32", 4), ("::/128", 5)];
        let ranges = Ranges::new(nets.map(|(net, value)| (net.parse().unwrap(), value)));
        for (address, value) in [
            ("10.0.0.0", Some(1)),
            ("10.255.255.255", Some(1)),
            ("11.0.0.0", None),
            ("9.255.255.255", None),
            ("192.0.2.3", None),
            ("192.0.2.4", Some(2)),
            ("192.0.2.7", Some(2)),
            ("192.0.2.8", None),
            ("255.255.255.255", Some(3)),
            ("::ffff:10.1.2.3", Some(1)),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some(4)),
            ("2001:db9::", None),
            ("::", Some(5)),
            ("::1", None),
        ] {
            assert_eq!(ranges.find(ip(address)), value, "{address}");
        }
    }

    #[test]
    fn neighbours_of_one_value_are_one_range() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let same = [(net("10.0.0.0/9"), 1), (net("10.128.0.0/9"), 1), (net("11.0.0.0/8"), 2), (net("10.3.0.0/16"), 1)];
        assert_eq!(Ranges::new(same).len(), 2);
        assert!(Ranges::<()>::new([]).is_empty());
        let all = Ranges::new([(net("0.0.0.0/0"), ()), (net("::/0"), ())]);
        assert!(all.find(ip("255.255.255.255")).is_some() && all.find(ip("ffff::1")).is_some());
    }

    proptest! {
        #[test]
        fn it_agrees_with_asking_every_network(
            nets in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..40),
            v6 in prop::collection::vec((any::<u128>(), 0_u8..=128), 0..20),
            ip: u32, near in 0_usize..40,
        ) {
            let v4 = nets.iter().map(|(addr, len)| IpNet::new(IpAddr::from(addr.to_be_bytes()), *len).unwrap());
            let v6 = v6.iter().map(|(addr, len)| IpNet::new(IpAddr::from(addr.to_be_bytes()), *len).unwrap());
            let all: Vec<IpNet> = v4.chain(v6).collect();
            let ranges = Ranges::new(all.iter().map(|net| (*net, ())));
            // Half of the time an address near one of them.
            let ip = nets.get(near).map_or(ip, |(addr, len)| addr ^ (ip >> len.min(&31)));
            let ip = IpAddr::from(ip.to_be_bytes());
            prop_assert_eq!(ranges.find(ip).is_some(), all.iter().any(|net| net.contains(&ip)));
            for net in &all {
                prop_assert!(ranges.find(net.network()).is_some() && ranges.find(net.broadcast()).is_some());
            }
        }
    }
}
