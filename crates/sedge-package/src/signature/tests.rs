use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const STRICT: Policy = Policy { require_signature: true };
const LAX: Policy = Policy { require_signature: false };

/// A place with a package, and two keys.
struct Place {
    place: TempDir,
    key: SecretKey,
    other: SecretKey,
}

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let [key, other] =
            ["key", "other"].map(|name| SecretKey::generate(&place.path().join(name)).unwrap().0);
        let this = Self { place, key, other };
        for (name, text) in
            [("model.toml", "schema = 1\n"), ("m.tflite", "TFL3"), ("golden/a b.json", "")]
        {
            this.write(name, text);
        }
        this
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("package")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn trusted(&self) -> TrustList {
        let mut list = TrustList::default();
        list.add(self.key.public(), "key.pub");
        list
    }

    fn refused(&self, policy: Policy) -> String {
        verify(&self.root(), &self.trusted(), policy).unwrap_err().to_string()
    }
}

#[test]
fn every_byte_is_covered() {
    let place = Place::new();
    let signed = sign(&place.root(), &place.key).unwrap();
    assert_eq!((signed.files, signed.bytes), (3, 15));
    let verified = verify(&place.root(), &place.trusted(), STRICT).unwrap();
    assert_eq!(verified.signers, [Signer { key: signed.key, name: "key.pub".into() }]);
    assert_eq!((verified.files, verified.bytes, verified.is_signed()), (3, 15, true));
    for name in ["model.toml", "m.tflite", "model.sig"] {
        let path = place.root().join(name);
        let bytes = fs::read(&path).unwrap();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                fs::write(&path, changed).unwrap();
                let refused = verify(&place.root(), &place.trusted(), STRICT);
                assert!(refused.is_err(), "{name}, byte {index}, bit {bit}");
            }
        }
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(verify(&place.root(), &place.trusted(), STRICT).is_err(), "{name}: {length}");
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(verify(&place.root(), &place.trusted(), STRICT).is_ok());
}

#[test]
fn what_was_changed_is_told_whatever_the_policy() {
    type Change = fn(&Path);
    let changes: [(Change, &str); 12] = [
        (|root| fs::write(root.join("m.tflite"), "TFL4").unwrap(), "'m.tflite' was changed after"),
        (
            |root| fs::write(root.join("m.tflite"), "TFL3+").unwrap(),
            "'m.tflite' has 5 bytes; 4 were signed",
        ),
        (|root| fs::remove_file(root.join("m.tflite")).unwrap(), "'m.tflite' is signed, but miss"),
        (|root| fs::write(root.join("golden/z"), "").unwrap(), "'golden/z' is not among the sign"),
        (|root| fs::write(root.join("0"), "").unwrap(), "'0' is not among the signed files"),
        (|root| symlink("m.tflite", root.join("link")).unwrap(), "'link' is a link, not a file"),
        (
            |root| {
                fs::remove_file(root.join("m.tflite")).unwrap();
                symlink("/etc/hostname", root.join("m.tflite")).unwrap();
            },
            "'m.tflite' is a link",
        ),
        (
            |root| {
                fs::rename(root.join("model.sig"), root.join("s")).unwrap();
                symlink("s", root.join("model.sig")).unwrap();
            },
            "model.sig: it is not a file",
        ),
        (
            |root| {
                let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
                fs::write(root.join(name), "").unwrap();
            },
            "has a name that is not UTF-8",
        ),
        (
            |root| {
                let path = root.join("model.sig");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace(" 4 m.tflite", " 5 m.tflite")).unwrap();
            },
            "(key.pub) is broken",
        ),
        (|root| fs::write(root.join("model.sig"), "").unwrap(), "model.sig: its last line"),
        (
            |root| {
                let listener = std::os::unix::net::UnixListener::bind(root.join("socket"));
                drop(listener.unwrap());
            },
            "'socket' is neither a file nor a directory",
        ),
    ];
    for (change, words) in changes {
        let place = Place::new();
        sign(&place.root(), &place.key).unwrap();
        change(&place.root());
        for policy in [STRICT, LAX] {
            let message = place.refused(policy);
            assert!(message.contains(words), "{words}: {message}");
        }
    }
}

#[test]
fn who_signed_matters_where_it_is_required() {
    let place = Place::new();
    assert!(!verify(&place.root(), &place.trusted(), LAX).unwrap().is_signed());
    assert!(place.refused(STRICT).starts_with("it is not signed"));

    let other = sign(&place.root(), &place.other).unwrap().key;
    let verified = verify(&place.root(), &place.trusted(), LAX).unwrap();
    assert_eq!((verified.signers.len(), &verified.unknown), (0, &vec![other.clone()]));
    assert!(place.refused(STRICT).starts_with(&format!("it is signed by {other}, which")));

    let both = sign(&place.root(), &place.key).unwrap();
    assert_eq!((both.kept, both.dropped), (vec![other.clone()], vec![]));
    let verified = verify(&place.root(), &place.trusted(), STRICT).unwrap();
    assert_eq!((verified.signers.len(), verified.unknown), (1, vec![other.clone()]));

    // Who signed something else did not sign this.
    place.write("m.tflite", "new");
    let again = sign(&place.root(), &place.key).unwrap();
    assert_eq!((again.kept, again.dropped), (vec![], vec![other]));

    // The id alone proves nothing.
    let mut trusted = place.trusted();
    trusted.add(place.other.public(), "other.pub");
    let path = place.root().join("model.sig");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&again.key, &place.other.public().id())).unwrap();
    let message = verify(&place.root(), &trusted, LAX).unwrap_err().to_string();
    assert!(message.contains("(other.pub) is broken"), "{message}");
}

#[test]
fn a_directory_packed_as_a_whole_is_looked_into_and_nothing_beside_it_is_taken() {
    let place = Place::new();
    let outer = place.place.path().join("outer/inner");
    fs::create_dir_all(&outer).unwrap();
    fs::rename(place.root(), outer.join("package")).unwrap();
    let directory = place.place.path().join("outer");
    sign(&directory, &place.key).unwrap();
    let verified = verify(&directory, &place.trusted(), STRICT).unwrap();
    assert_eq!(verified.root, outer.join("package"));
    fs::write(directory.join("beside"), "").unwrap();
    assert!(verify(&directory, &place.trusted(), STRICT).is_err());
}

#[test]
fn only_packages_are_signed() {
    let place = Place::new();
    fs::remove_file(place.root().join("model.toml")).unwrap();
    let message = sign(&place.root(), &place.key).unwrap_err().to_string();
    assert!(message.contains("Hint: `sedge package create"), "{message}");
    place.write("model.toml", "");
    place.write("Golden/a b.json", "");
    let message = sign(&place.root(), &place.key).unwrap_err().to_string();
    assert!(message.contains("upper and lower case"), "{message}");
}

#[test]
fn keys_are_their_owners_and_never_replaced() {
    let place = Place::new();
    let mode = place.place.path().join("key.pem").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for gone in ["", "key.pem"] {
        let _ = fs::remove_file(place.place.path().join(gone));
        assert!(SecretKey::generate(&place.place.path().join("key")).is_err());
    }
}
