//! How much of its memory a server keeps between requests.
//!
//! Each picture takes megabytes of pixels, planes and activations for a few milliseconds. Fetched
//! from the system each time they cost a tenth of the whole answer in page faults; kept for ever they
//! are as much as the program and its model, on a device that may look at a picture now and then. So
//! they are kept while requests come, and handed back when none do.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sedge_service::{Outcome, Services};

/// Long enough that a camera that looks every few seconds does not pay for fresh pages each time.
const IDLE: Duration = Duration::from_secs(10);

/// Where glibc is told, and only when a program starts, to keep no caches for single threads. Each
/// holds up to a quarter of a megabyte that is never handed back, and keeps the pages around it: a
/// server with one small model is half a megabyte smaller without, and as fast.
const TUNABLES: &str = "GLIBC_TUNABLES";
const NO_CACHES: &str = "glibc.malloc.tcache_count=0";

/// Starts this program anew without the C library's caches for single threads, unless it was told
/// about them already. To be called first; where that cannot be done, it goes on with them.
pub(crate) fn without_thread_caches() {
    if !cfg!(target_env = "gnu") {
        return;
    }
    let tunables = match std::env::var(TUNABLES) {
        Ok(tunables) if tunables.contains("glibc.malloc.tcache_count") => return,
        Ok(tunables) if !tunables.is_empty() => format!("{tunables}:{NO_CACHES}"),
        _ => NO_CACHES.to_owned(),
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only when it failed, as under an emulator.
    let _ = again.args(arguments).env(TUNABLES, tunables).exec();
}

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
