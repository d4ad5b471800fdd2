//! What functions ask of each other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sedge_greengrass::ClientContext;
use sedge_greengrass::group::{Endpoint, Subscription};
use serde_json::{Value, json};

use crate::bench::{Bench, Plan, arn, function, pinned};

#[tokio::test]
async fn the_environment_is_that_of_v1() {
    let code = "
import os, sys
def handler(event, context):
    names = ['MY_FUNCTION_ARN', 'AWS_REGION', 'ENCODING_TYPE', 'AWS_IOT_THING_NAME', 'OWN',
             'GGC_MAX_INTERFACE_VERSION', 'ROUTER_FUNCTION_ARN', 'LOG_LEVEL', '_GG_LOG_FD_WARN']
    return {
        'variables': {name: os.environ.get(name) for name in names},
        'prefix': os.environ['AWS_GG_RESOURCE_PREFIX'],
        'place': [os.getcwd(), os.path.dirname(os.path.abspath(__file__))],
        'arguments': len(sys.argv),
        'context': [context.function_name, context.function_version, context.aws_request_id,
                    context.client_context.custom, context.invoked_function_arn],
        'time': context.get_remaining_time_in_millis(),
    }
";
    let mut function = pinned("f");
    function.variables.insert("OWN".into(), "1".into());
    let bench = Bench::start(vec![(function, code)]).await;
    let found = bench.call("f", &json!({})).await.unwrap();
    let variables = &found["variables"];
    assert_eq!(variables["MY_FUNCTION_ARN"], arn("f").to_string());
    assert_eq!(variables["AWS_REGION"], "eu-west-1");
    assert_eq!(variables["ENCODING_TYPE"], "json");
    assert_eq!(variables["AWS_IOT_THING_NAME"], "core");
    assert_eq!(variables["OWN"], "1");
    assert_eq!(variables["GGC_MAX_INTERFACE_VERSION"], "1.5");
    assert_eq!(variables["LOG_LEVEL"], "INFO");
    assert!(variables["_GG_LOG_FD_WARN"].is_string());
    assert_eq!(found["place"][0], found["place"][1]);
    assert_eq!(found["arguments"], 1);
    assert_eq!(found["context"][0], "f");
    assert_eq!(found["context"][1], "1");
    assert!((1..=20_000).contains(&found["time"].as_u64().unwrap()));
    bench.core.stop().await;
}

#[tokio::test]
async fn bytes_are_handed_over_as_they_are() {
    let code = "def handler(event, context):\n    return bytes(reversed(event))";
    let mut function = pinned("f");
    function.binary = true;
    let bench = Bench::start(vec![(function, code)]).await;
    let payload: Vec<u8> = (0..(3u32 << 20)).map(|n| (n % 251) as u8).collect();
    let call = bench.call_of(ClientContext::default(), payload.clone().into());
    let answer = bench.core.registry().find(&arn("f")).unwrap().call(call).await.unwrap();
    assert!(answer.iter().rev().eq(payload.iter()));
    bench.core.stop().await;
}

#[tokio::test]
async fn functions_call_each_other() {
    let caller = "
import base64, json
from greengrass_ipc_python_sdk.ipc_client import IPCClient, IPCException
def handler(event, context):
    client = IPCClient()
    target = 'arn:aws:lambda:eu-west-1:123456789012:function:' + event['target']
    said = base64.b64encode(json.dumps({'custom': {'size': 'x' * event.get('size', 0)}}).encode())
    kind = event.get('kind', 'RequestResponse')
    try:
        invocation = client.post_work(target, json.dumps(event['payload']), said, kind)
        if kind == 'Event':
            return None
        result = client.get_work_result(target, invocation)
        return [json.loads(result.payload.decode()), result.func_err]
    except IPCException as error:
        return str(error)
";
    let callee = "
seen = []
def handler(event, context):
    if event == 'seen':
        return seen
    if event == 'raise':
        raise KeyError('no')
    seen.append(event)
    return [event, len(context.client_context.custom['size'])]
";
    let bench = Bench::start(vec![(pinned("a"), caller), (pinned("b"), callee)]).await;
    let call = async |event: Value| bench.call("a", &event).await.unwrap();
    let answer = call(json!({ "target": "b", "payload": { "x": [1.5, "ü"] } })).await;
    assert_eq!(answer, json!([[{ "x": [1.5, "ü"] }, 0], ""]));
    // A context of 700 KB is a header of more than 900.
    let answer = call(json!({ "target": "b:1", "payload": 1, "size": 700_000 })).await;
    assert_eq!(answer, json!([[1, 700_000], ""]));
    let answer = call(json!({ "target": "b", "payload": "raise" })).await;
    assert_eq!((&answer[0]["errorType"], &answer[1]), (&json!("KeyError"), &json!("Handled")));
    let answer = call(json!({ "target": "c", "payload": 1 })).await;
    assert!(answer.as_str().unwrap().starts_with("HTTP Error 404: nothing is deployed as"));
    call(json!({ "target": "b", "payload": "event", "kind": "Event" })).await;
    let begun = Instant::now();
    while !bench.call("b", &json!("seen")).await.unwrap().to_string().contains("event") {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let answer = call(json!({ "target": "b", "payload": 1, "kind": "Other" })).await;
    assert!(answer.as_str().unwrap().contains("neither RequestResponse nor Event"), "{answer}");
    bench.core.stop().await;
}

#[tokio::test]
async fn messages_take_the_ways_of_subscriptions() {
    let sender = "
import base64, json
from greengrass_ipc_python_sdk.ipc_client import IPCClient, IPCException
def handler(event, context):
    said = base64.b64encode(json.dumps({'custom': {
        'subject': event['topic'], 'queueFullPolicy': event.get('policy', '')}}).encode())
    try:
        IPCClient().post_work('arn:aws:lambda:::function:GGRouter', event.get('payload', '{}'),
                              said, 'Event')
    except IPCException as error:
        return str(error)
";
    let receiver = "
seen = []
def handler(event, context):
    if event == 'seen':
        return seen
    seen.append([context.client_context.custom['subject'], event])
";
    let way = |id: &str, subject: &str, target: Endpoint| Subscription {
        id: id.into(),
        source: Endpoint::Function(arn("sender")),
        subject: subject.into(),
        target,
    };
    let to = |name: &str| Endpoint::Function(arn(name));
    let functions = vec![(pinned("sender"), sender), (pinned("receiver"), receiver)];
    let mut plan = Plan::new(functions);
    plan.group.subscriptions = vec![
        way("1", "a/+/c", to("receiver")),
        way("2", "a/#", to("receiver")),
        way("3", "cloud/#", Endpoint::Cloud),
        way("4", "gone", to("gone")),
    ];
    let bench = plan.start().await;
    let send = async |event: Value| bench.call("sender", &event).await.unwrap();
    let mut wanted = Vec::new();
    for n in 0..50 {
        let topic = format!("a/{n}/c");
        send(json!({ "topic": topic, "payload": json!({ "n": n }).to_string() })).await;
        wanted.push(json!([topic, { "n": n }]));
    }
    let begun = Instant::now();
    let seen = loop {
        let seen = bench.call("receiver", &json!("seen")).await.unwrap();
        if seen.as_array().unwrap().len() >= wanted.len() {
            break seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen}");
    };
    assert_eq!(seen, json!(wanted), "one message for two subscriptions, in order");
    send(json!({ "topic": "cloud/x" })).await;
    for _ in 0..3 {
        send(json!({ "topic": "nowhere/at/all" })).await;
    }
    let log = bench.runtime_log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("No subscription")).collect();
    let [told] = told.as_slice() else { panic!("{log}") };
    assert!(told.contains("[WARN]-"), "{told}");
    let about: Value = serde_json::from_str(told.split_once('\t').unwrap().1).unwrap();
    assert_eq!(about["subscription"]["Source"], arn("sender").to_string());
    assert_eq!(about["subscription"]["Subject"], "nowhere/at/all");
    assert_eq!(about["subscription"]["Target"], "cloud");
    assert_eq!(send(json!({ "topic": "gone" })).await, Value::Null);
    let refused = send(json!({ "topic": "gone", "policy": "AllOrError" })).await;
    assert!(refused.as_str().unwrap().contains("is not deployed"), "{refused}");
    let large = send(json!({ "topic": "a/b", "payload": "x".repeat(129 << 10) })).await;
    assert!(large.as_str().unwrap().contains("at most 128 KB"), "{large}");
    let status = bench.core.status();
    assert_eq!((status.delivered, status.unroutable, status.refused), (51, 3, 2));
    bench.core.stop().await;
}

#[tokio::test]
async fn a_call_is_given_up_with_its_caller() {
    let bench = Bench::start(vec![(function("f"), "def handler(e, c):\n    return e")]).await;
    let answer = bench.begin("f", &json!(1));
    drop(answer);
    assert_eq!(bench.call("f", &json!(2)).await, Ok(json!(2)));
    let nothing = bench.call_of(ClientContext::default(), Bytes::new());
    let answer = bench.core.registry().find(&arn("f")).unwrap().call(nothing).await;
    assert_eq!(answer.unwrap(), "{}", "no payload is an empty event");
    bench.core.stop().await;
}
