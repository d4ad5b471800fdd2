use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{command, program};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sedge");

fn sample(directory: &Path, arguments: &[&str]) -> Output {
    command(&[&["sample"], arguments].concat()).current_dir(directory).output().unwrap()
}

fn identity(model: &Path) -> String {
    let model = model.to_str().unwrap();
    let output = command(&["model", "inspect", model, "--format", "json"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    value["identity"].as_str().unwrap().to_owned()
}

#[test]
fn the_commands_it_prints_work_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["sedge-sample", "my sample's"] {
        let arguments = if name == "sedge-sample" { vec![] } else { vec![name] };
        let output = sample(directory.path(), &arguments);
        let text = program::text(&output.stdout);
        assert!(output.status.success(), "{}", program::text(&output.stderr));
        if name == "sedge-sample" {
            insta::assert_snapshot!("sample", text.replace(PROGRAM, "sedge"));
        }
        let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(commands.len(), 4, "{text}");
        for (command, words) in
            [(commands[0], ["Egyptian cat", "0.72"]), (commands[1], ["person", "0.86"])]
        {
            let ran = Command::new("sh")
                .args(["-c", command])
                .current_dir(directory.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let answer = program::text(&ran.stdout);
            assert!(ran.status.success(), "{command}: {}", program::text(&ran.stderr));
            assert!(words.iter().all(|word| answer.contains(word)), "{command}: {answer}");
        }
        assert!(directory.path().join(name).join("drawn/people.png").is_file());
    }

    // The third command on a port that is free here, and the fourth asking that one.
    let at = |name: &str| directory.path().join("sedge-sample").join(name);
    let [classifier, detector] = ["mobilenet", "fastestdet"].map(at);
    let server =
        program::Server::start(&[classifier.to_str().unwrap(), detector.to_str().unwrap()]);
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let text = program::text(&sample(directory.path(), &["sedge-sample", "--force"]).stdout);
    let ask = text.lines().find(|line| line.starts_with("  curl ")).unwrap();
    let ask = ask.replace("127.0.0.1:8080", &server.address.to_string());
    let asked = Command::new("sh")
        .args(["-c", &ask])
        .current_dir(directory.path())
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let answer = program::text(&asked.stdout);
    assert!(answer.contains("Egyptian cat"), "{ask}: {answer}");
}

#[test]
fn its_packages_are_those_of_the_tests_and_hold_here() {
    let directory = tempfile::tempdir().unwrap();
    assert!(sample(directory.path(), &["s"]).status.success());
    for (name, original) in
        [("mobilenet", "mobilenet-v1-0-25-224-quant"), ("fastestdet", "fastestdet")]
    {
        let package = directory.path().join("s").join(name);
        let original = program::root().join("testdata/models").join(original);
        assert_eq!(identity(&package), identity(&original), "{name}");
        let output = command(&["model", "validate", package.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{}", program::text(&output.stdout));
        assert!(package.join("LICENSE.txt").is_file());
    }
    let readme = fs::read_to_string(directory.path().join("s/README.md")).unwrap();
    for word in ["Apache-2.0", "BSD-3-Clause", "CC0", "CC-BY-2.0"] {
        assert!(readme.contains(word), "{word}");
    }
}

#[test]
fn nothing_is_overwritten_unless_forced() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("s");
    fs::create_dir(&target).unwrap();
    // An empty directory is as good as none.
    assert!(sample(directory.path(), &["s"]).status.success());

    fs::write(target.join("cat.jpg"), "changed").unwrap();
    fs::write(target.join("mine.txt"), "mine").unwrap();
    let refused = sample(directory.path(), &["s"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(program::text(&refused.stderr).contains("--force"));
    assert_eq!(fs::read_to_string(target.join("cat.jpg")).unwrap(), "changed");

    assert!(sample(directory.path(), &["s", "--force"]).status.success());
    assert!(fs::metadata(target.join("cat.jpg")).unwrap().len() > 10_000);
    assert_eq!(fs::read_to_string(target.join("mine.txt")).unwrap(), "mine");
    // Nothing temporary is left.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 7);

    let file = directory.path().join("file");
    fs::write(&file, "kept").unwrap();
    for arguments in [&["file"][..], &["file", "--force"]] {
        assert_eq!(sample(directory.path(), arguments).status.code(), Some(1));
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
