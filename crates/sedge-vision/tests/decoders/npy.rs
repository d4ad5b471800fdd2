//! As much of NumPy's file format as the stored tensors need: version 1, little-endian, C order.

use bytes::Bytes;
use sedge_tensor::{DType, Tensor};

pub(crate) fn read(bytes: Vec<u8>) -> Tensor {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let between = |after: &str, until: char| {
        let rest = &header[header.find(after).unwrap() + after.len()..];
        &rest[..rest.find(until).unwrap()]
    };
    let dtype = match between("'descr': '", '\'') {
        "<f4" => DType::F32,
        "|u1" => DType::U8,
        other => panic!("no such element type here: {other}"),
    };
    let dimensions = between("'shape': (", ')').split(',').map(str::trim);
    let shape: Vec<usize> =
        dimensions.filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    Tensor::from_bytes(dtype, shape, Bytes::from(bytes).slice(start..)).unwrap()
}
