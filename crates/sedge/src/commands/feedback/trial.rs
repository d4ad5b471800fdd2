use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args, ValueHint};
use sedge_feedback::Strategy;
use sedge_package::{Package, service_name};
use sedge_service::{LoadOptions, Request, Runner};
use sedge_vision::DecodeLimits;
use serde::Serialize;

use crate::commands::{Format, OUTPUT};
use crate::config::{Chosen, Config, Feedback};
use crate::overrides::OverrideFlags;
use crate::pictures::{self, Source};
use crate::{apart, choices, egress, ranges, table};

const EXAMPLES: &str = "\
Examples:
  sedge feedback try model/ photos/ --strategy least-confidence --threshold 0.5
  sedge feedback try model/ photos/ --strategy entropy --threshold 1.0
  sedge feedback try detector/ photos/ --strategy classes --class dog --class cat
  sedge feedback try model/ photos/ --config sedge.toml --feedback unsure
  sedge feedback try model/ photos/ --strategy margin --threshold 0.1 --format jsonl

Exit codes:
  0  every picture was answered
  1  the model could not be loaded, or a picture failed; the others were answered
  2  the command line was not understood";

/// Say which pictures a strategy would take as samples, and by what measure
///
/// Nothing leaves the device, and no bucket, broker or server is needed.
#[derive(Debug, Args)]
#[command(name = "try", after_long_help = EXAMPLES)]
#[command(group(ArgGroup::new("rule").required(true).args(["strategy", "config"])))]
pub(crate) struct Try {
    /// Model file, package directory or archive
    model: PathBuf,
    /// JPEG or PNG files, directories of them, or - for standard input
    #[arg(required = true)]
    image: Vec<PathBuf>,
    /// Which samples are taken, as `strategy` in a feedback section says it
    #[arg(long, value_enum)]
    strategy: Option<Chosen>,
    /// Bound of least-confidence, margin and entropy
    #[arg(long, value_name = "T", value_parser = threshold, conflicts_with = "config")]
    threshold: Option<f64>,
    /// Part of all that is taken, with random
    #[arg(long, value_name = "PART", value_parser = part, conflicts_with = "config")]
    rate: Option<f64>,
    /// Label or number of a class, with classes; may be given again
    #[arg(long, value_name = "CLASS", conflicts_with = "config")]
    class: Vec<String>,
    /// Fewest objects, with detections [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "config")]
    least: Option<usize>,
    /// Most objects, with detections
    #[arg(long, value_name = "N", conflicts_with = "config")]
    most: Option<usize>,
    /// Least score of what counts as found, with classes and detections [default: 0.5]
    #[arg(long, value_name = "SCORE", value_parser = part, conflicts_with = "config")]
    min_score: Option<f64>,
    /// Configuration with feedback sections, in place of these
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The section's name, where there are several
    #[arg(long, value_name = "NAME", requires = "config")]
    feedback: Option<String>,
    /// How results are printed [default: table on a terminal, else jsonl]
    #[arg(long)]
    format: Option<Format>,
    /// Engine: auto, native or onnxruntime
    #[arg(long, default_value = "auto", value_parser = choices::engines(), hide_possible_values = true)]
    engine: String,
    /// Largest picture that is decoded, in megapixels
    #[arg(long, value_name = "MP", default_value_t = 64, value_parser = ranges::MAX_MEGAPIXELS.parser::<u64>())]
    max_megapixels: u64,
    #[command(flatten)]
    overrides: OverrideFlags,
}

fn number(text: &str, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=most).contains(number));
    number.ok_or_else(|| format!("takes a number from 0 to {most}"))
}

fn part(text: &str) -> Result<f64, String> {
    number(text, 1.0)
}

fn threshold(text: &str) -> Result<f64, String> {
    number(text, 100.0)
}

/// What is said of one picture.
#[derive(Debug, Serialize)]
struct Row {
    image: String,
    /// Best class or object, where there is one.
    label: Option<String>,
    index: Option<i64>,
    score: Option<f64>,
    /// The number that decides, where one does.
    measure: Option<f64>,
    taken: bool,
    bytes: usize,
}

impl Try {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let strategy = self.chosen()?.configuration().strategy;
        let sources = pictures::collect(&self.image)?;
        let overrides = self.overrides.overrides()?;
        let package = Package::open(&self.model, &overrides)?;
        package.pipeline()?;
        package.notes.iter().for_each(|note| crate::say("warning", note));
        let options = LoadOptions {
            engine: self.engine.clone(),
            threads: sedge_engine::available_threads(),
            limits: DecodeLimits::of_megapixels(self.max_megapixels),
            ..LoadOptions::default()
        };
        let runner = apart::load(&self.model, package, &overrides, &options)?;
        let mut rows = Vec::with_capacity(sources.len());
        for source in &sources {
            match self.one(source, runner.as_ref(), &strategy) {
                Ok(row) => rows.push(row),
                Err(error) => crate::report(&error.context(source.name())),
            }
        }
        let terminal = std::io::stdout().is_terminal();
        let format = self.format.unwrap_or(if terminal { Format::Table } else { Format::Jsonl });
        let text = match format {
            Format::Table => as_table(&rows, &strategy),
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            Format::Jsonl => {
                let lines: Result<Vec<String>, _> =
                    rows.iter().map(serde_json::to_string).collect();
                lines?.iter().map(|line| format!("{line}\n")).collect()
            }
        };
        std::io::stdout().write_all(text.as_bytes()).context(OUTPUT)?;
        let all = rows.len() == sources.len();
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The section of the configuration, or what the flags say in its words.
    fn chosen(&self) -> Result<Feedback> {
        let Some(path) = &self.config else { return self.said() };
        let mut sections = Config::read(path)?.feedback;
        let names: Vec<&str> = sections.iter().map(|one| one.name.as_str()).collect();
        let (place, names) = (path.display(), names.join(", "));
        let found = match &self.feedback {
            Some(name) => sections.iter().position(|one| one.name == *name),
            None if sections.len() == 1 => Some(0),
            None => None,
        };
        match (found, sections.is_empty()) {
            (Some(index), _) => Ok(sections.swap_remove(index)),
            (None, true) => bail!("{place} has no [[feedback]]. Hint: say --strategy instead"),
            (None, false) => {
                bail!("which [[feedback]] of {place}? Hint: --feedback, one of {names}")
            }
        }
    }

    fn said(&self) -> Result<Feedback> {
        let defaults = Feedback::default();
        let said = Feedback {
            strategy: self.strategy.unwrap_or(defaults.strategy),
            rate: self.rate,
            threshold: self.threshold,
            classes: self.class.clone(),
            least: self.least.unwrap_or(defaults.least),
            most: self.most,
            min_score: self.min_score.unwrap_or(defaults.min_score),
            ..defaults
        };
        match said.missing() {
            Some("classes") => bail!("this strategy looks for classes. Hint: --class NAME"),
            Some(key) => bail!("this strategy needs a bound. Hint: --{key} NUMBER"),
            None => Ok(said),
        }
    }

    fn one(&self, source: &Source, runner: &dyn Runner, strategy: &Strategy) -> Result<Row> {
        let bytes = source.read()?;
        let size = bytes.len();
        let request = Request::picture(service_name(&self.model), bytes);
        let response = runner.run(&request)?;
        let prediction = response.prediction.context("the model gave no prediction")?;
        let scores = egress::scores(&prediction, response.probabilities.as_deref());
        if strategy.needs_scores() && prediction.classes.is_none() && prediction.objects.is_none() {
            bail!(
                "the model says neither classes nor objects, which this strategy looks at. Hint: \
                 --strategy random or everything"
            );
        }
        let best = scores.findings.iter().max_by(|one, other| one.score.total_cmp(&other.score));
        Ok(Row {
            image: source.name(),
            label: best.and_then(|best| best.label.clone()),
            index: best.map(|best| best.class),
            score: best.map(|best| best.score),
            measure: strategy.needs_scores().then(|| strategy.measure(&scores)),
            taken: strategy.takes(&scores, fastrand::f64()),
            bytes: size,
        })
    }
}

/// What the measure of a strategy is called, and when it takes a picture.
fn rule(strategy: &Strategy) -> (&'static str, String) {
    match strategy {
        Strategy::Everything => ("-", "all are".into()),
        Strategy::Random { rate } => ("-", format!("{rate} of all, by chance")),
        Strategy::LeastConfidence { threshold } => {
            ("best score", format!("the best score is at most {threshold}"))
        }
        Strategy::Margin { threshold } => {
            ("margin", format!("the two best scores differ by at most {threshold}"))
        }
        Strategy::Entropy { threshold } => {
            ("entropy", format!("the entropy in nats is above {threshold}"))
        }
        Strategy::Classes { classes, min_score } => (
            "found",
            format!("{} is found with a score of at least {min_score}", classes.join(" or ")),
        ),
        Strategy::Detections { least, most, min_score } => {
            let how_many = match *most {
                usize::MAX => format!("{least} or more"),
                most => format!("{least} to {most}"),
            };
            ("objects", format!("{how_many} objects have a score of at least {min_score}"))
        }
    }
}

fn as_table(rows: &[Row], strategy: &Strategy) -> String {
    let (measure, when) = rule(strategy);
    let counts = matches!(strategy, Strategy::Classes { .. } | Strategy::Detections { .. });
    let number = |number: Option<f64>, places: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.places$}"))
    };
    let cells = |row: &Row| {
        let class = row.index.map_or_else(|| "-".to_owned(), |index| format!("class {index}"));
        vec![
            row.image.clone(),
            row.label.clone().filter(|label| !label.is_empty()).unwrap_or(class),
            number(row.score, 3),
            number(row.measure, if counts { 0 } else { 3 }),
            if row.taken { "yes" } else { "no" }.to_owned(),
        ]
    };
    let head = ["picture", "best", "score", measure, "taken"];
    let taken: Vec<&Row> = rows.iter().filter(|row| row.taken).collect();
    let bytes = table::bytes(taken.iter().map(|row| row.bytes as u64).sum());
    let (all, some) = (rows.len(), taken.len());
    format!(
        "{}{some} of {all} would be taken, {bytes}: taken when {when}\n",
        table::under(&head, rows.iter().map(cells), 2)
    )
}
