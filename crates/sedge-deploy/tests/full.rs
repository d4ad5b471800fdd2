//! A disk that is too small: a real one of a few MiB, which only root can make.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../sedge-cloud/tests/common/server.rs"]
mod server;
#[path = "../../sedge-spool/tests/common/small_disk.rs"]
mod small_disk;

use std::path::Path;

use common::{SERVICE, archive, model, names, request, sound};
use sedge_deploy::{DeployError, Hooks, InstallRequest, Installed, Store};
use server::{Answer, Server};

/// Bytes that no compression makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(|_| byte()).collect()
}

/// Runs the test below there.
#[test]
fn a_full_disk_keeps_what_runs() {
    small_disk::run_on(8);
}

#[test]
#[ignore = "started by the test above, on a small disk"]
fn small() {
    let Ok(root) = std::env::var(small_disk::ROOT) else { return };
    let root = Path::new(&root);
    let store = Store::open(root).unwrap();
    let install = |request: &InstallRequest| store.install(SERVICE, request, &Hooks::default());
    let packed = |bytes: usize| archive(&[("m.tflite", &model("abs")), ("noise", &noise(bytes))]);
    let (fits, large, vast) = (packed(1 << 20), packed(6 << 20), packed(12 << 20));
    // Zeros shrink, so that the archive fits and its content does not.
    let bomb = archive(&[("m.tflite", &model("neg")), ("zeros", &vec![0; 20 << 20])]);
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/fits.tar.gz" => Answer::file(asked, &fits, "fits"),
        "/large.tar.gz" => Answer::file(asked, &large, "large"),
        "/bomb.tar.gz" => Answer::file(asked, &bomb, "bomb"),
        // The same in pieces of which nobody knows how many there are.
        "/pieces.tar.gz" => {
            let mut body = Vec::new();
            for piece in vast.chunks(1 << 16) {
                body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                body.extend_from_slice(piece);
                body.extend_from_slice(b"\r\n");
            }
            Answer::new("200 OK", body).header("Transfer-Encoding", "chunked")
        }
        _ => Answer::file(asked, &vast, "vast"),
    });
    let from = |path: &str| {
        let mut request = request(&format!("{}{path}", server.base));
        request.remote.attempts = 1;
        request
    };
    let Installed::Candidate(first) = install(&from("/fits.tar.gz")).unwrap() else { panic!() };
    store.commit(&first).unwrap();
    server.asked();

    // Refused by its size alone.
    let error = install(&from("/vast.tar.gz")).unwrap_err();
    assert!(matches!(error, DeployError::NoSpace { .. }), "{error}");
    // Refused on the way, and when it is unpacked.
    let error = install(&from("/pieces.tar.gz")).unwrap_err();
    assert!(matches!(error, DeployError::NoSpace { .. }), "{error}");
    for path in ["/large.tar.gz", "/bomb.tar.gz"] {
        let error = install(&from(path)).unwrap_err();
        assert!(matches!(error, DeployError::NoSpace { .. }), "{path}: {error}");
    }
    let local = root.with_file_name("local.tar.gz");
    std::fs::write(&local, packed(12 << 20)).unwrap();
    let error = install(&request(local.to_str().unwrap())).unwrap_err();
    assert!(matches!(error, DeployError::NoSpace { .. }), "{error}");
    assert_eq!(names(&root.join("store/incoming")), [""; 0]);
    assert_eq!(store.history(SERVICE).unwrap().current, Some(1));
    sound(&store);
}
