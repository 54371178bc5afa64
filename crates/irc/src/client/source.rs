//! An address of its own for each person who speaks, so that a network can tell them apart, limit them and send one
//! away without the others.
//!
//! The operating system has to have the addresses: on Linux `ip -6 route add local PREFIX dev lo` gives it a whole
//! prefix. Source: the IRC notes, section 8, "optional source address per puppet".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ring::digest;

/// Bits of an address that have to be free, so that two people rarely meet. Chosen.
const LEAST_FREE_BITS: u32 = 8;

/// A prefix of addresses, as `2001:db8:1::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePrefix {
    net: IpAddr,
    bits: u32,
}

impl SourcePrefix {
    /// The address of somebody, the same each time: bits of a hash behind the prefix.
    pub fn address_of(&self, person: &str) -> IpAddr {
        let hash = digest::digest(&digest::SHA256, person.as_bytes());
        let bytes = hash.as_ref().iter().take(16);
        let hash = bytes.fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
        match self.net {
            IpAddr::V6(net) => {
                let free = u128::MAX.checked_shr(self.bits).unwrap_or(0);
                Ipv6Addr::from(u128::from(net) & !free | host(hash, free)).into()
            }
            IpAddr::V4(net) => {
                let free = u32::MAX.checked_shr(self.bits).unwrap_or(0);
                let own = host(hash, u128::from(free));
                // It has no more bits than the mask.
                Ipv4Addr::from(u32::from(net) & !free | u32::try_from(own).unwrap_or(0)).into()
            }
        }
    }
}

/// Neither the network's own address nor, with IPv4, the one that means everybody.
fn host(hash: u128, free: u128) -> u128 {
    hash % (free - 1) + 1
}

impl FromStr for SourcePrefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ODD: &str = "must be addresses as in \"2001:db8:1::/64\"";
        let (net, bits) = text.split_once('/').ok_or(ODD)?;
        let net: IpAddr = net.parse().map_err(|_| ODD)?;
        let bits: u32 = bits.parse().map_err(|_| ODD)?;
        let whole = if net.is_ipv4() { 32 } else { 128 };
        if bits > whole - LEAST_FREE_BITS {
            return Err("must leave eight bits of the address or more");
        }
        Ok(Self { net, bits })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn everybody_has_an_address_in_the_prefix_and_keeps_it() {
        for (text, begin) in [
            ("2001:db8:1:2::/64", "2001:db8:1:2:"),
            ("2001:db8:1:2::ffff/64", "2001:db8:1:2:"),
            ("10.1.0.0/16", "10.1."),
            ("10.1.2.0/24", "10.1.2."),
        ] {
            let prefix: SourcePrefix = text.parse().unwrap();
            let all: HashSet<IpAddr> = (0..100).map(|n| prefix.address_of(&format!("p-{n}"))).collect();
            assert!(all.iter().all(|address| address.to_string().starts_with(begin)), "{all:?}");
            assert!(all.len() > 70, "{text}: {} for a hundred", all.len());
            assert_eq!(prefix.address_of("p-1"), prefix.address_of("p-1"));
        }
        let all: SourcePrefix = "::/0".parse().unwrap();
        assert!(all.address_of("p").is_ipv6());
        let few: SourcePrefix = "10.0.0.0/24".parse().unwrap();
        for n in 0..5000 {
            let last = few.address_of(&n.to_string()).to_string();
            assert!(!last.ends_with(".0") && !last.ends_with(".255"), "{last}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_told() {
        for odd in ["", "2001:db8::", "2001:db8::/x", "x/64", "10.0.0.0/25", "2001:db8::/121", "10.0.0.0/99"]
        {
            assert!(odd.parse::<SourcePrefix>().is_err(), "{odd}");
        }
    }
}
