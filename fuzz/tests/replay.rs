//! Every input that fuzzing kept, and every one it starts from, through its target: none panics and
//! none takes more memory than the target allows. How long each took is printed, not judged.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use sedge_fuzz::{TARGETS, Target, escaped_panics, seeds};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Longer than this is worth a look.
const SLOW: Duration = Duration::from_secs(2);

// One test: memory is counted for the whole process.
#[test]
fn the_corpus_replays() {
    let mut wrong = Vec::new();
    for target in &TARGETS {
        let inputs = corpus(target);
        assert!(inputs.len() > 20, "{}: only {} inputs", target.name, inputs.len());
        let started = Instant::now();
        let mut largest_peak = 0;
        // What is made once belongs to no input.
        target.run(&[]);
        for (name, bytes) in &inputs {
            let known_panics = escaped_panics().len();
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let started = Instant::now();
            target.run(bytes);
            let (took, peak) = (started.elapsed(), MEMORY.peak_usage().saturating_sub(before));
            largest_peak = largest_peak.max(peak);
            let name = format!("{}/{name}", target.name);
            if took > SLOW {
                println!("slow: {name} took {:.1} s", took.as_secs_f64());
            }
            if peak > target.max_peak_bytes {
                wrong.push(format!("{name} took {peak} bytes of {}", target.max_peak_bytes));
            }
            for panic in &escaped_panics()[known_panics..] {
                wrong.push(format!("{name}: {panic}"));
            }
        }
        println!(
            "{:10} {:5} inputs, {:5.1} s, at most {} KiB each",
            target.name,
            inputs.len(),
            started.elapsed().as_secs_f64(),
            largest_peak >> 10
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut inputs = seeds::seeds(target);
    let directory = seeds::testdata().join("fuzz").join(target.name);
    for entry in fs::read_dir(&directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        inputs.push((name, fs::read(entry.path()).unwrap()));
    }
    inputs
}
