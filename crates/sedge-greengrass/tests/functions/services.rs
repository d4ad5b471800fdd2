//! Shadows and secrets, as functions ask for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use sedge_greengrass::group::{Endpoint, Resource, ResourceAccess, ResourceData, Subscription};
use serde_json::{Value, json};

use crate::bench::{Bench, Plan, arn, pinned};

const ASK: &str = "
import base64, json, os
from greengrass_ipc_python_sdk.ipc_client import IPCClient
def handler(event, context):
    if 'seen' in event:
        return seen
    if 'subject' in context.client_context.custom:
        seen.append([context.client_context.custom['subject'], event])
        return None
    client = IPCClient()
    arn = os.environ[event['service'] + '_FUNCTION_ARN']
    said = base64.b64encode(json.dumps({'custom': {'subject': event.get('topic', '')}}).encode())
    id = client.post_work(arn, json.dumps(event['payload']) if event['payload'] else b'', said)
    result = client.get_work_result(arn, id)
    return [json.loads(result.payload.decode()), result.func_err]
seen = []
";

async fn shadow(bench: &Bench, operation: &str, payload: Value) -> Value {
    let topic = format!("$aws/things/lamp/shadow/{operation}");
    let event = json!({ "service": "SHADOW", "topic": topic, "payload": payload });
    let answer = bench.call("f", &event).await.unwrap();
    assert_eq!(answer[1], "", "{answer}");
    answer[0].clone()
}

#[tokio::test]
async fn shadows_are_kept_and_told() {
    let mut plan = Plan::new(vec![(pinned("f"), ASK)]);
    plan.group.subscriptions = vec![Subscription {
        id: "1".into(),
        source: Endpoint::Shadows,
        subject: "$aws/things/+/shadow/#".into(),
        target: Endpoint::Function(arn("f")),
    }];
    let directory = plan.options.directory.clone();
    let bench = plan.start().await;
    let missing = shadow(&bench, "get", Value::Null).await;
    assert_eq!(
        (&missing["code"], &missing["message"]),
        (&json!(404), &json!("No shadow exists with name: 'lamp'"))
    );
    let request = json!({ "state": { "desired": { "on": true } }, "clientToken": "t" });
    let accepted = shadow(&bench, "update", request).await;
    assert_eq!((&accepted["version"], &accepted["clientToken"]), (&json!(1), &json!("t")));
    let conflict = json!({ "state": { "reported": { "on": true } }, "version": 7 });
    assert_eq!(shadow(&bench, "update", conflict).await["code"], 409);
    let got = shadow(&bench, "get", Value::Null).await;
    assert_eq!(got["state"], json!({ "desired": { "on": true }, "delta": { "on": true } }));
    let large = json!({ "state": { "desired": { "x": "x".repeat(9000) } } });
    assert_eq!(shadow(&bench, "update", large).await["code"], 413);
    let kept = fs::read_to_string(directory.join("shadows/lamp.json")).unwrap();
    assert!(kept.contains("\"on\":true"), "{kept}");
    let begun = Instant::now();
    let topics: Vec<String> = loop {
        let seen = bench.call("f", &json!({ "seen": true })).await.unwrap();
        let seen = seen.as_array().unwrap().clone();
        if seen.len() >= 7 {
            let topic = |message: &Value| message[0].as_str().unwrap().to_owned();
            break seen.iter().map(topic).collect();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{seen:?}");
    };
    let short: Vec<&str> = topics
        .iter()
        .map(|topic| topic.strip_prefix("$aws/things/lamp/shadow/").unwrap())
        .collect();
    assert_eq!(
        short,
        [
            "get/rejected",
            "update/accepted",
            "update/delta",
            "update/documents",
            "update/rejected",
            "get/accepted",
            "update/rejected"
        ]
    );
    assert_eq!(shadow(&bench, "delete", Value::Null).await["version"], 1);
    assert_eq!(shadow(&bench, "get", Value::Null).await["code"], 404);
    bench.core.stop().await;
}

#[tokio::test]
async fn secrets_are_told_to_whom_they_belong() {
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:door-a1B2c3";
    let mut function = pinned("f");
    function.resources = vec![ResourceAccess { resource: "s".into(), permission: None }];
    let mut plan = Plan::new(vec![(function, ASK), (pinned("g"), ASK)]);
    let data = ResourceData::Secret { arn: secret.into(), labels: Vec::new() };
    plan.group.resources = vec![Resource { id: "s".into(), name: "door".into(), data }];
    let place = plan.options.directory.join("secrets");
    fs::create_dir(&place).unwrap();
    let text = json!({ "ARN": secret, "Name": "door", "VersionId": "v", "SecretString": "open",
        "VersionStages": ["AWSCURRENT", "two"], "CreatedDate": 1_523_477_145.713 });
    let path = place.join("door.json");
    fs::write(&path, text.to_string()).unwrap();
    let bench = plan.start().await;
    let ask = async |name: &str, payload: Value| {
        let event = json!({ "service": "SECRETS_MANAGER", "payload": payload });
        bench.call(name, &event).await.unwrap()[0].clone()
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let open = ask("f", json!({ "SecretId": "door" })).await;
    assert!(open["Message"].as_str().unwrap().contains("others may read it. Hint: chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for id in ["door", secret, &secret[..secret.len() - 7]] {
        let found = ask("f", json!({ "SecretId": id, "VersionStage": "two" })).await;
        assert_eq!(found["SecretString"], "open", "{found}");
        assert_eq!(found["CreatedDate"], 1_523_477_145_713_u64);
    }
    assert_eq!(ask("g", json!({ "SecretId": "door" })).await["Status"], 403);
    assert_eq!(ask("f", json!({ "SecretId": "window" })).await["Status"], 404);
    assert_eq!(ask("f", json!({ "SecretId": "door", "VersionStage": "x" })).await["Status"], 404);
    assert_eq!(ask("f", json!({ "Secret": 1 })).await["Status"], 400);
    bench.core.stop().await;
}
