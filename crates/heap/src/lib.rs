//! Gives memory that a burst left behind back to the system.
//!
//! glibc returns only what lies free at the top of a heap. An address book is parsed, committed and
//! dropped between allocations that stay, so what it used lies free in the middle: after the sign-in of
//! a few hundred accounts that was more than all that was in use. The library has calls for it, which
//! Rust's standard library does not reach; they are the only foreign calls of this program and have this
//! crate for themselves.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    /// Source: malloc.h; [`mallopt`] is told with it from which size on a piece has a mapping of its own.
    pub(super) const M_MMAP_THRESHOLD: c_int = -3;

    #[expect(unsafe_code, reason = "declares functions of the C library; calling them is safe")]
    // SAFETY: the signatures are those of malloc.h. They take numbers, keep the locks they need to
    // themselves and touch only memory that nobody owns.
    unsafe extern "C" {
        /// Source: mallopt(3): sets a parameter; 1 when it was taken.
        pub(super) safe fn mallopt(param: c_int, value: c_int) -> c_int;
        /// Source: malloc_trim(3): gives whole free pages of all arenas back; `pad` bytes stay free at
        /// the top of the main heap; 1 when something was given back. Since glibc 2.8 in all arenas.
        pub(super) safe fn malloc_trim(pad: usize) -> c_int;
    }
}

/// Pieces of this size and more get a mapping of their own, which goes back as soon as they are dropped.
/// It is the value glibc begins with.
const OWN_MAPPING_BYTES: i32 = 128 << 10;

/// Keeps large pieces out of the heap; called once, before anything large is made.
///
/// Source: mallopt(3): without this, glibc raises the size up to 32 MiB when it sees such a piece dropped,
/// and later ones then lie in the heap, where an address book leaves a hole between what stays.
pub fn keep_large_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // Refused, it would only cost memory.
        let _taken = glibc::mallopt(glibc::M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
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
    /// The least since the last giving back.
    base: u64,
    /// At the last look.
    last: u64,
}

/// Growth that makes it worth giving back, as a part of what was there before: the call takes time in
/// proportion to the heap. Chosen: what a hundred accounts leave is given back, and what a few chats make
/// and free in between is not.
const WORTH_PART: u64 = 32;
/// … and at least this much.
const WORTH_LEAST_BYTES: u64 = 1 << 20;
/// Growth between two looks that counts as rest, as a part of what is there. Chosen.
const REST_PART: u64 = 64;

impl Watch {
    /// Looks at what is resident now; true when it is time to give back, and then tell [`Watch::gave`].
    #[must_use]
    pub fn is_time(&mut self, resident: u64) -> bool {
        let rests = resident.abs_diff(self.last) < resident / REST_PART;
        self.last = resident;
        self.base = self.base.min(resident);
        rests && resident > self.base.saturating_add((self.base / WORTH_PART).max(WORTH_LEAST_BYTES))
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
    /// Whoever weighs the process does it alone.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    static SCALES: std::sync::Mutex<()> = std::sync::Mutex::new(());

    #[test]
    fn it_waits_for_the_end_of_a_burst_and_for_something_to_give() {
        let mut watch = Watch::default();
        assert!(!watch.is_time(40 * MIB), "grew since the last look");
        assert!(watch.is_time(40 * MIB));
        watch.gave(30 * MIB);
        assert!(!watch.is_time(30 * MIB), "nothing came");
        assert!(!watch.is_time(30 * MIB + MIB / 4), "not worth it");
        assert!(!watch.is_time(80 * MIB), "in the middle of it");
        assert!(!watch.is_time(100 * MIB), "in the middle of it");
        assert!(watch.is_time(100 * MIB), "over");
    }

    #[test]
    fn what_went_back_by_itself_counts_when_it_comes_again() {
        let mut watch = Watch::default();
        watch.gave(100 * MIB);
        assert!(!watch.is_time(50 * MIB), "accounts were removed");
        assert!(!watch.is_time(60 * MIB), "and others came");
        assert!(watch.is_time(60 * MIB));
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn a_large_piece_goes_back_as_soon_as_it_is_dropped() {
        let _alone = SCALES.lock().unwrap();
        keep_large_apart();
        // What stays lies above it in the heap, if it lies there.
        let (mut large, mut stays) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            large.push(vec![1_u8; 300 << 10]);
            stays.push(Box::new([1_u8; 1024]));
        }
        let before = resident_bytes().unwrap();
        drop(large);
        let after = resident_bytes().unwrap();
        assert!(after + 50 * MIB < before, "{} MiB, then {} MiB", before / MIB, after / MIB);
        assert_eq!(stays.len(), 200);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn pages_between_what_stays_go_back() {
        let _alone = SCALES.lock().unwrap();
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
