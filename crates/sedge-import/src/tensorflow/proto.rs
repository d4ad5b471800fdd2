//! The messages of TensorFlow that a model needs. Field numbers: TensorFlow 2.15,
//! `tensorflow/core/framework/*.proto` and `core/protobuf/{meta_graph,saved_model,saver,
//! tensor_bundle}.proto` (proto3, so lists of numbers are packed).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeDef>,
    #[prost(message, optional, tag = "2")]
    pub(super) library: Option<Library>,
    #[prost(message, optional, tag = "4")]
    pub(super) versions: Option<Versions>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Versions {
    #[prost(int32, tag = "1")]
    pub(super) producer: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Library {
    #[prost(message, repeated, tag = "1")]
    pub(super) function: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) op: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) input: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(super) attr: BTreeMap<String, Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(oneof = "Content", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub(super) content: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Content {
    #[prost(message, tag = "1")]
    List(List),
    #[prost(bytes = "bytes", tag = "2")]
    Text(Bytes),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(float, tag = "4")]
    Float(f32),
    #[prost(bool, tag = "5")]
    Bool(bool),
    #[prost(int32, tag = "6")]
    Type(i32),
    #[prost(message, tag = "7")]
    Shape(Shape),
    #[prost(message, boxed, tag = "8")]
    Tensor(Box<Tensor>),
    /// Inside a function: the attribute of the call that has this name.
    #[prost(string, tag = "9")]
    Placeholder(String),
    #[prost(message, tag = "10")]
    Function(FunctionName),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct List {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) texts: Vec<Bytes>,
    #[prost(int64, repeated, tag = "3")]
    pub(super) ints: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionName {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(super) dim: Vec<Dimension>,
    #[prost(bool, tag = "3")]
    pub(super) unknown_rank: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    /// -1 where it is unknown.
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
    /// Little-endian elements: a slice of the file, not a copy.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) content: Bytes,
    #[prost(float, repeated, tag = "5")]
    pub(super) floats: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub(super) doubles: Vec<f64>,
    /// Integers of up to 32 bits.
    #[prost(int32, repeated, tag = "7")]
    pub(super) ints: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub(super) strings: Vec<Bytes>,
    #[prost(int64, repeated, tag = "10")]
    pub(super) longs: Vec<i64>,
    #[prost(bool, repeated, tag = "11")]
    pub(super) bools: Vec<bool>,
    /// The bits of 16-bit floats.
    #[prost(int32, repeated, tag = "13")]
    pub(super) halves: Vec<i32>,
    #[prost(uint32, repeated, tag = "16")]
    pub(super) unsigned: Vec<u32>,
    #[prost(uint64, repeated, tag = "17")]
    pub(super) unsigned_longs: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Function {
    #[prost(message, optional, tag = "1")]
    pub(super) signature: Option<Signature>,
    #[prost(message, repeated, tag = "3")]
    pub(super) node: Vec<NodeDef>,
    /// Which tensor of the body each result is.
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) result: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Signature {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) argument: Vec<Argument>,
    #[prost(message, repeated, tag = "3")]
    pub(super) result: Vec<Argument>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Argument {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedModel {
    #[prost(message, repeated, tag = "2")]
    pub(super) meta_graph: Vec<MetaGraph>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaGraph {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<MetaInfo>,
    #[prost(message, optional, tag = "2")]
    pub(super) graph: Option<GraphDef>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(super) signature: BTreeMap<String, ServingSignature>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaInfo {
    #[prost(string, repeated, tag = "4")]
    pub(super) tags: Vec<String>,
    #[prost(string, tag = "5")]
    pub(super) version: String,
}

/// What a client calls: names for tensors of the graph.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ServingSignature {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) outputs: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorInfo {
    /// `node:output`; empty for what is no dense tensor.
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// The entry of the empty key in the index of saved variables.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleHeader {
    #[prost(int32, tag = "1")]
    pub(super) shards: i32,
    /// 1 for big-endian elements.
    #[prost(int32, tag = "2")]
    pub(super) endianness: i32,
}

/// Where one variable's elements are.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleEntry {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
    #[prost(int32, tag = "3")]
    pub(super) shard: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    #[prost(fixed32, tag = "6")]
    pub(super) checksum: u32,
    #[prost(message, repeated, tag = "7")]
    pub(super) slices: Vec<Slice>,
}

/// A variable that is saved in parts is refused; that it is, is all that is read.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Slice {}
