//! Writes what exporters spell out in several operators as the one operator that it is: borders of
//! zeros in front of a convolution, limits in two steps, and the hard activations of MobileNet v3.

use std::collections::HashMap;

use sedge_tensor::{DType, Tensor};

use crate::{Attribute, Graph, Node, ValueId};

/// Fuses every occurrence in a sorted graph. What nothing else read is dead afterwards.
pub fn fuse_patterns(graph: &mut Graph) {
    fuse_pads(graph);
    let producers = graph.producers();
    // In order, so that what is fused here may be a part of what comes later.
    for index in 0..graph.nodes.len() {
        let find = Find { graph, producers: &producers };
        let node = &graph.nodes[index];
        let fused =
            find.limits(node).or_else(|| find.hard_swish(node)).or_else(|| find.hard_sigmoid(node));
        match fused {
            Some(Fused::Clip { x, low, high }) => {
                let limit = |graph: &mut Graph, limit: f32| {
                    Some(graph.add_constant("limit", Tensor::scalar(limit)))
                };
                let inputs = vec![Some(x), limit(graph, low), limit(graph, high)];
                replace(&mut graph.nodes[index], "Clip", inputs);
            }
            Some(Fused::HardSwish(x)) => {
                replace(&mut graph.nodes[index], "HardSwish", vec![Some(x)]);
            }
            Some(Fused::HardSigmoid(x)) => {
                let node = &mut graph.nodes[index];
                replace(node, "HardSigmoid", vec![Some(x)]);
                node.attributes.insert("alpha".into(), Attribute::Float(1.0 / 6.0));
                node.attributes.insert("beta".into(), Attribute::Float(0.5));
            }
            None => {}
        }
    }
}

fn replace(node: &mut Node, op: &str, inputs: Vec<Option<ValueId>>) {
    node.op = op.to_owned();
    node.inputs = inputs;
    node.attributes.clear();
}

/// What a node turns out to compute.
enum Fused {
    Clip {
        x: ValueId,
        low: f32,
        high: f32,
    },
    /// `x * clip(x + 3, 0, 6) / 6`.
    HardSwish(ValueId),
    /// `clip(x + 3, 0, 6) / 6`.
    HardSigmoid(ValueId),
}

struct Find<'g> {
    graph: &'g Graph,
    producers: &'g HashMap<ValueId, usize>,
}

impl<'g> Find<'g> {
    /// The node of the default domain and of one of these kinds that makes a value.
    fn made(&self, value: Option<ValueId>, kinds: &[&str]) -> Option<&'g Node> {
        let node = &self.graph.nodes[*self.producers.get(&value?)?];
        (node.domain.is_empty() && kinds.contains(&node.op.as_str())).then_some(node)
    }

    /// A constant number of floats.
    fn number(&self, value: Option<ValueId>) -> Option<f32> {
        let constant = self.graph.constant(value)?;
        let single = constant.dtype() == DType::F32 && constant.len() == 1;
        // More dimensions than the other operand has would be the result's.
        let plain = constant.shape().is_empty() || constant.shape() == [1];
        if single && plain { constant.to_f32()?.first().copied() } else { None }
    }

    /// The two operands of a commutative operator, the one that is a constant number last.
    fn with_number(&self, node: &Node) -> Option<(ValueId, f32)> {
        if node.inputs.len() != 2 {
            return None;
        }
        let (a, b) = (node.input(0)?, node.input(1)?);
        match (self.number(Some(a)), self.number(Some(b))) {
            (None, Some(number)) => Some((a, number)),
            (Some(number), None) => Some((b, number)),
            _ => None,
        }
    }

    /// What a rectifier, a limit or a pair of limits leaves of `x`.
    fn range(&self, node: &Node) -> Option<(ValueId, f32, f32)> {
        const NONE: f32 = f32::INFINITY;
        if !node.domain.is_empty() {
            return None;
        }
        match node.op.as_str() {
            "Relu" => Some((node.input(0)?, 0.0, NONE)),
            "Max" => self.with_number(node).map(|(x, low)| (x, low, NONE)),
            "Min" => self.with_number(node).map(|(x, high)| (x, -NONE, high)),
            "Clip" => {
                let end = |index: usize, none: f32| match node.input(index) {
                    Some(end) => self.number(Some(end)),
                    None => Some(none),
                };
                Some((node.input(0)?, end(1, -NONE)?, end(2, NONE)?))
            }
            _ => None,
        }
    }

    /// Limits behind limits.
    fn limits(&self, node: &Node) -> Option<Fused> {
        let (inner, low, high) = self.range(node)?;
        let before = self.made(Some(inner), &["Relu", "Max", "Min", "Clip"])?;
        let (x, least, most) = self.range(before)?;
        // Where the ranges do not meet, their order decides, and ends of NaN decide nothing.
        let meet = least <= most && low <= high && low <= most && least <= high;
        let is_float = self.graph.value(x).dtype == Some(DType::F32);
        let fused = Fused::Clip { x, low: low.max(least), high: high.min(most) };
        (meet && is_float).then_some(fused)
    }

    /// `x` where a value is `clip(x + 3, 0, 6)`.
    fn shifted(&self, value: Option<ValueId>) -> Option<ValueId> {
        let clip = self.made(value, &["Clip"])?;
        let (sum, 0.0, 6.0) = self.range(clip)? else { return None };
        match self.with_number(self.made(Some(sum), &["Add"])?)? {
            (x, 3.0) => Some(x),
            _ => None,
        }
    }

    /// What a node divides by six, by division or multiplication.
    fn sixth(&self, node: &Node) -> Option<ValueId> {
        if !node.domain.is_empty() {
            return None;
        }
        match node.op.as_str() {
            "Div" if self.number(node.input(1)) == Some(6.0) => node.input(0),
            "Mul" => {
                let (x, factor) = self.with_number(node)?;
                ((factor * 6.0 - 1.0).abs() < 1e-6).then_some(x)
            }
            _ => None,
        }
    }

    fn hard_sigmoid(&self, node: &Node) -> Option<Fused> {
        self.shifted(Some(self.sixth(node)?)).map(Fused::HardSigmoid)
    }

    /// `x` where a value is its hard sigmoid.
    fn gate(&self, value: Option<ValueId>) -> Option<ValueId> {
        let node = self.made(value, &["HardSigmoid", "Div", "Mul"])?;
        if node.op != "HardSigmoid" {
            return self.shifted(Some(self.sixth(node)?));
        }
        let near = |name: &str, number: f32| {
            node.float(name).is_some_and(|stated| (stated - number).abs() < 1e-6)
        };
        let beta = near("beta", 0.5) || node.float("beta").is_none();
        (near("alpha", 1.0 / 6.0) && beta).then(|| node.input(0))?
    }

    fn hard_swish(&self, node: &Node) -> Option<Fused> {
        // x * gate(x), or (x * clip(x + 3, 0, 6)) / 6.
        let product = |node: &Node, of: &dyn Fn(Option<ValueId>) -> Option<ValueId>| {
            let sides = [(node.input(0), node.input(1)), (node.input(1), node.input(0))];
            let fits = |&(x, other): &(Option<ValueId>, Option<ValueId>)| {
                node.inputs.len() == 2 && x.is_some() && of(other) == x
            };
            sides.iter().find(|pair| fits(pair)).and_then(|pair| pair.0)
        };
        if !node.domain.is_empty() {
            return None;
        }
        let gated = (node.op == "Mul").then(|| product(node, &|value| self.gate(value))).flatten();
        let sixth = || {
            let inner = self.made(Some(self.sixth(node)?), &["Mul"])?;
            product(inner, &|value| self.shifted(value))
        };
        gated.or_else(sixth).map(Fused::HardSwish)
    }
}

/// Gives convolutions the borders of zeros that a node before them adds.
fn fuse_pads(graph: &mut Graph) {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Some((input, pads)) = padded(graph, &producers, node) else { continue };
        let only = consumers.get(&input).is_some_and(|uses| uses.len() == 1);
        if !only || graph.outputs.contains(&input) {
            continue;
        }
        let before = producers.get(&input).and_then(|&pad| graph.nodes[pad].input(0));
        let node = &mut graph.nodes[index];
        node.inputs[0] = before;
        node.attributes.insert("pads".into(), Attribute::Ints(pads));
        node.attributes.remove("auto_pad");
    }
}

/// The padded input of a convolution, and the pads it has together with those of the node before.
fn padded(
    graph: &Graph,
    producers: &HashMap<ValueId, usize>,
    node: &Node,
) -> Option<(ValueId, Vec<i64>)> {
    let automatic = !matches!(node.string("auto_pad"), None | Some("NOTSET" | "VALID"));
    if !node.is("Conv") || automatic {
        return None;
    }
    let input = node.input(0)?;
    let pad = producers.get(&input).map(|&index| &graph.nodes[index]).filter(|n| n.is("Pad"))?;
    let zero = match pad.input(2) {
        Some(fill) => graph.constant(Some(fill))?.to_f32()?.iter().all(|&fill| fill == 0.0),
        None => true,
    };
    let constant = matches!(pad.string("mode"), None | Some("constant"));
    let added = graph.constant_ints(pad.input(1))?;
    let rank = added.len() / 2;
    let (starts, ends) = added.split_at_checked(rank)?;
    let is_spatial =
        |list: &[i64]| matches!(list, [0, 0, rest @ ..] if rest.iter().all(|n| *n >= 0));
    if !zero || !constant || pad.input(3).is_some() || !is_spatial(starts) || !is_spatial(ends) {
        return None;
    }
    let added = [&starts[2..], &ends[2..]].concat();
    // A valid convolution has no pads of its own, whatever it states.
    let own = node.ints("pads").filter(|_| node.string("auto_pad") != Some("VALID"));
    let pads = match own {
        Some(own) if own.len() == added.len() => {
            own.iter().zip(&added).map(|(a, b)| a.checked_add(*b)).collect::<Option<_>>()?
        }
        Some(_) => return None,
        None => added,
    };
    Some((input, pads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, passes};

    fn start() -> (Graph, ValueId) {
        let mut graph = Graph::new("g");
        let x = graph.add_value(Value {
            name: "x".into(),
            dtype: Some(DType::F32),
            ..Value::default()
        });
        graph.inputs.push(x);
        (graph, x)
    }

    fn fused(mut graph: Graph, y: ValueId) -> Graph {
        graph.outputs.push(y);
        fuse_patterns(&mut graph);
        passes::clean(&mut graph);
        graph
    }

    fn ops(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.op.as_str()).collect()
    }

    #[test]
    fn borders_of_zeros_go_into_the_convolution() {
        for (fill, fuses) in [(0.0, true), (1.0, false)] {
            let (mut graph, x) = start();
            let pad = graph.node("Pad").input(x).ints(&[0, 0, 0, 1, 0, 0, 1, 0]).scalar(fill);
            let wide = pad.output("wide");
            let weight = Tensor::new([1, 1, 1, 1], vec![2f32]).unwrap();
            let conv = graph.node("Conv").input(wide).constant(weight);
            let y = conv.attribute("pads", vec![1i64, 1, 1, 1]).output("y");
            let graph = fused(graph, y);
            assert_eq!(ops(&graph).len(), if fuses { 1 } else { 2 }, "{fill}");
            if fuses {
                assert_eq!(graph.nodes[0].ints("pads"), Some(&[1, 2, 2, 1][..]));
            }
        }
    }

    #[test]
    fn limits_in_two_steps_are_one() {
        for (low, high, fuses) in [(0.0, 6.0, true), (-1.0, 4.0, true), (7.0, 6.0, false)] {
            let (mut graph, x) = start();
            let least = graph.node("Max").scalar(low).input(x).output("least");
            let y = graph.node("Min").input(least).scalar(high).output("y");
            let graph = fused(graph, y);
            assert_eq!(ops(&graph), if fuses { vec!["Clip"] } else { vec!["Max", "Min"] });
        }
    }

    #[test]
    fn hard_activations_are_found_in_every_spelling() {
        let gate = |graph: &mut Graph, x: ValueId| {
            let sum = graph.node("Add").input(x).scalar(3.0).output("sum");
            graph.node("Clip").input(sum).scalar(0.0).scalar(6.0).output("gate")
        };
        let sixth = |graph: &mut Graph, value: ValueId, divides: bool| match divides {
            true => graph.node("Div").input(value).scalar(6.0).output("sixth"),
            false => graph.node("Mul").scalar(1.0 / 6.0).input(value).output("sixth"),
        };
        for divides in [true, false] {
            let (mut graph, x) = start();
            let g = gate(&mut graph, x);
            let y = sixth(&mut graph, g, divides);
            assert_eq!(ops(&fused(graph, y)), ["HardSigmoid"]);

            let (mut graph, x) = start();
            let g = gate(&mut graph, x);
            let s = sixth(&mut graph, g, divides);
            let y = graph.node("Mul").input(x).input(s).output("y");
            assert_eq!(ops(&fused(graph, y)), ["HardSwish"]);

            let (mut graph, x) = start();
            let g = gate(&mut graph, x);
            let product = graph.node("Mul").input(g).input(x).output("product");
            let y = sixth(&mut graph, product, divides);
            assert_eq!(ops(&fused(graph, y)), ["HardSwish"]);
        }
        // Of something else it is none.
        let (mut graph, x) = start();
        let other = graph.node("Neg").input(x).output("other");
        let g = gate(&mut graph, other);
        let s = sixth(&mut graph, g, true);
        let y = graph.node("Mul").input(x).input(s).output("y");
        assert_eq!(ops(&fused(graph, y)), ["Neg", "HardSigmoid", "Mul"]);
    }
}
