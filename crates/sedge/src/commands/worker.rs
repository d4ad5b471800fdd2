use std::path::Path;
use std::process::ExitCode;

use sedge_engine::Registry;
use sedge_service::{LoadOptions, Pipeline};
use sedge_vision::DecodeLimits;
use sedge_worker::{LoadSpec, Loaded};

use crate::root;

/// Be the process of one service; started by `sedge serve`, never by hand.
pub(crate) fn run() -> ExitCode {
    crate::memory::keep();
    sedge_worker::run(load, crate::memory::release)
}

fn load(spec: &LoadSpec) -> Result<Loaded, String> {
    let options = LoadOptions {
        engine: spec.engine.clone(),
        threads: spec.threads,
        limits: DecodeLimits { max_pixels: spec.max_pixels },
        max_batch: spec.max_batch,
    };
    let runtimes = std::env::var_os(root::RUNTIMES_VARIABLE);
    let registry = Registry::apart(runtimes.as_deref().map(Path::new));
    let pipeline = Pipeline::open(&spec.model, &spec.overrides, &registry, &options);
    pipeline.map(|pipeline| Box::new(pipeline) as Loaded).map_err(|error| error.to_string())
}
