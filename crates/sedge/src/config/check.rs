//! What is wrong in a configuration file, all of it, each with its line.

mod outward;
mod together;

use std::fmt;
use std::path::Path;

use sedge_package::nearest_key;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Config;
use super::key::{Key, Kind, Unset};
use super::keys::KEYS;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// From 1.
    pub(crate) line: usize,
    /// Dotted; empty where the file is no TOML.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do, where that is known.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, problem, hint } = self;
        write!(f, "line {line}: ")?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        f.write_str(problem)?;
        hint.iter().try_for_each(|hint| write!(f, ". Hint: {hint}"))
    }
}

/// Reads a configuration, or tells everything that is wrong in it in the order of its lines.
/// Relative paths start at `base`.
pub(crate) fn parse(text: &str, base: &Path) -> Result<Config, Vec<Problem>> {
    let mut walk = Walk { text, problems: Vec::new() };
    let read = DeTable::parse(text).and_then(|spans| Ok((spans, toml::from_str(text)?)));
    let (spans, values): (_, Table) = read.map_err(|error| {
        vec![Problem {
            line: walk.line(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            problem: error.message().trim().replace('\n', ", "),
            hint: None,
        }]
    })?;
    walk.table("", spans.get_ref(), &values);
    walk.together(spans.get_ref(), &values, base);
    walk.outward(spans.get_ref(), &values);
    walk.problems.sort_by_key(|problem| problem.line);
    if !walk.problems.is_empty() {
        return Err(walk.problems);
    }
    let config = Config::deserialize(Value::Table(values)).map_err(|error| {
        // The table of keys takes what the structs do not: a mistake of Sedge's own.
        vec![Problem { line: 1, key: String::new(), problem: error.to_string(), hint: None }]
    })?;
    Ok(config.based(base))
}

struct Walk<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    /// Checks the keys below a path.
    fn table(&mut self, path: &str, spans: &DeTable<'_>, values: &Table) {
        for (name, span) in spans {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let below = dotted(path, name);
            let Some(value) = values.get(name) else { continue };
            match Key::of(&below) {
                None => self.unknown(at, path, name),
                Some(key) if !key.fits(value) => {
                    let hint = match key.kind {
                        Kind::Sections => Some(format!("write [[{below}]], with two brackets")),
                        _ => None,
                    };
                    let problem = format!("{} is not what it takes: {}", shown(value), key.takes());
                    self.tell(at, below, problem, hint);
                }
                Some(_) => self.inside(&below, span.get_ref(), value),
            }
        }
    }

    /// Checks what lies in a section.
    fn inside(&mut self, path: &str, spans: &DeValue<'_>, value: &Value) {
        match (Key::of(path).map(|key| key.kind), spans, value) {
            (Some(Kind::Section), DeValue::Table(table), Value::Table(values)) => {
                self.table(path, table, values);
                let at = table.iter().map(|(name, _)| name.span().start).min();
                self.complete(path, at.unwrap_or_default(), values);
            }
            (Some(Kind::Sections), DeValue::Array(spans), Value::Array(values)) => {
                for (spans, value) in spans.iter().zip(values) {
                    let at = spans.span().start;
                    if let (DeValue::Table(spans), Value::Table(values)) = (spans.get_ref(), value)
                    {
                        self.table(path, spans, values);
                        self.complete(path, at, values);
                    }
                }
            }
            _ => {}
        }
    }

    /// Tells which keys of a section must be given and are not, not even misspelled.
    fn complete(&mut self, path: &str, at: usize, values: &Table) {
        for key in KEYS.iter().filter(|key| matches!(key.unset, Unset::Error(_))) {
            let (section, name) = key.split();
            let meant = |given: &String| near(path, given) == Some(name);
            if section == path && !values.keys().any(meant) {
                let hint = format!("add {name} = {}", key.example());
                self.tell(at, key.path.into(), "it is missing".into(), Some(hint));
            }
        }
    }

    fn unknown(&mut self, at: usize, path: &str, name: &str) {
        // What stands in the wrong section is known in another.
        let elsewhere = KEYS.iter().find(|key| key.split().1 == name).map(|key| key.path);
        let near = near(path, name).map(|near| dotted(path, near));
        let hint = match near.or(elsewhere.map(str::to_owned)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => {
                let known: Vec<_> = beside(path).collect();
                format!("known keys: {}", known.join(", "))
            }
        };
        self.tell(at, dotted(path, name), "there is no such key".into(), Some(hint));
    }

    fn tell(&mut self, at: usize, key: String, problem: String, hint: Option<String>) {
        self.problems.push(Problem { line: self.line(at), key, problem, hint });
    }

    /// The line of a byte of the text, from 1.
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// The names of the keys of a section.
fn beside(path: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(Key::split).filter(move |(section, _)| *section == path).map(|(_, name)| name)
}

/// The key of a section that a name is, or could have been meant to be.
fn near(path: &str, name: &str) -> Option<&'static str> {
    nearest_key(name, beside(path))
}

fn dotted(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A value for people: the start of a long one.
fn shown(value: &Value) -> String {
    const MOST: usize = 40;
    let text = match value {
        Value::Table(_) => "a section".to_owned(),
        value => value.to_string().replace('\n', " "),
    };
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_all_told_with_line_and_hint() {
        for (text, told) in [
            (
                "[[service]]\nmodel = 'm'\ntimeuot_ms = 1",
                "line 3: service.timeuot_ms: there is no such key. Hint: did you mean \
                 'service.timeout_ms'?",
            ),
            (
                "[service]\nmodel = 'm'",
                "line 1: service: a section is not what it takes: sections. Hint: write \
                 [[service]], with two brackets",
            ),
            (
                "\n[[service]]\nname = 'x'",
                "line 2: service.model: it is missing. Hint: add model = \
                 \"/var/lib/sedge/mobilenet-v2\"",
            ),
            (
                "[[service]]\nmodel = 'm'\nqueue = 0",
                "line 3: service.queue: 0 is not what it takes: whole numbers from 1 to 65536",
            ),
            (
                "max_body_mib = -1\npage = 1",
                "line 1: max_body_mib: -1 is not what it takes: whole numbers from 1 to 1024\n\
                 line 2: page: 1 is not what it takes: true or false",
            ),
            (
                "queue = 1",
                "line 1: queue: there is no such key. Hint: did you mean 'service.queue'?",
            ),
            (
                "[store]\nkeep_verions = 1\n[store.x]",
                "line 2: store.keep_verions: there is no such key. Hint: did you mean \
                 'store.keep_versions'?\nline 3: store.x: there is no such key. Hint: known keys: \
                 keep_versions, max_mib",
            ),
            (
                "[trust]\nrequire_signature = true",
                "line 2: trust.require_signature: without a key, nothing could be installed. \
                 Hint: name the keys in trust.keys",
            ),
            (
                "[s3]\ncredentials = 'static'\naccess_key_id = 'A'\nprofile = 'p'",
                "line 2: s3.secret_access_key_file: credentials = \"static\" needs it\n\
                 line 4: s3.profile: credentials = \"static\" does not read it. Hint: set \
                 s3.credentials = \"profile\"",
            ),
            (
                "[trust]\nkeys = ['a.pub', 'ed25519:AAAA']",
                "line 2: trust.keys: ed25519:AAAA: expected 32 bytes in base64",
            ),
            (
                "[[service]]\nmodel = 'cat.onnx'\n[[service]]\nmodel = 'd/cat.onnx'\n\
                 [[service]]\nmodel = 'm'\nname = 'a_b'",
                "line 3: service.name: another service is called 'cat', too. Hint: name one of them\n\
                 line 7: service.name: 'a_b' is no service name. Hint: use letters, digits and \
                 hyphens, 2 to 63 of them",
            ),
            (
                "[[service]]\nmodel = 'm'\nisolation = 'thread'\nmemory_mib = 100",
                "line 4: service.memory_mib: isolation = \"thread\" cannot hold to it. Hint: set \
                 isolation = \"process\"",
            ),
            (
                "listen = '8080'",
                "line 1: listen: \"8080\" is not what it takes: an address and a port",
            ),
            (
                "[mqtt]\nhost = 'broker:8883'\ntls = false\nca_file = 'ca.pem'",
                "line 2: mqtt.host: 'broker:8883' is no host. Hint: write the name alone; the port \
                 is mqtt.port\n\
                 line 4: mqtt.ca_file: tls = false does not read it: everything goes in plain \
                 text. Hint: leave out one of them",
            ),
            (
                "[[feedback]]\nname = 'unsure'\nbucket = 'samples'\nstrategy = 'least'\n\
                 [[service]]\nmodel = 'm'\nfeedback = ['unsure']\n\
                 [service.publish]\ntopic = 'a/+/b'",
                "line 4: feedback.strategy: \"least\" is not what it takes: one of \"everything\", \
                 \"random\", \"least-confidence\", \"margin\", \"entropy\", \"classes\", \
                 \"detections\"\n\
                 line 8: service.publish.topic: 'a/+/b' is no topic but a filter of subscribers. \
                 Hint: write it without + and #",
            ),
            ("[store\n", "line 1: "),
            ("s3 = { region = '' }", "line 1: s3.region: \"\" is not what it takes: a text"),
        ] {
            let problems = parse(text, Path::new("")).unwrap_err();
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let lines = lines.join("\n");
            assert!(lines == told || (told.ends_with(' ') && lines.starts_with(told)), "{lines}");
        }
    }
}
