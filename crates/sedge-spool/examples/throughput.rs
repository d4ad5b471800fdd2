//! How many records a spool takes and hands out per second: `throughput DIRECTORY SYNC BYTES COUNT`
//! with SYNC one of `always`, `every` and `never`. Prints one line of JSON. For `bench/spool.py`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use sedge_spool::{Entry, Options, Priority, Settled, Spool, Sync};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, sync, bytes, count] = arguments.as_slice() else {
        return Err("usage: throughput DIRECTORY SYNC BYTES COUNT".into());
    };
    let sync = match sync.as_str() {
        "always" => Sync::Always,
        "every" => Sync::Every(Duration::from_secs(1)),
        "never" => Sync::Never,
        other => return Err(format!("no such policy: {other}").into()),
    };
    let (body, count) = (vec![0x5a; bytes.parse()?], count.parse::<usize>()?);
    let options = Options { max_bytes: u64::MAX, sync, ..Options::default() };
    let spool = Spool::open(Path::new(directory), options)?;
    let entry = Entry {
        destination: "mqtt",
        priority: Priority::Normal,
        headers: b"mli/predictions",
        body: &body,
    };
    let mut times = Vec::with_capacity(count);
    let started = Instant::now();
    for _ in 0..count {
        let before = Instant::now();
        spool.append(&entry)?;
        times.push(before.elapsed());
    }
    let appending = started.elapsed();
    let started = Instant::now();
    let consumer = spool.consumer("mqtt")?;
    while let Some(record) = consumer.try_next()? {
        consumer.settle(record.id, Settled::Delivered)?;
    }
    let draining = started.elapsed();
    times.sort_unstable();
    let per_second = |time: Duration| count as f64 / time.as_secs_f64();
    let micros = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e6);
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{{\"append_per_s\": {:.1}, \"p50_us\": {:.2}, \"p99_us\": {:.2}, \"drain_per_s\": {:.1}}}",
            per_second(appending),
            micros(times.get(count / 2)),
            micros(times.get(count * 99 / 100)),
            per_second(draining),
        );
    }
    Ok(())
}
