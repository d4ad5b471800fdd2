//! Every version of Python that functions of V1 and later ones have.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::bench::{Plan, function, pinned};

/// The interpreter of a version: by its name, or where pyenv keeps it.
fn interpreter(minor: u32) -> Option<PathBuf> {
    let code = "import sys; sys.stdout.write('%d %s' % (sys.version_info[1], sys.executable))";
    let home = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = home.and_then(|home| std::fs::read_dir(home.join("versions")).ok());
    let kept =
        versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3"));
    std::iter::once(PathBuf::from(format!("python3.{minor}"))).chain(kept).find_map(|program| {
        let output = Command::new(program).args(["-c", code]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (found, path) = text.split_once(' ')?;
        (found == minor.to_string()).then(|| PathBuf::from(path))
    })
}

#[tokio::test]
async fn all_versions_run_functions() {
    let caller = "
import base64, json, logging, sys
from greengrass_ipc_python_sdk.ipc_client import IPCClient
logging.warning('imported')
def handler(event, context):
    client = IPCClient()
    target = 'arn:aws:lambda:eu-west-1:123456789012:function:echo'
    said = base64.b64encode(json.dumps({'custom': {'x': 'y'}}).encode())
    result = client.get_work_result(target, client.post_work(target, json.dumps(event), said))
    return [sys.version_info[1], json.loads(result.payload.decode()), result.func_err]
";
    let echo = "
def handler(event, context):
    if event == 'raise':
        raise ValueError('x')
    return [event, context.client_context.custom]
";
    for minor in 7..=13 {
        let Some(python) = interpreter(minor) else {
            eprintln!("skipped: no Python 3.{minor} here");
            continue;
        };
        let mut plan = Plan::new(vec![(pinned("caller"), caller), (function("echo"), echo)]);
        plan.options.python = Some(python);
        let bench = plan.start().await;
        let answer = bench.call("caller", &json!("ü")).await.unwrap();
        assert_eq!(answer, json!([minor, ["ü", { "x": "y" }], ""]));
        let answer = bench.call("caller", &json!("raise")).await.unwrap();
        assert_eq!(
            (&answer[1]["errorType"], &answer[2]),
            (&json!("ValueError"), &json!("Handled"))
        );
        assert_ne!(answer[1]["stackTrace"], Value::Null);
        bench.log_with(|bench| bench.function_log("caller"), "[WARN]-main.py:4,imported").await;
        bench.core.stop().await;
    }
}
