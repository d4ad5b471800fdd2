//! Packages as archives: the same files always become the same bytes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::archive::{self, Kind, Unpacked};
use crate::{
    PackageError, Policy, SecretKey, SignatureError, Signed, TrustList, Verified, identity, sign,
    verify,
};

/// What a package is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// The files as they are.
    Directory,
    /// A tar archive.
    Tar,
    /// A tar archive, compressed with gzip.
    TarGz,
    /// A zip archive.
    Zip,
}

impl Packing {
    /// What a name asks for: an archive by its ending, else a directory.
    pub fn of_name(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match () {
            () if name.ends_with(".tar.gz") || name.ends_with(".tgz") => Self::TarGz,
            () if name.ends_with(".tar") => Self::Tar,
            () if name.ends_with(".zip") => Self::Zip,
            () => Self::Directory,
        }
    }
}

/// Packs the files below a directory, in the order of their names, of no time and no owner.
pub(crate) fn pack(directory: &Path, target: &Path, packing: Packing) -> io::Result<()> {
    let mut files: Vec<_> = identity::files_below(directory)
        .map_err(io::Error::other)?
        .into_iter()
        .map(|path| (identity::relative(directory, &path), path))
        .collect();
    files.sort();
    let out = io::BufWriter::new(File::create(target)?);
    let files = files.iter().map(|(name, path)| (name.as_str(), path.as_path()));
    match packing {
        // A directory is its own packing.
        Packing::Directory => Err(io::ErrorKind::InvalidInput.into()),
        Packing::Tar => tar(files, out)?.flush(),
        // A gzip header of this library's has no time and no name.
        Packing::TarGz => {
            tar(files, GzEncoder::new(out, Compression::default()))?.finish()?.flush()
        }
        Packing::Zip => zip(files, out),
    }
}

fn tar<'a, W: Write>(files: impl Iterator<Item = (&'a str, &'a Path)>, out: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(out);
    for (name, path) in files {
        let file = File::open(path)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o644);
        archive.append_data(&mut header, name, file)?;
    }
    archive.into_inner()
}

fn zip<'a>(
    files: impl Iterator<Item = (&'a str, &'a Path)>,
    out: io::BufWriter<File>,
) -> io::Result<()> {
    let mut archive = zip::ZipWriter::new(out);
    for (name, path) in files {
        let mut file = File::open(path)?;
        // Without a clock, the library writes the first time there is in a zip archive.
        let options = zip::write::SimpleFileOptions::default()
            .unix_permissions(0o644)
            .large_file(file.metadata()?.len() >= u64::from(u32::MAX));
        archive.start_file(name, options)?;
        io::copy(&mut file, &mut archive)?;
    }
    archive.finish()?.flush()
}

/// [`verify`] for a package directory or an archive of one.
///
/// # Errors
/// As of [`verify`]; archives that cannot be unpacked.
pub fn verify_package(
    path: &Path,
    trusted: &TrustList,
    policy: Policy,
) -> Result<Verified, SignatureError> {
    match unpacked(path)? {
        Some((archive, _)) => verify(archive.path(), trusted, policy),
        None => verify(path, trusted, policy),
    }
}

/// [`sign`] for a package directory or an archive of one, which is written anew as a whole.
///
/// # Errors
/// As of [`sign`]; archives that cannot be unpacked or written.
pub fn sign_package(path: &Path, key: &SecretKey) -> Result<Signed, SignatureError> {
    let Some((archive, packing)) = unpacked(path)? else { return sign(path, key) };
    let signed = sign(archive.path(), key)?;
    let parent = crate::files::here(path.parent().unwrap_or(Path::new("")));
    let wrong = |error| SignatureError::System { act: "write", path: path.to_owned(), error };
    let written = tempfile::NamedTempFile::new_in(parent).map_err(wrong)?;
    pack(archive.path(), written.path(), packing).map_err(wrong)?;
    let permissions = path.metadata().map_err(wrong)?.permissions();
    written.as_file().set_permissions(permissions).map_err(wrong)?;
    written.persist(path).map_err(|error| wrong(error.error))?;
    Ok(signed)
}

/// An archive's files, and how to pack them again; nothing of a directory.
fn unpacked(path: &Path) -> Result<Option<(Unpacked, Packing)>, PackageError> {
    let read = |error| PackageError::Read { path: path.to_owned(), error };
    if path.metadata().map_err(read)?.is_dir() {
        return Ok(None);
    }
    let kind = archive::kind_of(path).ok_or_else(|| PackageError::Archive {
        path: path.to_owned(),
        problem: "it is neither an archive nor a directory. Hint: name a package".to_owned(),
    })?;
    let packing = match kind {
        Kind::Gzip => Packing::TarGz,
        Kind::Tar => Packing::Tar,
        Kind::Zip | Kind::Foreign(_) => Packing::Zip,
    };
    Ok(Some((archive::unpack(path, kind)?, packing)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn equal_files_make_equal_archives() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, order: [&str; 3]| {
            let root = place.path().join(name);
            for file in order {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, file).unwrap();
                let time = std::time::SystemTime::now() - std::time::Duration::from_secs(1 << 20);
                File::open(&path).unwrap().set_modified(time).unwrap();
            }
            root
        };
        let long = "n".repeat(120) + "/" + &"m".repeat(120);
        let (one, other) = (make("1", ["b", "a/c", &long]), make("2", [&long, "a/c", "b"]));
        for (packing, end) in
            [(Packing::Tar, "tar"), (Packing::TarGz, "tar.gz"), (Packing::Zip, "zip")]
        {
            let [first, second] = [(&one, 1), (&other, 2)].map(|(root, number)| {
                let target = place.path().join(format!("{number}.{end}"));
                pack(root, &target, packing).unwrap();
                target
            });
            assert_eq!(Packing::of_name(&first), packing);
            assert!(fs::read(&first).unwrap() == fs::read(second).unwrap(), "{end}");
            let (archive, again) = unpacked(&first).unwrap().unwrap();
            assert_eq!(again, packing);
            assert_eq!(fs::read_to_string(archive.path().join(&long)).unwrap(), long);
        }
    }
}
