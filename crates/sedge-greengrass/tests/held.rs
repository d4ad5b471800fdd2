//! Functions in control groups, where this machine lets some be made.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "functions/bench.rs"]
#[allow(dead_code)]
mod bench;

use bench::{Bench, function, is_running, pinned, unhandled};
use serde_json::json;

const CODE: &str = "
import os, subprocess, sys
def handler(event, context):
    if event == 'leave':
        # Leaves the session, the process group and the environment.
        child = subprocess.Popen(['sleep', '1000'], start_new_session=True, env={})
        return [child.pid, os.getpid()]
    if event == 'child':
        code = 'x = bytearray(400 << 20); import time; time.sleep(9)'
        subprocess.run([sys.executable, '-c', code])
        return None
    return len(bytearray(event << 20))
";

#[tokio::test]
async fn groups_hold_and_end_functions() {
    if let Err(why) = sedge_worker::prepare() {
        eprintln!("skipped: {why}");
        return;
    }
    let mut small = pinned("small");
    // What V1 gives a function that says nothing.
    small.memory_bytes = Some(16_384 << 10);
    let mut held = pinned("held");
    held.memory_bytes = Some(120_000 << 10);
    let functions = vec![(small, CODE), (held, CODE), (function("free"), CODE)];
    let bench = Bench::start(functions).await;
    assert_eq!(bench.call("small", &json!(1)).await, Ok(json!(1 << 20)));
    let mut left = Vec::new();
    for name in ["held", "free"] {
        let pids = bench.call(name, &json!("leave")).await.unwrap();
        left.extend(pids.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()));
    }
    let text = unhandled(bench.call("held", &json!(400)).await);
    assert!(text.contains("KB of memory and may take 120000"), "{text}");
    // The kernel ends the child alone or, with version 2, all of them.
    let _ = bench.call("held", &json!("child")).await;
    assert_eq!(bench.call("held", &json!(1)).await, Ok(json!(1 << 20)));
    assert!(left[..2].iter().all(|pid| !is_running(*pid)), "ended with their process");
    let log = bench.runtime_log();
    assert!(log.contains("[WARN]-Worker consumed all allocated memory!"), "{log}");
    bench.core.stop().await;
    assert!(left.iter().all(|pid| !is_running(*pid)), "ended with the core");
}
