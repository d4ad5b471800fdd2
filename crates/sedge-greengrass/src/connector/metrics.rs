//! The connector CloudWatchMetrics: metrics from messages, and the messages about them
//! (specification, section 4.5).

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sedge_cloud::METRIC_UNITS;
use sedge_spool::{Entry, Priority, Spool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::group::{Endpoint, Metrics};
use crate::{Answer, Call, Callee, ConnectorArn, Failure, Message, Router};

const TOPIC: &str = "cloudwatch/metric/put";
const STATUS_TOPIC: &str = "cloudwatch/metric/put/status";
/// Dimension that every metric gets: the core's thing.
const CORE_NAME: &str = "coreName";
/// Dimensions that a message may bring.
const MOST_DIMENSIONS: usize = 10;
/// A point in time larger than this is in milliseconds: the documentation says so, its example is
/// in seconds.
const MOST_SECONDS: f64 = 1e11;

/// One value that waits in the spool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Namespace of the metric.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The value; finite.
    pub value: f64,
    /// One of CloudWatch's units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Names and values.
    pub dimensions: Vec<(String, String)>,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// The connector that takes metrics. Cheap to clone.
#[derive(Clone)]
pub struct MetricsConnector {
    inner: Arc<Inner>,
}

struct Inner {
    source: Endpoint,
    parameters: Metrics,
    core: Option<String>,
    spool: Spool,
    router: Weak<Router>,
}

#[derive(Deserialize)]
struct Put {
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    namespace: String,
    #[serde(rename = "metricData")]
    data: Datum,
}

#[derive(Deserialize)]
struct Datum {
    #[serde(rename = "metricName")]
    name: String,
    value: f64,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    dimensions: Option<Vec<Dimension>>,
    #[serde(default)]
    timestamp: Option<f64>,
}

#[derive(Deserialize)]
struct Dimension {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

impl MetricsConnector {
    /// The connector of this ARN; `core` is the core's thing.
    pub fn new(
        arn: &ConnectorArn,
        parameters: &Metrics,
        core: Option<String>,
        spool: Spool,
        router: &Arc<Router>,
    ) -> Self {
        let (source, parameters) = (Endpoint::Connector(arn.clone()), parameters.clone());
        let router = Arc::downgrade(router);
        Self { inner: Arc::new(Inner { source, parameters, core, spool, router }) }
    }

    /// What it was told.
    pub fn parameters(&self) -> &Metrics {
        &self.inner.parameters
    }

    /// Tells that metrics of a namespace were sent, by CloudWatch's id of the request, or why not.
    pub async fn tell(&self, namespace: &str, sent: Result<&str, (&str, &str)>) {
        let response = match sent {
            Ok(id) => json!({ "cloudwatch_rid": id, "namespace": namespace, "status": "success" }),
            Err((kind, why)) => json!({
                "namespace": namespace, "error": kind, "error_message": why, "status": "fail",
            }),
        };
        let Some(router) = self.inner.router.upgrade() else { return };
        let message = Message {
            source: self.inner.source.clone(),
            topic: STATUS_TOPIC.to_owned(),
            payload: json!({ "response": response }).to_string().into(),
            all_or_error: false,
            owed: false,
        };
        // What a target does not take, the router tells.
        let _ = router.publish(&message).await;
    }

    fn keep(&self, metric: &Metric) -> Result<(), String> {
        let body = serde_json::to_vec(metric).map_err(|error| error.to_string())?;
        let headers = format!("{} {}", metric.namespace, metric.name);
        let destination = metrics_destination(self.inner.parameters.region.as_deref());
        let (headers, priority) = (headers.as_bytes(), Priority::Low);
        let entry = Entry { destination: &destination, priority, headers, body: &body };
        self.inner.spool.append(&entry).map(drop).map_err(|error| error.to_string())
    }
}

/// Name under which the metrics for a region wait.
pub fn metrics_destination(region: Option<&str>) -> String {
    format!("cloudwatch.{}", region.unwrap_or("default"))
}

impl Callee for MetricsConnector {
    fn call(&self, call: Call) -> Answer {
        let this = self.clone();
        Box::pin(async move {
            let topic = call.context.custom("subject").unwrap_or_default();
            if topic != TOPIC {
                return Err(Failure::Handled(format!("metrics are taken on {TOPIC}")));
            }
            let now = SystemTime::now();
            let metric = match read(&call.payload, this.inner.core.as_deref(), now) {
                Ok(metric) => metric,
                Err((namespace, why)) => {
                    this.tell(&namespace, Err(("InvalidInputException", &why))).await;
                    return Err(Failure::Handled(why));
                }
            };
            let keeping = this.clone();
            let kept = tokio::task::spawn_blocking(move || keeping.keep(&metric)).await;
            kept.map_err(|error| error.to_string()).flatten().map_err(Failure::Handled)?;
            Ok(Bytes::new())
        })
    }

    fn answers_soon(&self) -> bool {
        true
    }
}

/// The metric of a message, or its namespace and what is wrong with it.
fn read(payload: &[u8], core: Option<&str>, now: SystemTime) -> Result<Metric, (String, String)> {
    let namespace = || {
        let value: Value = serde_json::from_slice(payload).unwrap_or_default();
        let namespace = value.pointer("/request/namespace").and_then(Value::as_str);
        namespace.unwrap_or_default().to_owned()
    };
    let wrong = |why: &str| (namespace(), format!("cw metric is invalid: {why}"));
    let put: Put = serde_json::from_slice(payload).map_err(|error| wrong(&error.to_string()))?;
    let Request { namespace, data } = put.request;
    if namespace.is_empty() || namespace.starts_with(':') || namespace.len() > 255 {
        return Err(wrong("a namespace has 1 to 255 characters, the first no ':'"));
    }
    if namespace.starts_with("AWS/") {
        return Err(wrong("namespaces that begin with AWS/ are reserved"));
    }
    if data.name.is_empty() || data.name.len() > 255 {
        return Err(wrong("metricName has 1 to 255 characters"));
    }
    if data.unit.as_deref().is_some_and(|unit| !METRIC_UNITS.contains(&unit)) {
        return Err(wrong("its unit is none of CloudWatch's"));
    }
    let given = data.dimensions.unwrap_or_default();
    if given.len() > MOST_DIMENSIONS {
        return Err(wrong("it has more than 10 dimensions"));
    }
    let named = |one: &Dimension| !one.name.is_empty() && !one.value.is_empty();
    if !given.iter().all(named) {
        return Err(wrong("a dimension has a name and a value"));
    }
    let dimensions = given.into_iter().map(|one| (one.name, one.value));
    let core = core.map(|core| (CORE_NAME.to_owned(), core.to_owned()));
    let time = match data.timestamp {
        Some(time) if !(0.0..1e15).contains(&time) => {
            return Err(wrong("its timestamp is no time since 1970"));
        }
        Some(time) if time > MOST_SECONDS => Duration::from_secs_f64(time / 1e3),
        Some(time) => Duration::from_secs_f64(time),
        None => now.duration_since(UNIX_EPOCH).unwrap_or_default(),
    };
    Ok(Metric {
        namespace,
        name: data.name,
        value: data.value,
        unit: data.unit,
        dimensions: dimensions.chain(core).collect(),
        time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(request: &Value) -> Result<Metric, (String, String)> {
        let payload = json!({ "request": request }).to_string();
        read(payload.as_bytes(), Some("core"), UNIX_EPOCH + Duration::from_secs(9))
    }

    /// The example of the connector's documentation.
    #[test]
    fn the_documented_message_is_a_metric() {
        let request = json!({"namespace": "Greengrass", "metricData": {
            "metricName": "latency", "dimensions": [{"name": "hostname", "value": "test_hostname"}],
            "timestamp": 1_539_027_324, "value": 123.0, "unit": "Seconds",
        }});
        let expected = Metric {
            namespace: "Greengrass".into(),
            name: "latency".into(),
            value: 123.0,
            unit: Some("Seconds".into()),
            dimensions: vec![
                ("hostname".into(), "test_hostname".into()),
                ("coreName".into(), "core".into()),
            ],
            time_ms: 1_539_027_324_000,
        };
        assert_eq!(one(&request), Ok(expected));
    }

    #[test]
    fn what_is_no_metric_is_told_with_its_namespace() {
        let data = |name: &str, value: Value| {
            let mut data = json!({"metricName": "n", "value": 1});
            data[name] = value;
            json!({"namespace": "mine", "metricData": data})
        };
        assert_eq!(one(&data("timestamp", 2.5.into())).unwrap().time_ms, 2500);
        assert_eq!(one(&data("timestamp", 1.5e12.into())).unwrap().time_ms, 1_500_000_000_000);
        assert_eq!(one(&data("unit", Value::Null)).unwrap().time_ms, 9000);
        let dimension = json!({"name": "a", "value": "b"});
        for (request, why) in [
            (data("value", "x".into()), "invalid type"),
            (data("unit", "Apples".into()), "unit"),
            (data("metricName", "".into()), "metricName"),
            (data("dimensions", vec![dimension; 11].into()), "10 dimensions"),
            (data("dimensions", json!([{"name": "a"}])), "name and a value"),
            (data("timestamp", (-1).into()), "timestamp"),
            (json!({"namespace": "mine"}), "metricData"),
        ] {
            let (namespace, told) = one(&request).unwrap_err();
            assert!(namespace == "mine" && told.contains(why), "{told}");
        }
        let mut reserved = data("value", 1.into());
        reserved["namespace"] = "AWS/EC2".into();
        assert!(one(&reserved).unwrap_err().1.contains("reserved"));
        reserved["namespace"] = ":a".into();
        assert!(one(&reserved).is_err());
        assert!(read(b"nonsense", None, UNIX_EPOCH).is_err());
    }
}
