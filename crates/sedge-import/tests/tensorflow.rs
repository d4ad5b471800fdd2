//! TensorFlow graphs: what they become, and what is said of those that cannot be imported.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sedge_graph::Graph;
use sedge_import::{Format, Imported, Siblings, Source, import};

/// Protobuf, field by field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}

/// `NodeDef`: name, operator, operands, attributes as encoded `AttrValue`s.
fn node(name: &str, op: &str, inputs: &[&str], attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [field(1, name.as_bytes()), field(2, op.as_bytes())].concat();
    bytes.extend(inputs.iter().flat_map(|input| field(3, input.as_bytes())));
    for (key, value) in attributes {
        bytes.extend(field(5, &[field(1, key.as_bytes()), field(2, value)].concat()));
    }
    bytes
}

fn float_type() -> Vec<u8> {
    number(6, 1)
}

fn shape(sizes: &[u8]) -> Vec<u8> {
    field(7, &sizes.iter().flat_map(|&size| field(2, &number(1, size))).collect::<Vec<u8>>())
}

fn placeholder(name: &str) -> Vec<u8> {
    node(name, "Placeholder", &[], &[("dtype", float_type()), ("shape", shape(&[1, 4]))])
}

/// A scalar constant of this `DataType` and field of `TensorProto`.
fn constant(name: &str, dtype: u8, content: &[u8]) -> Vec<u8> {
    node(name, "Const", &[], &[("value", field(8, &[&number(1, dtype), content].concat()))])
}

fn graph(nodes: &[Vec<u8>]) -> Vec<u8> {
    nodes.iter().flat_map(|node| field(1, node)).collect()
}

fn imported(nodes: &[Vec<u8>]) -> Result<Imported, String> {
    import(&Source::alone(graph(nodes))).map_err(|error| error.to_string())
}

fn ops(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op.as_str()).collect()
}

fn names(graph: &Graph) -> [Vec<&str>; 2] {
    [&graph.inputs, &graph.outputs]
        .map(|ids| ids.iter().map(|&id| graph.value(id).name.as_str()).collect())
}

fn model(name: &str) -> Bytes {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models");
    std::fs::read(models.join(name)).unwrap().into()
}

#[test]
fn a_frozen_network_needs_no_transposes_inside() {
    let bytes = model("resnet8-tensorflow/frozen.pb");
    let imported = import(&Source::alone(bytes.clone())).unwrap();
    assert_eq!(imported.format, Format::TensorFlow);
    assert_eq!(names(&imported.graph), [["input:0"], ["Identity:0"]]);
    let transposes = ops(&imported.graph).iter().filter(|op| **op == "Transpose").count();
    assert_eq!(transposes, 1);
    let file = bytes.as_ptr_range();
    let constants = imported.graph.values().filter_map(|(_, value)| value.constant.as_ref());
    let shared = constants.filter(|c| file.contains(&c.bytes().as_ptr())).count();
    assert!(shared > 20, "only {shared} constants share the file's bytes");
}

#[test]
fn what_nobody_reads_comes_out_if_it_depends_on_an_input() {
    let two = imported(&[
        placeholder("x"),
        constant("c", 1, &field(5, &1f32.to_le_bytes())),
        node("unused", "Identity", &["c"], &[]),
        node("sum", "AddV2", &["x", "c", "^unused"], &[]),
        node("parts", "Split", &["axis", "sum"], &[("num_split", number(3, 2))]),
        constant("axis", 3, &field(7, &[1])),
        node("check", "Assert", &["sum"], &[]),
    ]);
    let two = two.unwrap();
    assert_eq!(names(&two.graph), [vec!["x:0"], vec!["parts:0", "parts:1"]]);
    assert_eq!(ops(&two.graph), ["Add", "Split"]);
}

#[test]
fn a_branch_for_training_is_left_out() {
    let flag = node("phase_train", "Placeholder", &[], &[("dtype", number(6, 10))]);
    let graph = imported(&[
        placeholder("x"),
        flag,
        node("choice", "Switch", &["x", "phase_train"], &[]),
        // What `tf.cond` leaves behind.
        node("flag", "Switch", &["phase_train", "phase_train"], &[]),
        node("switch_t", "Identity", &["flag:1"], &[]),
        node("noise", "RandomUniform", &["choice:1"], &[]),
        node("calm", "Relu", &["choice:0"], &[]),
        node("y", "Merge", &["noise", "calm"], &[]),
    ]);
    let graph = graph.unwrap().graph;
    assert_eq!((ops(&graph), names(&graph)[0].clone()), (vec!["Relu"], vec!["x:0"]));
}

#[test]
fn what_cannot_be_imported_is_said_exactly() {
    let x = || placeholder("x");
    let on = |op: &str| node("y", op, &["x"], &[]);
    let huge = [number(1, 1), field(2, &field(2, &[8, 0xff, 0xff, 0xff, 0xff, 0x0f]))].concat();
    for (nodes, want) in [
        (vec![x(), on("Bucketize")], "operators that are not supported: Bucketize (1)"),
        (
            vec![x(), node("y", "Enter", &["x"], &[]), node("z", "Exit", &["y"], &[])],
            "the loop of 'z' cannot be imported: \
             Enter, Merge, Switch, NextIteration and LoopCond do not make a circle",
        ),
        (
            vec![x(), node("y", "Relu", &["z:0"], &[])],
            "the file is damaged: 'y' reads 'z:0', which does not exist",
        ),
        (vec![x(), x()], "the file is damaged: two nodes have the name 'x'"),
        (
            vec![
                x(),
                node("a", "Add", &["x", "b"], &[]),
                node("b", "Relu", &["a"], &[]),
                node("c", "Relu", &["b"], &[]),
            ],
            "the file is damaged: the nodes form a cycle through 'b'",
        ),
        (
            vec![x()],
            "no result of the graph depends on an input. \
             Hint: freeze it with its placeholders, or save it with a signature",
        ),
        (
            vec![x(), node("y", "Reshape", &["x"], &[])],
            "operator Reshape that makes 'y' cannot be imported: operand 1 is missing",
        ),
        (
            vec![x(), node("y", "MaxPool", &["x"], &[("data_format", field(2, b"NCHW_VECT_C"))])],
            "operator MaxPool that makes 'y' cannot be imported: \
             its layout is NCHW_VECT_C, only NHWC and NCHW are supported",
        ),
        (
            vec![
                x(),
                node("c", "Const", &[], &[("value", field(8, &huge))]),
                node("y", "Add", &["x", "c"], &[]),
            ],
            "operator Const that makes 'c' cannot be imported: \
             its value has 17179869180 bytes, of which the file gives 0: that is too much",
        ),
        (
            vec![x(), node("v", "VarHandleOp", &[], &[]), node("y", "Add", &["x", "v"], &[])],
            "operator VarHandleOp that makes 'v' cannot be imported: it is a variable, whose value \
             is not in the file. Hint: freeze the graph, or use the whole directory of the SavedModel",
        ),
        (
            vec![
                x(),
                node("flag", "Equal", &["x", "x"], &[]),
                node("y", "Switch", &["x", "flag"], &[]),
            ],
            "output 'y:0' cannot be imported: it is one branch of a condition. \
             Hint: freeze the graph with what merges the branches as the output",
        ),
    ] {
        let error = imported(&nodes).unwrap_err();
        assert_eq!(error, format!("cannot import the TensorFlow model: {want}"));
    }
}

/// A loop that doubles its variable as long as `test` of it and `limit` holds.
fn doubling(start: &str, test: &str, limit: &str) -> Vec<Vec<u8>> {
    vec![
        node("enter", "Enter", &[start], &[("frame_name", field(2, b"loop"))]),
        node("merge", "Merge", &["enter", "next"], &[]),
        node("limit", "Enter", &[limit], &[("frame_name", field(2, b"loop"))]),
        node("test", test, &["merge", "limit"], &[]),
        node("cond", "LoopCond", &["test"], &[]),
        node("switch", "Switch", &["merge", "cond"], &[]),
        node("double", "AddV2", &["switch:1", "switch:1"], &[]),
        node("next", "NextIteration", &["double"], &[]),
        node("exit", "Exit", &["switch"], &[]),
    ]
}

fn int(name: &str, value: u8) -> Vec<u8> {
    constant(name, 3, &field(7, &[value]))
}

#[test]
fn a_loop_is_written_out_as_often_as_it_runs() {
    let cast = node("number", "Cast", &["exit"], &[("DstT", float_type())]);
    let sum = node("y", "AddV2", &["x", "number"], &[]);
    let nodes = [placeholder("x"), int("one", 1), int("most", 100), cast, sum];
    let nodes = [nodes.to_vec(), doubling("one", "Less", "most")].concat();
    let graph = imported(&nodes).unwrap().graph;
    // 1, 2, 4, ... 128 is known while importing.
    assert_eq!(ops(&graph), ["Cast", "Add"]);
    let number = graph.nodes[0].input(0);
    assert_eq!(graph.constant_ints(number), Some(vec![128]));

    let zero = [placeholder("x"), int("one", 0), int("most", 100)];
    let told =
        imported(&[zero.to_vec(), nodes[3..5].to_vec(), doubling("one", "Less", "most")].concat());
    assert_eq!(
        told.unwrap_err(),
        "cannot import the TensorFlow model: the loop of 'cond' cannot be imported: written out, \
         the loops of the file take more than 4096 rounds or 131072 operators"
    );

    let open = [placeholder("x"), constant("most", 1, &field(5, &9f32.to_le_bytes()))];
    let told = imported(&[open.to_vec(), doubling("x", "Less", "most")].concat());
    assert_eq!(
        told.unwrap_err(),
        "cannot import the TensorFlow model: the loop of 'cond' (Enter, Merge, Switch, LoopCond, \
         NextIteration, Exit, or While) cannot be imported: how often it runs is computed from the \
         input; loops over a batch or a list of known length are supported. \
         Hint: export the parts before and behind the loop as models of their own"
    );
}

#[test]
fn the_outputs_of_the_object_detection_api_are_understood() {
    let names = ["detection_boxes", "detection_scores", "detection_classes", "num_detections"];
    let nodes = |names: &[&str]| {
        let output = |name: &&str| node(name, "Relu", &["x"], &[]);
        [vec![placeholder("x")], names.iter().map(output).collect()].concat()
    };
    let facts = imported(&nodes(&names)).unwrap().facts;
    let value = |key: &str| {
        let fact = facts.iter().find(|fact| fact.key == key);
        fact.map(|fact| fact.value.to_string()).unwrap_or_default()
    };
    assert_eq!(value("decoder.kind"), "\"tflite-detection\"");
    assert_eq!(value("decoder.scores"), "\"detection_scores:0\"");
    assert_eq!(value("decoder.count"), "\"num_detections:0\"");
    assert_eq!(value("model.label_offset"), "1");
    let fewer = imported(&nodes(&names[..3])).unwrap().facts;
    assert!(!fewer.iter().any(|fact| fact.key.starts_with("decoder.")));
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let sound = model("resnet8-tensorflow/frozen.pb");
    for length in (0..sound.len()).step_by(997) {
        assert!(import(&Source::alone(sound.slice(..length))).is_err(), "{length}");
    }
    let cut = import(&Source::alone(sound.slice(..sound.len() - 100))).unwrap_err();
    let start = "cannot import the TensorFlow model: the file is damaged or incomplete: ";
    assert!(cut.to_string().starts_with(start), "{cut}");
    // Names and numbers of the structure, not of the weights, which any bytes are.
    let small = graph(&[
        placeholder("x"),
        constant("axis", 3, &field(7, &[1])),
        node("parts", "Split", &["axis", "x"], &[("num_split", number(3, 2))]),
        node("sum", "Add", &["parts:0", "parts:1"], &[]),
    ]);
    for at in 0..small.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, small[at].wrapping_add(1)] {
            let mut damaged = small.clone();
            damaged[at] = value;
            let _ = import(&Source::alone(damaged));
        }
    }
}

/// The files of a saved model, some of them damaged.
#[derive(Debug)]
struct Files(BTreeMap<String, Bytes>);

impl Siblings for Files {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> std::io::Result<Bytes> {
        self.0.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

const INDEX: &str = "variables/variables.index";
const DATA: &str = "variables/variables.data-00000-of-00001";

fn saved() -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/saved_models/session");
    let read = |name: &str| (name.to_owned(), std::fs::read(folder.join(name)).unwrap().into());
    Files(["saved_model.pb", INDEX, DATA].map(read).into())
}

fn opened(files: &Files) -> Result<Imported, String> {
    let main = files.0["saved_model.pb"].clone();
    import(&Source::new("saved_model.pb", main, files)).map_err(|error| error.to_string())
}

#[test]
fn a_saved_model_is_its_files() {
    let imported = opened(&saved()).unwrap();
    assert_eq!(imported.format, Format::SavedModel);
    assert_eq!(imported.beside, [DATA, INDEX]);
    assert_eq!(names(&imported.graph), [["pixels"], ["logits"]]);
}

#[test]
fn damaged_variables_are_named() {
    let flipped = |name: &str, at: usize| {
        let mut bytes = saved().0[name].to_vec();
        bytes[at] ^= 1;
        (name.to_owned(), Bytes::from(bytes))
    };
    let cut = |name: &str, by: usize| {
        let bytes = saved().0[name].clone();
        (name.to_owned(), bytes.slice(..bytes.len() - by))
    };
    let variable = "operator VariableV2 that makes 'conv/bias' cannot be imported: \
                    the variable 'conv/bias'";
    for (change, want) in [
        (flipped(DATA, 3), format!("{variable} is damaged: its checksum is wrong")),
        (
            cut(DATA, 1),
            "operator VariableV2 that makes 'dense/kernel' cannot be imported: the variable \
             'dense/kernel' lies behind the end of its file, which is cut off"
                .to_owned(),
        ),
        (
            flipped(INDEX, 3),
            format!("its variables cannot be read: '{INDEX}' is damaged: a checksum is wrong"),
        ),
        (
            cut(INDEX, 1),
            format!("its variables cannot be read: '{INDEX}' is no index of variables, or cut off"),
        ),
    ] {
        let mut files = saved();
        files.0.extend([change]);
        assert_eq!(
            opened(&files).unwrap_err(),
            format!("cannot import the TensorFlow model: {want}")
        );
    }
    let mut files = saved();
    files.0.remove(DATA);
    let start = format!(
        "cannot import the TensorFlow model: its variables cannot be read: '{DATA}' cannot be read"
    );
    assert!(opened(&files).unwrap_err().starts_with(&start));
    files.0.remove(INDEX);
    assert!(opened(&files).unwrap_err().contains("Hint: freeze the graph, or use the whole"));
}

#[test]
fn functions_without_end_are_refused() {
    // A function that calls itself, and one that calls the next twice, thirty times over.
    let call = |name: &str, function: &str| node(name, function, &["a"], &[]);
    let function = |name: &str, nodes: &[Vec<u8>], last: &str| {
        let argument = |number: u8| field(number, &field(1, b"a"));
        let signature = [field(1, name.as_bytes()), argument(2), argument(3)].concat();
        let result = [field(1, b"a"), field(2, format!("{last}:a:0").as_bytes())].concat();
        let body: Vec<u8> = nodes.iter().flat_map(|node| field(3, node)).collect();
        field(1, &[field(1, &signature), body, field(4, &result)].concat())
    };
    let circle = function("f", &[call("n", "f")], "n");
    let tower = (0..30).map(|level| {
        let next = format!("g{}", level + 1);
        function(&format!("g{level}"), &[call("n", &next), call("m", &next)], "n")
    });
    let end = function("g30", &[node("n", "Relu", &["a"], &[])], "n");
    let tower = [tower.flatten().collect::<Vec<u8>>(), end].concat();
    for (first, library) in [("f", circle), ("g0", tower)] {
        let mut bytes = graph(&[placeholder("x"), node("y", first, &["x"], &[])]);
        bytes.extend(field(2, &library));
        let error = import(&Source::alone(bytes)).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot import the TensorFlow model: the functions of the file call each other too \
             deep, or into more than 1048576 operators"
        );
    }
}
