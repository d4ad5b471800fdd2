//! The process that holds one variant: loads the model, then runs when it is told to.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use sedge_engine::TensorInfo;
use sedge_graph::Dim;
use sedge_package::Package;
use sedge_service::{LoadOptions, Request, Response, Runner, Timings};
use sedge_tensor::{DType, Tensor, element_count};

use super::protocol::{Ask, Ran, Ready, Say, Stages};
use super::{Variant, figures, memory};
use crate::apart;
use crate::overrides::Override;

/// Requests of one run whose durations are kept; a run that reaches it ends there.
const MOST_SAMPLES: usize = 500_000;

/// Runs until standard input ends.
pub(crate) fn work(
    model: &Path,
    pictures: Vec<(String, Bytes)>,
    variant: &Variant,
    overrides: &[Override],
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut say = |message: &Say| -> Result<()> {
        writeln!(out, "{}", serde_json::to_string(message)?)?;
        Ok(out.flush()?)
    };
    let (runner, requests, ready) = match load(model, pictures, variant, overrides) {
        Ok(loaded) => loaded,
        Err(error) => return say(&Say::Failed(format!("{error:#}"))),
    };
    say(&Say::Ready(ready))?;
    for line in std::io::stdin().lock().lines() {
        let done = match serde_json::from_str(&line?)? {
            Ask::Run { seconds, concurrency } => {
                run(runner.as_ref(), &requests, seconds, concurrency.max(1)).map(Say::Ran)
            }
            Ask::Outputs(directory) => write_outputs(runner.as_ref(), &requests[0], &directory),
        };
        say(&done.unwrap_or_else(|error| Say::Failed(format!("{error:#}"))))?;
    }
    Ok(())
}

fn load(
    model: &Path,
    pictures: Vec<(String, Bytes)>,
    variant: &Variant,
    overrides: &[Override],
) -> Result<(Box<dyn Runner>, Vec<Request>, Ready)> {
    let started_kib = memory::pss_kib();
    let started = Instant::now();
    let package = Package::open(model, overrides)?;
    if !pictures.is_empty() {
        package.pipeline()?;
    }
    let options = LoadOptions {
        engine: variant.engine.clone(),
        threads: variant.threads,
        ..LoadOptions::default()
    };
    let runner = apart::load(model, package, overrides, &options)?;
    let load_ms = milliseconds(started.elapsed());
    let requests = if pictures.is_empty() {
        let inputs = runner.info().inputs.iter();
        vec![Request::tensors("bench", inputs.map(input).collect::<Result<_>>()?)]
    } else {
        let request =
            |(name, bytes)| Request { image: Some(name), ..Request::picture("bench", bytes) };
        pictures.into_iter().map(request).collect()
    };
    let started = Instant::now();
    ask(runner.as_ref(), &requests[0])?;
    let first_ms = milliseconds(started.elapsed());
    let info = runner.info();
    let ready = Ready {
        model: format!("{}@{}", info.name, info.identity),
        format: info.format.to_owned(),
        engine: info.engine.clone(),
        load_ms,
        first_ms,
        started_kib,
        loaded_kib: memory::pss_kib(),
    };
    Ok((runner, requests, ready))
}

/// One answer; an error names the picture.
fn ask(runner: &dyn Runner, request: &Request) -> Result<Response> {
    runner.run(request).map_err(|error| match &request.image {
        Some(image) => anyhow::anyhow!(error).context(image.clone()),
        None => error.into(),
    })
}

/// An input for models that are asked without a picture: the same pattern in every program that
/// measures, so that their answers can be compared. Free dimensions are 1.
fn input(info: &TensorInfo) -> Result<(String, Tensor)> {
    let shape: Vec<usize> = info.shape.iter().map(|dim: &Dim| dim.fixed().unwrap_or(1)).collect();
    let count = element_count(&shape).context("an input is too large")?;
    // Knuth's multiplicative hash: bits that look random, from the index alone.
    let bits = (0..count).map(|index| (index as u32).wrapping_mul(2_654_435_761));
    let tensor = match info.dtype {
        DType::F32 => Tensor::new(shape, bits.map(|b| (b >> 8) as f32 / 16_777_216.0).collect()),
        DType::U8 => Tensor::new(shape, bits.map(|b| (b >> 24) as u8).collect()),
        DType::I8 => Tensor::new(shape, bits.map(|b| ((b >> 24) as u8 ^ 0x80) as i8).collect()),
        dtype => match dtype.size() {
            Some(size) => Tensor::from_bytes(dtype, shape, vec![0; count * size].into()),
            None => bail!("input '{}' takes strings. Hint: name a picture", info.name),
        },
    };
    Ok((info.name.clone(), tensor?))
}

fn run(runner: &dyn Runner, requests: &[Request], seconds: f64, concurrency: usize) -> Result<Ran> {
    let measured = Duration::try_from_secs_f64(seconds).context("no such time")?;
    // The other variants have had the processor and its caches since the last run.
    cycle(runner, requests, measured / 10, 0)?;
    let barrier = Barrier::new(concurrency);
    let threads = std::thread::scope(|scope| {
        let one = |first: usize| {
            barrier.wait();
            let begun = Instant::now();
            cycle(runner, requests, measured, first).map(|samples| (begun, samples, Instant::now()))
        };
        let threads: Vec<_> =
            (0..concurrency).map(|first| scope.spawn(move || one(first))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut samples = Samples::default();
    let mut span: Option<(Instant, Instant)> = None;
    for thread in threads {
        let (begun, mut more, ended) =
            thread.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        samples.nanos.append(&mut more.nanos);
        samples.timings.append(&mut more.timings);
        let (from, to) = span.unwrap_or((begun, ended));
        span = Some((from.min(begun), to.max(ended)));
    }
    let wall = span.map_or(Duration::ZERO, |(from, to)| to.duration_since(from));
    Ok(Ran {
        stages_us: samples.stages(),
        nanos: samples.nanos,
        wall_us: wall.as_micros() as u64,
        pss_kib: memory::pss_kib(),
        peak_rss_kib: memory::peak_rss_kib(),
    })
}

#[derive(Default)]
struct Samples {
    nanos: Vec<u64>,
    /// Of requests with pictures.
    timings: Vec<Timings>,
}

/// Runs requests in turn until the time is over, and one at least.
fn cycle(
    runner: &dyn Runner,
    requests: &[Request],
    time: Duration,
    first: usize,
) -> Result<Samples> {
    let mut samples = Samples::default();
    let begun = Instant::now();
    for request in requests.iter().cycle().skip(first % requests.len()) {
        let started = Instant::now();
        let response = ask(runner, request)?;
        let ended = Instant::now();
        samples.nanos.push(ended.duration_since(started).as_nanos() as u64);
        samples.timings.extend(response.prediction.map(|prediction| prediction.timings_us));
        if ended.duration_since(begun) >= time || samples.nanos.len() >= MOST_SAMPLES {
            break;
        }
    }
    Ok(samples)
}

impl Samples {
    fn stages(&self) -> Option<Stages> {
        let middle = |stage: fn(&Timings) -> u64| {
            let mut micros: Vec<u64> = self.timings.iter().map(stage).collect();
            micros.sort_unstable();
            figures::percentile(&micros, 0.5)
        };
        (!self.timings.is_empty()).then(|| Stages {
            decode: middle(|t| t.decode),
            preprocess: middle(|t| t.preprocess),
            inference: middle(|t| t.inference),
            postprocess: middle(|t| t.postprocess),
        })
    }
}

fn write_outputs(runner: &dyn Runner, request: &Request, directory: &Path) -> Result<Say> {
    let response = ask(runner, request)?;
    for (index, (name, tensor)) in response.outputs.iter().enumerate() {
        let values = tensor.to_f32().with_context(|| format!("output '{name}' has no numbers"))?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let path = directory.join(format!("output-{index}.f32"));
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Say::Written(response.outputs.len()))
}

fn milliseconds(duration: Duration) -> f64 {
    figures::round(duration.as_secs_f64() * 1000.0, 3)
}
