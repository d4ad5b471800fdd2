//! Every `console` block of the README is run, and must print what the README shows.
//!
//! With `SEDGE_UPDATE_README=1` the outputs are written instead of compared.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FROM_SOURCE: &str = "cargo run --release --quiet -- ";

#[test]
fn the_readme_shows_what_its_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let path = root.join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let drawings = tempfile::tempdir().unwrap();
    let mut written = String::new();
    let mut block: Option<String> = None;
    let mut commands = 0;
    for line in readme.lines() {
        match (&mut block, line) {
            (None, "```console") => block = Some(String::new()),
            (Some(_), "```") => block = None,
            (Some(_), shown) if !shown.starts_with("$ ") => continue,
            _ => {}
        }
        written.push_str(line);
        written.push('\n');
        if let (Some(_), Some(command)) = (&block, line.strip_prefix("$ ")) {
            commands += 1;
            written.push_str(&run(command, &root, drawings.path()));
        }
    }
    let drawn = std::fs::read(drawings.path().join("out/pets.png")).unwrap();
    let shown = std::fs::read(root.join("docs/pets.png")).unwrap();
    assert!(drawn == shown, "docs/pets.png is not what the README's command draws");
    if std::env::var_os("SEDGE_UPDATE_README").is_some() {
        std::fs::write(&path, &written).unwrap();
        return;
    }
    assert!(commands >= 5, "only {commands} commands were found");
    assert!(readme == written, "README.md is out of date; it should be:\n{written}");
}

/// Standard output and standard error of one command, in this order.
fn run(command: &str, root: &Path, drawings: &Path) -> String {
    let arguments = command.strip_prefix(FROM_SOURCE).or_else(|| command.strip_prefix("sedge "));
    let arguments = arguments.unwrap_or_else(|| panic!("'{command}' is not a sedge command"));
    // Drawings go to a place of the test's own.
    let own = drawings.join("out");
    let place = |word: &str| if word == "out" { own.clone() } else { PathBuf::from(word) };
    // The README shows what a terminal shows.
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
    steady(&(text(&output.stdout) + &text(&output.stderr)))
}

/// Times differ from run to run; the README shows dots in their place.
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
