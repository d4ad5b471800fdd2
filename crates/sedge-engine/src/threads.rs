/// Threads that this process can really use: the processors of its affinity mask, cut down to the
/// quota of its cgroup (version 1 or 2), and at least one.
///
/// The host's processor count is the wrong number on a device that runs many services: a pool
/// larger than the quota is throttled for the rest of every scheduling period.
pub fn available_threads() -> usize {
    // The standard library reads affinity and both cgroup versions on Linux.
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What runtimes read of the environment before they start threads, for a process that is to run
/// one model with so many of them.
///
/// It is to be there when the process begins: changing it later is not safe beside other threads,
/// and is not seen by all runtimes. TVM would also tie threads to processors, one pool over the
/// other, and the compiled trees of DLR refuse more threads than there are processors.
pub fn worker_environment(threads: usize) -> [(&'static str, String); 3] {
    let threads = threads.clamp(1, available_threads()).to_string();
    [
        ("OMP_NUM_THREADS", threads.clone()),
        ("TVM_NUM_THREADS", threads),
        ("TVM_BIND_THREADS", "0".into()),
    ]
}
