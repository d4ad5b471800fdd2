/// Threads that this process can really use: the processors of its affinity mask, cut down to the
/// quota of its cgroup (version 1 or 2), and at least one.
///
/// The host's processor count is the wrong number on a device that runs many services: a pool
/// larger than the quota is throttled for the rest of every scheduling period.
pub fn available_threads() -> usize {
    // The standard library reads affinity and both cgroup versions on Linux.
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
