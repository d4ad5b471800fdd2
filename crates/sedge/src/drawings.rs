//! Copies of pictures with the results drawn into them.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sedge_service::Prediction;
use sedge_vision::{Answer, DecodeLimits, decode, draw, encode_png};

use crate::pictures::Source;

/// Where the drawing of each picture goes, in the pictures' order: `photos/cat.jpg` is drawn as
/// `cat.png`, a second `cat` as `cat-2.png`. The directory is made.
///
/// # Errors
/// A directory that cannot be made, and a drawing that would overwrite one of the pictures.
pub(crate) fn targets(directory: &Path, sources: &[Source]) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut pictures = HashMap::new();
    for source in sources {
        if let Source::File(path) = source
            && let Some(file) = file(path)
        {
            pictures.insert(file, path);
        }
    }
    let mut taken = HashSet::new();
    let targets: Vec<_> = sources.iter().map(|s| free(directory, &s.name(), &mut taken)).collect();
    for target in &targets {
        if let Some(picture) = file(target).and_then(|file| pictures.get(&file)) {
            bail!(
                "--draw would overwrite the picture {} with a drawing. Hint: name another directory",
                picture.display()
            );
        }
    }
    Ok(targets)
}

/// Device and number of a file: the same for all its names.
fn file(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn free(directory: &Path, name: &str, taken: &mut HashSet<PathBuf>) -> PathBuf {
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stem = if name == "-" { "stdin".into() } else { stem };
    let mut path = directory.join(format!("{stem}.png"));
    let mut number = 2;
    while !taken.insert(path.clone()) {
        path = directory.join(format!("{stem}-{number}.png"));
        number += 1;
    }
    path
}

/// Draws what was found into a copy of the picture.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    limits: &DecodeLimits,
    prediction: &Prediction,
) -> Result<()> {
    let mut picture = decode(bytes, limits)?.upright().into_rgb();
    let answer = match (&prediction.classes, &prediction.objects) {
        (Some(classes), _) => Answer::Classes(classes.clone()),
        (_, Some(objects)) => Answer::Objects(objects.clone()),
        _ => Answer::Objects(Vec::new()),
    };
    draw(&mut picture.pixels, picture.width, picture.height, &answer)?;
    let png = encode_png(picture.width, picture.height, &picture.pixels)?;
    std::fs::write(path, png).with_context(|| format!("cannot write {}", path.display()))
}
