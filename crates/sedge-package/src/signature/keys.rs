//! Keys in files, in the formats that openssl reads and writes (RFC 8410), and the list of those
//! that are trusted.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::SignatureError;
use super::list::Signature;
use crate::identity::hex;

/// What stands before the 32 bytes of a public key (SubjectPublicKeyInfo, RFC 8410 section 4).
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// What stands before the 32 bytes of a private key (PKCS#8, RFC 8410 section 7).
const SECRET_HEAD: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Largest key file.
const MAX_KEY_BYTES: u64 = 64 << 10;
/// Begins a public key that is written where a file could be named.
const INLINE: &str = "ed25519:";

/// A public ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a PEM text (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let (label, der) = unarmoured(pem)?;
        if label != "PUBLIC KEY" {
            return Err(format!("it holds a {label}. Hint: name the .pub file"));
        }
        let raw = der.strip_prefix(&PUBLIC_HEAD).and_then(|raw| raw.try_into().ok());
        raw.map(Self).ok_or_else(|| NOT_ED25519.to_owned())
    }

    /// A PEM text.
    pub fn pem(&self) -> String {
        armoured("PUBLIC KEY", &[&PUBLIC_HEAD[..], &self.0].concat())
    }

    /// As an entry of a trust list: `ed25519:` and the 32 bytes in base64.
    pub fn inline(&self) -> String {
        format!("{INLINE}{}", STANDARD.encode(self.0))
    }

    /// The first 16 hex digits of the sha256 of its 32 bytes. It says which key to try, and proves
    /// nothing.
    pub fn id(&self) -> String {
        hex(&Sha256::digest(self.0)[..8])
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.bytes).is_ok()
    }
}

/// A secret ed25519 key.
#[derive(Debug)]
pub struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// Makes a key of the system's randomness and writes it as `NAME.pem`, which only its owner may
    /// read, and `NAME.pub`. Files that are there are never replaced.
    ///
    /// # Errors
    /// Files that are there or cannot be written.
    pub fn generate(name: &Path) -> Result<(Self, [PathBuf; 2]), SignatureError> {
        let paths = [".pem", ".pub"].map(|end| {
            let mut path = name.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        });
        let unusable = |problem: &str| SignatureError::Key {
            key: name.display().to_string(),
            problem: problem.to_owned(),
        };
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| unusable("the system has no randomness"))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let key = Self(pair.map_err(|_| unusable("no key can be made"))?);
        if paths[1].symlink_metadata().is_ok() {
            let error = io::ErrorKind::AlreadyExists.into();
            return Err(SignatureError::System { act: "write", path: paths[1].clone(), error });
        }
        let secret = armoured("PRIVATE KEY", &[&SECRET_HEAD[..], &seed].concat());
        for (path, text, mode) in
            [(&paths[0], secret, 0o600), (&paths[1], key.public().pem(), 0o644)]
        {
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(SignatureError::writing(path))?;
        }
        Ok((key, paths))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Files that cannot be read, or hold no plain ed25519 key.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let key = path.display().to_string();
        let text = read_text(path)?;
        Self::parse(&text).map_err(|problem| SignatureError::Key { key, problem })
    }

    /// Reads a PEM text (`BEGIN PRIVATE KEY`, PKCS#8).
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let (label, der) = unarmoured(pem)?;
        match label {
            "PRIVATE KEY" => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map(Self)
                .map_err(|_| NOT_ED25519.to_owned()),
            "ENCRYPTED PRIVATE KEY" => Err("the key is encrypted. \
                Hint: `openssl pkey -in FILE -out PLAIN` decrypts it"
                .to_owned()),
            other => Err(format!("it holds a {other}. Hint: name the .pem file of a private key")),
        }
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut raw = [0; 32];
        raw.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(raw)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        Signature { key: self.public().id(), bytes }
    }
}

/// The keys whose signatures count, each with the name it is known by.
#[derive(Clone, Debug, Default)]
pub struct TrustList(Vec<(PublicKey, String)>);

impl TrustList {
    /// Reads keys: files (PEM), relative to `base`, or `ed25519:BASE64`.
    ///
    /// # Errors
    /// Files that cannot be read, and what is no public ed25519 key.
    pub fn read(entries: &[String], base: &Path) -> Result<Self, SignatureError> {
        let mut list = Self::default();
        for entry in entries {
            let key = match entry.strip_prefix(INLINE) {
                Some(encoded) => {
                    let raw = STANDARD.decode(encoded).ok().and_then(|raw| raw.try_into().ok());
                    raw.map(PublicKey).ok_or_else(|| "expected 32 bytes in base64".to_owned())
                }
                None => PublicKey::parse(&read_text(&base.join(entry))?),
            };
            let refuse = |problem| SignatureError::Key { key: entry.clone(), problem };
            list.add(key.map_err(refuse)?, entry);
        }
        Ok(list)
    }

    /// Whether an entry is a key itself, and no file.
    pub fn is_inline(entry: &str) -> bool {
        entry.starts_with(INLINE)
    }

    /// Trusts a key under a name for people.
    pub fn add(&mut self, key: PublicKey, name: &str) {
        if !self.0.iter().any(|(known, _)| *known == key) {
            self.0.push((key, name.to_owned()));
        }
    }

    /// The keys' ids: see [`PublicKey::id`].
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(key, _)| key.id())
    }

    /// True when nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose signature over a message this is: the name of its key, nothing of one that is not
    /// trusted.
    ///
    /// # Errors
    /// The name of the trusted key that the signature gives, but that did not make it.
    pub(super) fn maker(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<Option<&str>, &str> {
        // More than one only where somebody made their ids equal.
        let named: Vec<_> = self.0.iter().filter(|(key, _)| key.id() == signature.key).collect();
        let made = named.iter().find(|(key, _)| key.verifies(message, signature));
        match (made, named.first()) {
            (Some((_, name)), _) => Ok(Some(name)),
            (None, Some((_, name))) => Err(name),
            (None, None) => Ok(None),
        }
    }
}

const NOT_ED25519: &str = "it is no ed25519 key. Hint: `sedge package keygen` and `openssl genpkey -algorithm ed25519` \
     make such keys";

fn read_text(path: &Path) -> Result<String, SignatureError> {
    let mut text = String::new();
    let mut read = || fs::File::open(path)?.take(MAX_KEY_BYTES).read_to_string(&mut text);
    read().map_err(SignatureError::reading(path))?;
    Ok(text)
}

/// A PEM block (RFC 7468).
fn armoured(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The first PEM block of a text: its label and its bytes.
fn unarmoured(pem: &str) -> Result<(&str, Vec<u8>), String> {
    let block = || {
        let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.split_ascii_whitespace().collect();
        Some((label, STANDARD.decode(body).ok()?))
    };
    block().ok_or_else(|| "it holds no key in PEM".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, section 10.3.
    const SECRET: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    /// RFC 8410, section 10.1.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    /// RFC 8410, section 10.3, with the public key and an attribute.
    const WITH_PUBLIC: &str = "-----BEGIN PRIVATE KEY-----\n\
        MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
        Z9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn keys_are_those_of_the_standard() {
        let secret = SecretKey::parse(SECRET).unwrap();
        let public = PublicKey::parse(PUBLIC).unwrap();
        assert_eq!(secret.public(), public);
        assert_eq!(public.pem(), PUBLIC);
        let list = TrustList::read(&[public.inline()], Path::new("")).unwrap();
        let signature = secret.sign(b"message");
        assert_eq!(list.maker(b"message", &signature), Ok(Some(&*public.inline())));
        assert_eq!(list.maker(b"massage", &signature), Err(&*public.inline()));
        assert_eq!(TrustList::default().maker(b"message", &signature), Ok(None));
        // RFC 8410's own example has attributes, which nobody needs here.
        let with_public = SecretKey::parse(WITH_PUBLIC).map(|key| key.public());
        assert!(with_public.is_err() || with_public == Ok(public));
    }

    #[test]
    fn what_is_no_key_is_told() {
        let encrypted = SECRET.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let short = SECRET.replace("MC4CAQAwBQYDK2VwBCIEI", "");
        for (text, words) in [
            ("", "no key in PEM"),
            (PUBLIC, "it holds a PUBLIC KEY. Hint: name the .pem"),
            (&encrypted, "openssl pkey"),
            (&short, "no "),
        ] {
            let message = SecretKey::parse(text).unwrap_err();
            assert!(message.contains(words), "{text}: {message}");
        }
        let message = PublicKey::parse(SECRET).unwrap_err();
        assert!(message.contains("Hint: name the .pub file"), "{message}");
        for entry in ["ed25519:AAAA", "ed25519:!", "no/such.pub"] {
            assert!(TrustList::read(&[entry.to_owned()], Path::new("")).is_err(), "{entry}");
        }
    }
}
