//! Takes secrets and names of people out of what leaves the device in a support bundle.
//!
//! Three ways on top of each other: values under keys that sound like secrets, patterns that are
//! secrets wherever they stand (user names in URLs, tokens of well-known forms), and every value
//! known to be a secret, wherever else it turns up. When in doubt, it goes.

use std::borrow::Cow;

use regex_lite::{Captures, Regex};
use serde_json::Value as Json;
use toml::{Table, Value};

pub(crate) const REDACTED: &str = "<redacted>";

/// Words in the names of keys whose values are secrets.
const SECRET_WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "key",
    "credential",
    "authorization",
    "private",
    "cookie",
    "signature",
    "login",
    "bearer",
];

/// Shorter values are not looked for elsewhere: they would be found inside of words.
const SHORTEST: usize = 5;

/// Whether a key's name sounds like a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let whole = |word: &str| key.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
    SECRET_WORDS.iter().any(|word| key.contains(word))
        || ["auth", "pass", "pin", "sig", "otp"].iter().any(|word| whole(word))
}

/// Knows what to take out.
pub(crate) struct Redactor {
    /// Values that are secrets, the longest first.
    secrets: Vec<String>,
    /// The user's home directory, when its name says something.
    home: Option<String>,
    rules: Vec<(Regex, &'static str)>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Learns the secrets of an environment.
    pub(crate) fn new<'a>(
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, regex_lite::Error> {
        let mut redactor = Self { secrets: Vec::new(), home: None, rules: rules()? };
        for (name, value) in environment {
            // Working directories are no passwords.
            if is_secret(name) && !["PWD", "OLDPWD"].contains(&name) {
                redactor.learn(value);
            }
            if name == "HOME" && !["", "/", "/root"].contains(&value) {
                redactor.home = Some(value.trim_end_matches('/').to_owned());
            }
        }
        Ok(redactor)
    }

    /// Learns a value that is a secret wherever it stands.
    fn learn(&mut self, value: &str) {
        let value = value.trim();
        if value.len() < SHORTEST {
            return;
        }
        // Also as JSON and TOML write it between quotes.
        let quoted = Json::from(value).to_string();
        let escaped = quoted.trim_matches('"').to_owned();
        self.secrets.extend([value.to_owned(), escaped]);
        self.secrets.extend(
            value.lines().map(str::trim).filter(|l| l.len() >= SHORTEST).map(str::to_owned),
        );
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.secrets.dedup();
    }

    /// Learns every value under a key that sounds like a secret.
    pub(crate) fn learn_table(&mut self, table: &Table) {
        for (key, value) in table {
            if is_secret(key) {
                self.learn_value(value);
            } else {
                self.learn_below(value);
            }
        }
    }

    fn learn_below(&mut self, value: &Value) {
        match value {
            Value::Table(table) => self.learn_table(table),
            Value::Array(items) => items.iter().for_each(|item| self.learn_below(item)),
            _ => {}
        }
    }

    fn learn_value(&mut self, value: &Value) {
        match value {
            Value::Table(table) => table.values().for_each(|value| self.learn_value(value)),
            Value::Array(items) => items.iter().for_each(|item| self.learn_value(item)),
            Value::String(text) => self.learn(text),
            other => self.learn(&other.to_string()),
        }
    }

    /// Text of any kind: logs, messages, reports.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REDACTED);
            }
        }
        for (rule, replacement) in &self.rules {
            if let Cow::Owned(changed) = rule.replace_all(&text, *replacement) {
                text = changed;
            }
        }
        if let Some(home) = &self.home {
            text = text.replace(home.as_str(), "~");
        }
        text
    }

    /// A configuration: what is under a key that sounds like a secret goes as a whole.
    pub(crate) fn table(&self, table: &Table) -> Table {
        let entry = |(key, value): (&String, &Value)| {
            let value = if is_secret(key) { REDACTED.into() } else { self.value(value) };
            (self.text(key), value)
        };
        table.iter().map(entry).collect()
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Table(table) => Value::Table(self.table(table)),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.value(item)).collect())
            }
            Value::String(text) => self.text(text).into(),
            other => other.clone(),
        }
    }

    /// Strings anywhere in a document of Sedge's own, whose keys are known.
    pub(crate) fn json(&self, value: &Json) -> Json {
        match value {
            Json::Object(map) => {
                map.iter().map(|(key, value)| (key.clone(), self.json(value))).collect()
            }
            Json::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Json::String(text) => self.text(text).into(),
            other => other.clone(),
        }
    }
}

/// Patterns and what they become, in this order.
fn rules() -> Result<Vec<(Regex, &'static str)>, regex_lite::Error> {
    let words = format!(r"[\w.-]*(?:{})[\w.-]*|auth|pass|pin|sig|otp", SECRET_WORDS.join("|"));
    let quoted = r#""(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?"#;
    let rule = |pattern: &str, replacement| Ok((Regex::new(pattern)?, replacement));
    [
        // Keys and certificates, also when the end is cut off; then lines from their middle.
        rule(r"-----BEGIN[\s\S]*?(?:-----END[^\n]*|\z)", REDACTED),
        rule(r"(?m)^[A-Za-z0-9+/=]{60,}$", REDACTED),
        // URLs: who logs in, and everything behind the path.
        rule(r#"([A-Za-z][A-Za-z0-9+.-]*://)[^\s"'<>]*@"#, "$1<redacted>@"),
        rule(r#"([A-Za-z][A-Za-z0-9+.-]*://[^\s"'?#]*)[?#][^\s"'<>]+"#, "$1?<redacted>"),
        // key = "value", "key": "value", key='value'
        rule(
            &format!(r#"(?i)(["']?\b(?:{words})["']?\s*[:=]\s*)(?:{quoted})"#),
            "$1\"<redacted>\"",
        ),
        // Headers and the like go to the end of the line.
        rule(&format!(r#"(?im)(\b(?:{words})\s*:[ \t]*)[^\s"'].*$"#), "$1<redacted>"),
        rule(&format!(r#"(?i)(\b(?:{words})\s*=\s*)[^\s"',;&]+"#), "$1<redacted>"),
        rule(&format!(r#"(?i)(--(?:{words})[ \t]+)[^\s-]\S*"#), "$1<redacted>"),
        rule(r"(?i)\b((?:bearer|basic|digest)\s+)[A-Za-z0-9+/=._~-]{6,}", "$1<redacted>"),
        // Tokens that are known by their form: AWS, GitHub, GitLab, Slack, Hugging Face, JSON Web
        // Tokens.
        rule(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", REDACTED),
        rule(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|hf_|sk-)[\w-]{10,}", REDACTED),
        rule(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?", REDACTED),
        // People.
        rule(r#"(/(?:home|Users))/[^/\s"':,;]+"#, "$1/<user>"),
    ]
    .into_iter()
    .collect()
}

/// `Serial : 1000...` of `/proc/cpuinfo` names one board.
pub(crate) fn without_serial_numbers(text: &str) -> String {
    let Ok(serial) = Regex::new(r"(?im)^(serial[^:\n]*:[ \t]*).*$") else {
        return REDACTED.into();
    };
    serial.replace_all(text, |found: &Captures<'_>| format!("{}{REDACTED}", &found[1])).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let environment = [
            ("HOME", "/srv/people/alice"),
            ("PATH", "/usr/bin"),
            ("PWD", "/opt/site"),
            ("MY_API_TOKEN", "from-the-environment"),
            ("DB_PASS", "two\nlines-of-it"),
        ];
        Redactor::new(environment).unwrap()
    }

    #[test]
    fn names_of_keys_tell_secrets() {
        for key in ["password", "apiKey", "AWS_SECRET_ACCESS_KEY", "auth", "db.pass", "tokens"] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["author", "listen", "model", "compass", "timeout_ms", "PATH"] {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn secrets_leave_every_kind_of_text() {
        let redactor = redactor();
        for text in [
            "password = \"HIDDEN\"",
            "password='HIDDEN'",
            "PASSWORD: HIDDEN and HIDDEN",
            "password=\"HIDDEN without an end",
            "{\"api_key\":\"HIDDEN\",\"level\":\"INFO\"}",
            "{\"token\": \"HID\\\"DEN HIDDEN\"}",
            "Authorization: Bearer HIDDEN",
            "sent authorization: Basic HIDDEN==",
            "Bearer HIDDEN12",
            "cookie: a=b; session=HIDDEN",
            "https://user:HIDDEN@example.com/path",
            "https://HIDDEN@example.com",
            "https://me:HIDDEN?HIDDEN#HIDDEN@example.com/x?y=HIDDEN",
            "s3://bucket/model.tflite?X-Amz-Signature=HIDDEN&x=HIDDEN",
            "https://example.com/cb#access=HIDDEN",
            "postgres://me:p/HIDDEN@db/x",
            "--api-key HIDDEN --verbose",
            "AWS_SECRET_ACCESS_KEY=HIDDEN sedge serve",
            "-----BEGIN PRIVATE KEY-----\nHIDDEN\n-----END PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nHIDDEN\nHIDDEN",
            "hf_HIDDENHIDDENHIDDEN",
            "eyJHIDDEN.HIDDEN.HIDDEN",
            "/home/HIDDEN/models",
            "in /Users/HIDDEN: nothing",
        ] {
            let out = redactor.text(text);
            assert!(!out.contains("HIDDEN"), "{text} became {out}");
        }
        for (text, shown) in [
            ("said from-the-environment aloud", "said <redacted> aloud"),
            ("/srv/people/alice/m.tflite", "~/m.tflite"),
            ("lines-of-it", "<redacted>"),
            ("AKIAIOSFODNN7EXAMPLE", "<redacted>"),
            ("token=abc status=200", "token=<redacted> status=200"),
        ] {
            assert_eq!(redactor.text(text), shown);
        }
    }

    #[test]
    fn what_helps_stays() {
        let redactor = redactor();
        for text in [
            "loaded service=\"cats\" model=\"mobilenet-v2@0123456789ab\" load_ms=12",
            "listening address=127.0.0.1:8080",
            "http://127.0.0.1:8080/v2/models/cats",
            "model name\t: Cortex-A53",
            "/opt/site/model.tflite",
        ] {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn configurations_lose_what_is_under_secret_keys() {
        let text = "listen = 'a'\nupstream = 'https://u:HIDDEN@h'\n[auth]\nusers = ['HIDDEN']\n\
                    [[service]]\nmodel = 'm'\nprivate = { x = { y = 'HIDDEN' } }\npin = 12345678\n";
        let table: Table = text.parse().unwrap();
        let mut redactor = redactor();
        redactor.learn_table(&table);
        let shown = redactor.table(&table).to_string();
        assert!(!shown.contains("HIDDEN") && !shown.contains("12345678"), "{shown}");
        assert!(shown.contains("listen = \"a\"") && shown.contains("model = \"m\""), "{shown}");
        assert_eq!(
            redactor.text("pin was 12345678, user HIDDEN"),
            "pin was <redacted>, user <redacted>"
        );
    }

    #[test]
    fn boards_lose_their_serial_numbers() {
        let text = "Hardware\t: BCM2835\nSerial\t\t: 10000000abcdef01\nModel\t: Pi\n";
        let shown = without_serial_numbers(text);
        assert!(!shown.contains("abcdef01") && shown.contains("Model\t: Pi"), "{shown}");
    }
}
