//! Packs what `sedge sample` writes: two packages and two pictures of the repository's test data.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::fs::{DirEntry, File};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// Where each file or directory comes from, below the repository's root, and what it becomes.
const PARTS: [(&str, &str); 6] = [
    ("crates/sedge/sample/README.md", "README.md"),
    ("testdata/images/chelsea_upright.jpg", "cat.jpg"),
    ("testdata/images/face.jpg", "people.jpg"),
    ("testdata/licences/google-coral__test_data__COPYRIGHT.txt", "PICTURES.txt"),
    ("testdata/models/mobilenet-v1-0-25-224-quant", "mobilenet"),
    ("testdata/models/fastestdet", "fastestdet"),
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let unset = || Error::other("this is run by cargo");
    let root = variable("CARGO_MANIFEST_DIR").ok_or_else(unset)?.join("../..");
    let packed = variable("OUT_DIR").ok_or_else(unset)?.join("sample.tar.gz");
    let compressed = GzEncoder::new(File::create(packed)?, Compression::best());
    let mut archive = Archive { builder: Builder::new(compressed), seen: HashMap::new() };
    for (from, to) in PARTS {
        println!("cargo::rerun-if-changed={}", root.join(from).display());
        archive.add(&root.join(from), to)?;
    }
    archive.builder.into_inner()?.finish()?;
    Ok(())
}

struct Archive {
    builder: Builder<GzEncoder<File>>,
    /// What was packed already, and as what: the second of two equal files is a link.
    seen: HashMap<Vec<u8>, String>,
}

impl Archive {
    fn add(&mut self, from: &Path, to: &str) -> Result<()> {
        if from.is_dir() {
            let entries = std::fs::read_dir(from)?.collect::<Result<Vec<_>>>()?;
            let mut paths: Vec<PathBuf> = entries.iter().map(DirEntry::path).collect();
            paths.sort();
            for path in paths {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.add(&path, &format!("{to}/{name}"))?;
            }
            return Ok(());
        }
        let bytes = std::fs::read(from)?;
        // Nothing of the machine that builds goes in: the same sources give the same bytes.
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        if let Some(first) = self.seen.get(&bytes) {
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            return self.builder.append_link(&mut header, to, first);
        }
        header.set_size(bytes.len() as u64);
        self.builder.append_data(&mut header, to, bytes.as_slice())?;
        self.seen.insert(bytes, to.to_owned());
        Ok(())
    }
}
