//! What a worker cannot do, with each engine loaded.

use std::path::Path;

use sedge_engine::Registry;
use sedge_package::Origin;
use sedge_service::RunnerError;
use sedge_worker::Launch;

use crate::core::{ask, block_on, launch, limits, start};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a_model_in_the_embedded_engine_cannot_get_out", || nothing_gets_out("native")),
    ("a_model_in_onnxruntime_cannot_get_out", || nothing_gets_out("onnxruntime")),
];

fn nothing_gets_out(engine: &str) {
    let registry = Registry::new(None);
    let library = match registry.engine(engine).and_then(|found| {
        found.version()?;
        Ok(found.library())
    }) {
        Ok(library) => library,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            println!("skipped: {error}");
            return;
        }
    };
    // What a worker must not see: a configuration, and another model.
    let secrets = tempfile::tempdir().unwrap();
    let secret = |name: &str| {
        let path = secrets.path().join(name);
        std::fs::write(&path, "secret").unwrap();
        (path.display().to_string(), toml::Value::Boolean(true), Origin::Manifest)
    };
    let mut launch: Launch = launch("escape");
    launch.load.overrides = vec![secret("sedge.toml"), secret("other.onnx")];
    launch.load.engine = engine.into();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    launch.load.model = testdata.join("models/resnet8-onnx");
    let library = library.and_then(|library| library.canonicalize().ok());
    launch.load.readable = library.iter().filter_map(|path| Some(path.parent()?.into())).collect();
    if let Some(library) = std::env::var_os("SEDGE_ONNXRUNTIME") {
        launch.environment.push(("SEDGE_ONNXRUNTIME".into(), library));
    }
    block_on(async {
        let (service, _worker) = start(launch, limits()).await;
        let status = service.serving().unwrap().status();
        for guard in &status.sandbox {
            println!("{:<12} {:<5} {}", guard.name, guard.holds, guard.detail);
        }
        let answer = ask(&service).await.unwrap_or_else(|error: RunnerError| panic!("{error}"));
        let report = String::from_utf8_lossy(answer.outputs[0].1.bytes()).into_owned();
        let (ran, escaped) = report.split_once('\n').unwrap();
        assert!(ran.ends_with("outputs"), "{ran}");
        let held = |name: &str| status.sandbox.iter().any(|wall| wall.name == name && wall.holds);
        assert!(held("seccomp"), "{:?}", status.sandbox);
        assert_eq!(escaped, "", "with {engine} it could do this");
    });
}
