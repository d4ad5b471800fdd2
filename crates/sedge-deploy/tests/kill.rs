//! A process that is killed while it installs, commits, rolls back or collects: whoever opens the
//! store afterwards finds one whole version, a sound store, and nothing left behind.
//!
//! `SEDGE_KILL_SEED` repeats a run, `SEDGE_KILL_ROUNDS` makes it longer.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../sedge-cloud/tests/common/server.rs"]
mod server;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{SERVICE, archive, model, names, request, sound};
use sedge_deploy::{Hooks, Installed, State, Store};
use sedge_package::Package;
use server::{Answer, Server};

const OPERATORS: [&str; 4] = ["abs", "neg", "exp", "sin"];

/// What is done again and again until the process is killed. Not a test of its own.
#[test]
#[ignore = "started by the tests below, which kill it"]
fn child() {
    let (Ok(root), Ok(base)) = (std::env::var("KILL_ROOT"), std::env::var("KILL_SERVER")) else {
        return;
    };
    let store = Store::open(Path::new(&root)).unwrap();
    for step in 0_usize.. {
        let operator = OPERATORS[step % OPERATORS.len()];
        let mut request = request(&format!("{base}/{operator}.tar.gz"));
        request.force = step % 5 == 4;
        match store.install(SERVICE, &request, &Hooks::default()) {
            Ok(Installed::Candidate(candidate)) if step % 7 == 6 => {
                store.discard(candidate, "tried").map(drop).unwrap();
            }
            Ok(Installed::Candidate(candidate)) => drop(store.commit(&candidate).unwrap()),
            // Bad versions are asked for again.
            Ok(Installed::Unchanged(_)) | Err(_) => {}
        }
        if step % 3 == 2 {
            let _ = store.roll_back(SERVICE, "rolled back");
        }
        store.collect(2, None).unwrap();
    }
}

#[test]
fn killed_at_any_moment_the_store_is_whole() {
    let seed = number("SEDGE_KILL_SEED", u64::from(std::process::id()));
    let rounds = number("SEDGE_KILL_ROUNDS", 40);
    #[allow(clippy::print_stderr)]
    {
        eprintln!("SEDGE_KILL_SEED={seed}");
    }
    let noise: Vec<u8> =
        (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let server = Server::new(move |asked| {
        let operator = asked.path.trim_start_matches('/').trim_end_matches(".tar.gz");
        let files = [("m.tflite", &*model(operator)), ("noise.bin", &*noise)];
        let mut answer = Answer::file(asked, &archive(&files), operator);
        // 60 ms of the 130 that a process lives on average, so that many are killed within.
        answer.drip = Some((10_000, Duration::from_millis(3)));
        answer
    });
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    let mut state = seed;
    let (mut committed, mut resumable) = (0, 0);
    for round in 0..rounds {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env("KILL_ROOT", &root)
            .env("KILL_SERVER", &server.base)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let started = Instant::now();
        let time = Duration::from_micros(5_000 + (state >> 33) % 250_000);
        std::thread::sleep(time);
        assert!(process.try_wait().unwrap().is_none(), "round {round}: it ended by itself");
        process.kill().unwrap();
        process.wait().unwrap();
        let after = format!("seed {seed}, round {round}, after {:?}", started.elapsed());
        let before = snapshot(&root);
        let store = Store::open(&root).unwrap_or_else(|error| panic!("{after}: {error}"));
        let history = store.history(SERVICE).unwrap_or_else(|error| panic!("{after}: {error}"));
        sound(&store);
        if let Some(current) = history.current() {
            committed += 1;
            assert_eq!(current.state, State::Good, "{after}");
            Package::open(&store.path(current), &[]).unwrap_or_else(|e| panic!("{after}: {e}"));
        }
        // What is there is what histories name, and every blob is in a package.
        let mut wanted: Vec<String> = history
            .versions
            .iter()
            .filter(|version| version.kept)
            .map(|version| version.identity.clone())
            .collect();
        wanted.sort();
        wanted.dedup();
        assert_eq!(names(&root.join("store/packages")), wanted, "{after}");
        assert!(names(&root.join("store/blobs")).len() <= wanted.len(), "{after}");
        assert!(names(&root.join("state/services")).len() <= 1, "{after}");
        let parts = names(&root.join("store/incoming"));
        resumable += usize::from(parts.iter().any(|name| name.ends_with(".part")));
        // Opening changes no history.
        assert_eq!(before, snapshot(&root), "{after}");
    }
    assert!(committed > 0 && (rounds < 40 || resumable > 0), "{committed}, {resumable}: too quick");
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The history as it lies on the disk, if there is one.
fn snapshot(root: &Path) -> Option<String> {
    std::fs::read_to_string(root.join("state/services/pets.json")).ok()
}
