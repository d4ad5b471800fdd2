//! `packaging/sedge.toml` and `docs/configuration.md`, which are written from the table of keys.

use std::fmt::Write as _;
use std::path::Path;

use super::key::{Key, Kind, Unset};
use super::keys::KEYS;
use super::{Config, ServiceConfig, parse};

const HEAD: &str = "\
# What `sedge serve --config /etc/sedge/sedge.toml` does; the service `sedge` runs just that.
#
# Every key is here. One that is commented out shows its default, or an example where there is none.
# After a change: `sedge config check /etc/sedge/sedge.toml`, then `systemctl restart sedge`. If it
# does not come up: `journalctl -u sedge`
";

/// Longest line of the reference.
const COLUMNS: usize = 100;

/// Words in commented lines of at most [`COLUMNS`].
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > COLUMNS {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

fn reference() -> String {
    let mut text = String::from(HEAD);
    for key in KEYS.iter() {
        text.push('\n');
        let unset = match key.unset {
            Unset::Words(words, _) => format!("Default: {words}."),
            _ => String::new(),
        };
        comment(&mut text, &format!("{} {} {unset}", key.help, key.more));
        let (path, (_, name)) = (key.path, key.split());
        // A section that asks for something stays away until somebody fills it in.
        let _ = match key.kind {
            Kind::Sections => writeln!(text, "#[[{path}]]"),
            Kind::Section if path.contains('.') => writeln!(text, "#[{path}]"),
            Kind::Section => writeln!(text, "[{path}]"),
            _ => writeln!(text, "#{name} = {}", key.example()),
        };
    }
    text
}

fn tables() -> String {
    let mut text = String::new();
    let cell = |text: &str| text.replace('|', "\\|");
    let head = "\n| key | takes | default | |\n|---|---|---|---|\n";
    text.push_str(head.trim_start());
    for key in KEYS.iter() {
        let (path, (_, name)) = (key.path, key.split());
        let more = if key.more.is_empty() { String::new() } else { format!(" {}", key.more) };
        let meaning = cell(&format!("{}{more}", key.help));
        let default = match key.unset {
            Unset::Value(value) => format!("`{value}`"),
            _ => key.default().to_owned(),
        };
        let _ = match key.kind {
            Kind::Section => writeln!(text, "\n## `[{path}]`\n\n{meaning}\n{head}").map(|()| ()),
            Kind::Sections => writeln!(text, "\n## `[[{path}]]`\n\n{meaning}\n{head}"),
            _ => writeln!(text, "| `{name}` | {} | {default} | {meaning} |", cell(&key.takes())),
        };
        if matches!(key.kind, Kind::Section | Kind::Sections) {
            text.truncate(text.trim_end().len() + 1);
        }
    }
    text
}

/// Compares a page with what it should be, or writes it.
fn keep(path: &str, wanted: &str) {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SEDGE_UPDATE_DOCS").is_some() {
        std::fs::write(path, wanted).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text == wanted, "SEDGE_UPDATE_DOCS=1 brings {path} up to date");
}

#[test]
fn the_packaged_file_is_whole_and_true() {
    let text = reference();
    keep("packaging/sedge.toml", &text);
    assert_eq!(
        parse(&text, Path::new("")),
        Ok(Config::default()),
        "what is not commented out changes nothing"
    );

    // With every key given as the file shows it.
    let shown = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let lines: Vec<_> = text.lines().map(|line| &line[usize::from(shown(line))..]).collect();
    let table: toml::Table = toml::from_str(&lines.join("\n")).unwrap();
    for key in KEYS.iter() {
        let mut value = Some(&toml::Value::Table(table.clone())).cloned();
        for part in key.path.split('.') {
            value = value.and_then(|value| match value {
                toml::Value::Array(all) => all.first()?.get(part).cloned(),
                value => value.get(part).cloned(),
            });
        }
        assert!(value.is_some_and(|value| key.fits(&value)), "{}", key.path);
    }
}

#[test]
fn the_page_lists_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- keys: begin -->\n", "<!-- keys: end -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    keep("docs/configuration.md", &format!("{before}{begin}\n{}\n{end}{after}", tables()));
}

/// Everything that the structs hold is in the table, with the same default.
#[test]
fn defaults_are_those_of_the_structs() {
    let all = |wanted: fn(&Key) -> Option<&str>| {
        let mut text = String::new();
        for key in KEYS.iter() {
            let (path, (_, name)) = (key.path, key.split());
            let _ = match (key.kind, wanted(key)) {
                (Kind::Sections, _) => writeln!(text, "[[{path}]]"),
                (Kind::Section, _) => writeln!(text, "[{path}]"),
                (_, Some(value)) => writeln!(text, "{name} = {value}"),
                (_, None) => Ok(()),
            };
        }
        text
    };
    let defaults = all(|key| match key.unset {
        Unset::Value(value) | Unset::Error(value) => Some(value),
        Unset::Words(..) => None,
    });
    let mut config = parse(&defaults, Path::new("")).unwrap();
    let (service, feedback) = (config.service.remove(0), config.feedback.remove(0));
    let named = super::Feedback {
        name: "unsure".into(),
        bucket: "my-samples".into(),
        ..super::Feedback::default()
    };
    assert_eq!(feedback, named);
    // What `serve` knows the default of is not repeated in the structs.
    assert_eq!(config.listen.as_deref(), Some(crate::commands::serve::DEFAULT_LISTEN));
    let limits = sedge_service::Limits::default();
    assert_eq!((service.queue, service.timeout_ms), (Some(limits.queue), Some(limits.timeout_ms)));
    let body = sedge_api::Options::default().max_body_bytes;
    assert_eq!(config.max_body_mib, Some(body >> 20));
    assert_eq!((config.max_megapixels, config.page), (Some(64), Some(true)));
    assert_eq!(service.engine.as_deref(), Some("auto"));
    let bare = Config {
        listen: None,
        max_body_mib: None,
        max_megapixels: None,
        page: None,
        root: None,
        ..config
    };
    assert_eq!(bare, Config::default());
    let bare = ServiceConfig { queue: None, timeout_ms: None, engine: None, ..service };
    let rollback = Some(super::service::Rollback::default());
    let topic = "sedge/${thing}/${service}".to_owned();
    let publish = Some(super::Publish { topic, ..super::Publish::default() });
    let model = "/var/lib/sedge/mobilenet-v2".into();
    let expected = ServiceConfig { model, rollback, publish, ..ServiceConfig::default() };
    assert_eq!(bare, expected);
}

/// What no file says, but a group that is served.
const NO_KEYS: [&str; 1] = ["customs"];

/// A field of the structs that no key fills is a key that was forgotten.
#[test]
fn every_field_has_a_key() {
    let text = format!(
        "{:?}",
        (
            Config::default(),
            parse("[[feedback]]\nname='f'\nbucket='abc'\n[[service]]\nmodel='m'\n[service.rollback]\n[service.publish]\ntopic='t'", Path::new("")).unwrap()
        )
    );
    let fields = regex_lite::Regex::new(r"\b([a-z_0-9]+): ").unwrap();
    for field in fields.captures_iter(&text) {
        let name = &field[1];
        let known = KEYS.iter().any(|key| key.split().1 == name) || NO_KEYS.contains(&name);
        assert!(known, "{name}");
    }
}

#[test]
fn engines_are_those_of_the_registry() {
    let key = Key::of("service.engine").unwrap();
    for name in sedge_engine::Registry::new(None).names() {
        assert!(key.fits(&toml::Value::from(name)), "{name}");
    }
}
