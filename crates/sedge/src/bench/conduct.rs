//! Starts one worker per variant and lets them run in turns.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::Variant;
use super::figures::round;
use super::protocol::{Ask, Ran, Ready, Say};

/// What is measured of each variant.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) variants: Vec<Variant>,
    pub(crate) concurrency: Vec<usize>,
    pub(crate) rounds: usize,
    /// Of each variant and concurrency in each round.
    pub(crate) seconds: f64,
}

/// What came of one variant.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) variant: Variant,
    pub(super) ready: Ready,
    /// From starting the process to its first answer.
    pub(super) start_ms: f64,
    /// By place in [`Schedule::concurrency`], then by round.
    pub(super) runs: Vec<Vec<Ran>>,
}

/// Runs every variant at every concurrency, round by round: A B A B, so that what else happens on
/// the machine meets all of them.
pub(crate) fn conduct(schedule: &Schedule, step: impl Fn(&str)) -> Result<Vec<Measured>> {
    let mut workers = Vec::new();
    for variant in &schedule.variants {
        step(&format!("loading {variant}"));
        workers.push(Worker::start(variant, schedule.concurrency.len())?);
    }
    for _ in 0..schedule.rounds {
        for worker in &mut workers {
            for (index, &concurrency) in schedule.concurrency.iter().enumerate() {
                step(&worker.measured.variant.to_string());
                let ask = Ask::Run { seconds: schedule.seconds, concurrency };
                match worker.ask(&ask)? {
                    Say::Ran(ran) => worker.measured.runs[index].push(ran),
                    other => bail!("{}: it answered {other:?}", worker.measured.variant),
                }
            }
        }
    }
    Ok(workers.into_iter().map(Worker::end).collect())
}

struct Worker {
    process: Child,
    /// Closed to end it.
    asks: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
    measured: Measured,
}

impl Worker {
    /// The worker is this command with the same arguments, told which variant it is.
    fn start(variant: &Variant, levels: usize) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let arguments = std::env::args_os().skip(1);
        let worker = [OsString::from("--worker"), variant.to_string().into()];
        let started = Instant::now();
        let mut process = Command::new(program)
            .args(arguments.chain(worker))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process to measure in")?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (asks, says) = pipes.context("the process to measure in has no pipes")?;
        let mut says = BufReader::new(says);
        let ready = match hear(&mut says, variant) {
            Ok(Say::Ready(ready)) => ready,
            other => {
                let _ = process.kill();
                let _ = process.wait();
                bail!(other.map_or_else(|e| e, |say| anyhow!("{variant}: it began with {say:?}")));
            }
        };
        let start_ms = round(started.elapsed().as_secs_f64() * 1000.0, 3);
        let runs = vec![Vec::new(); levels];
        let measured = Measured { variant: variant.clone(), ready, start_ms, runs };
        Ok(Self { process, asks: Some(asks), says, measured })
    }

    fn ask(&mut self, ask: &Ask) -> Result<Say> {
        let asks = self.asks.as_mut().context("the worker has ended")?;
        writeln!(asks, "{}", serde_json::to_string(ask)?)
            .with_context(|| format!("{}: the worker has ended", self.measured.variant))?;
        hear(&mut self.says, &self.measured.variant)
    }

    fn end(mut self) -> Measured {
        drop(self.asks.take());
        let _ = self.process.wait();
        self.measured
    }
}

fn hear(says: &mut BufReader<ChildStdout>, variant: &Variant) -> Result<Say> {
    let mut line = String::new();
    says.read_line(&mut line)?;
    if line.is_empty() {
        bail!("{variant}: the process that measures it ended");
    }
    match serde_json::from_str(&line)
        .with_context(|| format!("{variant}: not understood: {line}"))?
    {
        Say::Failed(why) => bail!("{why}"),
        say => Ok(say),
    }
}
