use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sedge_package::{Draft, Golden, Package, Tolerance, read_npz, write_npz};
use sedge_service::{Pipeline, Runner, record, record_tensors};

use super::is_npz;
use crate::commands::OUTPUT;

/// A package in the making, whose golden cases are what the model answers now.
pub(super) struct Recording<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) package: &'a Package,
}

impl Recording<'_> {
    /// Writes the package: the model's files, the cases it has, and one more for each input.
    pub(super) fn write(
        &self,
        target: &Path,
        inputs: &[PathBuf],
        tolerance: Tolerance,
        force: bool,
    ) -> Result<()> {
        let draft = Draft::new(target, force)?;
        for (path, name) in self.package.model_files() {
            draft.copy(&path, &name)?;
        }
        let mut golden = self.package.golden.clone();
        let mut names: HashSet<String> = golden.iter().map(|case| case.expected.clone()).collect();
        for input in inputs {
            let case = self.one(&draft, input, tolerance, &mut names);
            golden.push(case.with_context(|| input.display().to_string())?);
        }
        let info = self.pipeline.info();
        let head = format!(
            "# Golden cases recorded with engine {} by Sedge {}.\n",
            info.engine,
            env!("CARGO_PKG_VERSION")
        );
        let main = self.package.main_file();
        let path = draft.publish_package(self.package, &head, &[&main], &golden)?;
        let count = inputs.len();
        let mut out = std::io::stdout().lock();
        let engine = &info.engine;
        writeln!(out, "wrote {} with {count} recorded cases (engine {engine})", path.display())
            .context(OUTPUT)
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
            let outputs = record_tensors(self.pipeline, read_npz(input)?)?;
            draft.write(&expected, &write_npz(&outputs)?)?;
            return Ok(Golden { image: None, tensors: Some(name), expected, tolerance });
        }
        let prediction = record(self.pipeline, &file, std::fs::read(input)?)?;
        let text = serde_json::to_string_pretty(&prediction)? + "\n";
        draft.write(&expected, text.as_bytes())?;
        Ok(Golden { image: Some(name), tensors: None, expected, tolerance })
    }
}
