/// A metric's kind in Prometheus' terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Name, labels and meaning of one metric. The unit is the end of its name.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// Every metric, in the order in which they are shown.
        pub(super) static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD_INFO: Gauge "sedge_build_info" ["version"]
        "Always 1; says which Sedge this is.";
    SERVICE_INFO: Gauge "sedge_service_info"
        ["service", "model", "identity", "version", "task", "format", "engine"]
        "Always 1; says which model a service answers with.";
    SERVICE_READY: Gauge "sedge_service_ready" ["service"]
        "1 while the service takes requests.";
    SERVICE_VERSION: Gauge "sedge_service_version" ["service"]
        "Which install of the service answers, counted from 1.";
    RESTARTS: Counter "sedge_service_restarts_total" ["service"]
        "Times the service's process was started again after it ended by itself.";
    MEMORY: Gauge "sedge_service_memory_bytes" ["service"]
        "Resident memory of the service's process.";
    MEMORY_PEAK: Gauge "sedge_service_memory_peak_bytes" ["service"]
        "The most that was resident.";
    MEMORY_LIMIT: Gauge "sedge_service_memory_limit_bytes" ["service"]
        "What it may take, where that is limited.";
    REQUESTS: Counter "sedge_requests_total" ["service", "outcome"]
        "Requests that ended: `ok`, by the kind of error, or `cancelled` by a caller that went away.";
    REQUEST_SECONDS: Histogram "sedge_request_seconds" ["service"]
        "From admission to answer, of requests that were answered.";
    STAGE_SECONDS: Histogram "sedge_stage_seconds" ["service", "stage"]
        "The stages of answered requests: queue, decode, preprocess, inference, postprocess. Tensors only queue and infer.";
    QUEUE_LENGTH: Gauge "sedge_queue_length" ["service"]
        "Requests that wait now.";
    QUEUE_LENGTH_MOST: Gauge "sedge_queue_length_most" ["service"]
        "The most requests that ever waited.";
    QUEUE_LIMIT: Gauge "sedge_queue_limit" ["service"]
        "Requests that may wait; one more is refused.";
    RUNNING: Gauge "sedge_running_requests" ["service"]
        "Requests that are computed now.";
    INSTANCES: Gauge "sedge_instances" ["service"]
        "Requests that may be computed side by side.";
    HTTP_RESPONSES: Counter "sedge_http_responses_total" ["code"]
        "Answers by HTTP status; 499 is a client that went away before.";
    HTTP_SECONDS: Histogram "sedge_http_request_seconds" []
        "From a request's head to its answer's head, of all HTTP requests.";
    HTTP_RECEIVED: Counter "sedge_http_received_bytes_total" []
        "Bytes of request bodies, as clients announced them.";
    HTTP_SENT: Counter "sedge_http_sent_bytes_total" []
        "Bytes of response bodies whose length was known beforehand.";
    SPOOL_RECORDS: Gauge "sedge_spool_records" ["destination", "priority"]
        "What waits to leave the device, or is on its way.";
    SPOOL_BYTES: Gauge "sedge_spool_bytes" ["destination", "priority"]
        "Bytes of it.";
    SPOOL_LIMIT: Gauge "sedge_spool_limit_bytes" []
        "Bytes that may wait, all together.";
    SPOOL_OLDEST: Gauge "sedge_spool_oldest_seconds" ["destination", "priority"]
        "How long the oldest waits; 0 where nothing does.";
    SPOOL_APPENDED: Counter "sedge_spool_appended_total" ["destination", "priority"]
        "What was taken to be sent, since there is the spool.";
    SPOOL_DELIVERED: Counter "sedge_spool_delivered_total" ["destination", "priority"]
        "What arrived.";
    SPOOL_DROPPED: Counter "sedge_spool_dropped_total" ["destination", "priority", "reason"]
        "What never will: dropped for `size` or `age`, `refused` by whoever should take it, `discarded` by a decision, lost by `damage`.";
    MQTT_CONNECTED: Gauge "sedge_mqtt_connected" ["broker"]
        "1 while messages go to the broker.";
    MQTT_CONNECTIONS: Counter "sedge_mqtt_connections_total" ["broker"]
        "Connections that the broker accepted.";
    MQTT_MESSAGES: Counter "sedge_mqtt_messages_total" ["broker", "outcome"]
        "Messages that the broker has (`delivered`), does not take (`refused`), got more than once (`repeated`), or sent (`received`).";
    MQTT_PUBLISH: Histogram "sedge_mqtt_publish_seconds" ["broker"]
        "From a message to its acknowledgement.";
    UPLOADS: Counter "sedge_uploads_total" ["bucket"]
        "Objects that were put into the bucket.";
    UPLOAD_SECONDS: Counter "sedge_upload_seconds_total" ["bucket"]
        "What that took.";
    UPLOAD_WAITS: Gauge "sedge_upload_waits" ["bucket"]
        "1 while samples wait because something is wrong.";
    SAMPLES: Counter "sedge_samples_total" ["configuration", "outcome"]
        "What became of samples: `not_taken` by the strategy, `over_budget`, `dry`, `queued`, `uploaded`, `repeated` (there already), `refused`.";
    SAMPLES_MISSED: Counter "sedge_answers_missed_total" []
        "Answers that were neither sampled nor published because too many waited.";
    BODY_BYTES: Gauge "sedge_http_body_bytes" []
        "Bytes of request bodies held in memory now.";
    MEMORY_PSS: Gauge "sedge_memory_pss_bytes" []
        "Proportional set size: memory of this process, pages shared with others counted in parts.";
    PROCESS_RSS: Gauge "process_resident_memory_bytes" []
        "Resident memory size.";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes" []
        "Virtual memory size.";
    PROCESS_CPU: Counter "process_cpu_seconds_total" []
        "Processor time spent, user and system.";
    PROCESS_THREADS: Gauge "process_threads" []
        "Threads.";
    PROCESS_FDS: Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" []
        "Open file descriptors that are allowed.";
    PROCESS_START: Gauge "process_start_time_seconds" []
        "When the process started, in seconds since 1970.";
}

/// The table for people.
#[cfg(test)]
pub(super) fn markdown() -> String {
    let mut text = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in ALL {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        text +=
            &format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help);
    }
    text
}
