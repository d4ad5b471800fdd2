//! What became of all cases, beside what an engine is excused from.

use std::collections::BTreeMap;

use crate::case::{Case, Outcome};
use crate::{exclusions, testdata};

/// Runs every case and compares what fails with what the engine is excused from; `required` is the
/// part that must pass of every format.
pub(crate) fn judge(
    title: &str,
    engine: &str,
    required: f64,
    run: impl Fn(&Case) -> Vec<(&'static str, Outcome)>,
) {
    let excluded = exclusions::of(engine);
    let cases = Case::all(testdata());
    assert!(cases.len() > 60, "only {} cases were found", cases.len());
    let mut passed: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (mut failures, mut stale) = (Vec::new(), Vec::new());
    for case in &cases {
        for (way, outcome) in run(case) {
            let name = format!("{}/{} {way}", case.model, case.name);
            let excuse = excluded.iter().find(|excuse| excuse.cases.contains(&name.as_str()));
            let count = passed.entry(case.model.clone()).or_default();
            count.1 += 1;
            match (outcome, excuse) {
                (Outcome::Passed, None) => count.0 += 1,
                (Outcome::Passed, Some(_)) => {
                    count.0 += 1;
                    stale.push(name);
                }
                (Outcome::Failed(why), Some(excuse)) => {
                    println!("  excused   {name}: {why}\n            because {}", excuse.reason);
                }
                (Outcome::Failed(why), None) => failures.push(format!("{name}: {why}")),
            }
        }
    }
    println!("{title}");
    for (model, (good, all)) in &passed {
        println!("  {good:3} of {all:3}  {model}");
    }
    let mut formats: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (model, (good, all)) in &passed {
        // References are named after the format, and then the model.
        let format = model.split('_').next().unwrap_or(model);
        let count = formats.entry(format).or_default();
        *count = (count.0 + good, count.1 + all);
    }
    let rate = |(good, all): (usize, usize)| good as f64 / all as f64;
    for (format, count) in &formats {
        println!("  {:3} of {:3}  {format} ({:.1} %)", count.0, count.1, 100.0 * rate(*count));
    }
    let (good, all) = formats.values().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    println!(
        "  {good} of {all} passed ({:.1} %), {} excused",
        100.0 * rate((good, all)),
        all - good
    );
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(stale.is_empty(), "excused without need:\n{}", stale.join("\n"));
    let lacking: Vec<_> = formats.iter().filter(|(_, count)| rate(**count) < required).collect();
    assert!(lacking.is_empty(), "{lacking:?} passed, {:.0} % must", required * 100.0);
}
