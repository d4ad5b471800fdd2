use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueHint};
use sedge_engine::{Registry, TensorInfo};
use sedge_graph::statistics;
use sedge_package::{Package, manifest_template};
use sedge_service::{LoadOptions, Pipeline, Runner, replay};
use serde_json::{Value, json};

use super::{Format, OUTPUT};
use crate::overrides::OverrideFlags;
use crate::table::{self, Align};

const INSPECT: &str = "\
Examples:
  sedge model inspect mobilenet.tflite
  sedge model inspect package/ --format json | jq .settings

Exit codes:
  0  shown
  1  the model could not be read
  2  the command line was not understood";

const VALIDATE: &str = "\
Examples:
  sedge model validate package/
  sedge model validate package.tar.gz --engine onnxruntime

Exit codes:
  0  every golden case holds
  1  one does not, there is none, or the model could not be loaded
  2  the command line was not understood";

const INIT: &str = "\
Examples:
  sedge model init model.onnx                   writes model.toml beside it
  sedge model init model.onnx --output -        shows it
  sedge model init model.onnx --color rgb --mean 127.5 --std 127.5

Exit codes:
  0  written; what is still to be filled in is listed
  1  the model could not be read, or model.toml is there already
  2  the command line was not understood";

/// Look into models and write manifests for them
#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Show format, operators, inputs, outputs, preprocessing and who said so
    #[command(after_long_help = INSPECT)]
    Inspect {
        /// Model file, package directory or archive
        model: PathBuf,
        /// How it is printed
        #[arg(long, default_value = "table")]
        format: Format,
        #[command(flatten)]
        overrides: OverrideFlags,
    },
    /// Replay the package's golden cases: does it still give the right answer here?
    #[command(after_long_help = VALIDATE)]
    Validate {
        /// Package directory or archive
        model: PathBuf,
        /// Engine: auto, native or onnxruntime
        #[arg(long, default_value = "auto")]
        engine: String,
    },
    /// Write a model.toml with everything that is known, to fill in
    #[command(after_long_help = INIT)]
    Init {
        /// Model file
        #[arg(value_hint = ValueHint::FilePath)]
        model: PathBuf,
        /// Where to write it: a file, or - for standard output [default: model.toml beside the model]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Overwrite what is there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        overrides: OverrideFlags,
    },
}

impl Model {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Model::Inspect { model, format, overrides } => {
                let package = Package::open(&model, &overrides.overrides()?)?;
                inspect(&package, format).context(OUTPUT)
            }
            Model::Validate { model, engine } => validate(&model, engine),
            Model::Init { model, output, force, overrides } => {
                let package = Package::open(&model, &overrides.overrides()?)?;
                init(&package, output, force)
            }
        }
    }
}

fn validate(model: &Path, engine: String) -> Result<ExitCode> {
    let package = Package::open(model, &[])?;
    if package.golden.is_empty() {
        bail!(
            "{} has no golden case. Hint: add one to its model.toml: a picture, and the prediction \
             that `sedge infer --format json` gave where the answer was right",
            model.display()
        );
    }
    let (root, golden) = (package.root.clone(), package.golden.clone());
    let options = LoadOptions { engine, ..LoadOptions::default() };
    // The package stays open: an unpacked archive lives as long as it does.
    let pipeline = Pipeline::open(&root, &[], &Registry::new(None), &options)?;
    let mut out = std::io::stdout().lock();
    let mut failed = 0;
    for case in &golden {
        let name = case.image.as_ref().or(case.tensors.as_ref()).unwrap_or(&case.expected);
        match replay(&pipeline, &root, case) {
            Ok(()) => writeln!(out, "ok      {name}")?,
            Err(error) => {
                failed += 1;
                writeln!(out, "failed  {name}: {error}")?;
            }
        }
    }
    let engine = &pipeline.info().engine;
    writeln!(
        out,
        "{} of {} golden cases hold with engine {engine}",
        golden.len() - failed,
        golden.len()
    )?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn inspect(package: &Package, format: Format) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{:#}", as_json(package))?,
        Format::Jsonl => writeln!(out, "{}", as_json(package))?,
        Format::Table => write!(out, "{}", as_table(package))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(package: &Package) -> Value {
    let counted = statistics(&package.graph);
    let (inputs, outputs) = TensorInfo::of_graph(&package.graph);
    let tensor = |info: &TensorInfo| {
        let shape: Vec<Value> =
            info.shape.iter().map(|d| d.fixed().map_or(json!(-1), |n| json!(n))).collect();
        json!({"name": info.name, "dtype": info.dtype, "shape": shape, "quantization": info.quantization})
    };
    let settings: Vec<Value> = package
        .settings
        .iter()
        .map(|(key, s)| json!({"key": key.replace(".0.", "."), "value": s.value, "origin": s.origin.to_string()}))
        .collect();
    let missing: Vec<String> = match package.pipeline() {
        Ok(_) => Vec::new(),
        Err(incomplete) => incomplete.missing.into_iter().map(|missing| missing.key).collect(),
    };
    json!({
        "name": package.name,
        "identity": package.identity,
        "format": package.format.name(),
        "file": package.file.display().to_string(),
        "bytes": package.bytes,
        "task": package.task(),
        "parameters": counted.parameters,
        "multiply_accumulates": counted.multiply_accumulates,
        "operators": counted.operators,
        "inputs": inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(tensor).collect::<Vec<_>>(),
        "settings": settings,
        "missing": missing,
        "notes": package.notes,
    })
}

fn as_table(package: &Package) -> String {
    let counted = statistics(&package.graph);
    let macs = counted.multiply_accumulates.map_or("unknown".into(), table::grouped);
    let weights = table::bytes(counted.parameter_bytes);
    let rows = [
        ("model", package.name.clone()),
        ("identity", package.short_identity().to_owned()),
        ("file", format!("{} ({})", package.file.display(), table::bytes(package.bytes))),
        ("format", package.format.name().to_owned()),
        ("task", package.task().to_string()),
        ("parameters", format!("{} ({weights})", table::grouped(counted.parameters))),
        ("multiply-accumulates", macs),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut text = table::lines(&rows, &[], "");

    let (inputs, outputs) = TensorInfo::of_graph(&package.graph);
    for (title, infos) in [("inputs", inputs), ("outputs", outputs)] {
        text.push_str(&format!("\n{title}\n"));
        let row = |info: &TensorInfo| {
            let quantized = info.quantization.as_ref().and_then(|q| {
                Some(format!("scale {} zero {}", q.scale.first()?, q.zero_point.first()?))
            });
            vec![
                info.name.clone(),
                info.dtype.to_string(),
                info.shape_text(),
                quantized.unwrap_or_default(),
            ]
        };
        text.push_str(&table::lines(&infos.iter().map(row).collect::<Vec<_>>(), &[], "  "));
    }

    text.push_str("\noperators, as engines see them\n");
    let mut operators: Vec<_> = counted.operators.iter().collect();
    operators.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let rows: Vec<_> = operators.iter().map(|(op, n)| vec![n.to_string(), (*op).clone()]).collect();
    text.push_str(&table::lines(&rows, &[Align::Right], "  "));

    text.push_str("\nsettings and who said so\n");
    let row = |(key, setting): (&str, &sedge_package::Setting)| {
        let value = match &setting.value {
            toml::Value::Array(items) if items.len() > 6 => format!("{} entries", items.len()),
            value => value.to_string(),
        };
        vec![key.replace(".0.", "."), value, setting.origin.to_string()]
    };
    text.push_str(&table::lines(&package.settings.iter().map(row).collect::<Vec<_>>(), &[], "  "));
    for note in &package.notes {
        text.push_str(&format!("\nnote: {}\n", note.replace(" Hint: ", "\nHint: ")));
    }
    if let Err(incomplete) = package.pipeline() {
        text.push_str(&format!("\n{}\n", incomplete.to_string().replace("Hint: ", "\nHint: ")));
    }
    text
}

fn init(package: &Package, output: Option<PathBuf>, force: bool) -> Result<ExitCode> {
    let target = output.unwrap_or_else(|| package.root.join("model.toml"));
    if target.as_os_str() == "-" {
        write!(std::io::stdout().lock(), "{}", manifest_template(package, None))?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = target.parent().unwrap_or(Path::new(""));
    let embedded = package.settings.get("model.labels").and_then(|labels| labels.value.as_array());
    let labels = embedded.filter(|labels| labels.len() > 12).map(|labels| {
        let lines: Vec<&str> = labels.iter().filter_map(toml::Value::as_str).collect();
        lines.join("\n") + "\n"
    });
    let labels_file = labels.as_ref().map(|_| "labels.txt");
    write_new(&target, &manifest_template(package, labels_file), force)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "wrote {}", target.display())?;
    if let Some(labels) = labels {
        let path = directory.join("labels.txt");
        write_new(&path, &labels, force)?;
        writeln!(out, "wrote {}", path.display())?;
    }
    if let Err(incomplete) = package.pipeline() {
        let keys: Vec<_> = incomplete.missing.iter().map(|missing| missing.key.as_str()).collect();
        writeln!(out, "to fill in: {}", keys.join(", "))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_new(path: &Path, text: &str, force: bool) -> Result<()> {
    if path.exists() && !force {
        bail!(
            "{} is already there. Hint: --force overwrites it, --output writes elsewhere",
            path.display()
        );
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
