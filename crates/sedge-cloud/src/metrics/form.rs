//! Metrics as the form that CloudWatch reads.

use std::fmt::{Display, Write};

use super::{Measured, Metric};
use crate::sign::encoded;

/// Appends `&KEY=VALUE`.
fn field(form: &mut String, key: &str, value: impl Display) {
    let _ = write!(form, "&{key}={}", encoded(&value.to_string()));
}

/// The body of a request.
pub(super) fn request(namespace: &str, metrics: &[Metric]) -> String {
    let mut form = "Action=PutMetricData&Version=2010-08-01".to_owned();
    field(&mut form, "Namespace", namespace);
    for (index, metric) in metrics.iter().enumerate() {
        member(&mut form, metric, index + 1);
    }
    form
}

/// Appends one metric, numbered from 1.
pub(super) fn member(form: &mut String, metric: &Metric, number: usize) {
    let own = format!("MetricData.member.{number}");
    field(form, &format!("{own}.MetricName"), &metric.name);
    for (index, (name, value)) in metric.dimensions.iter().enumerate() {
        let dimension = format!("{own}.Dimensions.member.{}", index + 1);
        field(form, &format!("{dimension}.Name"), name);
        field(form, &format!("{dimension}.Value"), value);
    }
    if let Some(timestamp) = metric.timestamp {
        let text = humantime::format_rfc3339_millis(timestamp);
        field(form, &format!("{own}.Timestamp"), text);
    }
    match &metric.value {
        Measured::One(value) => field(form, &format!("{own}.Value"), number_text(*value)),
        Measured::Many(values) => {
            for (index, (value, count)) in values.iter().enumerate() {
                let at = index + 1;
                field(form, &format!("{own}.Values.member.{at}"), number_text(*value));
                field(form, &format!("{own}.Counts.member.{at}"), number_text(*count));
            }
        }
        Measured::Summary { samples, sum, minimum, maximum } => {
            for (key, value) in
                [("SampleCount", samples), ("Sum", sum), ("Minimum", minimum), ("Maximum", maximum)]
            {
                field(form, &format!("{own}.StatisticValues.{key}"), number_text(*value));
            }
        }
    }
    if let Some(unit) = &metric.unit {
        field(form, &format!("{own}.Unit"), unit);
    }
    if metric.high_resolution {
        field(form, &format!("{own}.StorageResolution"), 1);
    }
}

/// As short as it stays the same number, with an exponent where it is large or small.
fn number_text(value: f64) -> String {
    format!("{value:?}")
}
