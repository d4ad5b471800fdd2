use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use sedge_engine::TensorInfo;
use sedge_graph::statistics;
use sedge_package::Package;
use serde_json::{Value, json};

use super::compiled;
use crate::commands::{Format, OUTPUT};
use crate::overrides::OverrideFlags;
use crate::table::{self, Align};

const EXAMPLES: &str = "\
Examples:
  sedge model inspect mobilenet.tflite
  sedge model inspect package/ --format json | jq .settings

Exit codes:
  0  shown
  1  the model could not be read
  2  the command line was not understood";

/// Show format, operators, inputs, outputs, preprocessing and who said so
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// Model file, package directory or archive
    model: PathBuf,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    overrides: OverrideFlags,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let package = Package::open(&self.model, &self.overrides.overrides()?)?;
        let (document, table) = (as_json(&package), as_table(&package));
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Json => writeln!(out, "{document:#}"),
            Format::Jsonl => writeln!(out, "{document}"),
            Format::Table => write!(out, "{table}"),
        }
        .context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(package: &Package) -> Value {
    let mut document = general(package);
    if let (Some(neo), Some(document)) = (&package.compiled, document.as_object_mut()) {
        for key in ["parameters", "multiply_accumulates", "operators"] {
            document.remove(key);
        }
        document.insert("compiled".into(), compiled::as_json(neo));
    }
    document
}

fn general(package: &Package) -> Value {
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
        "labels": package.labels.range().1 - package.labels.range().0,
        "golden": package.golden.len(),
        "metadata": metadata(package).collect::<std::collections::BTreeMap<_, _>>(),
        "inputs": inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(tensor).collect::<Vec<_>>(),
        "settings": settings,
        "missing": missing,
        "notes": package.notes,
    })
}

/// How many labels there are, and the first of them.
fn labels(package: &Package) -> String {
    let (first, end) = package.labels.range();
    if first == end {
        return "none".into();
    }
    let shown: Vec<&str> = (first..end).take(3).filter_map(|at| package.labels.get(at)).collect();
    let more = if end - first > shown.len() { ", ..." } else { "" };
    let from = if first > 0 { format!(" from output {first} on") } else { String::new() };
    format!("{}{from}: {}{more}", end - first, shown.join(", "))
}

/// Longest text of a file's metadata that is shown.
const MAX_TEXT: usize = 200;

/// What the file says of itself, as far as it fits a line; marks that engines read are left out.
fn metadata(package: &Package) -> impl Iterator<Item = (String, String)> {
    let short = |(key, value): &(&String, &String)| {
        value.len() <= MAX_TEXT && !value.contains('\n') && *key != "sedge.rounding"
    };
    let all = package.graph.metadata.iter().filter(short);
    all.map(|(key, value)| (key.clone(), value.trim().to_owned()))
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
    ];
    let said = match &package.compiled {
        Some(neo) => compiled::rows(neo),
        None => vec![
            ("parameters", format!("{} ({weights})", table::grouped(counted.parameters))),
            ("multiply-accumulates", macs),
        ],
    };
    let known = [("labels", labels(package)), ("golden cases", package.golden.len().to_string())];
    let rows = rows.into_iter().chain(said).chain(known);
    let rows: Vec<_> = rows.map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut text = table::lines(&rows, &[], "");

    let said: Vec<_> = metadata(package).map(|(key, value)| vec![key, value]).collect();
    if !said.is_empty() {
        text.push_str(&format!(
            "\nwhat the file says of itself\n{}",
            table::lines(&said, &[], "  ")
        ));
    }

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

    if let Some(neo) = &package.compiled {
        text.push_str(&compiled::files(neo));
    } else {
        text.push_str("\noperators, as engines see them\n");
        let mut operators: Vec<_> = counted.operators.iter().collect();
        operators.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let row = |(op, n): &(&String, &usize)| vec![n.to_string(), (*op).clone()];
        let rows: Vec<_> = operators.iter().map(row).collect();
        text.push_str(&table::lines(&rows, &[Align::Right], "  "));
    }

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
