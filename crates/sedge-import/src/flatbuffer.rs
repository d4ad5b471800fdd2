//! A reader of FlatBuffers, the container of TensorFlow Lite files.
//!
//! Fields are read by their number in the schema. Every offset is checked against the file before
//! it is followed, nothing is allocated by a count that the bytes do not back, and nothing
//! recurses: each step into a table is one call by the importer.
//!
//! Format: <https://flatbuffers.dev/internals/>.

/// The bytes contradict themselves: an offset or a length leads out of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} does not lie inside the file")]
pub struct Malformed {
    what: &'static str,
    at: usize,
}

/// A table: a record whose fields are found through its vtable and may be absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    start: usize,
    /// Field offsets relative to `start`, two bytes each.
    fields: &'a [u8],
}

/// A vector of tables, each read when asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables<'a> {
    bytes: &'a [u8],
    start: usize,
    count: usize,
}

fn array<const N: usize>(
    bytes: &[u8],
    at: usize,
    what: &'static str,
) -> Result<[u8; N], Malformed> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Malformed { what, at })
}

/// The position a 32-bit offset stored at `at` leads to.
fn follow(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let offset = u32::from_le_bytes(array(bytes, at, "an offset")?) as usize;
    at.checked_add(offset)
        .filter(|&target| target < bytes.len())
        .ok_or(Malformed { what: "the target of an offset", at })
}

macro_rules! scalars {
    ($($name:ident: $ty:ty),* $(,)?) => {$(
        /// A scalar field, or `default` when it is absent.
        pub(crate) fn $name(&self, field: usize, default: $ty) -> Result<$ty, Malformed> {
            match self.position(field) {
                Some(at) => Ok(<$ty>::from_le_bytes(array(self.bytes, at, "a number")?)),
                None => Ok(default),
            }
        }
    )*};
}

macro_rules! vectors {
    ($($name:ident: $ty:ty),* $(,)?) => {$(
        /// A vector of scalars; empty when it is absent.
        pub(crate) fn $name(&self, field: usize) -> Result<Vec<$ty>, Malformed> {
            let bytes = self.vector(field, size_of::<$ty>())?.unwrap_or_default();
            let (elements, _) = bytes.as_chunks();
            Ok(elements.iter().map(|&element| <$ty>::from_le_bytes(element)).collect())
        }
    )*};
}

impl<'a> Table<'a> {
    /// A table all of whose fields are absent.
    pub(crate) const EMPTY: Table<'static> = Table { bytes: &[], start: 0, fields: &[] };

    /// The root table of a buffer.
    pub(crate) fn root(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::at(bytes, follow(bytes, 0)?)
    }

    fn at(bytes: &'a [u8], start: usize) -> Result<Self, Malformed> {
        let what = "a table's list of fields";
        let outside = Malformed { what, at: start };
        // The vtable lies before or after its table: the distance is signed and subtracted.
        let distance = i32::from_le_bytes(array(bytes, start, "a table")?);
        let vtable = i64::try_from(start).ok().and_then(|start| start.checked_sub(distance.into()));
        let vtable = vtable.and_then(|at| usize::try_from(at).ok()).ok_or(outside.clone())?;
        let size = usize::from(u16::from_le_bytes(array(bytes, vtable, what)?));
        let fields = bytes.get(vtable..).and_then(|rest| rest.get(4..size)).ok_or(outside)?;
        Ok(Self { bytes, start, fields })
    }

    /// Where a field's value lies; `None` when the field is absent.
    fn position(&self, field: usize) -> Option<usize> {
        let offset = self.fields.get(field * 2..)?.first_chunk()?;
        match u16::from_le_bytes(*offset) {
            0 => None,
            offset => Some(self.start.saturating_add(offset.into())),
        }
    }

    scalars! { i8: i8, u8: u8, i32: i32, u32: u32, u64: u64, f32: f32 }

    vectors! { i32s: i32, i64s: i64, f32s: f32 }

    /// A boolean field, false when it is absent.
    pub(crate) fn bool(&self, field: usize) -> Result<bool, Malformed> {
        Ok(self.u8(field, 0)? != 0)
    }

    /// The bytes of a vector with elements of `size` bytes.
    pub(crate) fn vector(&self, field: usize, size: usize) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(at) = self.position(field) else { return Ok(None) };
        let start = follow(self.bytes, at)?;
        let count = u32::from_le_bytes(array(self.bytes, start, "a length")?) as usize;
        let bytes = count
            .checked_mul(size)
            .and_then(|length| self.bytes.get(start + 4..)?.get(..length))
            .ok_or(Malformed { what: "the end of a vector", at: start })?;
        Ok(Some(bytes))
    }

    /// A vector of bytes.
    pub(crate) fn blob(&self, field: usize) -> Result<Option<&'a [u8]>, Malformed> {
        self.vector(field, 1)
    }

    /// A string; bytes that are no UTF-8 are replaced, because names are only shown and compared.
    pub(crate) fn string(&self, field: usize) -> Result<Option<String>, Malformed> {
        Ok(self.vector(field, 1)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// A sub-table, also the value of a union.
    pub(crate) fn table(&self, field: usize) -> Result<Option<Table<'a>>, Malformed> {
        let Some(at) = self.position(field) else { return Ok(None) };
        Self::at(self.bytes, follow(self.bytes, at)?).map(Some)
    }

    /// A vector of tables; empty when it is absent.
    pub(crate) fn tables(&self, field: usize) -> Result<Tables<'a>, Malformed> {
        let Some(bytes) = self.vector(field, 4)? else {
            return Ok(Tables { bytes: self.bytes, start: 0, count: 0 });
        };
        let start = bytes.as_ptr().addr() - self.bytes.as_ptr().addr();
        Ok(Tables { bytes: self.bytes, start, count: bytes.len() / 4 })
    }
}

impl<'a> Tables<'a> {
    /// How many tables the vector lists.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The table at an index, `None` past the end.
    pub(crate) fn get(&self, index: usize) -> Option<Result<Table<'a>, Malformed>> {
        let at = self.start + index * 4;
        let table = |at| Table::at(self.bytes, follow(self.bytes, at)?);
        (index < self.count).then(|| table(at))
    }

    /// Every table in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Result<Table<'a>, Malformed>> {
        (0..self.count).map_while(move |index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root table with a `u8` field 0 (7), a string field 1 ("ab") and a vector of one table
    /// (itself) in field 3.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![16, 0, 0, 0];
        bytes.extend([12u8, 0, 16, 0, 12, 0, 4, 0, 0, 0, 8, 0]); // vtable at 4
        bytes.extend(12i32.to_le_bytes()); // table at 16, its vtable 12 bytes before
        bytes.extend(12u32.to_le_bytes()); // field 1 at 20: string at 32
        bytes.extend(16u32.to_le_bytes()); // field 3 at 24: vector at 40
        bytes.extend([7, 0, 0, 0]); // field 0 at 28
        bytes.extend([2, 0, 0, 0, b'a', b'b', 0, 0]);
        bytes.extend([1, 0, 0, 0]);
        bytes.extend((16u32.wrapping_sub(44)).to_le_bytes()); // backwards: must be refused
        bytes
    }

    #[test]
    fn fields_are_found_by_number_and_default_when_absent() {
        let bytes = sample();
        let table = Table::root(&bytes).unwrap();
        assert_eq!(table.u8(0, 1), Ok(7));
        assert_eq!(table.string(1).unwrap().as_deref(), Some("ab"));
        assert_eq!(table.i32(2, -3), Ok(-3));
        assert_eq!(table.i32(99, 5), Ok(5));
        let tables = table.tables(3).unwrap();
        assert_eq!(tables.len(), 1);
        assert!(tables.get(0).unwrap().is_err());
        assert!(tables.get(1).is_none());
    }

    #[test]
    fn any_damage_is_an_error_not_a_panic() {
        let good = sample();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                read_all(&bytes);
            }
            read_all(&good[..at]);
        }
    }

    fn read_all(bytes: &[u8]) {
        let Ok(table) = Table::root(bytes) else { return };
        for field in 0..6 {
            let _ = (table.u8(field, 0), table.u64(field, 0), table.f32(field, 0.0));
            let _ = (table.string(field), table.i64s(field), table.f32s(field));
            let _ = table.table(field);
            if let Ok(tables) = table.tables(field) {
                assert!(tables.iter().count() <= bytes.len());
            }
        }
    }
}
