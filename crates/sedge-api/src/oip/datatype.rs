use sedge_tensor::DType;

/// The protocol's name of an element type.
pub(super) fn name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "BOOL",
        DType::U8 => "UINT8",
        DType::I8 => "INT8",
        DType::U16 => "UINT16",
        DType::I16 => "INT16",
        DType::U32 => "UINT32",
        DType::I32 => "INT32",
        DType::U64 => "UINT64",
        DType::I64 => "INT64",
        DType::F16 => "FP16",
        DType::Bf16 => "BF16",
        DType::F32 => "FP32",
        DType::F64 => "FP64",
        DType::String => "BYTES",
    }
}

/// The element type of one of the protocol's names.
pub(super) fn parse(text: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|&dtype| name(dtype) == text)
}

/// The name in a model's configuration.
pub(super) fn config_name(dtype: DType) -> String {
    match dtype {
        DType::String => "TYPE_STRING".into(),
        _ => format!("TYPE_{}", name(dtype)),
    }
}
