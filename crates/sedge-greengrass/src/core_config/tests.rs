use super::*;

const THING: &str = r#""thingArn": "arn:aws:iot:eu-west-1:123456789012:thing/gate-7_Core",
    "iotHost": "a1b2-ats.iot.eu-west-1.amazonaws.com""#;

fn read(text: &str) -> Result<CoreConfig, CoreConfigError> {
    CoreConfig::parse(text, Path::new(ROOT))
}

fn told(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

/// As the console makes it for 1.11.
#[test]
fn a_core_of_1_11_is_read() {
    let config = read(&format!(
        r#"{{"coreThing": {{"caPath": "root.ca.pem", "certPath": "f0.cert.pem",
            "keyPath": "f0.private.key", {THING},
            "ggHost": "greengrass-ats.iot.eu-west-1.amazonaws.com", "keepAlive": 600,
            "ggDaemonPort": 8000, "systemComponentAuthTimeout": 5000}},
          "runtime": {{"maxWorkItemCount": 1024, "cgroup": {{"useSystemd": "yes"}}}},
          "managedRespawn": "false",
          "crypto": {{"principals": {{
              "SecretsManager": {{"privateKeyPath": "file:///greengrass/certs/f0.private.key"}},
              "IoTCertificate": {{"privateKeyPath": "file:///greengrass/certs/f0.private.key",
                  "certificatePath": "file:///greengrass/certs/f0.cert.pem"}}}},
              "caPath": "file:///greengrass/certs/root.ca.pem"}}}}"#
    ));
    let expected = CoreConfig {
        thing: "gate-7_Core".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
        iot_host: "a1b2-ats.iot.eu-west-1.amazonaws.com".to_owned(),
        greengrass_host: Some("greengrass-ats.iot.eu-west-1.amazonaws.com".to_owned()),
        ca: "/greengrass/certs/root.ca.pem".into(),
        certificate: "/greengrass/certs/f0.cert.pem".into(),
        key: "/greengrass/certs/f0.private.key".into(),
        mqtt_port: 8883,
        https_port: 8443,
        keep_alive: Duration::from_secs(600),
        operation_timeout: Duration::from_secs(5),
        reconnect_max: Duration::from_secs(60),
        proxy: None,
    };
    assert_eq!(config, Ok(expected));
}

/// Before 1.7 there is no `crypto`; here in another place, behind a firewall and a proxy.
#[test]
fn an_old_core_is_read() {
    let config = CoreConfig::parse(
        &format!(
            r#"{{"coreThing": {{"caPath": "root.ca.pem", "certPath": "f0.cert.pem",
                "keyPath": "/etc/keys/f0.key", {THING}, "iotMqttPort": "443", "iotHttpPort": 443,
                "keepAlive": 10, "mqttOperationTimeout": 20,
                "networkProxy": {{"proxy": {{"url": "http://proxy:3128"}}}}}},
              "mqttMaxConnectionRetryInterval": 90, "managedRespawn": true}}"#
        ),
        &CoreConfig::root_of(Path::new("/opt/gg/config/config.json")),
    )
    .unwrap();
    assert_eq!(config.ca, Path::new("/opt/gg/certs/root.ca.pem"));
    assert_eq!(config.key, Path::new("/etc/keys/f0.key"));
    assert_eq!((config.mqtt_port, config.https_port), (443, 443));
    assert_eq!(config.keep_alive, LEAST_KEEP_ALIVE);
    assert_eq!(config.operation_timeout, Duration::from_secs(20));
    assert_eq!(config.reconnect_max, Duration::from_secs(90));
    assert_eq!(config.proxy.as_deref(), Some("http://proxy:3128"));
}

/// What an installer fills in below `crypto` alone: the rest is not looked at.
#[test]
fn crypto_alone_is_enough_and_comes_first() {
    let config = read(&format!(
        r#"{{"coreThing": {{"caPath": "[ROOT_CA_PEM_HERE]", "certPath": "[CLOUD_PEM_CRT_HERE]",
            {THING}, "ggHost": ""}},
          "crypto": {{"caPath": "file:/greengrass/certs/root%20ca.pem", "principals": {{
              "IoTCertificate": {{"certificatePath": "file://localhost/a/c.pem",
                  "privateKeyPath": "/a/k.pem"}}}}}}}}"#
    ))
    .unwrap();
    assert_eq!(config.ca, Path::new("/greengrass/certs/root ca.pem"));
    assert_eq!(config.certificate, Path::new("/a/c.pem"));
    assert_eq!(config.key, Path::new("/a/k.pem"));
    assert_eq!(config.greengrass_host, None);
}

#[test]
fn what_cannot_be_used_is_told_by_its_place() {
    let files = r#""caPath": "c", "certPath": "d", "keyPath": "e""#;
    let thing = |fields: &str| format!(r#"{{"coreThing": {{{fields}}}}}"#);
    let crypto = |ca: &str, key: &str| {
        let principal = format!(r#"{{"certificatePath": "file:///c", "privateKeyPath": "{key}"}}"#);
        let crypto =
            format!(r#"{{"caPath": "{ca}", "principals": {{"IoTCertificate": {principal}}}}}"#);
        format!(r#"{{"coreThing": {{{THING}, {files}}}, "crypto": {crypto}}}"#)
    };
    for (text, words) in [
        ("[]".to_owned(), "the core's configuration is no JSON object: it is something else"),
        ("{".to_owned(), "the core's configuration is no JSON object: EOF"),
        ("{}".to_owned(), "coreThing.thingArn of the core's configuration is missing. Hint: "),
        (thing(r#""thingArn": "[THING_ARN_HERE]""#), "is '[THING_ARN_HERE]', no ARN of a thing"),
        (
            thing(r#""thingArn": "arn:aws:iot:eu-west-1:123456789012:cert/a""#),
            "coreThing.thingArn of the core's configuration is 'arn:aws:iot:eu-west-1:12345",
        ),
        (
            thing(
                r#""thingArn": "arn:aws:iot:eu-west-1:123456789012:thing/a",
                   "iotHost": "[HOST_PREFIX_HERE].iot.eu-west-1.amazonaws.com""#,
            ),
            "coreThing.iotHost of the core's configuration is '[HOST_PREFIX_HERE].iot.eu-west-1",
        ),
        (thing(THING), "coreThing.caPath of the core's configuration is missing. Hint: write a"),
        (
            thing(&format!(r#"{THING}, {files}, "iotMqttPort": 99999"#)),
            "coreThing.iotMqttPort of the core's configuration is '99999', no number from 1 to",
        ),
        (
            crypto("file:///c", "pkcs11:object=iotkey;type=private"),
            "crypto.principals.IoTCertificate.privateKeyPath of the core's configuration names a",
        ),
        (crypto("https://c", "file:///k"), "crypto.caPath of the core's configuration is 'https"),
        (crypto("[ROOT_CA]", "file:///k"), "what was to be filled in. Hint: write a file URI"),
    ] {
        let error = told(&text);
        assert!(error.contains(words), "not '{words}': {error}");
    }
    assert!(told(&" ".repeat(MOST_BYTES + 1)).contains("1048577 bytes"));
}
