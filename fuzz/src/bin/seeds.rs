//! `seeds TARGET DIRECTORY`: writes the inputs a target starts from.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let usage = || Error::new(ErrorKind::InvalidInput, "usage: seeds TARGET DIRECTORY");
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or_else(usage)?;
    let directory = arguments.next().map(PathBuf::from).ok_or_else(usage)?;
    let target = sedge_fuzz::TARGETS.iter().find(|target| target.name == name).ok_or_else(usage)?;
    std::fs::create_dir_all(&directory)?;
    for (name, bytes) in sedge_fuzz::seeds::seeds(target) {
        std::fs::write(directory.join(name.replace('/', "_")), bytes)?;
    }
    Ok(())
}
