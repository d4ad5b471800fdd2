//! The pictures a command line names: files, directories of them, or standard input.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;

/// Encoded pictures larger than this are refused; a 64-megapixel PNG stays below.
const MAX_ENCODED_BYTES: u64 = 512 << 20;

/// One picture that was named.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Stdin,
}

impl Source {
    /// The name under which the answer speaks of it.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "-".into(),
        }
    }

    /// Reads the encoded picture.
    pub(crate) fn read(&self) -> Result<Bytes> {
        let mut bytes = Vec::new();
        match self {
            Source::File(path) => {
                File::open(path)?.take(MAX_ENCODED_BYTES + 1).read_to_end(&mut bytes)?;
            }
            Source::Stdin => {
                std::io::stdin().lock().take(MAX_ENCODED_BYTES + 1).read_to_end(&mut bytes)?;
            }
        }
        if bytes.len() as u64 > MAX_ENCODED_BYTES {
            bail!("the file is larger than {} MiB", MAX_ENCODED_BYTES >> 20);
        }
        Ok(bytes.into())
    }
}

/// Resolves the arguments in their order; a directory stands for its JPEG and PNG files by name.
pub(crate) fn collect(arguments: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            sources.push(Source::Stdin);
        } else if argument.is_dir() {
            let files = pictures_in(argument)
                .with_context(|| format!("cannot list {}", argument.display()))?;
            if files.is_empty() {
                bail!(
                    "{} holds no .jpg, .jpeg or .png file. Hint: name the files themselves",
                    argument.display()
                );
            }
            sources.extend(files.into_iter().map(Source::File));
        } else {
            sources.push(Source::File(argument.clone()));
        }
    }
    Ok(sources)
}

fn pictures_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && ["jpg", "jpeg", "png"].contains(&extension.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
