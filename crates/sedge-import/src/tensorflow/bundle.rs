//! Saved variables: an index, and files with their elements one after the other
//! (`core/util/tensor_bundle/tensor_bundle.h`).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sedge_tensor::Tensor;

use super::proto::{BundleEntry, BundleHeader};
use super::{checksum, table, tensor};
use crate::Source;

/// Where variables lie, from the directory of `saved_model.pb` on.
const PREFIX: &str = "variables/variables";
/// More files than any model is saved in.
const MAX_SHARDS: i32 = 1 << 12;

/// The saved variables of a model.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    entries: BTreeMap<Vec<u8>, Bytes>,
    shards: Vec<Bytes>,
}

impl Bundle {
    /// Opens the variables beside a model's main file; none where there is no index.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(super) fn open(source: &Source<'_>) -> Result<Option<Self>, String> {
        let directory = source.name.rfind('/').map_or("", |at| &source.name[..=at]);
        let index = format!("{directory}{PREFIX}.index");
        if !source.names().contains(&index) {
            return Ok(None);
        }
        let bytes = source.read(&index).map_err(|error| format!("'{index}': {error}"))?;
        let mut entries = table::read(&bytes).map_err(|problem| format!("'{index}' {problem}"))?;
        let header = entries.remove(&b""[..]).unwrap_or_default();
        let header = BundleHeader::decode(header).map_err(|error| format!("'{index}': {error}"))?;
        if header.endianness != 0 {
            return Err(format!("'{index}' is from a big-endian machine, which is not read"));
        }
        if !(0..=MAX_SHARDS).contains(&header.shards) {
            return Err(format!("'{index}' is damaged: it names {} files", header.shards));
        }
        let shard = |number: i32| {
            let name = format!("{directory}{PREFIX}.data-{number:05}-of-{:05}", header.shards);
            source.read(&name).map_err(|error| format!("'{name}' cannot be read: {error}"))
        };
        let shards = (0..header.shards).map(shard).collect::<Result<_, _>>()?;
        Ok(Some(Self { entries, shards }))
    }

    /// True when a variable of this name was saved.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key.as_bytes())
    }

    /// Bytes of all elements.
    pub(super) fn size(&self) -> usize {
        self.shards.iter().map(Bytes::len).fold(0, usize::saturating_add)
    }

    /// The variable saved as `key`; its elements share the file's bytes.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with its name.
    pub(super) fn read(&self, key: &str) -> Result<Tensor, String> {
        let entry = self.entries.get(key.as_bytes()).ok_or("was not saved")?;
        let entry = BundleEntry::decode(entry.clone()).map_err(|error| error.to_string())?;
        if !entry.slices.is_empty() {
            return Err("is saved in slices, which is not supported. \
                        Hint: save it from a graph without partitioned variables"
                .into());
        }
        let dtype = tensor::dtype_of(entry.dtype).filter(|dtype| dtype.size().is_some());
        let dtype = dtype.ok_or_else(|| {
            format!("has the element type {}, which is not supported", entry.dtype)
        })?;
        let shape = tensor::fixed(entry.shape.as_ref())?;
        let place = || {
            let shard = self.shards.get(usize::try_from(entry.shard).ok()?)?;
            let start = usize::try_from(entry.offset).ok()?;
            let end = start.checked_add(usize::try_from(entry.size).ok()?)?;
            (end <= shard.len()).then(|| shard.slice(start..end))
        };
        let bytes = place().ok_or("lies behind the end of its file, which is cut off")?;
        if !checksum::fits(&bytes, entry.checksum) {
            return Err("is damaged: its checksum is wrong".into());
        }
        Tensor::from_bytes(dtype, shape, bytes).map_err(|error| format!("is damaged: {error}"))
    }
}
