//! Which cases an engine is excused from, and why.

pub(crate) struct Excuse {
    /// Part of `model/case way`.
    pub(crate) case: &'static str,
    pub(crate) reason: &'static str,
}

pub(crate) fn of(engine: &str) -> &'static [Excuse] {
    match engine {
        "onnxruntime" => ONNXRUNTIME,
        _ => &[],
    }
}

const ONNXRUNTIME: &[Excuse] = &[];
