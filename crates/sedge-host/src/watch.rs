//! Whether a new version does worse than the one before it.

use std::time::Duration;

use sedge_service::{Outcome, Phase, Service, Version};
use tokio::time::Instant;

use crate::Watch;

/// Requests before which nothing is concluded.
const FEW: u64 = 20;
/// Looks during a window, at least.
const LOOKS: u32 = 100;

/// Watches a version for its window, as long as it is the one that answers; why it is worse, or
/// `None` when it is not.
pub(crate) async fn worse(
    service: &Service,
    number: u64,
    before_p50_us: Option<u64>,
    watch: Watch,
) -> Option<String> {
    let end = Instant::now() + watch.window;
    let pause = (watch.window / LOOKS).clamp(Duration::from_millis(10), Duration::from_secs(1));
    while Instant::now() < end {
        tokio::time::sleep(pause).await;
        // Asked for anew each time: a version that was replaced is not to be kept by this.
        let version = service.serving().filter(|version| version.number() == number)?;
        if let Some(reason) = judge(&version, before_p50_us, watch) {
            return Some(reason);
        }
    }
    None
}

fn judge(version: &Version, before_p50_us: Option<u64>, watch: Watch) -> Option<String> {
    let status = version.status();
    if status.phase == Phase::Broken {
        return Some(format!("it is broken: {}", status.last_error.unwrap_or_default()));
    }
    let statistics = version.statistics();
    let answered = statistics.count(Outcome::Ok);
    let failed: u64 = Outcome::ALL
        .iter()
        .filter(|outcome| blames(**outcome))
        .map(|&outcome| statistics.count(outcome))
        .sum();
    let all = answered + failed;
    if all < FEW {
        return None;
    }
    let rate = failed as f64 / all as f64;
    if rate > watch.max_error_rate {
        return Some(format!(
            "{failed} of {all} requests failed, more than {:.1} %",
            watch.max_error_rate * 100.0
        ));
    }
    let (now, before) = (statistics.requests().quantile_us(0.5)?, before_p50_us?);
    let ratio = now as f64 / before.max(1) as f64;
    (ratio > watch.max_latency_ratio).then(|| {
        format!("its median answer takes {now} us, {ratio:.1} times that of the version before")
    })
}

/// Whether an outcome speaks against the model, and not against a request or the load.
fn blames(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Error("failed" | "crashed" | "memory" | "broken" | "deadline"))
}
