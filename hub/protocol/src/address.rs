//! The rule that separates addresses of the public Internet from all others.
//!
//! The agent applies the rule to the addresses that web pages and people name, the hub's egress proxy to the addresses
//! that names resolve to. The rule refuses every block that RFC 6890 and its registries list as special, including the
//! few that are "globally reachable" but serve a protocol (anycast relays, protocol assignments).
//!
//! Sources: the IANA registries of special-purpose addresses
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>) and RFC 4291, section 2.4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns `true` if `address` is a unicast address of the public Internet.
///
/// An IPv6 address that carries an IPv4 address to which packets are translated or tunnelled (NAT64, 6to4, ISATAP) is
/// public only if that IPv4 address is. IPv4-mapped addresses are never public: they are a second spelling of an
/// address, and a caller that means the IPv4 address has to pass it as such.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This network (RFC 791), private use (RFC 1918), loopback (RFC 1122).
        [0 | 10 | 127, ..] => false,
        // Shared address space of carriers (RFC 6598).
        [100, 64..=127, ..] => false,
        // Link local, including the metadata services of clouds (RFC 3927).
        [169, 254, ..] => false,
        // Private use (RFC 1918).
        [172, 16..=31, ..] | [192, 168, ..] => false,
        // Protocol assignments (RFC 6890), documentation (RFC 5737), 6to4 relays (RFC 7526).
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => false,
        // Benchmarks (RFC 2544), documentation (RFC 5737).
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => false,
        // Multicast (RFC 5771), reserved (RFC 1112), broadcast (RFC 919).
        [224..=255, ..] => false,
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Protocol assignments, among them Teredo, benchmarks and ORCHID (RFC 2928).
        [0x2001, 0..=0x01ff, ..] => false,
        // Documentation (RFC 3849, RFC 9637).
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // ISATAP in global unicast (RFC 5214, section 6.1).
        [0x2000..=0x3fff, _, _, _, 0 | 0x0200, 0x5efe, high, low] => is_public_v4(embedded(high, low)),
        // Global unicast (RFC 4291).
        [0x2000..=0x3fff, ..] => true,
        // Unspecified, loopback, IPv4-mapped, IPv4-compatible, discard-only (RFC 6666), segment identifiers (RFC 9602),
        // unique local (RFC 4193), link local, site local, multicast, unassigned.
        _ => false,
    }
}

/// Returns the IPv4 address whose bytes are these two segments.
fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of each block that is not public.
    const SPECIAL: &[(&str, &str)] = &[
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "239.255.255.255"),
        ("240.0.0.0", "255.255.255.255"),
        ("::", "::ffff:ffff"),
        ("::127.0.0.1", "::8.8.8.8"),
        ("::ffff:0.0.0.0", "::ffff:255.255.255.255"),
        ("::ffff:0:0:0", "::ffff:0:ffff:ffff"),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
        ("100::", "100::ffff:ffff:ffff:ffff"),
        ("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    /// Addresses beside those blocks, and others of the Internet.
    const PUBLIC: &[&str] = &[
        "1.0.0.0",
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
    ];

    fn is_public(text: &str) -> bool {
        super::is_public(text.parse().unwrap())
    }

    #[test]
    fn special_blocks_are_not_public() {
        for (first, last) in SPECIAL {
            assert!(!is_public(first), "{first}");
            assert!(!is_public(last), "{last}");
        }
    }

    #[test]
    fn addresses_beside_special_blocks_are_public() {
        for address in PUBLIC {
            assert!(is_public(address), "{address}");
        }
    }

    /// The four forms in which an IPv6 address leads to an IPv4 address.
    #[test]
    fn an_address_that_embeds_another_is_as_public_as_that_one() {
        let all = SPECIAL.iter().map(|(first, _)| *first).chain(PUBLIC.iter().copied());
        for address in all.filter_map(|text| text.parse::<Ipv4Addr>().ok()) {
            let [a, b, c, d] = address.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for segments in [
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x2002, high, low, 0, 0, 0, 0, 1],
                [0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low],
                [0x2606, 0x4700, 0, 0, 0x0200, 0x5efe, high, low],
            ] {
                let outer = Ipv6Addr::from(segments);
                assert_eq!(super::is_public(outer.into()), is_public_v4(address), "{outer}");
            }
        }
    }

    #[test]
    fn a_mapped_address_is_never_public() {
        for address in ["::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254"] {
            assert!(!is_public(address), "{address}");
        }
    }
}
