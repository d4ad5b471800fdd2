//! The text of `model.sig`: `docs/signing.md` has its grammar.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SignatureError;
use crate::identity::{MAX_DEPTH, MAX_FILES};

/// The name of the list, at the top of a package. It is the only file that no line names.
pub const SIGNATURE_FILE: &str = "model.sig";
/// First line of a list.
const HEAD: &str = "sedge-signature 1";
/// Stands before the list in the bytes that are signed, so that no other use of a key ever signs
/// the same bytes.
const DOMAIN: &str = "sedge package signature\n";
/// Largest `model.sig`: 10,000 files with names of 300 bytes.
pub(super) const MAX_BYTES: u64 = 4 << 20;
/// Longest name of a file, in bytes.
const MAX_PATH_BYTES: usize = 1024;
/// Most signatures.
const MAX_SIGNATURES: usize = 64;

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// sha256 in lowercase hex.
    pub(super) digest: String,
    pub(super) bytes: u64,
    /// Relative, with `/`.
    pub(super) path: String,
}

/// A signature over the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// 16 lowercase hex digits.
    pub(super) key: String,
    pub(super) bytes: [u8; 64],
}

/// The files of a package in the order of their names, and who signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedList {
    pub(super) entries: Vec<Entry>,
    pub(super) signatures: Vec<Signature>,
}

impl SignedList {
    /// A list that nobody has signed yet.
    pub(super) fn new(mut entries: Vec<Entry>) -> Result<Self, SignatureError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut spellings = Spellings::default();
        for entry in &entries {
            spellings.check(&entry.path)?;
        }
        Ok(Self { entries, signatures: Vec::new() })
    }

    /// Reads a `model.sig`. Every line must be exactly as [`SignedList::text`] writes it.
    pub(super) fn parse(text: &str) -> Result<Self, SignatureError> {
        let mut list = Self { entries: Vec::new(), signatures: Vec::new() };
        let mut spellings = Spellings::default();
        let Some(lines) = text.strip_suffix('\n') else {
            return Err(SignatureError::List("its last line is cut off".into()));
        };
        for (index, line) in lines.split('\n').enumerate() {
            let refuse = |problem: &str| SignatureError::Syntax {
                line: index + 1,
                problem: problem.to_owned(),
            };
            if index == 0 {
                if line != HEAD {
                    return Err(refuse(&format!("expected '{HEAD}'")));
                }
            } else if let Some(rest) = line.strip_prefix("signature ") {
                let signature = signature(rest)
                    .ok_or_else(|| refuse("expected 'signature ed25519 KEY BASE64'"))?;
                if list.signatures.last().is_some_and(|last| last.key >= signature.key) {
                    return Err(refuse("signatures must be in the order of their keys, each once"));
                }
                list.signatures.push(signature);
            } else if list.signatures.is_empty() {
                let entry = entry(line).ok_or_else(|| refuse("expected 'SHA256 SIZE PATH'"))?;
                if list.entries.last().is_some_and(|last| last.path >= entry.path) {
                    return Err(refuse("files must be in the order of their names, each once"));
                }
                spellings.check(&entry.path)?;
                list.entries.push(entry);
            } else {
                return Err(refuse("nothing may follow the signatures"));
            }
            if list.entries.len() > MAX_FILES || list.signatures.len() > MAX_SIGNATURES {
                return Err(SignatureError::List(format!(
                    "it has more than {MAX_FILES} files or {MAX_SIGNATURES} signatures"
                )));
            }
        }
        if list.signatures.is_empty() {
            return Err(SignatureError::List("it holds no signature".into()));
        }
        Ok(list)
    }

    /// What is signed: the domain, then every line before the signatures.
    pub(super) fn message(&self) -> String {
        format!("{DOMAIN}{}", self.head())
    }

    /// The whole file.
    pub(super) fn text(&self) -> String {
        let mut text = self.head();
        for Signature { key, bytes } in &self.signatures {
            let _ = writeln!(text, "signature ed25519 {key} {}", STANDARD.encode(bytes));
        }
        text
    }

    /// Adds a signature, in the place of an earlier one by the same key.
    pub(super) fn add(&mut self, signature: Signature) {
        self.signatures.retain(|other| other.key != signature.key);
        self.signatures.push(signature);
        self.signatures.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn head(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for Entry { digest, bytes, path } in &self.entries {
            let _ = writeln!(text, "{digest} {bytes} {path}");
        }
        text
    }
}

fn entry(line: &str) -> Option<Entry> {
    let (digest, rest) = line.split_once(' ')?;
    let (size, path) = rest.split_once(' ')?;
    let bytes: u64 = size.parse().ok()?;
    // One spelling for each number: `parse` also takes `+1` and `01`.
    (is_hex(digest, 64) && bytes.to_string() == size).then(|| Entry {
        digest: digest.to_owned(),
        bytes,
        path: path.to_owned(),
    })
}

fn signature(rest: &str) -> Option<Signature> {
    let (key, encoded) = rest.strip_prefix("ed25519 ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?.try_into().ok()?;
    is_hex(key, 16).then(|| Signature { key: key.to_owned(), bytes })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// How the names met so far, and the directories in them, are spelled.
#[derive(Default)]
struct Spellings(HashMap<String, String>);

impl Spellings {
    /// Refuses names that lead elsewhere, that steer a terminal, or that another system could take
    /// for one another.
    fn check(&mut self, path: &str) -> Result<(), SignatureError> {
        let refuse = |problem| Err(SignatureError::Path { path: path.to_owned(), problem });
        if path.len() > MAX_PATH_BYTES || path.split('/').count() > MAX_DEPTH + 1 {
            return refuse("is too long a name, or lies too deep");
        }
        if path.chars().any(char::is_control) {
            return refuse("has control characters in its name");
        }
        if path.contains('\\') {
            return refuse("has a backslash in its name");
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("does not name a file inside the package");
        }
        if path.to_lowercase() == SIGNATURE_FILE {
            return refuse("cannot be signed: it is the signature itself");
        }
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for spelled in ends.map(|end| &path[..end]) {
            let known = self.0.entry(spelled.to_lowercase()).or_insert_with(|| spelled.to_owned());
            if known != spelled {
                return refuse("differs from another name in upper and lower case only");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(paths: &[&str]) -> String {
        let mut text = format!("{HEAD}\n");
        for path in paths {
            let _ = writeln!(text, "{} 7 {path}", "0".repeat(64));
        }
        let encoded = STANDARD.encode([7; 64]);
        text + &format!("signature ed25519 0123456789abcdef {encoded}\n")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = list(&["a b", "a/b", "b", "ü"]);
        let parsed = SignedList::parse(&text).unwrap();
        assert_eq!(parsed.text(), text);
        assert_eq!(parsed.entries[1].path, "a/b");
        assert_eq!(parsed.signatures.len(), 1);
        let mut again = SignedList::new(parsed.entries.iter().rev().cloned().collect()).unwrap();
        again.add(parsed.signatures[0].clone());
        again.add(parsed.signatures[0].clone());
        assert_eq!(again, parsed);
    }

    #[test]
    fn names_that_deceive_are_refused() {
        let deep = ["d/"; 9].concat() + "file";
        for (paths, words) in [
            (&["../a"][..], "inside the package"),
            (&["/etc/passwd"], "inside the package"),
            (&["a//b"], "inside the package"),
            (&["a/./b"], "inside the package"),
            (&["a/.."], "inside the package"),
            (&[""], "inside the package"),
            (&["a\tb"], "control characters"),
            (&["a\u{7f}"], "control characters"),
            (&["a\\b"], "backslash"),
            (&["A", "a"], "upper and lower case"),
            (&["D/a", "d/b"], "upper and lower case"),
            (&["Ü", "ü"], "upper and lower case"),
            (&["b", "a"], "in the order"),
            (&["a", "a"], "in the order"),
            (&["model.sig"], "signature itself"),
            (&["MODEL.SIG"], "signature itself"),
            (&[&deep], "too deep"),
        ] {
            let message = SignedList::parse(&list(paths)).unwrap_err().to_string();
            assert!(message.contains(words), "{paths:?}: {message}");
        }
    }

    #[test]
    fn lines_have_one_spelling() {
        let good = list(&["a"]);
        assert!(SignedList::parse(&good).is_ok());
        let signature = good.lines().last().unwrap();
        for (text, words) in [
            (good.replace(" 1\n", " 2\n"), "line 1: expected 'sedge-signature 1'"),
            (good.replace(" 7 ", " +7 "), "line 2: expected 'SHA256 SIZE PATH'"),
            (good.replace(" 7 ", " 07 "), "line 2"),
            (good.replace(" 7 ", " 99999999999999999999 "), "line 2"),
            (good.replace("000 7", "00A 7"), "line 2"),
            (good.replace('\n', "\r\n"), "line 1"),
            (good.replace("ed25519", "rsa"), "line 3: expected 'signature ed25519 KEY BASE64'"),
            (good.replace("abcdef", "ABCDEF"), "line 3"),
            (good.replace("==\n", "\n"), "line 3"),
            // Another spelling of the same 64 bytes.
            (good.replace("w==\n", "x==\n"), "line 3"),
            (format!("{good}{signature}\n"), "line 4: signatures must be in the order"),
            (format!("{good}\n"), "line 4: nothing may follow"),
            (good.trim_end().to_owned(), "cut off"),
            (String::new(), "cut off"),
            (format!("{HEAD}\n"), "no signature"),
        ] {
            let message = SignedList::parse(&text).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
