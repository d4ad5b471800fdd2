use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use flate2::read::GzDecoder;
use tempfile::{NamedTempFile, TempDir};

use super::serve::DEFAULT_LISTEN;

/// Packed by `build.rs`.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sample.tar.gz"));

const EXAMPLES: &str = "\
Examples:
  sedge sample                      into sedge-sample/
  sedge sample /tmp/first --force   into a directory that is there already

Exit codes:
  0  written
  1  not written: something is there already, or it cannot be written
  2  the command line was not understood";

/// Write two small models and two pictures, and say what to do with them
///
/// A classifier and a detector that are ready to use come with the program, so that a first answer
/// needs nothing else. Licences and sources are beside them.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Sample {
    /// Directory to make
    #[arg(default_value = "sedge-sample", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Overwrite the sample's own files where they are; other files stay
    #[arg(long)]
    force: bool,
}

impl Sample {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let files = unpacked(PACKED).context("the sample in this program is damaged")?;
        let taken = self.dir.symlink_metadata().is_ok();
        if taken && !self.force && !is_empty_directory(&self.dir) {
            bail!(
                "{} is already there. Hint: name another directory, or let --force overwrite the \
                 sample's own files in it",
                self.dir.display()
            );
        }
        // An empty directory is replaced as a whole, too.
        let whole = !taken || (is_empty_directory(&self.dir) && !self.dir.is_symlink());
        let written = if whole { make(&self.dir, &files) } else { overwrite(&self.dir, &files) };
        written.with_context(|| format!("cannot write {}", self.dir.display()))?;
        let program = std::env::args_os().next().unwrap_or_else(|| "sedge".into());
        write!(std::io::stdout().lock(), "{}", next_steps(&program.to_string_lossy(), &self.dir))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The files of the sample by their paths in it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn unpacked(packed: &[u8]) -> Result<Files> {
    let mut files = Files::new();
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        // Equal files are packed once.
        if let Some(first) = entry.link_name()? {
            bytes = files.get(first.as_ref()).context("a link leads nowhere")?.clone();
        }
        files.insert(entry.path()?.into_owned(), bytes);
    }
    Ok(files)
}

fn is_empty_directory(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Makes the directory as a whole: it is there with everything in it, or not at all.
fn make(directory: &Path, files: &Files) -> Result<()> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let unfinished = TempDir::with_prefix_in(".sedge-sample-", parent)?;
    let inside = unfinished.path().join("sample");
    std::fs::create_dir(&inside)?;
    for (path, bytes) in files {
        let path = inside.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&inside))?;
        std::fs::write(path, bytes)?;
    }
    std::fs::rename(&inside, directory)?;
    Ok(())
}

/// Replaces each file as a whole and touches nothing else.
fn overwrite(directory: &Path, files: &Files) -> Result<()> {
    for (path, bytes) in files {
        let path = directory.join(path);
        let parent = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent)?;
        let mut file = NamedTempFile::new_in(parent)?;
        file.write_all(bytes)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.persist(&path)?;
    }
    Ok(())
}

/// Commands that work as they are printed, from the same working directory.
fn next_steps(program: &str, directory: &Path) -> String {
    let at = |name: &str| quoted(&directory.join(name).to_string_lossy());
    let sedge = quoted(program);
    let (classifier, detector) = (at("mobilenet"), at("fastestdet"));
    let (cat, people, drawn) = (at("cat.jpg"), at("people.jpg"), at("drawn"));
    format!(
        "wrote a classifier, a detector and two pictures into {}\n\n\
         what is in a picture:\n  {sedge} infer {classifier} {cat}\n\n\
         where it is, drawn into a copy:\n  {sedge} infer {detector} {people} --draw {drawn}\n\n\
         the same over HTTP, until Ctrl-C:\n  {sedge} serve {classifier} {detector}\n\n\
         and from another terminal:\n  curl --data-binary @{cat} -H 'Content-Type: image/jpeg' \
         -H 'Accept: application/vnd.sedge.prediction+json; top_k=5' \
         http://{DEFAULT_LISTEN}/endpoints/mobilenet/invocations\n",
        quoted(&directory.to_string_lossy())
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        for (word, shell) in
            [("a/b-c.jpg", "a/b-c.jpg"), ("my dir", "'my dir'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(quoted(word), shell);
        }
    }

    #[test]
    fn what_is_packed_is_what_the_repository_holds() {
        let files = unpacked(PACKED).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, source) in [
            ("cat.jpg", "images/chelsea_upright.jpg"),
            ("fastestdet/golden/people.jpg", "images/face.jpg"),
            ("fastestdet/model.toml", "models/fastestdet/model.toml"),
            ("mobilenet/LICENSE.txt", "models/mobilenet-v1-0-25-224-quant/LICENSE.txt"),
        ] {
            let source = std::fs::read(root.join("testdata").join(source)).unwrap();
            assert!(files[Path::new(path)] == source, "{path}");
        }
        assert!(PACKED.len() < 1_600_000, "the sample takes {} bytes", PACKED.len());
    }
}
