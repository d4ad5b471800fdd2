use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::read::GzDecoder;

use super::{command, program};

/// None of these words may be in a bundle.
const PLANTED: [&str; 16] = [
    "s3cr3t-in-toml",
    "s3cr3t-in-list",
    "s3cr3t-in-table",
    "s3cr3t \"quoted\"",
    "s3cr3t-in-url",
    "s3cr3t-user",
    "s3cr3t-query",
    "s3cr3t-variable",
    "s3cr3t-plain-variable",
    "s3cr3t-in-log",
    "s3cr3t-in-header",
    "s3cr3t-in-json",
    "s3cr3t-in-pem",
    "7654321098",
    "alice-the-operator",
    "s3cr3t-comment",
];

const CONFIG: &str = r#"
# s3cr3t-comment
listen = "127.0.0.1:0"
password = "s3cr3t-in-toml"
api_tokens = ["s3cr3t-in-list"]
upstream = "https://s3cr3t-user:s3cr3t-in-url@example.com/x?sig=s3cr3t-query"
pin = 7654321098
phrase.secret = 's3cr3t "quoted"'
models = "/home/alice-the-operator/models"

[credentials.cloud]
name = "s3cr3t-in-table"

[[service]]
name = "people"
model = "MODEL"
"#;

const LOG: &str = r#"2026-01-01T00:00:00Z INFO loaded service="people"
using password=s3cr3t-in-log for it, again s3cr3t-in-toml
Authorization: Bearer s3cr3t-in-header and more s3cr3t-in-header
{"level":"INFO","token":"s3cr3t-in-json","pin":7654321098,"said":"s3cr3t \"quoted\""}
GET https://s3cr3t-user:s3cr3t-in-url@example.com/path?x=s3cr3t-query
-----BEGIN PRIVATE KEY-----
s3cr3t-in-pem
-----END PRIVATE KEY-----
opened /home/alice-the-operator/models/m.tflite with s3cr3t-variable
"#;

/// Path and text of each file.
fn unpacked(path: &Path) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(path).unwrap()));
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.push((entry.path().unwrap().display().to_string(), text));
    }
    files
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn a_bundle_tells_much_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let model = program::root().join("testdata/models/vww96");
    fs::write(at("sedge.toml"), CONFIG.replace("MODEL", model.to_str().unwrap())).unwrap();
    fs::write(at("sedge.log"), LOG).unwrap();
    let (bundle, config, log) = (at("bundle.tar.gz"), at("sedge.toml"), at("sedge.log"));
    let arguments = ["doctor", "--bundle", &bundle, "--config", &config, "--log", &log];
    let output = command(&arguments)
        .args(["testdata/models/fastestdet", "--root", "/home/alice-the-operator/data"])
        .env("MY_API_TOKEN", "s3cr3t-variable")
        .env("SOMETHING_ELSE", "s3cr3t-plain-variable")
        .env("PATH", "/home/alice-the-operator/bin:/usr/bin:/bin")
        .output()
        .unwrap();
    let listed = program::text(&output.stdout);
    assert!(output.stderr.is_empty(), "{}", program::text(&output.stderr));

    let bytes = fs::read(&bundle).unwrap();
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);
    let mut whole = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut whole).unwrap();
    for word in PLANTED {
        assert!(!contains(&bytes, word) && !contains(&whole, word), "'{word}' is in the bundle");
    }

    let files = unpacked(Path::new(&bundle));
    for (path, _) in &files {
        assert!(listed.contains(path), "{path} is not listed: {listed}");
    }
    let file = |name: &str| {
        let path = format!("sedge-bundle/{name}");
        let found = files.iter().find(|(candidate, _)| *candidate == path);
        found.unwrap_or_else(|| panic!("no {name} in {listed}")).1.clone()
    };
    let report: serde_json::Value = serde_json::from_str(&file("doctor.json")).unwrap();
    assert!(report["findings"].as_array().unwrap().len() > 15);
    assert!(file("doctor.txt").contains("engines"));
    assert!(file("config.toml").contains("listen = \"127.0.0.1:0\""));
    assert!(
        file("config.toml").contains("upstream = \"https://<redacted>@example.com/x?<redacted>\"")
    );
    assert!(file("log.txt").contains("loaded service=\"people\""));
    assert!(file("environment.txt").contains("PATH=/home/<user>/bin:/usr/bin:/bin"));
    assert!(file("environment.txt").contains("SOMETHING_ELSE=<redacted>"));
    assert!(file("version.json").contains(env!("CARGO_PKG_VERSION")));
    // Models are named by their identity, which is not mistaken for a key.
    let models: serde_json::Value = serde_json::from_str(&file("models.json")).unwrap();
    assert_eq!(models[0]["name"], "fastestdet");
    assert_eq!(models[0]["identity"].as_str().unwrap().len(), 64);
    assert!(whole.len() < 200_000, "{} bytes are no summary", whole.len());
}

#[test]
fn a_configuration_that_is_no_toml_is_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("sedge.toml"), "listen = 'a'\nphrase = \"s3cr3t without an end\nx = 1\n").unwrap();
    let (bundle, config) = (at("bundle.tar.gz"), at("sedge.toml"));
    let output = command(&["doctor", "--bundle", &bundle, "--config", &config]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let files = unpacked(Path::new(&bundle));
    for (path, text) in &files {
        assert!(!text.contains("s3cr3t"), "{path}: {text}");
    }
    assert!(
        files
            .iter()
            .any(|(path, text)| path.ends_with("config-error.txt") && text.starts_with("line 2"))
    );
}

#[test]
fn a_bundle_overwrites_nothing_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let there = directory.path().join("there.tar.gz");
    fs::write(&there, "kept").unwrap();
    let output = command(&["doctor", "--bundle", there.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(program::text(&output.stderr).contains("is already there"));
    assert_eq!(fs::read_to_string(&there).unwrap(), "kept");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let output = command(&["doctor", "--bundle", "no/such/directory/b.tar.gz"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(program::text(&output.stderr).contains("cannot write into no/such/directory"));
}
