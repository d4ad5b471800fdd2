//! Which of several model files in a directory is the model (`docs/formats/README.md`).

use std::collections::HashSet;

/// End of the name of an MXNet graph.
const SYMBOL: &str = "-symbol.json";

/// The candidates, as paths relative to one directory, without those that another explains:
///
/// 1. what lies beside or below a `saved_model.pb` is part of the saved model;
/// 2. `X-NNNN.params` are weights of `X-symbol.json`;
/// 3. `X-symbol.json` was trained, `deploy_X-symbol.json` is what was made of it to be run.
pub(crate) fn main_files(candidates: Vec<String>) -> Vec<String> {
    let all: HashSet<&str> = candidates.iter().map(String::as_str).collect();
    let saved: Vec<&str> = all.iter().filter_map(|name| directory_of_saved_model(name)).collect();
    let explained = |name: &str| {
        let (directory, file) = name.rsplit_once('/').map_or(("", name), |(d, f)| (d, f));
        let beside = |file: String| match directory {
            "" => all.contains(file.as_str()),
            directory => all.contains(format!("{directory}/{file}").as_str()),
        };
        let in_saved_model = saved.iter().any(|saved| {
            directory == *saved || saved.is_empty() || directory.starts_with(&format!("{saved}/"))
        });
        if in_saved_model {
            return file != "saved_model.pb"
                || saved.iter().any(|saved| {
                    *saved != directory
                        && (saved.is_empty() || directory.starts_with(&format!("{saved}/")))
                });
        }
        if let Some(prefix) = prefix_of_weights(file) {
            return beside(format!("{prefix}{SYMBOL}"));
        }
        file.ends_with(SYMBOL) && beside(format!("deploy_{file}"))
    };
    let kept: Vec<bool> = candidates.iter().map(|name| !explained(name)).collect();
    candidates.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(name, _)| name).collect()
}

fn directory_of_saved_model(name: &str) -> Option<&str> {
    match name.strip_suffix("saved_model.pb")? {
        "" => Some(""),
        directory => directory.strip_suffix('/'),
    }
}

/// `X` of `X-0007.params`.
fn prefix_of_weights(file: &str) -> Option<&str> {
    let (prefix, epoch) = file.strip_suffix(".params")?.rsplit_once('-')?;
    epoch.bytes().all(|digit| digit.is_ascii_digit()).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_file_explains_is_no_model_of_its_own() {
        for (candidates, left) in [
            (&["m.tflite"][..], &["m.tflite"][..]),
            (&["r-0000.params", "r-0007.params", "r-symbol.json"], &["r-symbol.json"]),
            (&["r-0000.params"], &["r-0000.params"]),
            (
                &["deploy_m-0000.params", "deploy_m-symbol.json", "m-0000.params", "m-symbol.json"],
                &["deploy_m-symbol.json"],
            ),
            (
                &["a/m-symbol.json", "deploy_m-symbol.json"],
                &["a/m-symbol.json", "deploy_m-symbol.json"],
            ),
            (&["saved_model.pb", "assets/x.pb", "frozen.pb"], &["saved_model.pb"]),
            (
                &["1/saved_model.pb", "1/a/saved_model.pb", "m.tflite"],
                &["1/saved_model.pb", "m.tflite"],
            ),
            (&["m.tflite", "m_quant.tflite"], &["m.tflite", "m_quant.tflite"]),
        ] {
            let candidates = candidates.iter().map(ToString::to_string).collect();
            assert_eq!(main_files(candidates), left);
        }
    }
}
