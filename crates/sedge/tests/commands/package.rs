use std::fs;
use std::path::Path;
use std::process::Command;

use super::{command, program, seen};

const CLASSIFIER: &str = "testdata/models/mobilenet-v1-0-25-224-quant";
const BARE: &str = "testdata/tflite_metadata/colours.tflite";
const KEY: &str = "testdata/signing/example";

/// Runs a line in which DIR stands for a directory of the test, also in what is seen.
fn seen_in(directory: &Path, line: &str) -> String {
    let place = directory.to_str().unwrap();
    let words: Vec<String> = line.split(' ').map(|word| word.replace("DIR", place)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    seen(&words).replace(place, "DIR")
}

fn snapshot(name: &str, seen: &[String]) {
    insta::with_settings!({filters => vec![
        (r"\d+\.\d [KM]iB|\d+ bytes\)", "[size]"),
        (r#""bytes": \d+"#, r#""bytes": [size]"#),
    ]}, {
        insta::assert_snapshot!(name, seen.join("\n"));
    });
}

fn identity(model: &str) -> String {
    let output = command(&["model", "inspect", model, "--format", "json"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    value["identity"].as_str().unwrap().to_owned()
}

#[test]
fn packages_are_created_signed_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    let lines = [
        format!("package create {CLASSIFIER} -o DIR/m.tar.gz --sign {KEY}.pem"),
        format!("package verify DIR/m.tar.gz --key {KEY}.pub"),
        format!("package verify DIR/m.tar.gz --key {KEY}.pub --format json"),
        format!("package create {BARE} -o DIR/people"),
        format!("package verify DIR/people --key {KEY}.pub"),
        format!("package verify DIR/people --key {KEY}.pub --format json"),
        format!("package sign DIR/people --key {KEY}.pem"),
        format!("package verify DIR/people --key {KEY}.pub"),
        format!("package create {BARE} -o DIR/people"),
        format!("package create {BARE} -o DIR/people --force"),
    ];
    let all: Vec<_> = lines.iter().map(|line| seen_in(directory.path(), line)).collect();
    snapshot("package", &all);
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(identity(&at("m.tar.gz")), identity(CLASSIFIER), "signing changes no identity");
    let mut names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["m.tar.gz", "people"], "nothing temporary is left");
}

#[test]
fn what_is_wrong_with_a_package_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    seen_in(directory.path(), &format!("package create {BARE} -o DIR/p --sign {KEY}.pem"));
    seen_in(directory.path(), &format!("package create {BARE} -o DIR/other --sign {KEY}.pem"));
    fs::write(at("other/model.sig"), "sedge-signature 2\n").unwrap();
    fs::write(at("p/extra"), "").unwrap();
    fs::write(at("notes.txt"), "notes").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let lines = [
        format!("package verify DIR/p --key {KEY}.pub"),
        format!("package verify DIR/other --key {KEY}.pub"),
        format!("package verify DIR/notes.txt --key {KEY}.pub"),
        format!("package verify DIR/none --key {KEY}.pub"),
        format!("package verify DIR/p --key {KEY}.pem"),
        "package verify DIR/p --key DIR/notes.txt".into(),
        "package verify DIR/p".into(),
        format!("package sign DIR/empty --key {KEY}.pem"),
        format!("package sign DIR/p --key {KEY}.pub"),
        "package keygen -o DIR/no/such/directory/key".into(),
        format!("package create {BARE} -o DIR/p.7z"),
        "package create testdata/tflite_ops/abs.tflite -o DIR/new".into(),
        "package create DIR/notes.txt -o DIR/new".into(),
    ];
    let all: Vec<_> = lines.iter().map(|line| seen_in(directory.path(), line)).collect();
    snapshot("package_mistakes", &all);
    assert!(!at("new").exists());
}

#[test]
fn the_configuration_says_who_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let key = program::root().join(KEY).with_extension("pub");
    let write = |trust: &str| {
        fs::write(directory.path().join("sedge.toml"), format!("[trust]\n{trust}\n")).unwrap();
    };
    seen_in(directory.path(), &format!("package create {BARE} -o DIR/signed --sign {KEY}.pem"));
    seen_in(directory.path(), &format!("package create {BARE} -o DIR/unsigned"));
    fs::copy(key, directory.path().join("release.pub")).unwrap();
    let mut all = Vec::new();
    for trust in [
        "",
        "keys = ['release.pub']\nrequire_signature = true",
        "keys = ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']\nrequire_signature = true",
    ] {
        write(trust);
        for name in ["signed", "unsigned"] {
            let line = format!("package verify DIR/{name} --config DIR/sedge.toml");
            all.push(format!("{trust}\n{}", seen_in(directory.path(), &line)));
        }
    }
    snapshot("package_trust", &all);
}

/// The same model is the same archive, also when it is signed later or packed again.
#[test]
fn archives_are_equal_to_the_last_byte() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = |name: &str| fs::read(directory.path().join(name)).unwrap();
    for end in ["tar.gz", "zip", "tar"] {
        for line in [
            format!("package create {CLASSIFIER} -o DIR/1.{end} --sign {KEY}.pem"),
            format!("package create {CLASSIFIER} -o DIR/2.{end}"),
            format!("package sign DIR/2.{end} --key {KEY}.pem"),
            format!("package create DIR/1.{end} -o DIR/3.{end} --sign {KEY}.pem"),
        ] {
            let seen = seen_in(directory.path(), &line);
            assert!(seen.ends_with("exit code 0\n"), "{seen}");
        }
        let [one, two, three] = ["1", "2", "3"].map(|name| bytes(&format!("{name}.{end}")));
        assert!(one == two && two == three, "{end}");
    }
}

#[test]
fn golden_cases_are_recorded_and_hold() {
    let directory = tempfile::tempdir().unwrap();
    let create = format!(
        "package create {BARE} -o DIR/p.zip --golden testdata/images/face.jpg --engine native"
    );
    let seen = seen_in(directory.path(), &create);
    assert!(seen.ends_with("exit code 0\n"), "{seen}");
    let seen = seen_in(directory.path(), "model validate DIR/p.zip");
    assert!(seen.contains("1 of 1 golden cases hold"), "{seen}");
}

/// Runs openssl in a directory; nothing where there is none.
fn openssl(directory: &Path, line: &str) -> Option<Vec<u8>> {
    let output = Command::new("sh").args(["-c", line]).current_dir(directory).output().unwrap();
    if output.status.code() == Some(127) {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no openssl");
        println!("skipped: there is no openssl");
        return None;
    }
    assert!(output.status.success(), "{line}: {}", program::text(&output.stderr));
    Some(output.stdout)
}

#[test]
fn openssl_makes_the_same_keys_and_signatures() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let made = openssl(
        place,
        "openssl genpkey -algorithm ed25519 -out theirs.pem \
         && openssl pkey -in theirs.pem -pubout -out theirs.pub",
    );
    if made.is_none() {
        return;
    }
    // Their key in our hands.
    let seen = seen_in(place, &format!("package create {BARE} -o DIR/p --sign DIR/theirs.pem"));
    assert!(seen.ends_with("exit code 0\n"), "{seen}");
    let seen = seen_in(place, "package verify DIR/p --key DIR/theirs.pub");
    assert!(seen.ends_with("exit code 0\n"), "{seen}");

    // Our key in theirs, and our signature by the commands of docs/signing.md.
    let seen = seen_in(place, "package keygen -o DIR/release");
    assert!(seen.contains("wrote DIR/release.pem (secret) and DIR/release.pub"), "{seen}");
    let public = openssl(place, "openssl pkey -in release.pem -pubout").unwrap();
    assert_eq!(public, fs::read(place.join("release.pub")).unwrap());
    let again = openssl(place, "openssl pkey -in release.pem").unwrap();
    assert_eq!(again, fs::read(place.join("release.pem")).unwrap());
    seen_in(place, &format!("package create {BARE} -o DIR/q --sign DIR/release.pem"));
    let page = fs::read_to_string(program::root().join("docs/signing.md")).unwrap();
    let commands = page.split("With openssl alone").nth(1).unwrap();
    let commands = commands.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    fs::copy(place.join("release.pub"), place.join("q/release.pub")).unwrap();
    let told = openssl(&place.join("q"), &format!("set -e\n{commands}")).unwrap();
    let told = program::text(&told);
    let signed = fs::read_to_string(place.join("q/model.sig")).unwrap();
    let key = signed.lines().last().unwrap().split(' ').nth(2).unwrap();
    assert!(
        told.contains("Verified Successfully") && told.ends_with(&format!("{key}\n")),
        "{told}"
    );

    // Their signature over our list.
    let theirs = openssl(
        place,
        "openssl pkeyutl -sign -inkey theirs.pem -rawin -in q/message | base64 -w 0; echo;
         openssl pkey -pubin -in theirs.pub -outform DER | tail -c 32 | sha256sum | cut -c -16",
    );
    let theirs = program::text(&theirs.unwrap());
    let (signature, key) = theirs.trim().split_once('\n').unwrap();
    for name in ["message", "signature", "release.pub"] {
        fs::remove_file(place.join("q").join(name)).unwrap();
    }
    let (list, _) = signed.split_once("\nsignature ").unwrap();
    let signed = format!("{list}\nsignature ed25519 {key} {signature}\n");
    fs::write(place.join("q/model.sig"), signed).unwrap();
    let seen = seen_in(place, "package verify DIR/q --key DIR/theirs.pub");
    assert!(seen.ends_with("exit code 0\n"), "{seen}");
}
