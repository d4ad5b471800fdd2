//! ONNX files: reading and writing.
