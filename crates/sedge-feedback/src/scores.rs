use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Key of the rows of an object detector's answer.
const ROWS: &str = "prediction";

/// What a model said about a sample, as far as strategies look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The probabilities of all classes, or the confidence of each object.
    pub values: Vec<f64>,
    /// What was found: the best class, or every object.
    pub findings: Vec<Finding>,
}

/// A class or object that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Number of the class.
    pub class: i64,
    /// Its name, where that is known.
    pub label: Option<String>,
    /// Probability or confidence.
    pub score: f64,
}

/// A prediction in which no scores are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prediction has no list of probabilities. Hint: give a list of numbers, \
     {{\"prediction\": [[class, score, ...], ...]}}, or an object with a list of numbers in it"
)]
pub struct NoScores;

impl Scores {
    /// The scores of a classifier with these probabilities.
    pub fn of_classes(probabilities: Vec<f64>) -> Self {
        let best = (0_i64..).zip(&probabilities).reduce(|best, next| match next.1 > best.1 {
            true => next,
            false => best,
        });
        let findings =
            best.map(|(class, &score)| Finding { class, label: None, score }).into_iter().collect();
        Self { values: probabilities, findings }
    }

    /// The scores of an object detector.
    pub fn of_objects(objects: Vec<Finding>) -> Self {
        Self { values: objects.iter().map(|object| object.score).collect(), findings: objects }
    }

    /// What JSON says: a list of probabilities; rows `[class, score, ...]` under `prediction`, as
    /// object detectors answer; or another object, of which the first list of numbers is taken, in
    /// the order in which it is written.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn of_json(prediction: &RawValue) -> Result<Self, NoScores> {
        if let Ok(list) = serde_json::from_str(prediction.get()) {
            return Ok(Self::of_classes(list));
        }
        let entries = entries(prediction).ok_or(NoScores)?;
        let rows = entries.iter().find(|(key, _)| key == ROWS).and_then(|(_, rows)| rows_of(rows));
        if let Some(objects) = rows {
            return Ok(Self::of_objects(objects));
        }
        let lists = entries.iter().map(|(_, value)| serde_json::from_str(value.get()));
        lists.flatten().next().map(Self::of_classes).ok_or(NoScores)
    }
}

fn rows_of(rows: &RawValue) -> Option<Vec<Finding>> {
    let rows: Vec<Vec<f64>> = serde_json::from_str(rows.get()).ok()?;
    let object = |row: Vec<f64>| {
        let &[class, score, ..] = row.as_slice() else { return None };
        Some(Finding { class: class as i64, label: None, score })
    };
    rows.into_iter().map(object).collect()
}

/// The entries of an object in the order in which they are written.
fn entries(object: &RawValue) -> Option<Vec<(String, Box<RawValue>)>> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Entries).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scores(text: &str) -> Result<Scores, NoScores> {
        Scores::of_json(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn predictions_have_scores() {
        let cases: [(&str, &[f64]); 8] = [
            ("[0.25, 0.6, 0.15]", &[0.25, 0.6, 0.15]),
            ("[]", &[]),
            (r#"{"prediction":[[14,0.9,0.1,0.2,0.3,0.4],[2,0.5,0,0,1,1]]}"#, &[0.9, 0.5]),
            (r#"{"prediction":[]}"#, &[]),
            (r#"{"prediction":[0.5,0.5]}"#, &[0.5, 0.5]),
            (r#"{"zebra":[0.75,0.25],"apple":[0.1]}"#, &[0.75, 0.25]),
            (r#"{"name":"x","boxes":[[1,2]],"scores":[1]}"#, &[1.0]),
            (r#"{"a":{"b":[1]},"c":[2]}"#, &[2.0]),
        ];
        for (text, values) in cases {
            assert_eq!(scores(text).unwrap().values, values, "{text}");
        }
        for text in
            ["7", "\"x\"", "null", "{}", "[1,\"x\"]", r#"{"prediction":[["a",1]]}"#, "[[1]]"]
        {
            assert_eq!(scores(text), Err(NoScores), "{text}");
        }
    }

    #[test]
    fn findings_are_the_best_class_or_all_objects() {
        let found = scores("[0.25, 0.6, 0.15]").unwrap().findings;
        assert_eq!(found, [Finding { class: 1, label: None, score: 0.6 }]);
        let found = scores(r#"{"prediction":[[14,0.9],[2,0.5]]}"#).unwrap().findings;
        assert_eq!(found.iter().map(|found| found.class).collect::<Vec<_>>(), [14, 2]);
    }
}
