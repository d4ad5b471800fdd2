use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use sedge_package::{Draft, Golden, Package, Packing, Tolerance};
use sedge_service::{
    Comparison, LoadOptions, Runner, expected_prediction, replay, usual_tolerance,
};
use serde::Serialize;

use crate::apart;
use crate::choices;
use crate::commands::{Format, OUTPUT};
use crate::overrides::OverrideFlags;
use crate::recording::{Recording, is_npz};
use crate::table::{self, Align};

const EXAMPLES: &str = "\
Examples:
  sedge model validate package/
  sedge model validate package.tar.gz --engine onnxruntime
  sedge model validate model.onnx --against cat.json --input cat.jpg
  sedge model validate model.tflite --record package/ --input cat.jpg dog.jpg

Exit codes:
  0  every golden case holds, or the cases were recorded
  1  one does not, there is none, or the model could not be loaded
  2  the command line was not understood";

/// Replay golden cases: does the model still give the right answer here?
///
/// Prints the largest difference of each output from the expected one, and what is allowed.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Validate {
    /// Model file, package directory or archive
    model: PathBuf,
    /// Engine: auto, native or onnxruntime
    #[arg(long, default_value = "auto", value_parser = choices::engines(), hide_possible_values = true)]
    engine: String,
    /// Replay one case instead of the package's: a prediction as `sedge infer --format json` prints
    /// it, about --input or the picture it names, looked for beside it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "record")]
    against: Option<PathBuf>,
    /// With --against, or to record: most that an answer may be off, as a fraction
    #[arg(long, value_name = "FRACTION", value_parser = tolerance)]
    relative: Option<f32>,
    /// With --against, or to record: most that an answer may be off beside that
    #[arg(long, value_name = "DIFFERENCE", value_parser = tolerance)]
    absolute: Option<f32>,
    /// Write a new package whose golden cases are what the model answers to --input now
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "input")]
    record: Option<PathBuf>,
    /// Pictures, or tensors (.npz), of --against or --record
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, num_args = 1..)]
    input: Vec<PathBuf>,
    /// With --record: replace the package that is there
    #[arg(long, requires = "record")]
    force: bool,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    overrides: OverrideFlags,
}

fn tolerance(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err("not a number from 0 on".into()) }
}

impl Validate {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let overrides = self.overrides.overrides()?;
        let package = Package::open(&self.model, &overrides)?;
        let options = LoadOptions { engine: self.engine.clone(), ..LoadOptions::default() };
        if self.record.is_none() && self.against.is_none() && package.golden.is_empty() {
            bail!(
                "{} has no golden case. Hint: `--record DIR --input PICTURE` writes a package with \
                 one; record it where the answer is known to be right",
                self.model.display()
            );
        }
        // A second time, for loading takes the graph: the first stays open for the files of the
        // package, which an unpacked archive has only as long as that.
        let loaded = Package::open(&self.model, &overrides)?;
        let runner = apart::load(&self.model, loaded, &overrides, &options)?;
        let runner = runner.as_ref();
        match (&self.record, &self.against) {
            (Some(target), _) => self.record(target, &Recording { runner, package: &package }),
            (None, Some(file)) => {
                let case = self.one_case(file, runner)?;
                self.report(runner, Path::new(""), &[case])
            }
            (None, None) if !self.input.is_empty() => {
                bail!("--input needs --against or --record. Hint: say what it is for")
            }
            (None, None) => self.report(runner, &package.root, &package.golden),
        }
    }

    fn tolerance(&self, runner: &dyn Runner) -> Tolerance {
        match (self.relative, self.absolute) {
            (None, None) => usual_tolerance(runner),
            (relative, absolute) => Tolerance {
                relative: relative.unwrap_or(0.0),
                absolute: absolute.unwrap_or(0.0),
                quantisation_steps: None,
            },
        }
    }

    /// Writes a package: the model's files, the cases it has, and one more for each input.
    fn record(&self, target: &Path, recording: &Recording<'_>) -> Result<ExitCode> {
        let Recording { runner, package } = *recording;
        let draft = Draft::new(target, self.force)?;
        for (path, name) in package.model_files() {
            draft.copy(&path, &name)?;
        }
        let golden = recording.cases(&draft, &self.input, self.tolerance(runner))?;
        draft.complete(package, &recording.head(), &[&package.main_file()], &golden)?;
        let path = draft.publish(Packing::Directory)?;
        let (count, engine) = (self.input.len(), &runner.info().engine);
        let line =
            format!("wrote {} with {count} recorded cases (engine {engine})", path.display());
        writeln!(std::io::stdout().lock(), "{line}").context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The case in a file of its own.
    fn one_case(&self, file: &Path, runner: &dyn Runner) -> Result<Golden> {
        let tolerance = self.tolerance(runner);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let expected = text(file);
        let input = match self.input.as_slice() {
            [] => {
                let named = expected_prediction(file)?.image.with_context(|| {
                    format!("{expected} names no picture. Hint: name it with --input")
                })?;
                file.parent().unwrap_or(Path::new("")).join(named)
            }
            [one] => one.clone(),
            _ => bail!("--against takes one --input. Hint: replay the cases one by one"),
        };
        let (image, tensors) = match is_npz(&input) {
            true => (None, Some(text(&input))),
            false => (Some(text(&input)), None),
        };
        Ok(Golden { image, tensors, expected, tolerance })
    }

    fn report(&self, runner: &dyn Runner, root: &Path, golden: &[Golden]) -> Result<ExitCode> {
        let cases: Vec<Case> = golden.iter().map(|case| Case::replay(runner, root, case)).collect();
        let engine = &runner.info().engine;
        let held = cases.iter().filter(|case| case.passed).count();
        let mut out = std::io::stdout().lock();
        let info = runner.info();
        // Not a `Value`, in which every `f32` would get the digits of an `f64`.
        let report = Report {
            model: format!("{}@{}", info.name, info.identity),
            engine,
            passed: held == golden.len(),
            cases: &cases,
        };
        match self.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?),
            Format::Jsonl => writeln!(out, "{}", serde_json::to_string(&report)?),
            Format::Table => {
                let cases = as_table(&cases);
                let count = golden.len();
                writeln!(out, "{cases}{held} of {count} golden cases hold with engine {engine}")
            }
        }
        .context(OUTPUT)?;
        Ok(if held == golden.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    model: String,
    engine: &'a str,
    passed: bool,
    cases: &'a [Case],
}

/// A replayed case.
#[derive(Serialize)]
struct Case {
    case: String,
    passed: bool,
    /// Why it could not be replayed.
    error: Option<String>,
    outputs: Vec<Comparison>,
}

impl Case {
    fn replay(runner: &dyn Runner, root: &Path, case: &Golden) -> Self {
        let name = case.image.as_ref().or(case.tensors.as_ref()).unwrap_or(&case.expected).clone();
        let (outputs, error) = match replay(runner, root, case) {
            Ok(compared) => (compared, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let passed = error.is_none() && outputs.iter().all(Comparison::holds);
        Self { case: name, passed, error, outputs }
    }

    /// What is wrong, each with the output it is about.
    fn problems(&self) -> Vec<String> {
        let differs = |compared: &Comparison| {
            let problem = compared.problem.as_ref()?;
            Some(format!("{}: {problem}", compared.output))
        };
        self.error.iter().cloned().chain(self.outputs.iter().filter_map(differs)).collect()
    }

    fn rows(&self) -> Vec<Vec<String>> {
        if self.error.is_some() {
            return vec![[&self.case, "", "", "", "", "", "failed"].map(String::from).to_vec()];
        }
        let row = |compared: &Comparison| {
            let allowed = match &compared.allowed {
                None => "overlap 0.95".to_owned(),
                Some(allowed) => match allowed.quantisation_steps {
                    Some(steps) => format!("{steps} steps ({})", short(allowed.absolute)),
                    None => format!("{} + {}", short(allowed.absolute), percent(allowed.relative)),
                },
            };
            vec![
                self.case.clone(),
                compared.output.clone(),
                compared.compared.to_string(),
                short(compared.largest_absolute),
                percent(compared.largest_relative),
                allowed,
                if compared.holds() { "ok" } else { "failed" }.to_owned(),
            ]
        };
        self.outputs.iter().map(row).collect()
    }
}

const COLUMNS: [&str; 7] = ["case", "output", "numbers", "off by", "or", "allowed", "result"];

fn as_table(cases: &[Case]) -> String {
    let mut rows = vec![COLUMNS.map(String::from).to_vec()];
    rows.extend(cases.iter().flat_map(Case::rows));
    let right = Align::Right;
    let aligns = [Align::Left, Align::Left, right, right, right, Align::Left, Align::Left];
    let mut text = table::lines(&rows, &aligns, "");
    for case in cases {
        for problem in case.problems() {
            let line = format!("failed: {}: {problem}", case.case);
            text.push_str(&format!("{}\n", table::printable(&line)));
        }
    }
    text
}

/// A difference in two digits.
fn short(difference: f32) -> String {
    match difference {
        0.0 => "0".into(),
        x if (0.01..1000.0).contains(&x) => format!("{x:.2}"),
        x => format!("{x:.1e}"),
    }
}

fn percent(fraction: f32) -> String {
    match fraction {
        0.0 => "0 %".into(),
        x if (0.001..10.0).contains(&x) => format!("{:.1} %", x * 100.0),
        x => format!("{:.1e} %", x * 100.0),
    }
}
