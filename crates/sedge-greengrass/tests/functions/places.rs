//! Who functions run as, and where they find what they use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sedge_greengrass::group::{
    Function, ModelSource, Permission, Resource, ResourceAccess, ResourceData,
};
use sedge_greengrass::{Core, State};
use serde_json::json;

use crate::bench::{Plan, pinned, unhandled};

const LOOK: &str = "
import os
def handler(event, context):
    prefix = os.environ['AWS_GG_RESOURCE_PREFIX']
    found = {'prefix': prefix, 'ids': [os.getuid(), os.getgid()], 'groups': sorted(os.getgroups())}
    for path in event:
        place = prefix + path
        found[path] = open(place + '/labels.txt').read()
        try:
            open(place + '/new.txt', 'w').close()
            found[path] += ' rw'
        except OSError:
            found[path] += ' ro'
    return found
";

fn is_root(why: &str) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
    if !is_root {
        eprintln!("skipped: {why} takes root");
    }
    is_root
}

fn with_resource(mut function: Function, permission: Permission) -> Function {
    function.resources =
        vec![ResourceAccess { resource: "m".into(), permission: Some(permission) }];
    function
}

/// A plan with a model that functions see at `destination`.
fn with_model(mut plan: Plan, destination: &str) -> Plan {
    let files = plan.directory.path().join("model");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("labels.txt"), "cat").unwrap();
    plan.options.models.insert("m".into(), files);
    let data = ResourceData::Model {
        source: ModelSource::S3("s3://greengrass-models/m.zip".into()),
        destination: PathBuf::from(destination),
        owner: Some((4321, Permission::ReadWrite)),
    };
    plan.group.resources.push(Resource { id: "m".into(), name: "model".into(), data });
    plan
}

#[tokio::test]
async fn a_model_is_found_below_the_prefix() {
    let function = with_resource(pinned("f"), Permission::ReadOnly);
    let plan = with_model(Plan::new(vec![(function, LOOK)]), "/deep/model");
    // Models are brought while the core is there.
    let (place, away) = (plan.directory.path().join("model"), plan.directory.path().join("away"));
    fs::rename(&place, &away).unwrap();
    let mut bench = plan.prepare().await;
    fs::rename(&away, &place).unwrap();
    bench.core.start();
    let found = bench.call("f", &json!(["/deep/model"])).await.unwrap();
    assert!(found["prefix"].as_str().unwrap().ends_with("/core/resources/f"), "{found}");
    assert!(found["/deep/model"].as_str().unwrap().starts_with("cat"), "{found}");
    bench.core.stop().await;
}

#[tokio::test]
async fn a_container_sees_its_model_at_its_destination() {
    if !is_root("a mount") {
        return;
    }
    // Made anew: what is there on this machine is nobody's business.
    let destination = format!("/tmp/sedge-test-{}/model", std::process::id());
    let mut reader = with_resource(pinned("f"), Permission::ReadOnly);
    reader.container = true;
    let mut writer = with_resource(pinned("g"), Permission::ReadWrite);
    writer.container = true;
    let functions = vec![(reader, LOOK), (writer, LOOK)];
    let bench = with_model(Plan::new(functions), &destination).start().await;
    for (name, wanted) in [("f", "cat ro"), ("g", "cat rw")] {
        let found = bench.call(name, &json!([destination])).await.unwrap();
        assert_eq!((&found["prefix"], &found[&destination]), (&json!("/"), &json!(wanted)));
    }
    assert_eq!(fs::read_dir(&destination).unwrap().count(), 0, "only functions see it");
    bench.core.stop().await;
    let made = PathBuf::from(&destination);
    assert!(!made.parent().unwrap().exists(), "what was made to mount over is taken away");
}

#[tokio::test]
async fn a_function_runs_as_it_is_told() {
    if !is_root("another user") {
        return;
    }
    let mut function = with_resource(pinned("f"), Permission::ReadOnly);
    function.run_as = Some((65_534, 65_533));
    let mut plan = with_model(Plan::new(vec![(function, LOOK)]), "/model");
    // What this user has of its own, others cannot run.
    plan.options.python = Some("/usr/bin/python3".into());
    // Directories of tests are their user's alone.
    fs::set_permissions(plan.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let bench = plan.start().await;
    let found = bench.call("f", &json!(["/model"])).await.unwrap();
    assert_eq!(found["ids"], json!([65_534, 65_533]));
    assert_eq!(found["groups"], json!([4321]), "the group that owns the model, and no other");
    assert_eq!(found["/model"], "cat ro");
    bench.core.stop().await;
}

#[tokio::test]
async fn what_cannot_be_started_is_missing_alone() {
    type Change = fn(&mut Plan);
    let code = "def handler(event, context):\n    return 1";
    let cases: [(Change, &str); 4] = [
        (|plan| drop(plan.options.code.remove("f")), "its code is not here"),
        (|plan| plan.group.functions[0].handler = None, "its handler is not known"),
        (
            |plan| plan.group.functions[0].runtime = Some("nodejs12.x".into()),
            "'nodejs12.x' is not supported",
        ),
        (
            |plan| plan.group.functions[0].run_as = Some((0, 0)),
            "it is to run as root. Hint: another RunAs, or allow_root = true below [greengrass]",
        ),
    ];
    for (change, wanted) in cases {
        let mut plan = Plan::new(vec![(pinned("f"), code), (pinned("g"), code)]);
        change(&mut plan);
        let bench = plan.start().await;
        let status = bench.status("f");
        assert_eq!(status.state, State::Missing, "{wanted}");
        for told in [unhandled(bench.call("f", &json!({})).await), status.last_error.unwrap()] {
            assert!(told.contains(wanted) && told.contains(":function:f:1"), "{told}");
        }
        assert_eq!(bench.call("g", &json!({})).await, Ok(json!(1)), "{wanted}");
        bench.core.stop().await;
    }
}

#[tokio::test]
async fn code_for_python_2_is_run_with_python_3() {
    let mut function = pinned("f");
    function.runtime = Some("python2.7".into());
    let code = "import sys\ndef handler(event, context):\n    return sys.version_info[0]";
    let bench = Plan::new(vec![(function, code)]).start().await;
    assert_eq!(bench.call("f", &json!({})).await, Ok(json!(3)));
    bench.core.stop().await;
}

#[tokio::test]
async fn a_function_without_its_model_leaves_the_others_alone() {
    let code = "def handler(event, context):\n    return None";
    let function = with_resource(pinned("f"), Permission::ReadOnly);
    let mut plan = with_model(Plan::new(vec![(function, code), (pinned("g"), code)]), "/model");
    plan.options.models.clear();
    let bench = plan.start().await;
    let text = unhandled(bench.call("f", &json!({})).await);
    assert!(text.contains("its resource 'm' is not ready: its model was not brought"), "{text}");
    assert_eq!(bench.status("f").state, State::Missing);
    assert_eq!(bench.call("g", &json!({})).await, Ok(json!(null)));
    bench.core.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = Plan::new(Vec::new());
    plan.options.port = taken.local_addr().unwrap().port();
    let error = Core::new(&plan.group, plan.options).await.err().unwrap();
    assert!(error.to_string().contains("another program has the port"), "{error}");
    assert!(error.to_string().contains("greengrass.port"), "{error}");
    assert!(std::error::Error::source(&error).is_none(), "it would be told twice");
}
