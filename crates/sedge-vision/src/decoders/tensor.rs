use serde::{Deserialize, Serialize};

/// `kind = "tensor"`: the outputs have no meaning here and are handed on as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {}
