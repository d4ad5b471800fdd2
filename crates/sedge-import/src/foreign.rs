//! Formats that are known and not imported, each with the way to one that is.

use crate::Format;

/// A format that Sedge does not import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, with its article.
    pub name: &'static str,
    /// How to go on.
    pub hint: &'static str,
}

const PYTORCH: Foreign = Foreign {
    name: "a PyTorch model, which only Python can load",
    hint: "export it where it was trained, with an input of its size:\n  \
           model = torch.load(\"model.pt\", weights_only=False).eval()\n  \
           torch.onnx.export(model, torch.zeros(1, 3, 224, 224), \"model.onnx\")",
};
const TORCH_SCRIPT: Foreign = Foreign {
    name: "a TorchScript model",
    hint: "export it with PyTorch, with an input of its size:\n  \
           model = torch.jit.load(\"model.pt\").eval()\n  \
           torch.onnx.export(model, torch.zeros(1, 3, 224, 224), \"model.onnx\")",
};
const KERAS: Foreign = Foreign {
    name: "a Keras model",
    hint: "convert it with TensorFlow:\n  \
           converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.models.load_model(\"model.h5\"))\n  \
           open(\"model.tflite\", \"wb\").write(converter.convert())",
};
const PICKLE: Foreign = Foreign {
    name: "a Python pickle, which can run any code when it is loaded",
    hint: "export the model in it as ONNX, with the framework that trained it",
};
const CAFFE: Foreign = Foreign {
    name: "a Caffe model",
    hint: "convert it to ONNX, for instance with the package caffe2onnx",
};
const CORE_ML: Foreign = Foreign {
    name: "a Core ML model",
    hint: "export ONNX from the framework that trained it; Core ML has no way back",
};
const TENSOR_RT: Foreign = Foreign {
    name: "a TensorRT engine, which runs on the kind of GPU alone that it was built on",
    hint: "use the ONNX file that it was built from",
};
const TEXT_GRAPH: Foreign = Foreign {
    name: "a TensorFlow graph as text",
    hint: "write it as bytes, with its variables frozen: tf.io.write_graph(graph, \".\", \"graph.pb\", as_text=False)",
};
const CHECKPOINT: Foreign = Foreign {
    name: "a TensorFlow checkpoint, which has variables and no graph to run",
    hint: "export a saved model, or freeze the graph with the checkpoint into a .pb file",
};
const OPENVINO: Foreign = Foreign {
    name: "an OpenVINO model",
    hint: "use the model that it was converted from, or export it as ONNX again",
};
const SAFETENSORS: Foreign = Foreign {
    name: "a file of weights without a graph (safetensors)",
    hint: "export the whole model as ONNX, with the framework that trained it",
};
const NCNN: Foreign =
    Foreign { name: "an ncnn model", hint: "use the ONNX file that it was converted from" };
const PADDLE: Foreign =
    Foreign { name: "a PaddlePaddle model", hint: "convert it with paddle2onnx" };
const DARKNET: Foreign =
    Foreign { name: "a Darknet model", hint: "convert the .cfg and .weights files to ONNX" };

/// Recognises a file by its first bytes, at least 16 where there are as many, and by its name where
/// they are no proof.
pub fn foreign(name: &str, bytes: &[u8]) -> Option<&'static Foreign> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    // Protocol 2 and later of Python's pickle begin so.
    if matches!(bytes, [0x80, 2..=5, ..]) {
        return Some(if ends(&[".pt", ".pth", ".bin", ".ckpt"]) { &PYTORCH } else { &PICKLE });
    }
    if starts(b"\x89HDF\r\n\x1a\n") {
        return Some(&KERAS);
    }
    if starts(b"ftrt") || starts(b"ptrt") {
        return Some(&TENSOR_RT);
    }
    if starts(b"7767517\n") {
        return Some(&NCNN);
    }
    // Its first field is the version, as that of an ONNX model.
    if ends(&[".mlmodel"]) && starts(&[0x08]) {
        return Some(&CORE_ML);
    }
    if ends(&[".safetensors"]) && bytes.get(8) == Some(&b'{') {
        return Some(&SAFETENSORS);
    }
    if Format::recognise(&name, bytes).is_some() {
        return None;
    }
    let is_part = name.rsplit_once(".data-").is_some_and(|(_, rest)| rest.contains("-of-"));
    let is_list = name == "checkpoint" && starts(b"model_checkpoint_path");
    // SageMaker Neo has JSON in files of this name.
    let is_graph = ends(&[".meta"]) && starts(&[0x0a]);
    if is_part || is_list || is_graph {
        return Some(&CHECKPOINT);
    }
    let by_name: [(&[&str], &Foreign); 9] = [
        (&[".pbtxt"], &TEXT_GRAPH),
        (&[".caffemodel", ".prototxt"], &CAFFE),
        (&[".engine", ".plan", ".trt"], &TENSOR_RT),
        (&[".ckpt", ".index"], &CHECKPOINT),
        (&[".pdmodel", ".pdiparams"], &PADDLE),
        (&[".weights"], &DARKNET),
        (&[".pt", ".pth"], &PYTORCH),
        (&[".h5", ".keras"], &KERAS),
        (&[".xml"], &OPENVINO),
    ];
    by_name.into_iter().find(|(endings, _)| ends(endings)).map(|(_, foreign)| foreign)
}

/// Recognises a model that is a zip archive by the names of its entries.
pub fn foreign_archive(names: impl Iterator<Item = impl AsRef<str>>) -> Option<&'static Foreign> {
    let (mut pickle, mut code, mut weights, mut config) = (false, false, false, false);
    for name in names {
        let name = name.as_ref();
        pickle |= name == "data.pkl" || name.ends_with("/data.pkl");
        code |= name.contains("/code/") && name.ends_with(".py");
        weights |= name == "model.weights.h5";
        config |= name == "config.json";
    }
    match (pickle, code, weights && config) {
        (true, true, _) => Some(&TORCH_SCRIPT),
        (true, false, _) => Some(&PYTORCH),
        (_, _, true) => Some(&KERAS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_bytes_and_then_by_name() {
        for (name, bytes, known) in [
            ("model.pt", &b"\x80\x02}q\0"[..], Some(&PYTORCH)),
            ("model", b"\x80\x04\x95", Some(&PICKLE)),
            ("weights", b"\x89HDF\r\n\x1a\n\0\0\0\0", Some(&KERAS)),
            ("x.mlmodel", b"\x08\x01\x12\x05", Some(&CORE_ML)),
            ("x.onnx", b"\x08\x08\x12\x05", None),
            ("graph.pbtxt", b"node {", Some(&TEXT_GRAPH)),
            ("a/NET.CAFFEMODEL", b"\x0a\x03net", Some(&CAFFE)),
            ("yolo.engine", b"\0\0\0\0", Some(&TENSOR_RT)),
            ("any", b"ftrt\0\0\0\0", Some(&TENSOR_RT)),
            ("m.safetensors", b"\x10\0\0\0\0\0\0\0{\"a\"", Some(&SAFETENSORS)),
            ("checkpoint", b"model_checkpoint_path: \"m\"", Some(&CHECKPOINT)),
            ("m.data-00000-of-00001", b"\0\0\x80?", Some(&CHECKPOINT)),
            ("model.ckpt-70.meta", b"\x0a\xf2\x01", Some(&CHECKPOINT)),
            ("compiled.meta", b"{\"Model\"", None),
            ("model.tflite", b"\x1c\0\0\0TFL3", None),
            ("cat.jpg", b"\xff\xd8\xff\xe0", None),
        ] {
            assert_eq!(foreign(name, bytes), known, "{name}");
        }
    }

    #[test]
    fn archives_are_told_by_their_entries() {
        for (names, known) in [
            (&["net/data.pkl", "net/data/0"][..], Some(&PYTORCH)),
            (&["net/data.pkl", "net/code/__torch__.py"], Some(&TORCH_SCRIPT)),
            (&["metadata.json", "config.json", "model.weights.h5"], Some(&KERAS)),
            (&["model.toml", "config.json"], None),
        ] {
            assert_eq!(foreign_archive(names.iter()), known, "{names:?}");
        }
    }
}
