//! TVM's graph: inputs are the arguments that the weights do not name, outputs are its heads.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{Neo, NeoTensor};

/// How much of a file of weights is read for the names, which stand before all data.
const MAX_NAME_BYTES: u64 = 1 << 20;

/// True for the JSON of TVM's graph runtime. MXNet's symbols have nodes and heads as well, but
/// neither storage nor compiled functions.
pub(super) fn is_graph(document: &Value) -> bool {
    let has = |path: &str| document.pointer(path).is_some();
    has("/nodes") && has("/heads") && has("/node_row_ptr") && has("/attrs/storage_id")
}

/// Takes over inputs and outputs, which for this backend the graph decides; names of outputs stay
/// those of the metadata. A graph that is damaged says nothing.
pub(super) fn describe(document: &Value, weights: Option<&Path>, neo: &mut Neo) {
    let graph = Graph { document };
    let names = weights.map(weight_names).unwrap_or_default();
    if let Some(inputs) = graph.inputs(&names) {
        neo.inputs = inputs;
    }
    neo.last_function = graph.last_function();
    if let Some(mut outputs) = graph.outputs() {
        for (output, named) in outputs.iter_mut().zip(&neo.outputs) {
            output.name.clone_from(&named.name);
        }
        neo.outputs = outputs;
    }
}

struct Graph<'a> {
    document: &'a Value,
}

impl Graph<'_> {
    fn index(value: &Value) -> Option<usize> {
        usize::try_from(value.as_u64()?).ok()
    }

    fn inputs(&self, weights: &HashSet<String>) -> Option<Vec<NeoTensor>> {
        let arguments = self.document.get("arg_nodes")?.as_array()?;
        let mut inputs = Vec::new();
        for argument in arguments {
            let node = Self::index(argument)?;
            let name = self.document.get("nodes")?.get(node)?.get("name")?.as_str()?;
            if !weights.contains(name) {
                inputs.push(self.tensor(node, 0, name)?);
            }
        }
        Some(inputs)
    }

    fn outputs(&self) -> Option<Vec<NeoTensor>> {
        let heads = self.document.get("heads")?.as_array()?;
        let one = |head: &Value| {
            let output = head.get(1).and_then(Self::index).unwrap_or(0);
            self.tensor(Self::index(head.get(0)?)?, output, "")
        };
        heads.iter().map(one).collect()
    }

    /// The function that gives the only output.
    fn last_function(&self) -> Option<String> {
        let [head] = self.document.get("heads")?.as_array()?.as_slice() else { return None };
        let node = self.document.get("nodes")?.get(Self::index(head.get(0)?)?)?;
        node.pointer("/attrs/func_name")?.as_str().map(str::to_owned)
    }

    /// Type and shape of one result of a node. Attributes are lists behind the name of their kind.
    fn tensor(&self, node: usize, output: usize, name: &str) -> Option<NeoTensor> {
        let first = Self::index(self.document.get("node_row_ptr")?.get(node)?)?;
        let entry = first.checked_add(output)?;
        let attribute = |key: &str| self.document.pointer(&format!("/attrs/{key}/1"))?.get(entry);
        let dtype = attribute("dltype")?.as_str()?.to_owned();
        let shape = attribute("shape")?.as_array()?.iter().map(Value::as_i64);
        Some(NeoTensor { name: name.to_owned(), dtype, shape: shape.collect::<Option<_>>()? })
    }
}

/// The names in a file of weights: two words of magic, a count, then lengths and texts. What comes
/// after a damaged one is left out.
fn weight_names(path: &Path) -> HashSet<String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_NAME_BYTES).read_to_end(&mut bytes));
    let mut rest = bytes.get(16..).unwrap_or_default();
    let count = word(&mut rest).filter(|_| read.is_ok()).unwrap_or(0);
    (0..count).map_while(|_| text(&mut rest)).collect()
}

fn word(rest: &mut &[u8]) -> Option<usize> {
    let (head, tail) = rest.split_first_chunk::<8>()?;
    *rest = tail;
    usize::try_from(u64::from_le_bytes(*head)).ok()
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = word(rest)?;
    let (text, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_the_file_is_damaged() {
        let mut bytes = vec![0; 16];
        for word in [3u64, 2] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"p0");
        bytes.extend(u64::MAX.to_le_bytes());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("compiled.params");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(weight_names(&path), HashSet::from(["p0".to_owned()]));
    }

    #[test]
    fn symbols_of_mxnet_are_no_graph() {
        let symbol =
            serde_json::json!({"nodes": [], "arg_nodes": [], "heads": [], "node_row_ptr": [0]});
        assert!(!is_graph(&symbol));
    }
}
