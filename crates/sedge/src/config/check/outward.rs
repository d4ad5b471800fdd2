//! What is wrong with keys of what leaves the device that are right alone.

use std::collections::HashSet;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Walk;
use super::together::place;
use crate::config::{Feedback, Mqtt, ServiceConfig};
use crate::egress::publish;

/// What buckets are called (S3, "General purpose bucket naming rules").
const BUCKET_BYTES: std::ops::RangeInclusive<usize> = 3..=63;

impl Walk<'_> {
    pub(super) fn outward(&mut self, spans: &DeTable<'_>, values: &Table) {
        let mut names = HashSet::new();
        self.sections(spans, values, "feedback", |walk, at, spans, value| {
            walk.feedback(at, spans, value, &mut names);
        });
        self.sections(spans, values, "service", |walk, _, spans, value| {
            walk.of_service(spans, value, &names);
        });
        for (name, span) in spans {
            if let ("mqtt", DeValue::Table(spans)) = (name.get_ref().as_ref(), span.get_ref()) {
                self.mqtt(spans, values.get("mqtt"));
            }
        }
    }

    /// Each section of a name with its place.
    fn sections(
        &mut self,
        spans: &DeTable<'_>,
        values: &Table,
        wanted: &str,
        mut look: impl FnMut(&mut Self, usize, &DeTable<'_>, &Value),
    ) {
        let Some((_, span)) = spans.iter().find(|(name, _)| name.get_ref() == wanted) else {
            return;
        };
        let values = values.get(wanted).and_then(Value::as_array).into_iter().flatten();
        let DeValue::Array(spans) = span.get_ref() else { return };
        for (span, value) in spans.iter().zip(values) {
            if let DeValue::Table(table) = span.get_ref() {
                look(self, span.span().start, table, value);
            }
        }
    }

    fn feedback(
        &mut self,
        at: usize,
        spans: &DeTable<'_>,
        value: &Value,
        names: &mut HashSet<String>,
    ) {
        let Ok(feedback) = Feedback::deserialize(value.clone()) else {
            // It is there, whatever else is wrong with it.
            names.extend(value.get("name").and_then(Value::as_str).map(str::to_owned));
            return;
        };
        if let Some(key) = feedback.missing() {
            let strategy = value.get("strategy").and_then(Value::as_str).unwrap_or_default();
            let hint = format!("add {key}; `sedge config explain feedback.{key}` says what it is");
            let problem = format!("strategy = \"{strategy}\" needs it");
            self.tell(place(spans, "strategy"), format!("feedback.{key}"), problem, Some(hint));
        }
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let bucket = &feedback.bucket;
        let is_one = BUCKET_BYTES.contains(&bucket.len()) && bucket.bytes().all(fits);
        // One that is missing was told.
        if !is_one && !bucket.is_empty() {
            let hint =
                "write its name alone: 3 to 63 lowercase letters, digits, - and .".to_owned();
            let problem = format!("'{bucket}' is no name of a bucket");
            self.tell(place(spans, "bucket"), "feedback.bucket".into(), problem, Some(hint));
        }
        if feedback.most.is_some_and(|most| most < feedback.least) {
            let problem = "it is smaller than least".to_owned();
            self.tell(place(spans, "most"), "feedback.most".into(), problem, None);
        }
        if !feedback.name.is_empty() && !names.insert(feedback.name.clone()) {
            let problem = format!("another one is called '{}', too", feedback.name);
            let hint = Some("name one of them otherwise".into());
            let at = if spans.is_empty() { at } else { place(spans, "name") };
            self.tell(at, "feedback.name".into(), problem, hint);
        }
    }

    fn of_service(&mut self, spans: &DeTable<'_>, value: &Value, names: &HashSet<String>) {
        let Ok(service) = ServiceConfig::deserialize(value.clone()) else { return };
        for name in service.feedback.iter().filter(|name| !names.contains(*name)) {
            let mut known: Vec<&str> = names.iter().map(String::as_str).collect();
            known.sort_unstable();
            let hint = match known.as_slice() {
                [] => format!("add a [[feedback]] with name = \"{name}\""),
                known => format!("there is {}", known.join(", ")),
            };
            let problem = format!("there is no [[feedback]] '{name}'");
            self.tell(place(spans, "feedback"), "service.feedback".into(), problem, Some(hint));
        }
        let Some(rule) = service.publish else { return };
        if rule.topic.contains(['+', '#']) {
            let problem = format!("'{}' is no topic but a filter of subscribers", rule.topic);
            let hint = Some("write it without + and #".to_owned());
            self.tell(place(spans, "publish"), "service.publish.topic".into(), problem, hint);
        }
        let templates =
            [("topic", Some(rule.topic.as_str())), ("payload", rule.payload.as_deref())];
        for (key, template) in templates {
            let in_topics = ["thing", "service", "task", "label", "time", "id"];
            let unknown = template.map(publish::unknown_names).unwrap_or_default();
            for name in unknown {
                let known: &[&str] = if key == "topic" { &in_topics } else { &publish::NAMES };
                let hint = Some(format!("names are {}", known.join(", ")));
                let problem = format!("'${{{name}}}' stands for nothing");
                self.tell(place(spans, "publish"), format!("service.publish.{key}"), problem, hint);
            }
        }
    }

    fn mqtt(&mut self, spans: &DeTable<'_>, value: Option<&Value>) {
        let Some(Ok(mqtt)) = value.map(|value| Mqtt::deserialize(value.clone())) else { return };
        let pairs = [
            ("cert_file", mqtt.cert_file.is_some(), "key_file", mqtt.key_file.is_some()),
            ("key_file", mqtt.key_file.is_some(), "cert_file", mqtt.cert_file.is_some()),
            ("password_file", mqtt.password_file.is_some(), "username", mqtt.username.is_some()),
        ];
        for (given, is_given, needed, is_there) in pairs {
            if is_given && !is_there {
                let problem = format!("it is of no use without {needed}");
                let hint = Some(format!("add {needed}"));
                self.tell(place(spans, given), format!("mqtt.{given}"), problem, hint);
            }
        }
        for (key, is_given) in
            [("ca_file", mqtt.ca_file.is_some()), ("cert_file", mqtt.cert_file.is_some())]
        {
            if is_given && !mqtt.tls {
                let problem =
                    "tls = false does not read it: everything goes in plain text".to_owned();
                let hint = Some("leave out one of them".to_owned());
                self.tell(place(spans, key), format!("mqtt.{key}"), problem, hint);
            }
        }
        // An address of IPv6 has several colons.
        let is_none = |host: &&str| host.contains(['/', ' ']) || host.matches(':').count() == 1;
        if let Some(host) = mqtt.host.as_deref().filter(is_none) {
            let hint = Some("write the name alone; the port is mqtt.port".to_owned());
            let problem = format!("'{host}' is no host");
            self.tell(place(spans, "host"), "mqtt.host".into(), problem, hint);
        }
    }
}
