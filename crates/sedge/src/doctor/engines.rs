//! The engines of this build, and whether their libraries are there.

use sedge_engine::{Engine, Registry, Status};
use serde_json::json;

use super::{Context, Finding, State};
use crate::root;
use crate::runtimes::{self, Kind};

const AREA: &str = "engines";

const HOW_TO_GET_ONNXRUNTIME: &str = "only where the embedded engine is too slow: unpack \
    onnxruntime's release for Linux (or pip install onnxruntime, apt install libonnxruntime1.21) \
    and set SEDGE_ONNXRUNTIME=/path/to/libonnxruntime.so";

const HOW_TO_GET_DLR: &str = "only for packages of SageMaker Neo: sedge runtime install dlr";

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let root = root::choose(context.root.as_deref(), None);
    let registry = Registry::new(Some(&root::runtimes(&root)));
    let is_named = |variable| std::env::var_os(variable).is_some_and(|path| !path.is_empty());
    let one = |(mut status, found): (Status, &dyn Engine)| {
        let mut must_work = found.variable().is_some_and(is_named);
        // What ends the process that loads it is not loaded here. One that is there and does not
        // load helps nobody.
        if let ("dlr", Ok(_), Some(library)) = (status.name, &status.version, &status.library) {
            status.version = runtimes::probe(Kind::Dlr, library);
            must_work = true;
        }
        engine(&status, must_work)
    };
    registry.status().into_iter().zip(registry.engines()).map(one).collect()
}

fn how_to_get(engine: &str) -> &'static str {
    if engine == "dlr" { HOW_TO_GET_DLR } else { HOW_TO_GET_ONNXRUNTIME }
}

/// `named`: the user says where the library is, so that it must be there.
fn engine(status: &Status, named: bool) -> Finding {
    let library = status.library.as_ref().map(|path| path.display().to_string());
    let data = |version: Option<&String>| json!({"version": version, "library": library});
    match &status.version {
        Ok(version) => {
            let place = library.clone().unwrap_or_else(|| "embedded".into());
            Finding::ok(AREA, status.name, format!("{version}, {place}")).with(data(Some(version)))
        }
        Err(error) if named => {
            let hint = how_to_get(status.name);
            Finding::of_error(State::Problem, AREA, status.name, error, hint).with(data(None))
        }
        Err(_) => {
            let hint = how_to_get(status.name);
            Finding::bad(State::Note, AREA, status.name, "not installed", hint).with(data(None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_named_must_be_there() {
        let status = Status {
            name: "onnxruntime",
            version: Err("engine is not available: no such file. Hint: name its library".into()),
            library: Some("libonnxruntime.so".into()),
        };
        let found = engine(&status, true);
        assert_eq!(found.state, State::Problem);
        assert_eq!(found.value, "engine is not available: no such file.");
        assert_eq!(found.hint.as_deref(), Some("name its library"));
        assert_eq!(engine(&status, false).state, State::Note);
    }
}
