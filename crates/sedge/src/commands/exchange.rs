use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use sedge_engine::TensorInfo;
use sedge_package::Package;
use sedge_service::{LoadOptions, Request, Runner};
use sedge_tensor::{DType, Tensor, element_count};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::OUTPUT;
use crate::apart;
use crate::overrides::OverrideFlags;

/// Most bytes of a line that is read.
const MOST_LINE_BYTES: u64 = 1 << 20;
/// Tensors begin at multiples of this, which suits every element and cache.
const ALIGN: u64 = 64;

/// Answer lines of JSON, with tensors in memory that both sides have open
///
/// The protocol of the Python module `dlr`; see docs/dlr.md.
#[derive(Debug, Args)]
pub(crate) struct Exchange {
    /// Model file, package directory or archive
    model: PathBuf,
    /// Descriptor of the memory, open for reading and writing
    #[arg(long, value_name = "N")]
    memory_fd: u32,
    #[command(flatten)]
    overrides: OverrideFlags,
}

/// A tensor that lies in the memory.
#[derive(Deserialize, Serialize)]
struct Lying {
    name: String,
    /// As NumPy calls it.
    dtype: String,
    shape: Vec<usize>,
    /// Its first byte.
    at: u64,
}

#[derive(Deserialize)]
struct Ask {
    inputs: Vec<Lying>,
}

impl Exchange {
    pub(crate) fn run(self) -> Result<ExitCode> {
        // Opened anew: the descriptor stays its owner's.
        let memory = format!("/proc/self/fd/{}", self.memory_fd);
        let memory = File::options().read(true).write(true).open(&memory);
        let memory = memory.context("cannot open the memory for tensors")?;
        let overrides = self.overrides.overrides()?;
        let package = Package::open(&self.model, &overrides)?;
        let has_metadata = package
            .compiled
            .as_ref()
            .is_some_and(|neo| neo.files.iter().any(|file| file.role == "metadata"));
        let options = LoadOptions::default();
        let runner = apart::load(&self.model, package, &overrides, &options)?;
        let info = runner.info();
        let tensors = |infos: &[TensorInfo]| infos.iter().map(described).collect::<Vec<_>>();
        say(&json!({
            "name": info.name,
            "format": info.format,
            "engine": info.engine,
            "has_metadata": has_metadata,
            "inputs": tensors(&info.inputs),
            "outputs": tensors(&info.outputs),
        }))?;
        let mut lines = BufReader::new(std::io::stdin().lock());
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(MOST_LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            if line.last() != Some(&b'\n') && read as u64 == MOST_LINE_BYTES {
                bail!("a line is longer than {MOST_LINE_BYTES} bytes");
            }
            match answer(runner.as_ref(), &memory, &line) {
                Ok(outputs) => say(&json!({ "outputs": outputs }))?,
                Err(error) => say(&json!({ "error": crate::text_of(&error) }))?,
            }
        }
    }
}

fn described(info: &TensorInfo) -> serde_json::Value {
    let dim = |dim: &sedge_graph::Dim| dim.fixed().map_or(json!(-1), |size| json!(size));
    let shape: Vec<_> = info.shape.iter().map(dim).collect();
    json!({ "name": info.name, "dtype": info.dtype.numpy_name(), "shape": shape })
}

fn say(line: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context(OUTPUT)
}

/// Runs the model on tensors in the memory, and lays what it gives behind them.
fn answer(runner: &dyn Runner, memory: &File, line: &[u8]) -> Result<Vec<Lying>> {
    let ask: Ask = serde_json::from_slice(line).context("the line is no request")?;
    let size = memory.metadata()?.len();
    let mut end = 0;
    let mut inputs = Vec::with_capacity(ask.inputs.len());
    for input in ask.inputs {
        let (name, tensor) = taken(input, memory, size, &mut end)?;
        inputs.push((name, tensor));
    }
    let response = runner.run(&Request::tensors(runner.info().name.clone(), inputs))?;
    let mut laid = Vec::with_capacity(response.outputs.len());
    for (name, tensor) in response.outputs {
        let at = end.next_multiple_of(ALIGN);
        memory.write_all_at(tensor.bytes(), at).context("cannot write to the memory")?;
        end = at + tensor.bytes().len() as u64;
        let dtype = tensor.dtype().numpy_name().to_owned();
        laid.push(Lying { name, dtype, shape: tensor.shape().to_vec(), at });
    }
    // Whoever maps it maps whole tensors, also empty ones at its end.
    if memory.metadata()?.len() < end.max(1) {
        memory.set_len(end.max(1))?;
    }
    Ok(laid)
}

/// Copies a tensor out of the memory, so that nobody changes it while it is used.
fn taken(input: Lying, memory: &File, size: u64, end: &mut u64) -> Result<(String, Tensor)> {
    let Lying { name, dtype, shape, at } = input;
    let dtype = DType::of_numpy(&dtype)
        .with_context(|| format!("input '{name}' has elements of '{dtype}', which is not known"))?;
    let bytes = element_count(&shape).zip(dtype.size()).and_then(|(n, size)| n.checked_mul(size));
    let length = bytes.and_then(|bytes| at.checked_add(bytes as u64).filter(|&end| end <= size));
    let (Some(bytes), Some(ends)) = (bytes, length) else {
        bail!("input '{name}' does not lie in the memory");
    };
    *end = (*end).max(ends);
    let mut data = vec![0; bytes];
    memory.read_exact_at(&mut data, at).context("cannot read the memory")?;
    Ok((name, Tensor::from_bytes(dtype, shape, data.into())?))
}
