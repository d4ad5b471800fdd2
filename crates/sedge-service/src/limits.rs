/// What a service may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait; one more is refused at once.
    pub queue: usize,
    /// Requests that run side by side.
    pub instances: usize,
    /// Milliseconds a request may take from admission, unless it says less.
    pub timeout_ms: u64,
    /// Requests that are answered in one run where the model allows it; 1 for each on its own.
    pub max_batch: usize,
    /// Milliseconds a request waits at most for others to run with.
    pub batch_wait_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // While one request computes on all cores the other decodes its picture.
        let instances = sedge_engine::available_threads().max(2);
        Self { queue: 128, instances, timeout_ms: 60_000, max_batch: 1, batch_wait_ms: 2 }
    }
}
