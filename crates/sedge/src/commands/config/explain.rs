use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use sedge_package::nearest_key;
use serde_json::{Value, json};

use crate::commands::{Format, OUTPUT};
use crate::config::key::{Key, Kind};
use crate::config::keys::KEYS;
use crate::table::{self, Align};

const EXAMPLES: &str = "\
Examples:
  sedge config explain                   all keys, one line each
  sedge config explain service.queue     one of them
  sedge config explain queue             the same
  sedge config explain store             those of a section

Exit codes:
  0  explained
  1  there is no such key
  2  the command line was not understood";

/// Explain the keys of a configuration file
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Explain {
    /// Key or section; its last word is enough where no other key has it [default: all]
    key: Option<String>,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Explain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let keys = self.keys()?;
        let mut out = std::io::stdout().lock();
        match (self.format, keys.as_slice()) {
            (Format::Json, keys) => {
                let all: Vec<_> = keys.iter().map(|key| as_json(key)).collect();
                writeln!(out, "{:#}", Value::from(all))
            }
            (Format::Jsonl, keys) => {
                keys.iter().try_for_each(|key| writeln!(out, "{}", as_json(key)))
            }
            (Format::Table, [key]) => write!(out, "{}", in_full(key)),
            (Format::Table, keys) => {
                let row =
                    |key: &&Key| [key.path, key.default(), key.help].map(String::from).to_vec();
                let mut rows = vec![["key", "default", "meaning"].map(String::from).to_vec()];
                rows.extend(keys.iter().map(row));
                write!(out, "{}", table::lines(&rows, &[Align::Left; 3], ""))
            }
        }
        .context(OUTPUT)?;
        Ok(ExitCode::SUCCESS)
    }

    /// What is asked for: everything, a section with its keys, or one key.
    fn keys(&self) -> Result<Vec<&'static Key>> {
        let Some(word) = &self.key else { return Ok(KEYS.iter().collect()) };
        let word = word.trim_matches(['[', ']']);
        let named = |key: &&Key| key.path == word || key.path.starts_with(&format!("{word}."));
        let found: Vec<_> = KEYS.iter().filter(named).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let found: Vec<_> = KEYS.iter().filter(|key| key.split().1 == word).collect();
        match found.as_slice() {
            [] => {
                let paths = KEYS.iter().map(|key| key.path);
                let names = KEYS.iter().map(|key| key.split().1);
                let hint = match nearest_key(word, paths.chain(names)) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => "`sedge config explain` lists all".to_owned(),
                };
                bail!("there is no key '{word}'. Hint: {hint}")
            }
            _ => Ok(found),
        }
    }
}

fn is_section(key: &Key) -> bool {
    matches!(key.kind, Kind::Section | Kind::Sections)
}

fn as_json(key: &Key) -> Value {
    json!({
        "key": key.path,
        "takes": key.takes(),
        "default": (!is_section(key)).then(|| key.default()),
        "example": (!is_section(key)).then(|| key.example()),
        "meaning": format!("{} {}", key.help, key.more).trim_end(),
    })
}

fn in_full(key: &Key) -> String {
    let (section, name) = key.split();
    let place = match Key::of(section).map(|section| section.kind) {
        Some(Kind::Sections) => format!("below [[{section}]]"),
        Some(_) => format!("below [{section}]"),
        None => "above all sections".to_owned(),
    };
    let mut rows = vec![("takes", key.takes())];
    if !is_section(key) {
        rows.push(("default", key.default().to_owned()));
        rows.push(("written", format!("{name} = {}", key.example())));
    }
    rows.push(("where", place));
    let rows: Vec<_> = rows.into_iter().map(|(head, text)| vec![head.to_owned(), text]).collect();
    let more = if key.more.is_empty() { String::new() } else { format!("{}\n", key.more) };
    let table = table::lines(&rows, &[Align::Left; 2], "  ");
    format!("{}\n{}\n{more}\n{table}", key.path, key.help)
}
