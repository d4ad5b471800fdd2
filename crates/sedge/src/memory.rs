//! How much of its memory a server keeps between requests.
//!
//! Each picture takes megabytes of pixels, planes and activations for a few milliseconds. Fetched
//! from the system each time they cost a tenth of the whole answer in page faults; kept for ever they
//! are as much as the program and its model, on a device that may look at a picture now and then. So
//! they are kept while requests come, and handed back when none do.

use std::sync::Arc;
use std::time::Duration;

use sedge_service::{Outcome, Services};

/// Long enough that a camera that looks every few seconds does not pay for fresh pages each time.
const IDLE: Duration = Duration::from_secs(10);

/// Has the C library keep memory, in one place. To be called before threads start.
///
/// With an arena for each thread, which is its default, every thread would keep its own, and only
/// the first one's could be handed back.
#[allow(unsafe_code)]
pub(crate) fn keep() {
    // Buffers above this, of pictures from ten million pixels, are fetched and handed back singly.
    const MOST_KEPT: libc::c_int = 32 << 20;
    // SAFETY: these set numbers under the allocator's lock; memory that is in use stays as it is.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MOST_KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MOST_KEPT);
    }
}

/// Releases memory once after each burst of requests.
pub(crate) async fn release_when_idle(services: Arc<Services>) {
    let answered = || -> u64 {
        let of = |service: &sedge_service::Service| {
            Outcome::ALL.iter().map(|&outcome| service.statistics().count(outcome)).sum::<u64>()
        };
        services.all().iter().map(|service| of(service)).sum()
    };
    let (mut before, mut released) = (0, 0);
    let mut ticks = tokio::time::interval(IDLE);
    loop {
        ticks.tick().await;
        let now = answered();
        if now == before && now != released {
            // It takes milliseconds, which a request could be waiting for on this thread.
            let _ = tokio::task::spawn_blocking(release).await;
            released = now;
        }
        before = now;
    }
}

/// Hands pages that hold nothing back to the system.
#[allow(unsafe_code)]
pub(crate) fn release() {
    // SAFETY: it takes the allocator's own locks and moves nothing that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
