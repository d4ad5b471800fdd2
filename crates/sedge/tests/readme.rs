//! Every `console` block of the README and of the formats' pages is run, and must print what the page
//! shows.
//!
//! With `SEDGE_UPDATE_README=1` the outputs are written instead of compared.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FROM_SOURCE: &str = "cargo run --release --quiet -- ";

/// A page whose commands are run, and how many it has at least.
const PAGES: [(&str, usize); 11] = [
    ("README.md", 5),
    ("docs/feedback.md", 3),
    ("docs/formats/chainer.md", 2),
    ("docs/formats/mxnet.md", 2),
    ("docs/formats/neo.md", 1),
    ("docs/formats/onnx.md", 3),
    ("docs/formats/tensorflow.md", 3),
    ("docs/formats/tflite.md", 5),
    ("docs/migrate-from-greengrass-v1.md", 3),
    ("docs/operations.md", 2),
    ("docs/signing.md", 4),
];

#[test]
fn pages_show_what_their_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let drawings = tempfile::tempdir().unwrap();
    for (page, least) in PAGES {
        let shown = std::fs::read_to_string(root.join(page)).unwrap();
        let (written, commands) = rewritten(&shown, &root, drawings.path());
        if std::env::var_os("SEDGE_UPDATE_README").is_some() {
            std::fs::write(root.join(page), &written).unwrap();
            continue;
        }
        assert!(commands >= least, "{page}: only {commands} commands were found");
        assert!(shown == written, "{page} is out of date; it should be:\n{written}");
    }
    let drawn = std::fs::read(drawings.path().join("out/pets.png")).unwrap();
    let shown = std::fs::read(root.join("docs/pets.png")).unwrap();
    assert!(drawn == shown, "docs/pets.png is not what the README's command draws");
}

/// The page with what its commands print now, and how many there are.
fn rewritten(page: &str, root: &Path, drawings: &Path) -> (String, usize) {
    let mut written = String::new();
    let mut in_block = false;
    let mut commands = 0;
    for line in page.lines() {
        match (in_block, line) {
            (false, "```console") => in_block = true,
            (true, "```") => in_block = false,
            (true, shown) if !shown.starts_with("$ ") => continue,
            _ => {}
        }
        written.push_str(line);
        written.push('\n');
        if let (true, Some(command)) = (in_block, line.strip_prefix("$ ")) {
            commands += 1;
            written.push_str(&run(command, root, drawings));
        }
    }
    (written, commands)
}

/// Standard output and standard error of one command, in this order.
fn run(command: &str, root: &Path, drawings: &Path) -> String {
    let arguments = command.strip_prefix(FROM_SOURCE).or_else(|| command.strip_prefix("sedge "));
    let arguments = arguments.unwrap_or_else(|| panic!("'{command}' is not a sedge command"));
    // What commands write goes to a place of the test's own.
    let place = |word: &str| match word == "out" || word.starts_with("out/") {
        true => drawings.join(word),
        false => PathBuf::from(word),
    };
    // Pages show what a terminal shows.
    let inference = arguments.starts_with("infer ") && !arguments.contains("--format");
    let terminal: &[&str] = if inference { &["--format", "table"] } else { &[] };
    let output = Command::new(env!("CARGO_BIN_EXE_sedge"))
        .args(arguments.split(' ').map(place))
        .args(terminal)
        .env_remove("SEDGE_LOG")
        .stdin(Stdio::null())
        .current_dir(root)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let seen = text(&output.stdout) + &text(&output.stderr);
    steady(&seen.replace(&format!("{}/", drawings.display()), ""))
}

/// Times differ from run to run; pages show dots in their place.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let key = line.trim_start().split('"').nth(1).unwrap_or_default();
        let time =
            ["queue", "decode", "preprocess", "inference", "postprocess", "total"].contains(&key);
        match line.rsplit_once(": ").filter(|_| time) {
            Some((head, value)) => {
                let comma = if value.ends_with(',') { "," } else { "" };
                out.push_str(&format!("{head}: ...{comma}\n"));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}
