//! Which instructions a target's processors have, and this one may not.

use super::Neo;

/// Targets named for instances of EC2, with what their processors have beyond the first x86-64:
/// Haswell and Broadwell (C4, M4), Skylake-SP and later (C5, M5).
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-types.html>
const TARGETS: [(&str, &[&str]); 4] = [
    ("ML_C4", &["avx2", "fma"]),
    ("ML_M4", &["avx2", "fma"]),
    ("ML_C5", &["avx2", "fma", "avx512f"]),
    ("ML_M5", &["avx2", "fma", "avx512f"]),
];

impl Neo {
    /// What the processors have that the package was compiled for, and this one does not. Not every
    /// package uses all of it: whether it does shows when it is first run.
    pub(crate) fn note(&self) -> Option<String> {
        let target = self.target_device.as_deref()?.to_uppercase();
        let (_, wanted) = TARGETS.iter().find(|(name, _)| *name == target)?;
        let lacking: Vec<&str> = wanted.iter().copied().filter(|name| !has(name)).collect();
        (!lacking.is_empty()).then(|| {
            format!(
                "it was compiled for {target}, whose processors have {}, which this one lacks: its \
                 process may be ended by SIGILL. Hint: bring the model that was compiled",
                lacking.join(", ")
            )
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    match feature {
        "avx2" => std::is_x86_feature_detected!("avx2"),
        "fma" => std::is_x86_feature_detected!("fma"),
        _ => std::is_x86_feature_detected!("avx512f"),
    }
}

/// On another kind of processor the package does not run at all, which is told otherwise.
#[cfg(not(target_arch = "x86_64"))]
fn has(_: &str) -> bool {
    true
}
