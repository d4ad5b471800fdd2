use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use sedge_graph::Graph;
use sedge_package::{ConvertOptions, Package};

use crate::commands::{OUTPUT, size};
use crate::overrides::OverrideFlags;
use crate::spinner::Spinner;
use crate::table;

const EXAMPLES: &str = "\
Examples:
  sedge model convert mobilenet.tflite mobilenet.onnx     one file, for any ONNX runtime
  sedge model convert package/ converted/                 a package: model.onnx, labels, golden cases
  sedge model convert quantised.tflite accelerator.onnx --quantised qdq
  sedge model convert model.tar.gz converted/ --color rgb --mean 127.5 --std 127.5

Exit codes:
  0  written
  1  the model could not be read, has operators that ONNX lacks, or the output is there already
  2  the command line was not understood";

/// Ends of names that are no ONNX model and unlikely to be meant as a directory.
const OTHER_FORMATS: [&str; 14] = [
    "tflite", "pb", "params", "json", "npz", "h5", "keras", "pt", "pth", "mlmodel", "gz", "tgz",
    "tar", "zip",
];

/// How the operators of a quantised TensorFlow Lite model are written into one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Quantised {
    /// In integers and doubles, with TensorFlow Lite's own rounding: the same numbers in every ONNX
    /// runtime.
    Exact,
    /// In floats between quantise and dequantise nodes, for accelerators and their compilers: every
    /// runtime rounds in its own way.
    Qdq,
}

/// Write a model as ONNX (operator set 21, none of Sedge's own operators)
///
/// OUT ending in .onnx becomes one file; what is known about the model's use goes into its metadata.
/// Any other OUT becomes a package directory. Weights above 2 GiB go to a file beside the model.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Convert {
    /// Model file, package directory or archive
    model: PathBuf,
    /// File to write (ending in .onnx), or package directory
    out: PathBuf,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    /// Store large weights beside the model, in OUT.data, also where they would fit into it
    #[arg(long)]
    external_data: bool,
    /// How a quantised TensorFlow Lite model is written into one file; a package has what Sedge
    /// computes exactly, which is qdq
    #[arg(long, value_enum, default_value = "exact")]
    quantised: Quantised,
    #[command(flatten)]
    overrides: OverrideFlags,
}

impl Convert {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let extension = self.out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_file = extension == "onnx" && !self.out.is_dir();
        if OTHER_FORMATS.contains(&extension.as_str()) {
            bail!(
                "{}: models are written as ONNX only. Hint: name a file that ends in .onnx, or a \
                 directory for a package",
                self.out.display()
            );
        }
        let rewrite: fn(&mut Graph) = |graph| {
            sedge_engine::spell_out(graph);
        };
        let options = ConvertOptions {
            force: self.force,
            external_data: self.external_data,
            rewrite: (self.quantised == Quantised::Exact).then_some(rewrite),
        };
        let spinner = Spinner::start(format!("converting {}", self.model.display()));
        let package = Package::open(&self.model, &self.overrides.overrides()?)?;
        let converted = match is_file {
            true => package.convert_to_file(&self.out, &options)?,
            false => package.convert_to_package(&self.out, &options)?,
        };
        drop(spinner);
        package.notes.iter().for_each(|note| crate::say("warning", note));
        if !converted.foreign.is_empty() {
            let names = converted.foreign.join(", ");
            crate::say("warning", &format!("not every ONNX runtime has the operators {names}"));
        }
        let mut out = std::io::stdout().lock();
        for path in &converted.paths {
            let line = format!("wrote {} ({})", path.display(), table::bytes(size(path)));
            writeln!(out, "{}", table::printable(&line)).context(OUTPUT)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
