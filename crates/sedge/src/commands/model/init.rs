use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use sedge_package::{Package, manifest_template};

use crate::overrides::OverrideFlags;

const EXAMPLES: &str = "\
Examples:
  sedge model init model.onnx                   writes model.toml beside it
  sedge model init model.onnx --output -        shows it
  sedge model init model.onnx --color rgb --mean 127.5 --std 127.5

Exit codes:
  0  written; what is still to be filled in is listed
  1  the model could not be read, is in an archive, or model.toml is there already
  2  the command line was not understood";

/// Write a model.toml with everything that is known, to fill in
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Init {
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
}

impl Init {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let package = Package::open(&self.model, &self.overrides.overrides()?)?;
        if package.is_archive() && self.output.is_none() {
            bail!(
                "{} is an archive, and a model.toml belongs into it, beside the model. Hint: unpack \
                 it and name the directory, or give --output",
                self.model.display()
            );
        }
        write(&package, self.output, self.force)
    }
}

fn write(package: &Package, output: Option<PathBuf>, force: bool) -> Result<ExitCode> {
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
