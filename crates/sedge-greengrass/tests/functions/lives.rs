//! How functions begin, fail and end.

use std::time::{Duration, Instant};

use sedge_greengrass::{Failure, State};
use serde_json::{Value, json};

use crate::bench::{Bench, function, is_running, pinned, unhandled};

const COUNTER: &str = "
import os, sys, time
count = 0

def handler(event, context):
    global count
    count += 1
    if event.get('raise'):
        raise ValueError(event['raise'])
    if event.get('exit'):
        print('going', file=sys.stderr)
        os._exit(event['exit'])
    time.sleep(event.get('sleep', 0))
    return {'count': count, 'pid': os.getpid()}
";

#[tokio::test]
async fn calls_wait_for_a_slow_start() {
    let code = "import time\ntime.sleep(1.5)\ndef handler(event, context):\n    return event";
    let mut function = pinned("slow");
    function.timeout = Duration::from_secs(1);
    let bench = Bench::start(vec![(function, code)]).await;
    assert_eq!(bench.status("slow").state, State::Starting);
    assert_eq!(bench.call("slow", &json!([1])).await, Ok(json!([1])));
    assert_eq!(bench.status("slow").state, State::Ready);
    bench.core.stop().await;
}

#[tokio::test]
async fn a_crash_at_import_is_told_as_v1_did() {
    let bench = Bench::start(vec![(pinned("broken"), "import no_such_module")]).await;
    let text = unhandled(bench.call("broken", &json!({})).await);
    assert!(text.contains("failed to initialize"), "{text}");
    assert!(text.contains("ModuleNotFoundError(\"No module named 'no_such_module'\")"), "{text}");
    let wanted = ",Failed to import handler function \"main.handler\" due to exception: \
                  No module named 'no_such_module'";
    let log = bench.log_with(|bench| bench.function_log("broken"), wanted).await;
    assert!(log.contains("[FATAL]-lambda_runtime.py:"), "{log}");
    bench.log_with(|bench| bench.function_log("broken"), "[ERROR]-Traceback").await;
    let runtime = bench.runtime_log();
    assert!(runtime.contains("][ERROR]-worker with "), "{runtime}");
    assert!(runtime.contains(" failed to initialize\t{\"workerId\": \""), "{runtime}");
    let status = bench.status("broken");
    assert_ne!(status.state, State::Ready);
    assert!(status.last_error.unwrap().contains("no_such_module"));
    bench.core.stop().await;
}

#[tokio::test]
async fn an_exception_of_the_handler_is_the_callers() {
    let bench = Bench::start(vec![(pinned("f"), COUNTER)]).await;
    let Err(Failure::Handled(text)) = bench.call("f", &json!({ "raise": "no cat" })).await else {
        panic!("not handled")
    };
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["errorMessage"], "no cat");
    assert_eq!(error["errorType"], "ValueError");
    assert!(error["stackTrace"].to_string().contains("main.py"), "{error}");
    // The process lives on, with what it knew.
    assert_eq!(bench.call("f", &json!({})).await.unwrap()["count"], 2);
    bench.core.stop().await;
}

#[tokio::test]
async fn a_crash_of_the_process_fails_one_call() {
    let bench = Bench::start(vec![(pinned("f"), COUNTER)]).await;
    let crash = bench.begin("f", &json!({ "exit": 3 }));
    let next = bench.begin("f", &json!({}));
    let text = unhandled(crash.await);
    assert!(text.contains("exit status 3") && text.contains("going"), "{text}");
    assert_eq!(next.await.unwrap()["count"], 1, "it waited for the next process");
    assert_eq!(bench.status("f").ended, 1);
    assert!(bench.runtime_log().contains("Worker is ungracefully killed."));
    bench.core.stop().await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_the_process() {
    let mut limited = pinned("f");
    limited.timeout = Duration::from_millis(500);
    let mut brief = function("g");
    brief.timeout = Duration::from_millis(1500);
    let bench = Bench::start(vec![(limited, COUNTER), (brief, COUNTER)]).await;
    let first = bench.call("f", &json!({})).await.unwrap();
    let begun = Instant::now();
    let text = unhandled(bench.call("f", &json!({ "sleep": 30 })).await);
    assert_eq!(text, "Task timed out after 0.50 seconds");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!is_running(first["pid"].as_u64().unwrap()));
    assert_eq!(bench.call("f", &json!({})).await.unwrap()["count"], 1);
    assert_eq!(bench.call("g", &json!({})).await.unwrap()["count"], 1);
    let text = unhandled(bench.call("g", &json!({ "sleep": 30 })).await);
    assert!(text.starts_with("Task timed out after 1.5"), "{text}");
    let told = bench.log("system/runtime.log");
    assert!(told.contains("\"timeout\": 1.5}"), "its own number, not what was left of it: {told}");
    assert_eq!(bench.call("g", &json!({})).await.unwrap()["count"], 1);
    bench.core.stop().await;
}

#[tokio::test]
async fn the_start_of_a_function_on_demand_counts() {
    let code = "import time\ntime.sleep(30)\ndef handler(event, context):\n    return event";
    let mut function = function("slow");
    function.timeout = Duration::from_millis(700);
    let bench = Bench::start(vec![(function, code)]).await;
    let text = unhandled(bench.call("slow", &json!({})).await);
    assert!(text.starts_with("Task timed out after 0.70 seconds: it was still starting"), "{text}");
    bench.core.stop().await;
}

#[tokio::test]
async fn a_function_is_held_to_its_memory() {
    let code = "
import subprocess, sys
def handler(event, context):
    if event['child']:
        subprocess.run([sys.executable, '-c', 'x = bytearray(400 << 20); import time; time.sleep(9)'])
    kept = bytearray(event['mib'] << 20)
    return len(kept)
";
    let mut function = pinned("eater");
    function.memory_bytes = Some(120_000 << 10);
    let mut modest = pinned("modest");
    // What V1 gives a function that says nothing.
    modest.memory_bytes = Some(16_384 << 10);
    let bench = Bench::start(vec![(function, code), (modest, code)]).await;
    let small = json!({ "mib": 1, "child": false });
    assert_eq!(bench.call("modest", &small).await, Ok(json!(1 << 20)));
    let small = json!({ "mib": 10, "child": false });
    assert_eq!(bench.call("eater", &small).await, Ok(json!(10 << 20)));
    for child in [false, true] {
        let large = json!({ "mib": 400, "child": child });
        let text = unhandled(bench.call("eater", &large).await);
        assert!(text.contains("may take 120000. Hint: a larger MemorySize"), "{text}");
        assert_eq!(bench.call("eater", &small).await, Ok(json!(10 << 20)));
    }
    let log = bench.runtime_log();
    let line = log.lines().find(|line| line.contains("[WARN]-Worker consumed")).unwrap();
    let (message, about) = line.split_once('\t').unwrap();
    assert!(message.ends_with("][WARN]-Worker consumed all allocated memory! Memory Usage (KB)."));
    assert!(about.starts_with("{\"workerId\": \""), "{about}");
    let about: Value = serde_json::from_str(about).unwrap();
    assert_eq!(about["memSize"], 120_000);
    assert!(about["memUsed"].as_u64().unwrap() >= 120_000, "{about}");
    let killed = "[ERROR]-Worker is ungracefully killed.\t";
    let line = log.lines().find(|line| line.contains(killed)).unwrap();
    assert!(line.contains("\"state\": \"signal: killed\""), "{line}");
    bench.core.stop().await;
}

#[tokio::test]
async fn a_thousand_calls_are_answered_in_order() {
    let code = "
import time
seen = []
def handler(event, context):
    if event == 'first':
        time.sleep(0.5)
        return None
    if event == 'all':
        return seen
    seen.append(event)
    return event
";
    let bench = Bench::start(vec![(pinned("f"), code)]).await;
    assert_eq!(bench.call("f", &json!("all")).await, Ok(json!([])));
    let first = bench.begin("f", &json!("first"));
    let calls: Vec<_> = (0..1000).map(|n| bench.begin("f", &json!(n))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await, Ok(json!(n)));
    }
    first.await.unwrap();
    let wanted: Vec<u32> = (0..1000).collect();
    assert_eq!(bench.call("f", &json!("all")).await, Ok(json!(wanted)));
    // More than may wait are refused, and those that wait are answered.
    let first = bench.begin("f", &json!("first"));
    let calls: Vec<_> = (0..1100).map(|n| bench.begin("f", &json!(n))).collect();
    let (mut answered, mut refused) = (0, 0);
    for call in calls {
        match call.await {
            Ok(_) => answered += 1,
            Err(Failure::Unhandled(text)) if text.starts_with("1024 calls wait") => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    first.await.unwrap();
    assert!((1023..=1025).contains(&answered), "{answered} answered, {refused} refused");
    bench.core.stop().await;
}

#[tokio::test]
async fn functions_on_demand_run_side_by_side_up_to_a_limit() {
    let code = "
import time
def handler(event, context):
    begun = time.monotonic()
    time.sleep(1)
    return [begun, time.monotonic()]
";
    let mut function = function("f");
    function.timeout = Duration::from_secs(60);
    let bench = Bench::start(vec![(function, code)]).await;
    let calls: Vec<_> = (0..30).map(|_| bench.begin("f", &json!({}))).collect();
    let mut spans = Vec::new();
    for call in calls {
        let span = call.await.unwrap();
        spans.push((span[0].as_f64().unwrap(), span[1].as_f64().unwrap()));
    }
    let at_once = |time: f64| spans.iter().filter(|(from, to)| *from <= time && time < *to).count();
    let most = spans.iter().map(|(from, _)| at_once(*from)).max().unwrap();
    assert!((2..=25).contains(&most), "{most} at once");
    assert!(bench.status("f").processes <= 25);
    bench.core.stop().await;
}

#[tokio::test]
async fn a_flood_of_lines_is_bounded() {
    let code = "
import logging, sys
def handler(event, context):
    if event == 'flood':
        for number in range(40000):
            print('line %d of a flood' % number)
        return 'done'
    logging.warning('the end')
    print('to stderr', file=sys.stderr)
    return 'done'
";
    let mut function = pinned("flood");
    function.timeout = Duration::from_secs(60);
    let bench = Bench::start(vec![(function, code)]).await;
    assert_eq!(bench.call("flood", &json!("flood")).await, Ok(json!("done")));
    let log = bench.log_with(|bench| bench.function_log("flood"), "line 39999 of a flood").await;
    assert!((60 << 10..=128 << 10).contains(&log.len()), "{}", log.len());
    assert_eq!(bench.call("flood", &json!("end")).await, Ok(json!("done")));
    bench.log_with(|bench| bench.function_log("flood"), "[WARN]-main.py:8,the end\n").await;
    let log = bench.log_with(|bench| bench.function_log("flood"), "[ERROR]-to stderr").await;
    assert!(log.contains("][INFO]-line 39999 of a flood\n"), "{log}");
    bench.core.stop().await;
}

#[tokio::test]
async fn what_a_function_leaves_behind_ends_with_it() {
    let code = "
import os, subprocess
def handler(event, context):
    children = [subprocess.Popen(['sleep', '1000']).pid,
                subprocess.Popen(['sleep', '1000'], start_new_session=True).pid]
    if event == 'crash':
        print(children, flush=True)
        os._exit(1)
    return children + [os.getpid()]
";
    let bench = Bench::start(vec![(pinned("f"), code), (function("g"), code)]).await;
    let mut pids = Vec::new();
    for name in ["f", "g"] {
        let left = bench.call(name, &json!("stay")).await.unwrap();
        pids.extend(left.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()));
    }
    assert!(pids.iter().all(|pid| is_running(*pid)));
    let text = unhandled(bench.call("f", &json!("crash")).await);
    let pair = text.split_once("saying '[").unwrap().1.split_once(']').unwrap().0.to_owned();
    let crashed = pair.split(", ").map(|pid| pid.parse::<u64>().unwrap());
    crashed.for_each(|pid| assert!(!is_running(pid), "{pid} runs"));
    bench.core.stop().await;
    pids.iter().for_each(|pid| assert!(!is_running(*pid), "{pid} runs"));
}

#[tokio::test]
async fn a_function_may_work_by_timers_alone() {
    let code = "
from threading import Timer
def work():
    print('worked')
    Timer(0.1, work).start()
work()
def handler(event, context):
    return
";
    let bench = Bench::start(vec![(pinned("timer"), code)]).await;
    let begun = Instant::now();
    while bench.function_log("timer").matches("[INFO]-worked\n").count() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.call("timer", &json!({})).await, Ok(Value::Null));
    bench.core.stop().await;
}
