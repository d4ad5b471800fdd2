use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use sedge_package::{Draft, Package, Packing, SecretKey, sign};
use sedge_service::{LoadOptions, usual_tolerance};

use super::sign::report;
use crate::apart;
use crate::commands::{OUTPUT, size};
use crate::overrides::{Override, OverrideFlags};
use crate::recording::Recording;
use crate::spinner::Spinner;
use crate::{choices, table};

const EXAMPLES: &str = "\
Examples:
  sedge package create mobilenet.tflite -o mobilenet.tar.gz
  sedge package create detector/ -o detector.zip --golden street.jpg --sign release.pem
  sedge package create model.onnx -o package/ --color rgb --mean 127.5 --std 127.5

Exit codes:
  0  written
  1  not everything is known about the model's use, it could not be read, or the output is there
  2  the command line was not understood";

/// Ends of names that are archives of kinds that are not written.
const OTHER_ARCHIVES: [&str; 8] = ["gz", "bz2", "xz", "zst", "7z", "rar", "tbz2", "txz"];

/// Make a package of a model: everything a device needs, in one directory or archive
///
/// OUT ending in .tar.gz, .tgz, .tar or .zip becomes an archive, anything else a directory. The same
/// model becomes the same bytes. A package is taken as it is, unless settings are overridden or cases
/// recorded; another model gets a model.toml with all that is known.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Create {
    /// Model file, package directory or archive
    model: PathBuf,
    /// Archive or directory to write
    #[arg(long, short, value_name = "OUT", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Record what the model answers now to these pictures, or tensors (.npz), as golden cases
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    golden: Vec<PathBuf>,
    /// Secret key to sign the package with
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath)]
    sign: Option<PathBuf>,
    /// Engine that records: auto, native or onnxruntime
    #[arg(long, default_value = "auto", value_parser = choices::engines(), hide_possible_values = true)]
    engine: String,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    overrides: OverrideFlags,
}

impl Create {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let packing = Packing::of_name(&self.output);
        let extension = self.output.extension().unwrap_or_default().to_string_lossy();
        if packing == Packing::Directory && OTHER_ARCHIVES.contains(&&*extension.to_lowercase()) {
            bail!(
                "{}: no such archives are written. Hint: name one that ends in .tar.gz or .zip",
                self.output.display()
            );
        }
        // What can be found wrong at once is, before the model is read.
        let key = self.sign.as_deref().map(SecretKey::read).transpose()?;
        let spinner = Spinner::start(format!("packing {}", self.model.display()));
        let overrides = self.overrides.overrides()?;
        let package = Package::open(&self.model, &overrides)?;
        // A model that takes no pictures, only tensors, lacks nothing that could be filled in.
        if let Some(incomplete) =
            package.pipeline().err().filter(|incomplete| !incomplete.missing.is_empty())
        {
            bail!(incomplete);
        }
        let draft = Draft::new(&self.output, self.force)?;
        self.fill(&draft, &package, &overrides)?;
        let signed = key.map(|key| sign(&draft.path(), &key)).transpose()?;
        let written = draft.publish(packing)?;
        drop(spinner);
        package.notes.iter().for_each(|note| crate::say("warning", note));
        let shown = written.to_string_lossy();
        let line = format!("wrote {shown} ({})", table::bytes(size(&written)));
        writeln!(std::io::stdout().lock(), "{}", table::printable(&line)).context(OUTPUT)?;
        signed.map_or(Ok(()), |signed| report(&signed, &shown))?;
        Ok(ExitCode::SUCCESS)
    }

    fn fill(&self, draft: &Draft, package: &Package, overrides: &[Override]) -> Result<()> {
        let is_package = package.entry().is_empty();
        if is_package && overrides.is_empty() && self.golden.is_empty() {
            for (path, name) in package.files() {
                draft.copy(&path, &name)?;
            }
            return Ok(());
        }
        for (path, name) in package.model_files() {
            draft.copy(&path, &name)?;
        }
        let main = package.main_file();
        if self.golden.is_empty() {
            let head = format!("# Made by Sedge {}.\n", env!("CARGO_PKG_VERSION"));
            return Ok(draft.complete(package, &head, &[&main], &package.golden)?);
        }
        let options = LoadOptions { engine: self.engine.clone(), ..LoadOptions::default() };
        // A second time, for loading takes the graph.
        let loaded = Package::open(&self.model, overrides)?;
        let runner = apart::load(&self.model, loaded, overrides, &options)?;
        let recording = Recording { runner: runner.as_ref(), package };
        let golden = recording.cases(draft, &self.golden, usual_tolerance(runner.as_ref()))?;
        Ok(draft.complete(package, &recording.head(), &[&main], &golden)?)
    }
}
