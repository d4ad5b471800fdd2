//! Inputs that fuzzing is too slow to find: deep nesting, one thing shared by thousands, small files
//! that ask for much. Each has to come back, in bounded memory and soon; the time is printed.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use peak_alloc::PeakAlloc;
use sedge_fuzz::{archive, escaped_panics, image, manifest, oip, onnx, sagemaker, tflite};
use sedge_graph::{Dim, Graph, Value};
use sedge_tensor::{DType, Tensor};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a target on each input; `times` is how much memory an input may take per byte of its own,
/// above what the target allows small ones.
fn survives(target: &sedge_fuzz::Target, times: usize, inputs: &[(&str, Vec<u8>)]) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    target.run(&[]);
    let known_panics = escaped_panics().len();
    for (name, bytes) in inputs {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let started = Instant::now();
        target.run(bytes);
        let (took, peak) = (started.elapsed(), MEMORY.peak_usage().saturating_sub(before));
        println!(
            "{} {name}: {} KiB, {:.2} s, {} KiB of memory",
            target.name,
            bytes.len() >> 10,
            took.as_secs_f64(),
            peak >> 10
        );
        let most = target.max_peak_bytes + times * bytes.len();
        assert!(peak <= most, "{name} took {peak} bytes of {most}");
    }
    assert_eq!(escaped_panics()[known_panics..], [""; 0]);
}

#[test]
fn deep_json_is_refused() {
    let data = |data: String| {
        format!(r#"{{"inputs":[{{"name":"f32","shape":[1],"datatype":"FP32","data":{data}}}]}}"#)
    };
    let body = |text: String| [b"\n\n", text.as_bytes()].concat();
    let deep = 500_000;
    survives(
        &oip::TARGET,
        8,
        &[
            ("lists", body("[".repeat(deep))),
            ("objects", body("{\"inputs\":".repeat(deep / 10))),
            ("data", body(data("[".repeat(deep)))),
            ("closed data", body(data("[".repeat(deep) + &"]".repeat(deep)))),
            ("nested parameters", body("{\"parameters\":".repeat(deep / 10))),
            ("many numbers", body(data(format!("[{}1]", "1,".repeat(deep))))),
            ("one long number", body(data("1".repeat(deep)))),
            ("one long text", body(data(format!("[\"{}\"]", "\\u0041".repeat(deep / 6))))),
        ],
    );
}

#[test]
fn deep_manifests_are_refused() {
    let manifest = |text: String| format!("schema = 1\n{text}").into_bytes();
    let deep = 50_000;
    survives(
        &manifest::TARGET,
        400,
        &[
            ("lists", manifest(format!("input = {}", "[".repeat(deep)))),
            ("tables", manifest(format!("input = {}", "{a=".repeat(deep)))),
            ("dotted key", manifest(format!("decoder{} = 1", ".a".repeat(deep)))),
            ("dotted header", manifest(format!("[decoder{}]", ".a".repeat(deep)))),
            ("closed dotted header", manifest(format!("[[input{}]]\nb = 1", ".a".repeat(deep)))),
            ("many inputs", manifest("[[input]]\nkind = \"image\"\n".repeat(deep / 10))),
            (
                "many keys",
                manifest(
                    (0..deep / 10)
                        .fold("[decoder]\n".to_owned(), |text, i| text + &format!("a{i} = {i}\n")),
                ),
            ),
        ],
    );
}

#[test]
fn many_anchors_are_refused() {
    let decoder = |anchors: &str| {
        format!(
            "schema = 1\nmodel = {{ files = [\"ssd.onnx\"], labels = \"labels.txt\" }}\n[[input]]\n\
             kind = \"image\"\nwidth = 16\nheight = 16\nlayout = \"nchw\"\ndtype = \"f32\"\n\
             color = \"rgb\"\nstd = [255.0]\n[decoder]\nkind = \"ssd-anchors\"\n\
             box_form = \"center-variance\"\n[decoder.anchors]\n{anchors}\n"
        )
        .into_bytes()
    };
    let wide = "maps = [[4294967295, 4294967295]]\nsizes = [[0.1]]";
    let many = format!("maps = [{}]\nsizes = [[0.1]]", "[65535, 65535], ".repeat(500));
    survives(
        &manifest::TARGET,
        100,
        &[("wide maps", decoder(wide)), ("many maps", decoder(&many))],
    );
}

/// One field of a protobuf message: of length `bytes`.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn onnx_file(graph: &[u8]) -> Vec<u8> {
    // ir_version 8; opset_import { version: 21 }.
    [&[0x08, 8][..], &field(8, &[0x10, 21]), &field(7, graph)].concat()
}

#[test]
fn deep_and_wide_onnx_files_are_bounded() {
    let nested = |depth: usize| {
        let mut graph = Vec::new();
        for _ in 0..depth {
            // node { op_type: "If", attribute { name: "then_branch", g: ..., type: GRAPH } }
            let attribute =
                [field(1, b"then_branch"), field(6, &graph), vec![0xa0, 0x01, 5]].concat();
            graph = field(1, &[field(2, b"y"), field(4, b"If"), field(5, &attribute)].concat());
        }
        onnx_file(&graph)
    };
    let initializer = |name: &str| field(5, &[&[0x10, 1][..], &field(8, name.as_bytes())].concat());
    let taken: Vec<u8> = (0..20_000)
        .map(|i| initializer(&format!("a_{}", i + 20_000)))
        .chain((0..20_000).map(|_| initializer("a")))
        .flatten()
        .collect();
    let chain = |op: &str| {
        let mut graph = Graph::new("chain");
        let mut last = input(&mut graph, &[1, 2, 3, 4]);
        for _ in 0..20_000 {
            last = graph.node(op).input(last).output("x");
        }
        graph.outputs.push(last);
        sedge_graph::onnx::write(&graph)
    };
    survives(
        &onnx::TARGET,
        400,
        &[
            ("30 bodies in each other", nested(30)),
            ("3000 bodies in each other", nested(3000)),
            ("names that are taken", onnx_file(&taken)),
            ("a long chain", chain("Relu")),
            ("a long chain of transposes", chain("Transpose")),
            ("a long chain of shapes", chain("Shape")),
            ("many outputs", many_outputs()),
        ],
    );
}

fn input(graph: &mut Graph, shape: &[usize]) -> sedge_graph::ValueId {
    let id = graph.add_value(Value {
        name: "input".into(),
        dtype: Some(DType::F32),
        shape: Some(shape.iter().map(|&n| Dim::Fixed(n)).collect()),
        ..Value::default()
    });
    graph.inputs.push(id);
    id
}

fn many_outputs() -> Vec<u8> {
    let mut graph = Graph::new("many");
    let x = input(&mut graph, &[1, 2]);
    for _ in 0..20_000 {
        let y = graph.node("Shape").input(x).output("y");
        graph.outputs.push(y);
    }
    sedge_graph::onnx::write(&graph)
}

#[test]
fn a_constant_behind_many_transposes_is_not_copied_for_each() {
    let shared = |perms: &dyn Fn(usize) -> Vec<i64>, rank: usize| {
        let mut graph = Graph::new("shared");
        let mut shape = vec![1; rank];
        shape[rank - 1] = 1 << 18;
        let x = input(&mut graph, &vec![1; rank]);
        let weight = Tensor::new(shape, vec![1f32; 1 << 18]).unwrap();
        let weight = graph.add_constant("weight", weight);
        for index in 0..1000 {
            let turned =
                graph.node("Transpose").input(x).attribute("perm", perms(index)).output("t");
            let sum = graph.node("Add").input(turned).input(weight).output("y");
            graph.outputs.push(sum);
        }
        sedge_graph::onnx::write(&graph)
    };
    let rotated = |by: usize| (0..8).map(|i| (i + by as i64) % 8).collect::<Vec<i64>>();
    survives(
        &onnx::TARGET,
        40,
        &[
            ("one order", shared(&|_| vec![0, 3, 1, 2], 4)),
            ("several orders", shared(&|index| rotated(1 + index % 7), 8)),
        ],
    );
}

/// A FlatBuffer of a model whose lists all name one table, written back to front by hand.
fn tflite_file(codes: usize, metadata: usize, text: usize) -> Vec<u8> {
    let mut file = vec![0u8; 8];
    file[4..8].copy_from_slice(b"TFL3");
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    // The root's list of fields (8 of them) and the root itself; places of fields as they lie.
    let vtable = file.len();
    for entry in [20u16, 36, 4, 8, 12, 0, 16, 0, 20, 0] {
        file.extend(entry.to_le_bytes());
    }
    let root = file.len();
    file[0..4].copy_from_slice(&(root as u32).to_le_bytes());
    word(&mut file, (root - vtable) as u32);
    word(&mut file, 3);
    // operator_codes, subgraphs, buffers, metadata: offsets, filled in below.
    for _ in 0..7 {
        word(&mut file, 0);
    }
    let fill = |file: &mut Vec<u8>, at: usize, target: usize| {
        let offset = (target - at) as u32;
        file[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    };
    let mut lists = Vec::new();
    for (slot, count) in [(8, codes), (12, 1), (16, 0), (20, metadata)] {
        let list = file.len();
        fill(&mut file, root + slot, list);
        word(&mut file, count as u32);
        for _ in 0..count {
            lists.push((file.len(), slot));
            word(&mut file, 0);
        }
    }
    // One table for all: fields 0 (an offset whose first byte is 32, CUSTOM) and 1, the same text.
    let vtable = file.len();
    for entry in [8u16, 12, 4, 8] {
        file.extend(entry.to_le_bytes());
    }
    let named = file.len();
    for offset in [8, 32, 28] {
        word(&mut file, offset);
    }
    file.resize(named + 36, 0);
    assert_eq!(named - vtable, 8);
    word(&mut file, text as u32);
    file.extend(vec![b'a'; text]);
    // The one subgraph has no fields.
    file.resize(file.len().next_multiple_of(4), 0);
    let subgraph = file.len() + 4;
    file.extend([4, 0, 4, 0]);
    word(&mut file, 4);
    for (at, slot) in lists {
        fill(&mut file, at, if slot == 12 { subgraph } else { named });
    }
    file
}

#[test]
fn text_that_a_tflite_file_shares_is_not_read_for_each() {
    survives(
        &tflite::TARGET,
        40,
        &[
            ("operator codes", tflite_file(60_000, 0, 1 << 20)),
            ("metadata", tflite_file(0, 60_000, 1 << 20)),
        ],
    );
}

/// The name of the next entry, as GNU tar writes one of over 100 bytes.
fn long_name(name: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(name.len() as u64);
    header.set_cksum();
    archive.append(&header, name).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn archives_that_grow_are_bounded() {
    let tar = |name: &str, bytes: &[u8]| {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
        archive.into_inner().unwrap()
    };
    let zipped = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zeros = vec![0; 64 << 20];
    survives(
        &archive::TARGET,
        40,
        &[
            ("a large model", zipped(&tar("model.onnx", &zeros))),
            ("a large manifest", zipped(&tar("model.toml", &zeros))),
            ("a name of 64 MiB", zipped(&long_name(&zeros))),
            ("a long name", tar(&"a/".repeat(5000), b"")),
            ("many directories", tar(&("abc/".repeat(900) + "x"), b"x")),
        ],
    );
}

#[test]
fn bodies_that_grow_are_bounded() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let request = |body: Vec<u8>| [b"content-encoding: gzip\n\n", &body[..]].concat();
    survives(
        &sagemaker::TARGET,
        4,
        &[
            ("a bomb", request(gzip(&vec![0; 64 << 20]))),
            ("many members", request(gzip(b"").repeat(40_000))),
        ],
    );
}

#[test]
fn pictures_that_grow_are_bounded() {
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(&vec![0; 64 << 20]).unwrap();
    let deflated = deflated.finish().unwrap();
    // 16 x 16, 8 bits, gray.
    let header = [0, 0, 0, 16, 0, 0, 0, 16, 8, 0, 0, 0, 0];
    let png = |chunks: &[(&[u8; 4], &[u8])]| {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, bytes) in chunks {
            file.extend((bytes.len() as u32).to_be_bytes());
            file.extend_from_slice(*kind);
            file.extend_from_slice(bytes);
            // The target puts the checksum right.
            file.extend([0; 4]);
        }
        file
    };
    let text = [b"a\0\0", &deflated[..]].concat();
    let many: Vec<_> = (0..2000).map(|_| (b"zTXt", &text[..1000])).collect();
    survives(
        &image::TARGET,
        4,
        &[
            ("pixels", png(&[(b"IHDR", &header), (b"IDAT", &deflated), (b"IEND", b"")])),
            ("text", png(&[(b"IHDR", &header), (b"zTXt", &text), (b"IEND", b"")])),
            ("profile", png(&[(b"IHDR", &header), (b"iCCP", &text), (b"IEND", b"")])),
            ("many texts", png(&[&[(b"IHDR", &header[..])][..], &many].concat())),
        ],
    );
}
