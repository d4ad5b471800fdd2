//! Random moments that a seed repeats.

use std::time::Duration;

/// A generator of numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// One with the seed of the environment, else another one each time; it is printed.
    pub(crate) fn begin() -> Self {
        let seed = crate::number("SEDGE_KILL_SEED", u64::from(std::process::id()));
        println!("SEDGE_KILL_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Sleeps for less than so long.
    pub(crate) fn pause(&mut self, most: Duration) {
        std::thread::sleep(Duration::from_micros(self.below(most.as_micros() as u64)));
    }
}
