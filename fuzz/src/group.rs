//! Definitions of a Greengrass V1 group, read and made services of.

use std::collections::BTreeMap;

use sedge_greengrass::group::{Options, read_texts};
use sedge_greengrass::models;

use crate::Target;

/// One file of definitions, in whatever shape.
pub const TARGET: Target = Target { name: "group", max_peak_bytes: 256 << 20, body };

fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let given = [("AWS::Region", "eu-west-1"), ("AWS::AccountId", "123456789012")];
    let text_of = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let parameters: BTreeMap<String, String> = given.into_iter().map(text_of).collect();
    let options = Options { parameters, architecture: "x86_64" };
    let reading = read_texts(&[("a.json".to_owned(), text.to_owned())], &options);
    for problem in &reading.report.problems {
        assert!(!problem.rule.is_empty() && !problem.hint.is_empty(), "{problem}");
    }
    // What has errors is not served, and may be asked about all the same.
    let services = models::services(&reading.group);
    if !reading.report.has_errors() {
        let gpu = |unserved: &models::Unserved| {
            matches!(unserved.error, models::ConnectorError::Gpu { .. })
        };
        assert!(services.unserved.iter().all(gpu), "{services:?}");
    }
}
