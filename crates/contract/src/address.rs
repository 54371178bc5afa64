//! Addresses of the internet, as what is counted by them.

use std::net::IpAddr;
use std::net::Ipv6Addr;

/// Whom an address is given to: an IPv4 address to one, also where it is written as IPv6; of IPv6 each household has at
/// least 64 bits of its own. Source: RFC 6177, section 2.
#[must_use]
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_its_household() {
        for (address, whole) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ] {
            assert_eq!(household(address.parse().unwrap()), whole.parse::<IpAddr>().unwrap(), "{address}");
        }
    }
}
