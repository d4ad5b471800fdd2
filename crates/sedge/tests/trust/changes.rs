//! Updates that fail, roll-backs, and configurations that change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sedge_deploy::Store;
use serde_json::Value;

use crate::home::{Core, Home, until};
use crate::http::Ask;
use crate::models::model;
use crate::program::{copy_of, edit};

/// A package of the test data with a golden case.
fn package(to: &Path) -> PathBuf {
    copy_of("face-mask", to)
}

#[track_caller]
fn says(value: &Value, words: &[&str]) {
    for word in words {
        assert!(value.to_string().contains(word), "no '{word}' in {value:#}");
    }
}

#[test]
fn a_version_that_answers_otherwise_is_refused() {
    let home = Home::new(&[]);
    let package = package(&home.path(""));
    home.configure(&[("faces", "model = 'face-mask'")]);
    let core = home.serve();
    assert_eq!(core.wait_for("faces", "ready")["install"], 1);
    edit(&package, "score_threshold = 0.5", "score_threshold = 0.9999");
    home.fails(&["update", "faces"], &["golden", "face.jpg"]);
    let status = core.status("faces");
    assert_eq!((&status["state"], &status["install"]), (&"ready".into(), &1.into()));
    says(&status["update_error"], &["golden", "face.jpg"]);
    assert!(status["versions"][1]["state"].to_string().contains("golden"), "{status:#}");
    let pid = core.worker("faces");
    home.fails(&["update", "faces"], &["found bad"]);
    assert_eq!(core.worker("faces"), pid, "it answers all the while");
}

#[test]
fn a_broken_model_and_an_unsigned_one_change_nothing() {
    let home = Home::new(&[("model", "")]);
    let core = home.serve();
    core.wait_for("model", "ready");
    let mut broken = model(2.0);
    broken.truncate(broken.len() / 2);
    home.put_bytes("model", &broken);
    home.fails(&["update", "model"], &["model.onnx"]);
    assert_eq!((core.constant("model"), &core.status("model")["install"]), (1.0, &1.into()));
    // From now on only what somebody trusted signed, which what is installed is not.
    let key = home.path("key");
    let made = crate::program::sedge(&["package", "keygen", "--output", key.to_str().unwrap()]);
    assert!(made.status.success(), "{}", crate::program::text(&made.stderr));
    core.kill();
    let config = fs::read_to_string(home.path("sedge.toml")).unwrap();
    let public = home.path("key.pub");
    let trust = format!("[trust]\nkeys = ['{}']\nrequire_signature = true\n", public.display());
    fs::write(home.path("sedge.toml"), trust + &config).unwrap();
    home.put("model", 3.0);
    let core = home.serve();
    says(&core.wait_for("model", "broken")["error"], &["not signed"]);
    home.fails(&["update", "model"], &["not signed"]);
    let refusal = core.client().infer("model", Ask::quick(0.0)).unwrap_err();
    assert!(refusal.status == 503 && refusal.text.contains("not signed"), "{refusal}");
}

#[test]
fn a_version_that_fails_its_requests_is_taken_back() {
    let keys = "[service.rollback]\nwindow_s = 600\nmax_error_rate = 0.2\nmax_latency_ratio = 1000";
    let home = Home::new(&[("model", keys)]);
    let core = home.serve();
    core.wait_for("model", "ready");
    home.put("model", 2.0);
    home.does(&["update", "model"]);
    assert_eq!(core.constant("model"), 2.0);
    let mut client = core.client();
    until("it is taken back", || {
        let _ = client.infer("model", Ask { x: 0.0, size: -1, bulk: 1 });
        core.status("model")["install"] == 1
    });
    assert_eq!(core.constant("model"), 1.0);
    let status = core.status("model");
    says(&status["rolled_back"], &["requests failed"]);
    home.fails(&["update", "model"], &["found bad"]);
    home.does(&["update", "model", "--force"]);
    assert_eq!(core.constant("model"), 2.0);
    home.does(&["rollback", "model"]);
    assert_eq!(core.constant("model"), 1.0);
    home.fails(&["rollback", "model"], &["no version before"]);
}

#[test]
fn a_reload_changes_what_is_another_one_and_nothing_else() {
    let home = Home::new(&[("stays", ""), ("changes", "")]);
    let core = home.serve();
    core.wait_for("stays", "ready");
    core.wait_for("changes", "ready");
    let pids = || (core.worker("stays").unwrap(), core.worker("changes").unwrap());
    let before = pids();
    home.configure(&[("stays", ""), ("changes", "queue = 7")]);
    home.does(&["reload"]);
    core.wait_until("changes", |status| status["backend"]["pid"] != before.1);
    assert_eq!(core.status("changes")["queue"], 7);
    assert_eq!(pids().0, before.0);
    // The other way to ask for it.
    let middle = pids();
    home.configure(&[("stays", ""), ("changes", "queue = 8")]);
    core.signal("HUP");
    core.wait_until("changes", |status| status["queue"] == 8);
    core.wait_until("changes", |status| status["backend"]["pid"] != middle.1);
    assert_eq!(pids().0, before.0);
    // Not valid, in the middle of what would be.
    let middle = pids();
    home.configure(&[("stays", "queue = 9"), ("changes", "queue = 'many'")]);
    home.fails(&["reload"], &["service.queue", "many"]);
    home.configure(&[("stays", "queue = 9"), ("stays", "")]);
    home.fails(&["reload"], &["another service is called 'stays'"]);
    core.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(pids(), middle);
    assert_eq!(core.status("stays")["queue"], 128);
    // One goes; the other one stays.
    home.configure(&[("stays", "")]);
    home.does(&["reload"]);
    assert_eq!(core.client().infer("changes", Ask::quick(0.0)).unwrap_err().status, 404);
    assert_eq!(core.worker("stays").unwrap(), before.0);
}

#[test]
fn the_first_request_wakes_and_nothing_else_does() {
    let keys = "start = 'first-use'";
    let home = Home::new(&[("sleeper", keys)]);
    let core = home.serve();
    assert_eq!(core.status("sleeper")["state"], "asleep");
    home.does(&["reload"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(core.status("sleeper")["state"], "asleep", "a reload wakes nobody");
    assert_eq!(core.constant("sleeper"), 1.0);
    assert_eq!(core.status("sleeper")["state"], "ready");
    // Asleep over something that cannot be loaded, woken, mended, woken again.
    core.kill();
    fs::remove_dir_all(home.root()).unwrap();
    home.put_bytes("sleeper", b"no model");
    let core = home.serve();
    let refusal = core.client().infer("sleeper", Ask::quick(0.0)).unwrap_err();
    assert_eq!(refusal.status, 503, "{refusal}");
    assert_eq!(core.status("sleeper")["state"], "broken");
    home.put("sleeper", 3.0);
    home.configure(&[("sleeper", &format!("{keys}\nqueue = 3"))]);
    home.does(&["reload"]);
    assert_eq!(core.constant("sleeper"), 3.0);
}

#[test]
fn what_changed_at_the_source_is_found_by_itself() {
    let home = Home::new(&[("model", "update_every_s = 1")]);
    let core = home.serve();
    core.wait_for("model", "ready");
    home.put("model", 2.0);
    until("the first change is found", || core.constant("model") == 2.0);
    home.configure(&[("model", "update_every_s = 1\nqueue = 9")]);
    home.does(&["reload"]);
    core.wait_until("model", |status| status["queue"] == 9);
    home.put("model", 3.0);
    until("so is one after a change of the configuration", || core.constant("model") == 3.0);
}

#[test]
fn what_is_installed_needs_no_source() {
    let home = Home::new(&[("model", "")]);
    let core = home.serve();
    core.wait_for("model", "ready");
    core.kill();
    fs::remove_file(home.path("model.onnx")).unwrap();
    let core = home.serve();
    core.wait_for("model", "ready");
    assert_eq!(core.constant("model"), 1.0);
    home.fails(&["update", "model"], &["model.onnx"]);
    assert_eq!(core.constant("model"), 1.0);
    core.kill();
    assert_eq!(Store::open(&home.root()).unwrap().verify().unwrap(), []);
}

#[test]
fn a_restart_that_cannot_be_done_says_so_to_those_who_wait() {
    let home = Home::new(&[]);
    home.put_bytes("model", b"no model");
    home.configure(&[("model", "timeout_ms = 20000")]);
    let core: Core = home.serve();
    core.wait_for("model", "broken");
    home.fails(&["restart", "model"], &["model.onnx"]);
    let status = core.status("model");
    assert_eq!(status["state"], "broken", "{status:#}");
    assert_eq!(core.client().infer("model", Ask::quick(0.0)).unwrap_err().status, 503);
    home.put("model", 4.0);
    home.does(&["restart", "model"]);
    assert_eq!(core.constant("model"), 4.0);
}

#[test]
fn as_many_instances_as_the_configuration_takes_can_be_had() {
    let home = Home::new(&[("model", "instances = 256")]);
    let core = home.serve();
    core.wait_for("model", "ready");
    assert_eq!(core.constant("model"), 1.0);
}
