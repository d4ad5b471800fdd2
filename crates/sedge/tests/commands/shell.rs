use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::help::commands;
use super::{command, program};

fn script(shell: &str) -> String {
    let output = command(&["completions", shell]).output().unwrap();
    assert!(output.status.success());
    program::text(&output.stdout)
}

#[test]
fn completions_know_commands_flags_and_files() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        for word in ["doctor", "inspect", "sample", "bundle", "threshold"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    // What a shell looks for behind a flag: a directory, a file.
    let zsh = script("zsh");
    for line in [
        "'--draw=[Write copies of the pictures with the results drawn into them]:DIR:_files -/'",
        "'--labels=[Labels\\: a file with one per line]:FILE:_files'",
        "'--config=[Configuration file (TOML) with a section for each service]:FILE:_files'",
    ] {
        assert!(zsh.contains(line), "no {line}");
    }
}

#[test]
fn bash_takes_its_completions_and_completes() {
    let mut ask = script("bash");
    ask.push_str(
        "\nCOMP_WORDS=(sedge model ins); COMP_CWORD=2\n_sedge sedge ins model\n\
         echo \"completed: ${COMPREPLY[*]}\"\n",
    );
    let bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut bash) = bash else {
        println!("skipped: there is no bash");
        return;
    };
    bash.stdin.take().unwrap().write_all(ask.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(program::text(&output.stdout), "completed: inspect\n");
}

#[test]
fn every_command_has_its_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = command(&["man", pages.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", program::text(&output.stderr));
    for path in commands() {
        let name = [vec!["sedge".to_owned()], path].concat().join("-");
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        let title = name.to_uppercase();
        assert!(page.contains(&format!(".TH {title} 1")), "{name}: {page}");
        let groups = [
            "sedge-model",
            "sedge-package",
            "sedge-config",
            "sedge-service",
            "sedge-spool",
            "sedge-feedback",
            "sedge-greengrass",
            "sedge-runtime",
        ];
        assert!(groups.contains(&&*name) || page.contains(".SH \"EXAMPLES\"\n.nf"), "{name}");
        // The synopsis has the command as it is written.
        assert!(page.contains(&format!("\n\\&{} ", name.replace('-', " "))), "{name}: {page}");
    }
}
