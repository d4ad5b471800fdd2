//! Functions of a model's own (IR version 8): their bodies are put where they are called, so that
//! nothing behind the reader knows them.
//!
//! Source: "IR.md" of ONNX, "Functions". Names inside a body are its own; operands that a call
//! leaves out are empty; attributes of the body may refer to those of the call.

use std::collections::HashMap;

use super::{ReadError, proto};

/// Calls inside calls; exporters nest two or three.
const MAX_DEPTH: usize = 32;
/// Nodes that all calls together may become: a few functions that call each other twice could
/// otherwise become any number.
const MAX_NODES: usize = 200_000;

type Key = (String, String, String);

/// Replaces every call of a function, in the graph and in the bodies of its nodes.
pub(super) fn inline(
    graph: &mut proto::Graph,
    functions: Vec<proto::Function>,
) -> Result<(), ReadError> {
    if functions.is_empty() {
        return Ok(());
    }
    let key = |f: &proto::Function| (f.domain.clone(), f.name.clone(), f.overload.clone());
    let functions = functions.into_iter().map(|function| (key(&function), function)).collect();
    let mut inliner = Inliner { functions, calls: 0, left: MAX_NODES };
    inliner.graph(graph, 0)
}

struct Inliner {
    functions: HashMap<Key, proto::Function>,
    /// Calls so far, which make the names of each one's values its own.
    calls: usize,
    left: usize,
}

impl Inliner {
    fn graph(&mut self, graph: &mut proto::Graph, depth: usize) -> Result<(), ReadError> {
        graph.node = self.nodes(std::mem::take(&mut graph.node), depth)?;
        Ok(())
    }

    fn nodes(
        &mut self,
        nodes: Vec<proto::Node>,
        depth: usize,
    ) -> Result<Vec<proto::Node>, ReadError> {
        let mut done = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                ReadError::Unsupported(format!("functions that become more than {MAX_NODES} nodes"))
            })?;
            for body in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
                self.graph(body, depth)?;
            }
            let key = (node.domain.clone(), node.op_type.clone(), node.overload.clone());
            let Some(function) = self.functions.get(&key).cloned() else {
                done.push(node);
                continue;
            };
            if depth == MAX_DEPTH {
                let problem =
                    format!("'{}', which calls itself or nests too deeply", function.name);
                return Err(ReadError::Unsupported(format!("a function {problem}")));
            }
            self.calls += 1;
            let body = Call::new(&function, node, self.calls).body(function.node);
            done.extend(self.nodes(body, depth + 1)?);
        }
        Ok(done)
    }
}

/// One call: what the names and attributes of the function stand for.
struct Call {
    names: HashMap<String, String>,
    attributes: HashMap<String, proto::Attribute>,
    prefix: String,
}

impl Call {
    fn new(function: &proto::Function, call: proto::Node, number: usize) -> Self {
        let mut names: HashMap<String, String> = HashMap::from([(String::new(), String::new())]);
        // What the call leaves out at the end is empty.
        let given = call.input.into_iter().chain(std::iter::repeat(String::new()));
        names.extend(function.input.iter().cloned().zip(given));
        names.extend(
            function.output.iter().cloned().zip(call.output).filter(|(_, to)| !to.is_empty()),
        );
        let defaults = function.attribute_proto.iter().cloned();
        let attributes = defaults.chain(call.attribute);
        let attributes = attributes.map(|attribute| (attribute.name.clone(), attribute)).collect();
        Self { names, attributes, prefix: format!("{}_{number}", function.name) }
    }

    fn body(&mut self, nodes: Vec<proto::Node>) -> Vec<proto::Node> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn node(&mut self, mut node: proto::Node) -> proto::Node {
        for name in node.input.iter_mut().chain(&mut node.output) {
            *name = self.renamed(name);
        }
        if !node.name.is_empty() {
            node.name = format!("{}/{}", self.prefix, node.name);
        }
        node.attribute = std::mem::take(&mut node.attribute)
            .into_iter()
            .filter_map(|attribute| self.attribute(attribute))
            .collect();
        node
    }

    fn renamed(&mut self, name: &str) -> String {
        let prefix = &self.prefix;
        self.names.entry(name.to_owned()).or_insert_with(|| format!("{prefix}/{name}")).clone()
    }

    /// One that refers to an attribute which the call leaves out is left out as well.
    fn attribute(&mut self, mut attribute: proto::Attribute) -> Option<proto::Attribute> {
        if !attribute.ref_attr_name.is_empty() {
            let given = self.attributes.get(&attribute.ref_attr_name)?.clone();
            return Some(proto::Attribute { name: attribute.name, ..given });
        }
        if let Some(graph) = &mut attribute.g {
            self.graph(graph);
        }
        Some(attribute)
    }

    /// A body inside the function sees the function's values.
    fn graph(&mut self, graph: &mut proto::Graph) {
        for info in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
            info.name = self.renamed(&info.name);
        }
        for weight in &mut graph.initializer {
            weight.name = self.renamed(&weight.name);
        }
        graph.node = self.body(std::mem::take(&mut graph.node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(domain: &str, op: &str, input: &[&str], output: &[&str]) -> proto::Node {
        proto::Node {
            domain: domain.into(),
            op_type: op.into(),
            input: input.iter().map(ToString::to_string).collect(),
            output: output.iter().map(ToString::to_string).collect(),
            ..proto::Node::default()
        }
    }

    fn function(name: &str, nodes: Vec<proto::Node>) -> proto::Function {
        proto::Function {
            name: name.into(),
            domain: "my".into(),
            input: vec!["a".into(), "b".into()],
            output: vec!["o".into()],
            node: nodes,
            ..proto::Function::default()
        }
    }

    #[test]
    fn bodies_take_the_place_of_calls() {
        let mut scaled = node("", "LeakyRelu", &["t"], &["o"]);
        scaled.attribute = vec![proto::Attribute {
            name: "alpha".into(),
            ref_attr_name: "slope".into(),
            kind: 1,
            ..proto::Attribute::default()
        }];
        let inner = function("Inner", vec![node("", "Add", &["a", "b"], &["t"]), scaled]);
        let outer = function(
            "Outer",
            vec![node("my", "Inner", &["a"], &["x"]), node("my", "Inner", &["x", "b"], &["o"])],
        );
        let mut call = node("my", "Outer", &["in", "w"], &["y"]);
        call.attribute =
            vec![proto::Attribute { name: "slope".into(), f: 0.5, kind: 1, ..Default::default() }];
        let mut graph = proto::Graph { node: vec![call], ..proto::Graph::default() };
        inline(&mut graph, vec![inner, outer]).unwrap();
        let text = |node: &proto::Node| {
            format!("{}({}) -> {}", node.op_type, node.input.join(", "), node.output.join(", "))
        };
        let nodes: Vec<String> = graph.node.iter().map(text).collect();
        assert_eq!(
            nodes,
            [
                "Add(in, ) -> Inner_2/t",
                "LeakyRelu(Inner_2/t) -> Outer_1/x",
                "Add(Outer_1/x, w) -> Inner_3/t",
                "LeakyRelu(Inner_3/t) -> y",
            ]
        );
        // The inner calls give no slope, so that the operator's own default holds.
        assert!(graph.node[1].attribute.is_empty());
    }

    #[test]
    fn functions_without_end_are_refused() {
        let forever = function("F", vec![node("my", "F", &["a"], &["o"])]);
        let twice = |name: &str, next: &str| {
            function(name, vec![node("my", next, &["a"], &["t"]), node("my", next, &["t"], &["o"])])
        };
        let names: Vec<String> = (0..30).map(|n| format!("f{n}")).collect();
        let tower = names.windows(2).map(|pair| twice(&pair[0], &pair[1])).collect();
        for (functions, call, words) in
            [(vec![forever], "F", "calls itself"), (tower, "f0", "more than 200000 nodes")]
        {
            let call = node("my", call, &["in"], &["y"]);
            let mut graph = proto::Graph { node: vec![call], ..proto::Graph::default() };
            let error = inline(&mut graph, functions).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
