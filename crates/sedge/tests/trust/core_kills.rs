//! The program killed at any moment of a start, an update or a roll-back.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use sedge_deploy::Store;

use crate::home::{Core, Home, entries, until};
use crate::http::Ask;
use crate::random::Random;

#[test]
fn it_comes_back_with_one_whole_version() {
    let mut random = Random::begin();
    let rounds = crate::number("SEDGE_KILL_ROUNDS", 30) / 2;
    let home = Home::new(&[("model", "memory_mib = 512")]);
    let mut constants = HashMap::new();
    let core = home.serve();
    for constant in [1.0, 2.0, 3.0] {
        core.wait_for("model", "ready");
        home.put("model", constant);
        home.does(&["update", "model"]);
        let (_, identity) = current(&core);
        assert_eq!(core.constant("model"), constant);
        constants.insert(identity, constant);
    }
    assert_eq!(constants.len(), 3);
    core.kill();
    let mut at: HashMap<&str, u64> = HashMap::new();
    for round in 0..rounds {
        let during = ["start", "update", "roll-back"][round as usize % 3];
        *at.entry(during).or_default() += 1;
        home.put("model", [1.0, 2.0, 3.0][random.below(3) as usize]);
        let workers = if during == "start" {
            let core = home.launch();
            random.pause(Duration::from_millis(400));
            core.kill()
        } else {
            let core = home.serve();
            core.wait_for("model", "ready");
            home.put("model", [1.0, 2.0, 3.0][random.below(3) as usize]);
            std::thread::scope(|scope| {
                let action = if during == "update" { "update" } else { "rollback" };
                scope.spawn(|| home.service(&[action, "model"]));
                random.pause(Duration::from_millis(500));
                core.kill()
            })
        };
        whole(&home, &constants, &workers, round);
    }
    println!("{rounds} kills of the core: {at:?}");
}

/// Number and identity of the version that answers.
fn current(core: &Core) -> (u64, String) {
    let status = core.status("model");
    let current = status["current"].as_u64().unwrap();
    let versions = status["versions"].as_array().unwrap();
    let version = versions.iter().find(|version| version["number"] == current).unwrap();
    (current, version["identity"].as_str().unwrap().to_owned())
}

/// What a start after a kill has to find, and leave. `workers` were processes of the killed one.
fn whole(home: &Home, constants: &HashMap<String, f32>, workers: &[u32], round: u64) {
    {
        let store = Store::open(&home.root()).unwrap();
        assert_eq!(store.verify().unwrap(), [], "round {round}");
    }
    let core = home.serve();
    core.wait_for("model", "ready");
    let answer = core.client().infer("model", Ask::quick(0.0)).unwrap();
    let (number, identity) = current(&core);
    assert_eq!(answer.version, number, "round {round}");
    assert_eq!(answer.y, constants[&identity], "round {round}: {number} {identity}");
    assert_eq!(entries(&home.root().join("store/tmp")), [""; 0], "round {round}");
    until("only what the history names is kept", || {
        entries(&home.root().join("store/packages")) == kept_packages(&core)
    });
    for worker in workers {
        assert!(!has_group(*worker), "round {round}: the group of {worker} is left behind");
    }
    core.kill();
}

/// Identities of the versions whose files are kept, sorted.
fn kept_packages(core: &Core) -> Vec<String> {
    let status = core.status("model");
    let versions = status["versions"].as_array().unwrap().iter();
    let kept = versions.filter(|version| version["kept"] == true);
    let identities = kept.map(|version| version["identity"].as_str().unwrap().to_owned());
    identities.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether there is a control group of a worker beside the group of this test.
fn has_group(worker: u32) -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut own = own.lines().filter_map(|line| line.rsplit_once(":/"));
    let end = format!("-{worker}");
    let is_it = |name: &str| name.starts_with("sedge-worker-") && name.ends_with(&end);
    own.any(|(_, path)| {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"].map(Path::new);
        let groups = mounts.iter().filter_map(|mount| std::fs::read_dir(mount.join(path)).ok());
        groups.flatten().flatten().any(|group| group.file_name().to_str().is_some_and(is_it))
    })
}
