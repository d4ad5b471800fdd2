//! Golden cases that are what a model answers now.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sedge_package::{Draft, Golden, Package, Tolerance, read_npz, write_npz};
use sedge_service::{Runner, record, record_tensors};

/// A model, and the package whose cases are recorded with it.
pub(crate) struct Recording<'a> {
    pub(crate) runner: &'a dyn Runner,
    pub(crate) package: &'a Package,
}

impl Recording<'_> {
    /// The cases that the package has, and one more for each input. Files of the new ones are
    /// written into the draft.
    pub(crate) fn cases(
        &self,
        draft: &Draft,
        inputs: &[PathBuf],
        tolerance: Tolerance,
    ) -> Result<Vec<Golden>> {
        let mut golden = self.package.golden.clone();
        let mut names: HashSet<String> = golden.iter().map(|case| case.expected.clone()).collect();
        for input in inputs {
            let case = self.one(draft, input, tolerance, &mut names);
            golden.push(case.with_context(|| input.display().to_string())?);
        }
        Ok(golden)
    }

    /// What stands above a manifest with such cases.
    pub(crate) fn head(&self) -> String {
        let engine = &self.runner.info().engine;
        let version = env!("CARGO_PKG_VERSION");
        format!("# Golden cases recorded with engine {engine} by Sedge {version}.\n")
    }

    fn one(
        &self,
        draft: &Draft,
        input: &Path,
        tolerance: Tolerance,
        names: &mut HashSet<String>,
    ) -> Result<Golden> {
        let file = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = input.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let ending = if is_npz(input) { "out.npz" } else { "json" };
        // Pictures of different directories may have one name.
        let stem = (1..)
            .map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") })
            .find(|stem| names.insert(format!("golden/{stem}.{ending}")))
            .unwrap_or_default();
        let name = format!("golden/{stem}.{extension}");
        let expected = format!("golden/{stem}.{ending}");
        draft.copy(input, &name)?;
        if is_npz(input) {
            let outputs = record_tensors(self.runner, read_npz(input)?)?;
            draft.write(&expected, &write_npz(&outputs)?)?;
            return Ok(Golden { image: None, tensors: Some(name), expected, tolerance });
        }
        let prediction = record(self.runner, &file, std::fs::read(input)?)?;
        let text = serde_json::to_string_pretty(&prediction)? + "\n";
        draft.write(&expected, text.as_bytes())?;
        Ok(Golden { image: Some(name), tensors: None, expected, tolerance })
    }
}

/// True for tensors; everything else is taken for a picture.
pub(crate) fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}
