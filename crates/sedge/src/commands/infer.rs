use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sedge_package::{Package, service_name};
use sedge_service::{ExplainedSetting, LoadOptions, Prediction, Request, Runner};
use sedge_vision::{DecodeLimits, Selection};

use super::{Format, OUTPUT};
use crate::apart;
use crate::choices;
use crate::drawings;
use crate::overrides::OverrideFlags;
use crate::pictures::{self, Source};
use crate::ranges;
use crate::table::{self, Align};

/// Classes that are shown when nobody asks for more.
const TOP_CLASSES: usize = 5;

/// Commands that take longer than this show a progress bar on a terminal.
const PATIENCE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  sedge infer mobilenet.tflite cat.jpg                    the five likeliest classes
  sedge infer detector/ photos/ --threshold 0.6           objects in every picture of a directory
  sedge infer detector/ street.jpg --draw marked/         boxes drawn into marked/street.png
  sedge infer mobilenet.tflite cat.jpg --explain          what was done to the picture, and why
  cat cat.jpg | sedge infer mobilenet.tflite - | jq .     one JSON document per picture
  sedge infer model.onnx cat.jpg --color bgr --mean 104,117,123 --std 1

Exit codes:
  0  every picture was answered
  1  the model could not be loaded, or a picture failed; the others were answered
  2  the command line was not understood";

/// Say what is in pictures
///
/// MODEL is a model file (.tflite, .onnx, .pb, MXNet's -symbol.json, .npz), a saved model or package
/// directory, or an archive of any of these. What nobody says about how the model wants its pictures
/// is asked for, never guessed.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Infer {
    /// Model file, package directory or archive
    model: PathBuf,
    /// JPEG or PNG files, directories of them, or - for standard input
    #[arg(required = true)]
    image: Vec<PathBuf>,
    /// How results are printed [default: table on a terminal, else jsonl]
    #[arg(long)]
    format: Option<Format>,
    /// At most so many classes or objects per picture [default: 5 classes, all objects]
    #[arg(long, short = 'k', value_name = "N", value_parser = ranges::TOP_K.parser::<usize>())]
    top_k: Option<usize>,
    /// Lowest score that is shown [default: the decoder's own]
    #[arg(long, short = 't', value_name = "SCORE", value_parser = score, allow_hyphen_values = true)]
    threshold: Option<f32>,
    /// Write copies of the pictures with the results drawn into them
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    draw: Option<PathBuf>,
    /// Show where the time went
    #[arg(long)]
    timings: bool,
    /// Show exactly what was done to each picture, and who said so
    #[arg(long)]
    explain: bool,
    /// Engine: auto, native or onnxruntime
    #[arg(long, default_value = "auto", value_parser = choices::engines(), hide_possible_values = true)]
    engine: String,
    /// Threads for inference [default: the processors this process may use]
    #[arg(long, value_name = "N", value_parser = ranges::THREADS.parser::<usize>())]
    threads: Option<usize>,
    /// Largest picture that is decoded, in megapixels
    #[arg(long, value_name = "MP", default_value_t = 64, value_parser = ranges::MAX_MEGAPIXELS.parser::<u64>())]
    max_megapixels: u64,
    #[command(flatten)]
    overrides: OverrideFlags,
}

fn score(text: &str) -> Result<f32, String> {
    let score: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if score.is_finite() { Ok(score) } else { Err("not a finite number".into()) }
}

impl Infer {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let sources = pictures::collect(&self.image)?;
        let overrides = self.overrides.overrides()?;
        let package = Package::open(&self.model, &overrides)?;
        // What nobody says about pictures is an error here, before the model is loaded.
        package.pipeline()?;
        package.notes.iter().for_each(|note| crate::say("warning", note));
        // No mistake where a model gives raw scores.
        if let Some(threshold) = self.threshold.filter(|&threshold| threshold > 1.0) {
            crate::say("warning", &format!("no probability reaches --threshold {threshold}"));
        }
        let drawings = match &self.draw {
            Some(directory) => drawings::targets(directory, &sources)?,
            None => Vec::new(),
        };
        let options = LoadOptions {
            engine: self.engine.clone(),
            threads: self.threads.unwrap_or_else(sedge_engine::available_threads),
            limits: DecodeLimits::of_megapixels(self.max_megapixels),
            ..LoadOptions::default()
        };
        let runner = apart::load(&self.model, package, &overrides, &options)?;
        let mut printer = Printer::new(self.format());
        let mut progress = Progress::new(sources.len() as u64);
        let mut failed = 0;
        for (index, source) in sources.iter().enumerate() {
            let drawing = drawings.get(index).map(PathBuf::as_path);
            match self.one(source, drawing, runner.as_ref()) {
                Ok(prediction) => {
                    progress.hidden(|| printer.print(&prediction, self.timings)).context(OUTPUT)?;
                }
                Err(error) => {
                    failed += 1;
                    progress.hidden(|| crate::report(&error.context(source.name())));
                }
            }
            progress.step();
        }
        progress.finish();
        printer.finish().context(OUTPUT)?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn format(&self) -> Format {
        let terminal = std::io::stdout().is_terminal();
        self.format.unwrap_or(if terminal { Format::Table } else { Format::Jsonl })
    }

    fn one(
        &self,
        source: &Source,
        drawing: Option<&Path>,
        runner: &dyn Runner,
    ) -> Result<Prediction> {
        let bytes = source.read()?;
        let mut request = Request::picture(service_name(&self.model), bytes.clone());
        request.image = Some(source.name());
        let classes = runner.info().task == "image-classification";
        let top_k = self.top_k.or(classes.then_some(TOP_CLASSES));
        request.selection = Selection { threshold: self.threshold, top_k };
        request.explain = self.explain;
        let response = runner.run(&request)?;
        let prediction = response.prediction.context("the model gave no prediction")?;
        if let Some(path) = drawing {
            let limits = DecodeLimits::of_megapixels(self.max_megapixels);
            drawings::write(path, &bytes, &limits, &prediction)?;
        }
        Ok(prediction)
    }
}

/// Prints predictions to standard output as they come.
struct Printer {
    format: Format,
    count: usize,
}

impl Printer {
    fn new(format: Format) -> Self {
        Self { format, count: 0 }
    }

    fn print(&mut self, prediction: &Prediction, timings: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Table => {
                let gap = if self.count > 0 { "\n" } else { "" };
                write!(out, "{gap}{}", as_table(prediction, timings, self.count == 0))?;
            }
            Format::Jsonl => writeln!(out, "{}", serde_json::to_string(prediction)?)?,
            Format::Json => {
                let start = if self.count == 0 { "[\n" } else { ",\n" };
                write!(out, "{start}{}", serde_json::to_string_pretty(prediction)?)?;
            }
        }
        out.flush()?;
        self.count += 1;
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        if self.format == Format::Json {
            let end = if self.count == 0 { "[]" } else { "\n]" };
            writeln!(std::io::stdout().lock(), "{end}")?;
        }
        Ok(())
    }
}

fn as_table(prediction: &Prediction, timings: bool, first: bool) -> String {
    let image = table::printable(prediction.image.as_deref().unwrap_or("-"));
    let mut text = format!("{image}\n");
    let label = |label: &Option<String>, index: usize| match label {
        Some(label) if !label.is_empty() => label.clone(),
        _ => format!("class {index}"),
    };
    let mut rows = Vec::new();
    for class in prediction.classes.iter().flatten() {
        rows.push(vec![label(&class.label, class.index), format!("{:.3}", class.score)]);
    }
    for object in prediction.objects.iter().flatten() {
        let span = |axis: char, from: f32, to: f32| format!("{axis} {from:.0}..{to:.0}");
        rows.push(vec![
            label(&object.label, object.index),
            format!("{:.3}", object.score),
            span('x', object.bounds.xmin, object.bounds.xmax),
            span('y', object.bounds.ymin, object.bounds.ymax),
        ]);
    }
    for output in prediction.outputs.iter().flatten() {
        let shape: Vec<String> = output.shape.iter().map(ToString::to_string).collect();
        let head: Vec<String> = output.data.iter().take(6).map(|x| format!("{x:.4}")).collect();
        let more = if output.data.len() > 6 { ", ..." } else { "" };
        let values = format!("[{}{more}]", head.join(", "));
        rows.push(vec![output.name.clone(), output.dtype.to_string(), shape.join("x"), values]);
    }
    if rows.is_empty() {
        text.push_str("  nothing found\n");
    }
    let aligns = [Align::Left, Align::Right];
    text.push_str(&table::lines(&rows, &aligns, "  "));
    if timings {
        let t = &prediction.timings_us;
        let ms = |us: u64| format!("{:.1} ms", us as f64 / 1000.0);
        text.push_str(&format!(
            "  decode {}, preprocess {}, inference {}, postprocess {}, total {}\n",
            ms(t.decode),
            ms(t.preprocess),
            ms(t.inference),
            ms(t.postprocess),
            ms(t.total)
        ));
    }
    if let Some(explain) = &prediction.explain {
        text.push_str("  what was done\n");
        for (number, step) in explain.steps.iter().enumerate() {
            text.push_str(&format!("    {}. {step}\n", number + 1));
        }
        if !first {
            return text;
        }
        text.push_str("  who said so, for all pictures\n");
        let row = |s: &ExplainedSetting| vec![s.key.clone(), s.value.to_string(), s.origin.clone()];
        let rows: Vec<_> = explain.settings.iter().map(row).collect();
        text.push_str(&table::lines(&rows, &[], "    "));
    }
    text
}

/// A bar that appears on a terminal once the work has taken a while.
struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: bool,
}

impl Progress {
    fn new(length: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        let style = "{bar:30} {pos}/{len} pictures, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), shown: false }
    }

    fn step(&mut self) {
        self.bar.inc(1);
        let late = self.started.elapsed() > PATIENCE;
        if late && !self.shown && self.bar.length() > Some(1) && std::io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
    }

    /// Runs something that writes to the terminal with the bar out of the way.
    fn hidden<T>(&self, act: impl FnOnce() -> T) -> T {
        self.bar.suspend(act)
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
