//! What is published of a service's predictions, and when.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sedge_service::Prediction;
use serde_json::Value;

use super::shortest;
use crate::config::Publish;

/// Publishes of one service.
pub(super) struct Publisher {
    rule: Publish,
    thing: String,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// Predictions since the last that was told.
    count: u64,
    told: Option<Instant>,
    found: Option<Vec<usize>>,
}

/// A message that is to be sent.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// The best class or object of a prediction.
struct Best<'a> {
    index: usize,
    label: Option<&'a str>,
    score: f32,
}

impl Publisher {
    pub(super) fn new(rule: Publish, thing: String) -> Self {
        Self { rule, thing, last: Mutex::default() }
    }

    /// The message about a prediction, if there is to be one.
    pub(super) fn message(
        &self,
        prediction: &Prediction,
        id: &str,
        now: Instant,
        time: SystemTime,
    ) -> Option<Told> {
        let best = best(prediction);
        let score = best.as_ref().map_or(0.0, |best| best.score);
        // As with labels: what is compared is what is shown.
        if shortest(score) < self.rule.min_score {
            return None;
        }
        let found = self.rule.on_change.then(|| found(prediction));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.count += 1;
        let pause = Duration::from_millis(self.rule.interval_ms);
        let is_due = last.told.is_none_or(|told| now.duration_since(told) >= pause);
        let is_new = found.is_none() || found != last.found;
        if last.count < self.rule.every || !is_due || !is_new {
            return None;
        }
        *last = Last { count: 0, told: Some(now), found };
        drop(last);
        let said = Said { prediction, best, thing: &self.thing, id, time };
        let payload = match &self.rule.payload {
            Some(template) => filled(template, |name| said.in_json(name)).into_bytes(),
            None => serde_json::to_vec(prediction).ok()?,
        };
        let topic = filled(&self.rule.topic, |name| said.text(name).map(|text| in_topic(&text)));
        Some(Told { topic, payload, qos: self.rule.qos, retain: self.rule.retain })
    }
}

fn best(prediction: &Prediction) -> Option<Best<'_>> {
    if let Some(class) = prediction.classes.as_ref().and_then(|all| all.first()) {
        let (index, label) = (class.index, class.label.as_deref());
        return Some(Best { index, label, score: class.score });
    }
    let object = prediction.objects.as_ref()?.first()?;
    Some(Best { index: object.index, label: object.label.as_deref(), score: object.score })
}

/// What is compared with the last prediction: the best class, or how many objects of which classes.
fn found(prediction: &Prediction) -> Vec<usize> {
    match &prediction.objects {
        Some(objects) => {
            let mut classes: Vec<usize> = objects.iter().map(|object| object.index).collect();
            classes.sort_unstable();
            classes
        }
        None => best(prediction).map(|best| best.index).into_iter().collect(),
    }
}

/// What the names in templates stand for.
struct Said<'a> {
    prediction: &'a Prediction,
    best: Option<Best<'a>>,
    thing: &'a str,
    id: &'a str,
    time: SystemTime,
}

impl Said<'_> {
    /// A name's value as it stands in JSON: a text is written between quotes by the template.
    fn in_json(&self, name: &str) -> Option<String> {
        if let Some(text) = self.text(name) {
            let quoted = Value::from(text).to_string();
            return Some(quoted[1..quoted.len() - 1].to_owned());
        }
        let best = self.best.as_ref();
        Some(match name {
            "score" => best.map_or(0.0, |best| best.score).to_string(),
            "index" => best.map_or(-1, |best| best.index as i64).to_string(),
            "count" => self.prediction.objects.as_ref().map_or(0, Vec::len).to_string(),
            "prediction" => serde_json::to_string(self.prediction).ok()?,
            _ => return None,
        })
    }

    /// The value of a name that is a text.
    fn text(&self, name: &str) -> Option<String> {
        let label =
            |best: &Best<'_>| best.label.map_or_else(|| best.index.to_string(), str::to_owned);
        Some(match name {
            "thing" => self.thing.to_owned(),
            "service" => self.prediction.service.clone(),
            "task" => self.prediction.task.clone(),
            "label" => self.best.as_ref().map(label).unwrap_or_default(),
            "time" => humantime::format_rfc3339_millis(self.time).to_string(),
            "id" => self.id.to_owned(),
            _ => return None,
        })
    }
}

/// The names that templates may have.
pub(crate) const NAMES: [&str; 10] =
    ["thing", "service", "task", "label", "score", "index", "count", "time", "id", "prediction"];

/// A template with its `${name}` filled in; what is no name stays.
fn filled(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        match after.split_once('}').map(|(name, after)| (value(name), after)) {
            Some((Some(value), after)) => {
                text.push_str(&value);
                rest = after;
            }
            _ => {
                text.push_str("${");
                rest = after;
            }
        }
    }
    text + rest
}

/// The names in a template that are none.
pub(crate) fn unknown_names(template: &str) -> Vec<String> {
    let names = template.split("${").skip(1).filter_map(|part| Some(part.split_once('}')?.0));
    names.filter(|name| !NAMES.contains(name)).map(str::to_owned).collect()
}

/// A text as one level of a topic: without what means something there.
fn in_topic(text: &str) -> String {
    text.chars().map(|c| if "/+#\0".contains(c) { '-' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use sedge_vision::Class;

    use super::*;

    fn prediction(index: usize, label: &str, score: f32) -> Prediction {
        let class = Class { index, label: Some(label.into()), score };
        let (service, task) = ("cans".into(), "image-classification".into());
        Prediction { service, task, classes: Some(vec![class]), ..Prediction::default() }
    }

    fn publisher(rule: Publish) -> Publisher {
        Publisher::new(Publish { topic: "mli/${thing}/${label}".into(), ..rule }, "camera".into())
    }

    #[test]
    fn templates_are_filled_in_for_json_and_topics() {
        let payload = r#"{"confidence":${score},"prediction":"${label}","n":${index},"x":"${y}"}"#;
        let publisher = publisher(Publish { payload: Some(payload.into()), ..Publish::default() });
        let prediction = prediction(7, "soda \"can\"/+", 0.7);
        let told = publisher.message(&prediction, "1", Instant::now(), UNIX_EPOCH).unwrap();
        assert_eq!(told.topic, "mli/camera/soda \"can\"--");
        let text = String::from_utf8(told.payload).unwrap();
        let expected = r#"{"confidence":0.7,"prediction":"soda \"can\"/+","n":7,"x":"${y}"}"#;
        assert_eq!(text, expected);
        assert_eq!(unknown_names(payload), ["y"]);
        assert_eq!(unknown_names("${a ${b} ${time}"), ["b"]);
    }

    #[test]
    fn rules_keep_messages_back() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let told = |publisher: &Publisher, index, score, seconds| {
            let prediction = prediction(index, "x", score);
            publisher.message(&prediction, "1", start + second * seconds, UNIX_EPOCH).is_some()
        };
        let third = publisher(Publish { every: 3, ..Publish::default() });
        let each: Vec<bool> = (0..6).map(|n| told(&third, n, 0.5, 0)).collect();
        assert_eq!(each, [false, false, true, false, false, true]);
        let slow = publisher(Publish { interval_ms: 1500, ..Publish::default() });
        let each: Vec<bool> = (0..4).map(|n| told(&slow, 1, 0.5, n)).collect();
        assert_eq!(each, [true, false, true, false]);
        let sure = publisher(Publish { min_score: 0.7, ..Publish::default() });
        assert!(told(&sure, 1, 0.7, 0) && !told(&sure, 1, 0.69, 1));
        let changes = publisher(Publish { on_change: true, ..Publish::default() });
        let each: Vec<bool> =
            [1, 1, 2, 2, 1].into_iter().map(|index| told(&changes, index, 0.5, 0)).collect();
        assert_eq!(each, [true, false, true, false, true]);
    }
}
