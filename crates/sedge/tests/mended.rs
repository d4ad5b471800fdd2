//! Mistakes that people made with the program, each of which once went wrong.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;

use program::{command, copy_of, edit, root, says, sedge, text};

const MODEL: &str = "testdata/models/vww96";
const CAT: &str = "testdata/images/cat_720p.jpg";

#[test]
fn drawings_never_overwrite_pictures() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("face.png");
    fs::copy(root().join("testdata/images/coffee.png"), &picture).unwrap();
    let before = fs::read(&picture).unwrap();
    let (here, picture) = (directory.path().to_str().unwrap(), picture.to_str().unwrap());
    for arguments in [
        [here, here],
        [
            picture,
            &format!("{here}/../{}", directory.path().file_name().unwrap().to_str().unwrap()),
        ],
    ] {
        says(
            &["infer", MODEL, arguments[0], "--draw", arguments[1]],
            1,
            &["overwrite", "face.png", "Hint"],
        );
    }
    // Under another name it is the same file.
    fs::create_dir(directory.path().join("out")).unwrap();
    fs::hard_link(picture, directory.path().join("out/face.png")).unwrap();
    says(&["infer", MODEL, picture, "--draw", &format!("{here}/out")], 1, &["overwrite"]);
    assert_eq!(fs::read(picture).unwrap(), before);
    says(&["infer", MODEL, picture, "--draw", &format!("{here}/new")], 0, &[]);
}

#[test]
fn a_full_disk_is_not_the_pictures_fault() {
    for arguments in [&["infer", MODEL, CAT][..], &["model", "inspect", MODEL]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(arguments).stdout(full).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: cannot write to standard output: No space"), "{said}");
    }
}
