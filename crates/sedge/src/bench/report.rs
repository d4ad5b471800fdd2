//! What was measured, as JSON and as tables.

use serde::Serialize;

use super::conduct::{Measured, Schedule};
use super::figures::{Latency, median, round, spread};
use super::machine::Machine;
use super::protocol::{Ran, Stages};
use crate::table::{self, Align};

/// Medians of rounds that lie further apart than this mean that the machine was not quiet.
const NOISY: f64 = 0.15;

/// The document of `sedge bench --format json`; `docs/bench.md` describes it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    machine: Machine,
    model: String,
    format: String,
    /// Pictures that were asked about; 0 means an input tensor of a fixed pattern.
    images: usize,
    rounds: usize,
    seconds: f64,
    pub(crate) variants: Vec<VariantReport>,
    warnings: Vec<String>,
}

/// One engine with one number of threads.
#[derive(Debug, Serialize)]
pub(crate) struct VariantReport {
    pub(crate) engine: String,
    pub(crate) threads: usize,
    load_ms: f64,
    first_answer_ms: f64,
    start_to_answer_ms: f64,
    memory_kib: Memory,
    pub(crate) runs: Vec<Run>,
}

/// Proportional set sizes of the variant's process, and its largest resident set.
#[derive(Debug, Serialize)]
struct Memory {
    started: u64,
    loaded: u64,
    most: u64,
    peak_rss: u64,
}

/// One concurrency.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) concurrency: usize,
    pub(crate) count: usize,
    pub(crate) latency_us: Latency,
    /// Median of the rounds.
    pub(crate) throughput_per_s: f64,
    /// How far the rounds' median latencies lie apart, as a share of their median.
    spread: f64,
    rounds: Vec<Round>,
    /// Medians, when there are pictures.
    stages_us: Option<Stages>,
    /// Every duration, sorted; for the plot.
    #[serde(skip)]
    pub(crate) nanos: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Round {
    p50_us: f64,
    throughput_per_s: f64,
}

impl Report {
    pub(crate) fn new(
        machine: Machine,
        schedule: &Schedule,
        images: usize,
        measured: Vec<Measured>,
    ) -> Self {
        let named = |part: fn(&Measured) -> &str| measured.first().map_or("", part).to_owned();
        let (model, format) = (named(|m| &m.ready.model), named(|m| &m.ready.format));
        let variants: Vec<_> =
            measured.into_iter().map(|m| VariantReport::new(m, &schedule.concurrency)).collect();
        let (rounds, seconds) = (schedule.rounds, schedule.seconds);
        let warnings = warnings(&machine, &variants);
        Self { schema: 1, machine, model, format, images, rounds, seconds, variants, warnings }
    }

    /// What to think of before believing the figures.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What was measured, in one line.
    pub(crate) fn title(&self) -> String {
        let images = match self.images {
            0 => "an input tensor".to_owned(),
            1 => "1 picture".to_owned(),
            count => format!("{count} pictures"),
        };
        format!("{} ({}), {images}", self.model, self.format)
    }

    /// Where it was measured, in one line.
    pub(crate) fn subtitle(&self) -> String {
        self.machine.line()
    }

    pub(crate) fn as_table(&self) -> String {
        let mut text = format!("{}\n{}\n\n", self.title(), self.subtitle());
        let head = ["engine", "threads", "at once", "p50 ms", "p90", "p99", "min", "mean"];
        let mut rows = vec![words(&[&head[..], &["answers/s", "spread"]].concat())];
        for (variant, run) in self.runs() {
            let l = &run.latency_us;
            let mut row = vec![variant.engine.clone(), variant.threads.to_string()];
            row.push(run.concurrency.to_string());
            row.extend([l.p50, l.p90, l.p99, l.min, l.mean].map(milliseconds));
            row.push(format!("{:.1}", run.throughput_per_s));
            row.push(format!("{:.0} %", run.spread * 100.0));
            rows.push(row);
        }
        let numbers = [&[Align::Left][..], &[Align::Right; 9]].concat();
        text.push_str(&table::lines(&rows, &numbers, ""));

        let head = ["engine", "threads", "at once", "decode ms", "preprocess", "inference"];
        let mut rows = vec![words(&[&head[..], &["postprocess"]].concat())];
        for (variant, run) in self.runs() {
            let Some(s) = &run.stages_us else { continue };
            let mut row = vec![variant.engine.clone(), variant.threads.to_string()];
            row.push(run.concurrency.to_string());
            let stages = [s.decode, s.preprocess, s.inference, s.postprocess];
            row.extend(stages.map(|us| milliseconds(us as f64)));
            rows.push(row);
        }
        if rows.len() > 1 {
            text.push('\n');
            text.push_str(&table::lines(&rows, &numbers, ""));
        }

        let head = ["engine", "threads", "load ms", "first answer", "from start", "PSS MiB before"];
        let mut rows = vec![words(&[&head[..], &["loaded", "most", "peak RSS"]].concat())];
        for variant in &self.variants {
            let mut row = vec![variant.engine.clone(), variant.threads.to_string()];
            let times = [variant.load_ms, variant.first_answer_ms, variant.start_to_answer_ms];
            row.extend(times.map(|ms| format!("{ms:.1}")));
            let memory = &variant.memory_kib;
            let sizes = [memory.started, memory.loaded, memory.most, memory.peak_rss];
            row.extend(sizes.map(|kib| format!("{:.1}", kib as f64 / 1024.0)));
            rows.push(row);
        }
        text.push('\n');
        text.push_str(&table::lines(&rows, &numbers, ""));
        text
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = (&VariantReport, &Run)> {
        self.variants.iter().flat_map(|v| v.runs.iter().map(move |run| (v, run)))
    }
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Milliseconds with three figures that count.
fn milliseconds(us: f64) -> String {
    let ms = us / 1000.0;
    match ms {
        100.0.. => format!("{ms:.0}"),
        10.0..100.0 => format!("{ms:.1}"),
        1.0..10.0 => format!("{ms:.2}"),
        _ => format!("{ms:.3}"),
    }
}

impl VariantReport {
    fn new(measured: Measured, concurrency: &[usize]) -> Self {
        let Measured { variant, ready, start_ms, runs } = measured;
        let all = || runs.iter().flatten();
        let memory_kib = Memory {
            started: ready.started_kib,
            loaded: ready.loaded_kib,
            most: all().map(|ran| ran.pss_kib).max().unwrap_or(0).max(ready.loaded_kib),
            peak_rss: all().map(|ran| ran.peak_rss_kib).max().unwrap_or(0),
        };
        Self {
            // What `auto` stands for.
            engine: ready.engine,
            threads: variant.threads,
            load_ms: ready.load_ms,
            first_answer_ms: ready.first_ms,
            start_to_answer_ms: start_ms,
            memory_kib,
            runs: concurrency.iter().zip(runs).map(|(&c, rounds)| Run::new(c, rounds)).collect(),
        }
    }
}

impl Run {
    fn new(concurrency: usize, rounds: Vec<Ran>) -> Self {
        let mut nanos = Vec::new();
        let mut stages = Vec::new();
        let mut summaries = Vec::new();
        for mut ran in rounds {
            let per_s = ran.nanos.len() as f64 * 1e6 / ran.wall_us.max(1) as f64;
            let p50_us = Latency::of(&mut ran.nanos).p50;
            summaries.push(Round { p50_us, throughput_per_s: round(per_s, 3) });
            nanos.append(&mut ran.nanos);
            stages.extend(ran.stages_us);
        }
        let of = |part: fn(&Round) -> f64| summaries.iter().map(part).collect::<Vec<_>>();
        let middle = |part: fn(&Stages) -> u64| {
            median(&stages.iter().map(|s| part(s) as f64).collect::<Vec<_>>()) as u64
        };
        let stages_us = (!stages.is_empty()).then(|| Stages {
            decode: middle(|s| s.decode),
            preprocess: middle(|s| s.preprocess),
            inference: middle(|s| s.inference),
            postprocess: middle(|s| s.postprocess),
        });
        Self {
            concurrency,
            count: nanos.len(),
            latency_us: Latency::of(&mut nanos),
            throughput_per_s: round(median(&of(|r| r.throughput_per_s)), 3),
            spread: spread(&of(|r| r.p50_us)),
            rounds: summaries,
            stages_us,
            nanos,
        }
    }
}

fn warnings(machine: &Machine, variants: &[VariantReport]) -> Vec<String> {
    let mut warnings = Vec::new();
    if machine.is_busy() {
        warnings.push(format!(
            "the machine was busy before the measurement began: load average {:.2} on {} cores",
            machine.load_average, machine.cores
        ));
    }
    let runs = variants.iter().flat_map(|v| v.runs.iter().map(move |run| (v, run)));
    let worst = runs.max_by(|(_, a), (_, b)| a.spread.total_cmp(&b.spread));
    if let Some((variant, run)) = worst.filter(|(_, run)| run.spread > NOISY) {
        warnings.push(format!(
            "rounds disagree by up to {:.0} % ({} with {} threads, {} at once): something else took time",
            run.spread * 100.0,
            variant.engine,
            variant.threads,
            run.concurrency
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(nanos: &[u64]) -> Ran {
        let wall_us = nanos.iter().sum::<u64>() / 1000;
        let stages_us = Some(Stages { decode: 1, preprocess: 2, inference: 3, postprocess: 4 });
        Ran { nanos: nanos.to_vec(), wall_us, stages_us, pss_kib: 9, peak_rss_kib: 10 }
    }

    #[test]
    fn rounds_are_pooled_and_compared() {
        let run = Run::new(2, vec![ran(&[1_000_000; 10]), ran(&[2_000_000; 5])]);
        assert_eq!((run.count, run.latency_us.p50, run.latency_us.p99), (15, 1000.0, 2000.0));
        assert_eq!(run.throughput_per_s, 750.0);
        assert_eq!(run.spread, 0.6667);
        assert_eq!(run.stages_us.unwrap().inference, 3);
    }

    #[test]
    fn milliseconds_keep_three_figures() {
        let shown = [0.5, 1234.5, 34_567.0, 345_678.0].map(milliseconds);
        assert_eq!(shown, ["0.001", "1.23", "34.6", "346"]);
    }
}
