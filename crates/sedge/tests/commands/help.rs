use super::{command, program, seen};

/// The names of the commands below one, as its help lists them.
fn below(path: &[&str]) -> Vec<String> {
    let output = command(&[path, &["--help"]].concat()).output().unwrap();
    let help = program::text(&output.stdout);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| line.starts_with("  "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Every command, those below others included.
pub(crate) fn commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        for name in below(&words).into_iter().filter(|name| name != "help") {
            open.push([path.clone(), vec![name]].concat());
        }
        all.push(path);
    }
    all.sort();
    all
}

#[test]
fn every_command_explains_itself() {
    let commands = commands();
    assert!(commands.len() >= 11, "{commands:?}");
    for path in commands {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = seen(&[&words[..], &["--help"]].concat());
        let name = if path.is_empty() { "sedge".to_owned() } else { path.join("_") };
        // `sedge model` only names those below it.
        if below(&words).is_empty() {
            assert!(help.contains("\nExamples:\n"), "{name} has no examples");
            assert!(help.contains("\nExit codes:\n  0  "), "{name} does not say its exit codes");
        }
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

#[test]
fn the_short_help_is_short() {
    for arguments in [["infer", "-h"], ["doctor", "-h"]] {
        let help = seen(&arguments);
        assert!(!help.contains("Examples:"), "{help}");
    }
}
