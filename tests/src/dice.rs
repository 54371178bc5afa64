//! A small generator whose seed is printed, so that a run can be had again.

use crate::clock::now_us;

/// A small generator.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From `WXGATE_SEED`, or a new seed, which is printed.
    pub fn cast() -> Self {
        let given = std::env::var("WXGATE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(now_us);
        println!("WXGATE_SEED={seed}");
        Self(seed)
    }

    /// From a seed of our own.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
