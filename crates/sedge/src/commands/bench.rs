use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum, ValueHint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::bench::conduct::{Schedule, conduct};
use crate::bench::machine::Machine;
use crate::bench::report::Report;
use crate::bench::{Variant, plot, worker};
use crate::choices;
use crate::overrides::OverrideFlags;
use crate::pictures::{self, Source};
use crate::ranges;

/// Longest time one variant may run in one round.
const MOST_SECONDS: f64 = 600.0;

/// Measure a model on this machine
///
/// Latency, answers per second, memory and where the time goes, for every combination of --engine
/// and --threads. Each runs in a process of its own, and all of them in turns, so that what else
/// happens on the machine meets all of them. Without pictures, a tensor of a fixed pattern is the
/// input and inference alone is measured.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Bench {
    /// Model file, package directory or archive
    model: PathBuf,
    /// JPEG or PNG files, or directories of them, taken in turns
    image: Vec<PathBuf>,
    /// Engine, several times to compare: auto, native or onnxruntime [default: auto]
    #[arg(long, value_parser = choices::engines(), hide_possible_values = true)]
    engine: Vec<String>,
    /// Threads of one inference, with commas between to compare [default: the processors this
    /// process may use]
    #[arg(long, value_name = "N,...", value_delimiter = ',',
          value_parser = ranges::THREADS.parser::<usize>())]
    threads: Vec<usize>,
    /// Requests that are sent side by side, with commas between to compare
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1",
          value_parser = ranges::INSTANCES.parser::<usize>())]
    concurrency: Vec<usize>,
    /// How often each variant has its turn
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of a turn, for each concurrency
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// How results are printed
    #[arg(long, default_value = "table")]
    format: Format,
    /// Draw latencies and throughput into a PNG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    plot: Option<PathBuf>,
    /// Be the process that holds one variant (see `bench/README.md`)
    #[arg(long, value_name = "ENGINE:THREADS", hide = true)]
    worker: Option<Variant>,
    #[command(flatten)]
    overrides: OverrideFlags,
}

const EXAMPLES: &str = "\
Examples:
  sedge bench mobilenet.tflite                           inference alone
  sedge bench detector/ photos/                          each stage from picture to boxes
  sedge bench model.onnx --engine native --engine onnxruntime --threads 1,2
  sedge bench model.onnx --concurrency 1,2,4 --plot model.png

Exit codes:
  0  measured
  1  a model or a picture could not be used, or a variant failed
  2  the command line was not understood";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document, described in `docs/bench.md`.
    Json,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=MOST_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("not between 0.001 and {MOST_SECONDS}"))
    }
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Some(variant) = &self.worker {
            let overrides = self.overrides.overrides()?;
            worker::work(&self.model, self.pictures()?, variant, &overrides)?;
            return Ok(ExitCode::SUCCESS);
        }
        // What can be wrong with the arguments is said before anything is measured.
        let images = self.pictures()?.len();
        self.overrides.overrides()?;
        if let Some(plot) = &self.plot {
            drawable(plot)?;
        }
        let machine = Machine::read();
        let schedule = self.schedule();
        let runs = schedule.rounds * schedule.concurrency.len() * schedule.variants.len();
        let bar = progress((runs + schedule.variants.len()) as u64);
        let step = |doing: &str| {
            bar.inc(1);
            bar.set_message(doing.to_owned());
        };
        let measured = conduct(&schedule, step)?;
        bar.finish_and_clear();
        let report = Report::new(machine, &schedule, images, measured);
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
            Format::Table => write!(out, "{}", report.as_table())?,
        }
        let mut errors = std::io::stderr().lock();
        for warning in report.warnings() {
            writeln!(errors, "warning: {warning}")?;
        }
        if let Some(file) = &self.plot {
            draw(&report, file)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The pictures with their names.
    fn pictures(&self) -> Result<Vec<(String, Bytes)>> {
        let sources = pictures::collect(&self.image)?;
        let read = |source: &Source| match source {
            Source::Stdin => bail!("bench reads pictures from files. Hint: name a file, not -"),
            Source::File(_) => {
                let bytes = source.read().with_context(|| source.name())?;
                Ok((source.name(), bytes))
            }
        };
        sources.iter().map(read).collect()
    }

    fn schedule(&self) -> Schedule {
        let (mut engines, mut threads) = (self.engine.clone(), self.threads.clone());
        if engines.is_empty() {
            engines.push("auto".into());
        }
        if threads.is_empty() {
            threads.push(sedge_engine::available_threads());
        }
        let variants = engines.iter().flat_map(|engine| {
            threads.iter().map(|&threads| Variant { engine: engine.clone(), threads })
        });
        Schedule {
            variants: variants.collect(),
            concurrency: self.concurrency.clone(),
            rounds: self.rounds as usize,
            seconds: self.seconds,
        }
    }
}

/// Refuses a plot that could not be written, before minutes of measuring.
fn drawable(file: &Path) -> Result<()> {
    let is_png = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if !is_png {
        bail!("--plot {} is no PNG. Hint: name a file that ends in .png", file.display());
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory {
        Some(directory) if !directory.is_dir() => {
            bail!("--plot {}: there is no directory {}", file.display(), directory.display())
        }
        _ => Ok(()),
    }
}

fn draw(report: &Report, file: &Path) -> Result<()> {
    let png = plot::png(report)?;
    std::fs::write(file, png).with_context(|| format!("cannot write {}", file.display()))
}

/// A bar on a terminal, and nothing elsewhere.
fn progress(length: u64) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
