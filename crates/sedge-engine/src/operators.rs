use std::collections::BTreeMap;

use sedge_graph::passes;

use crate::native::host;
use crate::rten::adapt;

/// Where the embedded engine computes an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In rten.
    Rten,
    /// In rten, written in other operators.
    Rewritten,
    /// In Sedge's own code.
    Own,
    /// In Sedge's integer kernels, or in floats between quantise and dequantise.
    Integers,
}

/// What the embedded engine does with an ONNX operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its type, such as `Conv`.
    pub name: &'static str,
    /// Where it is computed.
    pub how: How,
    /// Forms of it that are refused while loading.
    pub refused: Vec<&'static str>,
}

/// The ONNX operators of the embedded engine by name; all others are refused while loading.
pub fn operators() -> Vec<Operator> {
    let mut by_name: BTreeMap<&str, How> = BTreeMap::new();
    let groups: [(&[&'static str], How); 4] = [
        (&adapt::REWRITTEN, How::Rewritten),
        (&adapt::OPERATORS, How::Rten),
        (&host::OPERATORS, How::Own),
        (&passes::FUSED_INTEGERS, How::Integers),
    ];
    for (names, how) in groups {
        by_name.extend(names.iter().map(|&name| (name, how)));
    }
    let refused = |name: &str| {
        let about = adapt::LIMITS.iter().filter(|limit| limit.operators.contains(&name));
        about.map(|limit| limit.what).collect()
    };
    by_name.into_iter().map(|(name, how)| Operator { name, how, refused: refused(name) }).collect()
}
