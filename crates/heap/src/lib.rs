//! Gives memory that a burst left behind back to the system.
//!
//! glibc returns only what lies free at the top of a heap. An address book is parsed, committed and
//! dropped between allocations that stay, so what it used lies free in the middle: after the sign-in of
//! a few hundred accounts that was more than all that was in use. The library has a call for it, which
//! Rust's standard library does not reach; it is the one foreign call of this program and has this crate
//! for itself.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    #[expect(unsafe_code, reason = "declares a function of the C library; calling it is safe")]
    // SAFETY: the signature is the one of malloc.h. It takes a number, keeps the locks it needs to itself
    // and touches only memory that nobody owns.
    unsafe extern "C" {
        /// Source: malloc_trim(3): gives whole free pages of all arenas back; `pad` bytes stay free at
        /// the top of the main heap; 1 when something was given back. Since glibc 2.8 in all arenas.
        pub(super) safe fn malloc_trim(pad: usize) -> c_int;
    }
}

/// Gives free pages back; tells whether there were any. Takes some milliseconds per hundred MiB, during
/// which other threads may wait for their allocations. With another C library it does nothing.
#[must_use]
pub fn give_back() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return glibc::malloc_trim(0) == 1;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    return false;
}

/// What the process has in memory, in bytes; `None` where the system does not tell.
///
/// Source: proc(5), `/proc/self/status`, field `VmRSS` in units of 1024 bytes.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// When it is worth it: a burst has passed, and it left something.
#[derive(Debug, Default)]
pub struct Watch {
    /// After the last giving back.
    base: u64,
    /// At the last look.
    last: u64,
}

/// Growth since the last giving back that makes it worth another. Chosen: less than what ten accounts use
/// while they sign in, more than what a few chats make and free in between.
const WORTH_BYTES: u64 = 4 << 20;
/// Growth between two looks that counts as rest. Chosen.
const REST_BYTES: u64 = 1 << 20;

impl Watch {
    /// Looks at what is resident now; true when it is time to give back, and then tell [`Watch::gave`].
    #[must_use]
    pub fn is_time(&mut self, resident: u64) -> bool {
        let rests = resident.abs_diff(self.last) < REST_BYTES;
        self.last = resident;
        rests && resident > self.base.saturating_add(WORTH_BYTES)
    }

    /// What is resident after giving back.
    pub fn gave(&mut self, resident: u64) {
        (self.base, self.last) = (resident, resident);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_waits_for_the_end_of_a_burst_and_for_something_to_give() {
        let mut watch = Watch::default();
        assert!(!watch.is_time(40 * MIB), "grew since the last look");
        assert!(watch.is_time(40 * MIB));
        watch.gave(30 * MIB);
        assert!(!watch.is_time(30 * MIB), "nothing came");
        assert!(!watch.is_time(80 * MIB), "in the middle of it");
        assert!(!watch.is_time(100 * MIB), "in the middle of it");
        assert!(watch.is_time(100 * MIB), "over");
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn pages_between_what_stays_go_back() {
        // Small pieces lie in the heap itself and not in mappings of their own; every hundredth stays, so
        // that nothing but the ends of the heap could go back by itself.
        let pieces: Vec<Box<[u8; 4096]>> = (0..20_000).map(|_| Box::new([1; 4096])).collect();
        let stays: Vec<_> =
            pieces.into_iter().enumerate().filter(|(at, _)| at % 100 == 0).map(|(_, piece)| piece).collect();
        let before = resident_bytes().unwrap();
        assert!(give_back());
        let after = resident_bytes().unwrap();
        assert!(after + 40 * MIB < before, "{} MiB, then {} MiB", before / MIB, after / MIB);
        assert_eq!(stays.len(), 200);
    }
}
