//! Whatever a model consists of, its process may read all of it.

use std::path::Path;

use crate::home::Home;

#[test]
fn models_of_several_files_are_served_from_processes() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models");
    let named = [
        ("directory", "mxnet-sagemaker-classifier"),
        ("file", "mxnet-sagemaker-classifier/image-classification-symbol.json"),
        ("manifest", "mxnet-resnet8"),
        ("saved-model", "resnet8-saved-model"),
    ];
    let home = Home::new(&[]);
    let keys = |model: &str| format!("model = '{}'\n", models.join(model).display());
    let keys = named.map(|(name, model)| (name, keys(model)));
    let services: Vec<(&str, &str)> =
        keys.iter().map(|(name, keys)| (*name, keys.as_str())).collect();
    home.configure(&services);
    let core = home.serve();
    for (name, _) in named {
        core.wait_for(name, "ready");
    }
}
