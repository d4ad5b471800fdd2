//! The integer matrix product under convolutions: rows of unsigned bytes times constant columns.

use crate::requantize::{LANES, Requantize, Tile};
use crate::{Level, gather};

/// Rows multiplied before their scratch is reused: little enough for the second-level cache.
pub(crate) const CHUNK: usize = 96;

/// Rows whose sums wait to be turned into bytes together.
#[cfg(target_arch = "x86_64")]
const GROUP: usize = 32;

/// Columns of a panel: four vectors of 16 sums with VNNI, else one.
fn panel_width(level: Level) -> usize {
    if level == Level::Vnni { 4 * LANES } else { LANES }
}

/// Constant weights, packed for the processor, and what turns sums into bytes.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    level: Level,
    depth: usize,
    columns: usize,
    data: Data,
    /// Per lane: bias and all products with zero points that do not depend on the input.
    constants: Vec<i32>,
    /// Per lane the weights' zero point, when any is not 0: it multiplies the sum of a row.
    zeros: Option<Vec<i32>>,
    requantize: Requantize,
}

#[derive(Clone, Debug)]
enum Data {
    /// Groups of four bytes of depth: `[panel][depth / 4][column][4]`.
    Bytes(Vec<i8>),
    /// Pairs of 16-bit numbers: `[panel][depth / 2][column][2]`.
    Pairs(Vec<i16>),
}

/// Integers of a layer's weights: `columns` rows of `depth` each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'a> {
    pub(crate) values: &'a [i8],
    /// One zero point for all columns, or one for each.
    pub(crate) zeros: &'a [i32],
    pub(crate) bias: Option<&'a [i32]>,
    pub(crate) input_zero: u8,
}

impl Matrix {
    pub(crate) fn new(depth: usize, weights: Weights<'_>, requantize: Requantize) -> Self {
        let (level, columns) = (requantize.level, requantize.channels);
        let at = |column: usize, k: usize| {
            if column < columns && k < depth { weights.values[column * depth + k] } else { 0 }
        };
        let lanes = columns.div_ceil(LANES) * LANES;
        let zero = |column: usize| {
            let index = if weights.zeros.len() == 1 { 0 } else { column };
            weights.zeros.get(index).copied().unwrap_or(0)
        };
        let input_zero = i32::from(weights.input_zero);
        let constant = |column: usize| {
            if column >= columns {
                return 0;
            }
            let row = &weights.values[column * depth..][..depth];
            let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
            let bias = weights.bias.map_or(0, |bias| bias[column]);
            let about_zero = input_zero
                .wrapping_mul((depth as i32).wrapping_mul(zero(column)).wrapping_sub(sum));
            bias.wrapping_add(about_zero)
        };
        let zeros = (0..columns).any(|c| zero(c) != 0);
        Self {
            level,
            depth,
            columns,
            data: pack(level, depth, columns, &at),
            constants: (0..lanes).map(constant).collect(),
            zeros: zeros
                .then(|| (0..lanes).map(|c| if c < columns { zero(c) } else { 0 }).collect()),
            requantize,
        }
    }

    /// Bytes a row must have, whole groups included.
    pub(crate) fn row_bytes(&self) -> usize {
        self.depth.next_multiple_of(4)
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Multiplies up to [`CHUNK`] rows that begin every `stride` bytes of `rows`, and writes
    /// `columns` bytes for each. `rows` must hold [`Matrix::row_bytes`] from each beginning.
    pub(crate) fn multiply(&self, rows: &[u8], stride: usize, output: &mut [u8]) {
        let count = output.len() / self.columns;
        assert!(count <= CHUNK && (count - 1) * stride + self.row_bytes() <= rows.len());
        let mut sums = [0i32; CHUNK];
        if self.zeros.is_some() {
            for (i, sum) in sums[..count].iter_mut().enumerate() {
                let row = &rows[i * stride..][..self.depth];
                *sum = row.iter().map(|&b| u32::from(b)).sum::<u32>() as i32;
            }
        }
        match &self.data {
            Data::Bytes(data) => self.by_bytes(data, rows, stride, &sums[..count], output),
            Data::Pairs(data) => {
                let depth = self.depth.next_multiple_of(2);
                gather::with_words(count * depth, |wide| {
                    for (i, wide) in wide.chunks_exact_mut(depth).enumerate() {
                        let row = &rows[i * stride..][..self.depth];
                        wide[depth - 1] = 0;
                        wide.iter_mut().zip(row).for_each(|(wide, &byte)| *wide = i16::from(byte));
                    }
                    self.by_pairs(data, wide, &sums[..count], output);
                });
            }
        }
    }

    /// Writes the bytes of some rows of a panel from their sums of products.
    fn finish(&self, tile: &[i32], stride: usize, first: usize, rows: &[i32], output: &mut [u8]) {
        let period = self.requantize.period();
        let width = stride.min(self.columns - first);
        for at in (0..width).step_by(LANES) {
            let column = first + at;
            let (Some(constants), zeros) = (
                self.constants[column..].first_chunk(),
                self.zeros.as_ref().and_then(|zeros| zeros[column..].first_chunk()),
            ) else {
                return;
            };
            let tile = Tile { sums: &tile[at..], stride, constants, zeros, rows };
            let output = (&mut output[column..], self.columns, LANES.min(width - at));
            self.requantize.tile(&tile, column % period, output);
        }
    }

    fn by_pairs(&self, data: &[i16], wide: &[i16], sums: &[i32], output: &mut [u8]) {
        const ROWS: usize = 4;
        let depth = self.depth.next_multiple_of(2);
        for (panel, weights) in data.chunks_exact(depth * LANES).enumerate() {
            let first = panel * LANES;
            for row in (0..sums.len()).step_by(ROWS) {
                let count = ROWS.min(sums.len() - row);
                let mut tile = [[0; LANES]; ROWS];
                pairs(self.level, &wide[row * depth..][..count * depth], depth, weights, &mut tile);
                let (rows, output) = (&sums[row..row + count], &mut output[row * self.columns..]);
                self.finish(tile.as_flattened(), LANES, first, rows, output);
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn by_bytes(&self, _: &[i8], _: &[u8], _: usize, _: &[i32], _: &mut [u8]) {}

    #[cfg(target_arch = "x86_64")]
    fn by_bytes(&self, data: &[i8], rows: &[u8], stride: usize, sums: &[i32], output: &mut [u8]) {
        let groups = self.depth.div_ceil(4);
        let mut tile = [0; GROUP * 4 * LANES];
        let mut first = 0;
        let mut weights = data;
        while first < self.columns {
            let width = (self.columns - first).min(panel_width(self.level));
            let vectors = width.div_ceil(LANES);
            let (panel, rest) = weights.split_at(groups * vectors * LANES * 4);
            weights = rest;
            for from in (0..sums.len()).step_by(GROUP) {
                let group = &sums[from..sums.len().min(from + GROUP)];
                let mut row = 0;
                while row < group.len() {
                    let rows = &rows[(from + row) * stride..];
                    let tile = &mut tile[row * vectors * LANES..];
                    // SAFETY: the level was detected on this processor.
                    row += unsafe {
                        vnni::tile((vectors, group.len() - row), rows, stride, groups, panel, tile)
                    };
                }
                let output = &mut output[from * self.columns..];
                self.finish(&tile, vectors * LANES, first, group, output);
            }
            first += width;
        }
    }
}

fn pack(level: Level, depth: usize, columns: usize, at: &dyn Fn(usize, usize) -> i8) -> Data {
    let width = panel_width(level);
    let group = if level == Level::Vnni { 4 } else { 2 };
    let mut bytes = Vec::new();
    for first in (0..columns).step_by(width) {
        let lanes = (columns - first).min(width).next_multiple_of(LANES);
        for k in (0..depth).step_by(group) {
            for column in first..first + lanes {
                bytes.extend((k..k + group).map(|k| at(column, k)));
            }
        }
    }
    if level == Level::Vnni {
        Data::Bytes(bytes)
    } else {
        Data::Pairs(bytes.into_iter().map(i16::from).collect())
    }
}

/// Sums of products of up to four rows with one panel of 16 columns.
fn pairs(level: Level, rows: &[i16], depth: usize, weights: &[i16], tile: &mut [[i32; LANES]; 4]) {
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Avx2 {
        // SAFETY: the level was detected on this processor.
        return unsafe { avx2::pairs(rows, depth, weights, tile) };
    }
    let _ = level;
    for (row, sums) in rows.chunks_exact(depth).zip(tile) {
        for (a, w) in row.as_chunks::<2>().0.iter().zip(weights.as_chunks::<{ 2 * LANES }>().0) {
            let [a0, a1] = a.map(i32::from);
            for (sum, w) in sums.iter_mut().zip(w.as_chunks::<2>().0) {
                *sum = sum.wrapping_add(a0 * i32::from(w[0]) + a1 * i32::from(w[1]));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::LANES;

    #[target_feature(enable = "avx2")]
    pub(super) fn pairs(rows: &[i16], depth: usize, weights: &[i16], tile: &mut [[i32; LANES]; 4]) {
        // Rows that are not there repeat the last one.
        let count = rows.len() / depth;
        let row = |i: usize| &rows[i.min(count - 1) * depth..][..depth];
        let rows = [row(0), row(1), row(2), row(3)];
        let weights = &weights[..depth * LANES];
        let mut sums = [[_mm256_setzero_si256(); 2]; 4];
        for pair in 0..depth / 2 {
            // SAFETY: a panel has 32 numbers for each of the depth / 2 pairs.
            let w = unsafe {
                let at = weights.as_ptr().add(pair * 2 * LANES);
                [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(LANES).cast())]
            };
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: every row has `depth` numbers, an even count.
                let a = unsafe { row.as_ptr().add(2 * pair).cast::<i32>().read_unaligned() };
                let a = _mm256_set1_epi32(a);
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(a, w[0]));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(a, w[1]));
            }
        }
        for (to, sums) in tile.iter_mut().zip(sums) {
            // SAFETY: `to` has room for two vectors of eight.
            unsafe {
                _mm256_storeu_si256(to.as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(to.as_mut_ptr().add(8).cast(), sums[1]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::*;

    use super::LANES;

    /// Sums of products of some of the next `rows` rows; answers how many.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn tile(
        (vectors, rows): (usize, usize),
        from: &[u8],
        stride: usize,
        groups: usize,
        panel: &[i8],
        to: &mut [i32],
    ) -> usize {
        // As many accumulators as the 32 registers have room for beside weights and one row.
        match (vectors, rows) {
            (1, 8..) => product::<8, 1>(from, stride, groups, panel, to),
            (1, 4..) => product::<4, 1>(from, stride, groups, panel, to),
            (1, 2..) => product::<2, 1>(from, stride, groups, panel, to),
            (1, _) => product::<1, 1>(from, stride, groups, panel, to),
            (2, 8..) => product::<8, 2>(from, stride, groups, panel, to),
            (2, 4..) => product::<4, 2>(from, stride, groups, panel, to),
            (2, 2..) => product::<2, 2>(from, stride, groups, panel, to),
            (2, _) => product::<1, 2>(from, stride, groups, panel, to),
            (3, 8..) => product::<8, 3>(from, stride, groups, panel, to),
            (3, 4..) => product::<4, 3>(from, stride, groups, panel, to),
            (3, 2..) => product::<2, 3>(from, stride, groups, panel, to),
            (3, _) => product::<1, 3>(from, stride, groups, panel, to),
            (_, 6..) => product::<6, 4>(from, stride, groups, panel, to),
            (_, 4..) => product::<4, 4>(from, stride, groups, panel, to),
            (_, 2..) => product::<2, 4>(from, stride, groups, panel, to),
            (_, _) => product::<1, 4>(from, stride, groups, panel, to),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn product<const ROWS: usize, const VECTORS: usize>(
        from: &[u8],
        stride: usize,
        groups: usize,
        panel: &[i8],
        to: &mut [i32],
    ) -> usize {
        assert!((ROWS - 1) * stride + groups * 4 <= from.len());
        assert!(groups * VECTORS * LANES * 4 <= panel.len());
        assert!(ROWS * VECTORS * LANES <= to.len());
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
        for group in 0..groups {
            let mut weights = [_mm512_setzero_si512(); VECTORS];
            for (i, weights) in weights.iter_mut().enumerate() {
                // SAFETY: the panel's length was checked above.
                *weights = unsafe {
                    _mm512_loadu_si512(panel.as_ptr().add((group * VECTORS + i) * 64).cast())
                };
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the rows' length was checked above.
                let four = unsafe {
                    from.as_ptr().add(row * stride + group * 4).cast::<i32>().read_unaligned()
                };
                let four = _mm512_set1_epi32(four);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, weights);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (i, sum) in sums.into_iter().enumerate() {
                let at = (row * VECTORS + i) * LANES;
                // SAFETY: the room for the sums was checked above.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), sum) };
            }
        }
        ROWS
    }
}
