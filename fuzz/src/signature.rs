//! The text of a `model.sig` beside a package that somebody signed: nothing but that signature over
//! that list may be accepted. And keys in PEM.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use sedge_package::{Policy, PublicKey, SecretKey, TrustList, sign, verify};

use crate::Target;

/// See the module.
pub const TARGET: Target = Target { name: "signature", max_peak_bytes: 48 << 20, body };

/// The example of RFC 8410, which everybody has.
const SECRET: &str = include_str!("../../testdata/signing/example.pem");
const PUBLIC: &str = include_str!("../../testdata/signing/example.pub");
const FILES: [(&str, &str); 3] =
    [("model.toml", "schema = 1\n"), ("m.tflite", "TFL3"), ("golden/a b.json", "{}")];

/// The package's true `model.sig`.
static TRUE: LazyLock<String> = LazyLock::new(|| signed_by(&[SECRET]).unwrap_or_default());
static TRUSTED: LazyLock<TrustList> = LazyLock::new(|| {
    let mut list = TrustList::default();
    if let Ok(key) = PublicKey::parse(PUBLIC) {
        list.add(key, "example");
    }
    list
});

fn body(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(SecretKey::parse(text).map(|key| key.public().pem()));
        if let Ok(key) = PublicKey::parse(text) {
            assert_eq!(PublicKey::parse(&key.pem()), Ok(key), "a key is written as it is read");
        }
    }
    let Ok(directory) = tempfile::tempdir() else { return };
    if write(directory.path())
        .and_then(|()| fs::write(directory.path().join("model.sig"), bytes))
        .is_err()
    {
        return;
    }
    for require_signature in [false, true] {
        match verify(directory.path(), &TRUSTED, Policy { require_signature }) {
            Ok(verified) => {
                let accepted = require_signature || !verified.signers.is_empty();
                assert!(!accepted || !TRUE.is_empty(), "there is a true list");
                if accepted {
                    let line = TRUE.lines().last().unwrap_or_default();
                    let text = String::from_utf8_lossy(bytes);
                    assert!(text.starts_with(list(&TRUE)), "another list was accepted: {text}");
                    assert!(text.lines().any(|other| other == line), "nobody signed: {text}");
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    fs::create_dir(directory.join("golden"))?;
    FILES.iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
}

/// Everything before the signatures.
fn list(text: &str) -> &str {
    text.find("\nsignature ").map_or(text, |end| &text[..=end])
}

fn signed_by(keys: &[&str]) -> Option<String> {
    let directory = tempfile::tempdir().ok()?;
    write(directory.path()).ok()?;
    for key in keys {
        sign(directory.path(), &SecretKey::parse(key).ok()?).ok()?;
    }
    fs::read_to_string(directory.path().join("model.sig")).ok()
}

/// The true list, by one key and by two, as a whole, cut off, and with each line wrong in its own
/// way; and the two halves of a key.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let named = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    // The same key with another seed.
    let other = SECRET.replace("NTuctv5", "NTuctv6");
    let mut seeds = vec![named("public", PUBLIC), named("secret", SECRET)];
    for (count, keys) in [("one", &[SECRET][..]), ("two", &[SECRET, &other])] {
        let text = signed_by(keys).unwrap_or_default();
        for part in 1..=8 {
            let end = text.len() * part / 8;
            seeds.push(named(&format!("{count}-{part}"), &text[..end]));
        }
        for (index, line) in text.lines().enumerate() {
            seeds.push(named(&format!("{count}-without-{index}"), &text.replace(line, "")));
            let twice = text.replace(line, &format!("{line}\n{line}"));
            seeds.push(named(&format!("{count}-twice-{index}"), &twice));
        }
    }
    for (name, from, to) in [
        ("climbing", "m.tflite", "../m.tflite"),
        ("absolute", "m.tflite", "/m.tflite"),
        ("itself", "m.tflite", "model.sig"),
        ("case", "m.tflite", "MODEL.toml"),
        ("size", " 4 ", " 04 "),
        ("vast", " 4 ", " 18446744073709551615 "),
        ("key", "signature ed25519 e", "signature ed25519 f"),
        ("spelling", "==\n", "=\n"),
        ("lines", "\n", "\r\n"),
    ] {
        seeds.push(named(name, &TRUE.replace(from, to)));
    }
    seeds
}
