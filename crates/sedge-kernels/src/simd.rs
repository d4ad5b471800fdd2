/// Which instructions the kernels of this process use, found out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the compiler makes of plain loops for the target's baseline.
    Portable,
    /// x86-64 with AVX2: products of 16-bit pairs.
    Avx2,
    /// x86-64 with AVX-512 and VNNI: dot products of four bytes.
    Vnni,
}

impl Level {
    /// The best level this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let vnni = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if is_x86_feature_detected!("avx2") {
                return if vnni { Level::Vnni } else { Level::Avx2 };
            }
        }
        Level::Portable
    }

    /// Every level this processor has: for tests that compare them.
    pub fn available() -> Vec<Self> {
        let best = Self::detect();
        [Level::Portable, Level::Avx2, Level::Vnni].into_iter().filter(|&l| l <= best).collect()
    }
}
