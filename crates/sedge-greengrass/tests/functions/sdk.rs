//! Functions that use the SDKs: the real `greengrasssdk`, unmodified, and a stand-in for the
//! machine-learning SDK written from its contract.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;
use sedge_greengrass::Failure;
use sedge_greengrass::group::{Endpoint, Function, Subscription};
use serde_json::{Value, json};

use crate::bench::{Plan, answering, arn, pinned};

const PACKAGE: &str = "greengrasssdk==1.6.1";

/// Where the real SDK is; installed once from the package index.
fn sdk() -> Option<&'static Path> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE);
        if place.join("greengrasssdk/client.py").exists() {
            return Some(place);
        }
        // Tests may run in processes of their own: whoever is first has it, whole.
        let draft = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).ok()?;
        let made = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .arg("--target")
            .arg(draft.path().join(PACKAGE))
            .arg(PACKAGE)
            .status();
        let moved = std::fs::rename(draft.path().join(PACKAGE), &place);
        (made.is_ok_and(|status| status.success()) && (moved.is_ok() || place.exists()))
            .then_some(place)
    });
    if place.is_none() {
        assert!(std::env::var_os("CI").is_none(), "pip cannot install {PACKAGE}");
        eprintln!("skipped: pip cannot install {PACKAGE}");
    }
    place.as_deref()
}

fn with_sdk(mut function: Function, place: &Path) -> Function {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/greengrass");
    let path = std::env::join_paths([place, &own]).unwrap();
    function.variables.insert("PYTHONPATH".into(), path.into_string().unwrap());
    function
}

#[tokio::test]
async fn the_core_sdk_runs_unmodified() {
    let Some(place) = sdk() else { return };
    let user = "
import base64, json
import greengrasssdk
from greengrasssdk.IoTDataPlane import ShadowError
from greengrasssdk.SecretsManager import SecretsManagerError
iot = greengrasssdk.client('iot-data')
functions = greengrasssdk.client('lambda')
secrets = greengrasssdk.client('secretsmanager')
TARGET = 'arn:aws:lambda:eu-west-1:123456789012:function:other'

def handler(event, context):
    found = {}
    iot.publish(topic='to/other', payload=json.dumps({'n': 1}))
    iot.publish(topic='to/other', payload=b'{\"n\": 2}', queueFullPolicy='AllOrException')
    context = base64.b64encode(json.dumps({'custom': {'who': 'me'}}).encode())
    answer = functions.invoke(FunctionName=TARGET, Qualifier='1', ClientContext=context,
                              Payload=json.dumps({'n': 3}))
    found['answer'] = [json.loads(answer['Payload'].read()), answer['FunctionError']]
    answer = functions.invoke(FunctionName=TARGET, Payload=b'\"raise\"')
    found['error'] = [json.loads(answer['Payload']), answer['FunctionError']]
    answer = functions.invoke(FunctionName=TARGET, InvocationType='Event', Payload=b'{\"n\": 4}')
    found['event'] = [answer['Payload'] == b'', answer['FunctionError']]
    try:
        functions.invoke(FunctionName=TARGET + 'x')
    except Exception as error:
        found['missing'] = [type(error).__name__, str(error)]
    try:
        iot.get_thing_shadow(thingName='lamp')
    except ShadowError as error:
        found['shadow'] = str(error)
    iot.update_thing_shadow(thingName='lamp', payload=json.dumps({'state': {'desired': {'on': 1}}}))
    shadow = iot.get_thing_shadow(thingName='lamp')
    found['state'] = json.loads(shadow['payload'])['state']
    iot.delete_thing_shadow(thingName='lamp')
    try:
        secrets.get_secret_value(SecretId='door')
    except SecretsManagerError as error:
        found['secret'] = str(error)
    return found
";
    let other = "
seen = []
def handler(event, context):
    if event == 'raise':
        raise RuntimeError('as asked')
    if event == 'seen':
        return seen
    seen.append(event['n'])
    return context.client_context.custom
";
    let functions = vec![(with_sdk(pinned("user"), place), user), (pinned("other"), other)];
    let mut plan = Plan::new(functions);
    plan.group.subscriptions = vec![Subscription {
        id: "1".into(),
        source: Endpoint::Function(arn("user")),
        subject: "to/other".into(),
        target: Endpoint::Function(arn("other")),
    }];
    let bench = plan.start().await;
    let found = bench.call("user", &json!({})).await.unwrap();
    assert_eq!(found["answer"], json!([{ "who": "me" }, ""]));
    assert_eq!(found["error"][0]["errorMessage"], "as asked");
    assert_eq!(found["error"][1], "Handled");
    assert_eq!(found["event"], json!([true, ""]));
    assert_eq!(found["missing"][0], "InvocationException");
    assert!(found["missing"][1].as_str().unwrap().contains("nothing is deployed as"), "{found}");
    assert!(found["shadow"].as_str().unwrap().contains("error code 404"), "{found}");
    assert_eq!(found["state"], json!({ "desired": { "on": 1 }, "delta": { "on": 1 } }));
    assert!(found["secret"].as_str().unwrap().contains("404"), "{found}");
    let seen = bench.call("other", &json!("seen")).await.unwrap();
    assert_eq!(seen, json!([1, 2, 3, 4]), "in the order in which they were sent");
    bench.core.stop().await;
}

#[tokio::test]
async fn the_machine_learning_sdk_reaches_services() {
    let Some(place) = sdk() else { return };
    let user = "
import greengrass_machine_learning_sdk as ml
from greengrass_machine_learning_sdk.feedback import GreengrassFeedbackException
inference = ml.client('inference')
feedback = ml.client('feedback')

def handler(event, context):
    try:
        answer = inference.invoke_inference_service(
            AlgoType='image-classification', ServiceName=event, ContentType='image/jpeg',
            Body=b'\\xff\\xd8' * 50000)
        scores = [1.0 / (i + 3) for i in range(1000)]
        feedback.publish(ConfigId='all', ModelInput=b'x', ModelPrediction=scores,
                         Metadata={'some': 'thing'})
        return [answer['ContentType'], answer['Body'].read().decode()]
    except Exception as error:
        return [type(error).__name__, str(error)]
";
    let plan = Plan::new(vec![(with_sdk(pinned("user"), place), user)]);
    let mut bench = plan.prepare().await;
    let service = |name: &str| {
        format!("arn:aws:lambda:us-west-2:aws:function:GG-ML-INF-image-classification-{name}:1")
            .parse()
            .unwrap()
    };
    let classify = answering(|call| {
        assert_eq!(call.context.custom("Content-Type").unwrap(), "image/jpeg");
        assert_eq!(call.payload.len(), 100_000);
        let answer = json!({ "Body": "[0.1,0.9]", "ContentType": "application/json" });
        Ok(Bytes::from(answer.to_string()))
    });
    bench.core.register(&service("cats"), classify);
    let refuse = answering(|_| Err(Failure::Handled("no picture".into())));
    bench.core.register(&service("dogs"), refuse);
    let feedback = answering(|call| {
        let scores = call.context.custom("ModelPrediction").unwrap();
        let scores = scores.as_array().unwrap();
        assert_eq!((scores.len(), &scores[0]), (1000, &json!(1.0 / 3.0)));
        assert_eq!(call.context.custom("Metadata").unwrap()["some"], "thing");
        Ok(Bytes::new())
    });
    bench
        .core
        .register(&"arn:aws:lambda:us-west-2:aws:function:MLFeedback:1".parse().unwrap(), feedback);
    bench.core.start();
    let call = async |name: &str| bench.call("user", &Value::from(name)).await.unwrap();
    assert_eq!(call("cats").await, json!(["application/json", "[0.1,0.9]"]));
    assert_eq!(call("dogs").await, json!(["GreengrassInferenceException", "no picture"]));
    let missing = call("mice").await;
    assert_eq!(missing[0], "GreengrassDependencyException");
    assert!(missing[1].as_str().unwrap().contains("nothing is deployed as"), "{missing}");
    bench.core.stop().await;
}
