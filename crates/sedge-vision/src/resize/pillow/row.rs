use wide::{i16x8, i32x4, u8x16};

use super::{HALF, Weights, to_u8};

/// The horizontal pass of a row.
pub(super) struct RowPass {
    weights: Weights,
    /// For colour: the weights of two neighbouring pixels at a time, split into high and low bits.
    pairs: Option<Vec<[i16x8; 2]>>,
}

/// Low bits of a split weight; the rest fits 16 bits for every kernel.
const LOW_BITS: u32 = 11;

impl RowPass {
    pub(super) fn new<const N: usize>(weights: Weights) -> Self {
        let pairs =
            if N == 3 { weights.values.chunks_exact(weights.stride) } else { [].chunks_exact(1) };
        let pairs = pairs.flat_map(|values| values.chunks(2).map(split)).collect();
        Self { weights, pairs }
    }

    /// The source pixels needed in all.
    pub(super) fn extent(&self) -> (usize, usize) {
        self.weights.extent()
    }

    /// Resamples one row, whose first pixel is number `origin` of its source.
    pub(super) fn run<const N: usize>(&self, row: &[[u8; N]], origin: usize, out: &mut [[u8; N]]) {
        match &self.pairs {
            Some(pairs) if N == 3 => {
                let (row, _) = row.as_flattened().as_chunks::<3>();
                let (out, _) = out.as_flattened_mut().as_chunks_mut::<3>();
                self.run_pairs(row, origin, pairs, out);
            }
            _ => {
                for ((start, end, weights), out) in self.weights.iter().zip(out) {
                    *out = sum_up(&row[start - origin..end - origin], weights);
                }
            }
        }
    }

    fn run_pairs(&self, row: &[[u8; 3]], origin: usize, pairs: &[[i16x8; 2]], out: &mut [[u8; 3]]) {
        let bytes = row.as_flattened();
        let pairs = pairs.chunks_exact(self.weights.stride.div_ceil(2));
        for (((start, end, weights), pairs), out) in self.weights.iter().zip(pairs).zip(out) {
            let (start, end) = (start - origin, end - origin);
            let pairs = &pairs[..(end - start).div_ceil(2)];
            // Two pixels are six bytes, read as eight.
            let Some(bytes) = bytes.get(start * 3..start * 3 + pairs.len() * 6 + 2) else {
                *out = sum_up(&row[start..end], weights);
                continue;
            };
            let (mut high, mut low) = (i32x4::splat(0), i32x4::splat(HALF));
            for (bytes, [high_weights, low_weights]) in bytes.windows(8).step_by(6).zip(pairs) {
                let mut eight = [0; 8];
                eight.copy_from_slice(bytes);
                let here = u128::from(u64::from_le_bytes(eight));
                let next = here >> 24;
                let lanes = |pixel: u128| u8x16::from(pixel.to_le_bytes());
                // red red green green blue blue, of this pixel and the next
                let samples = i16x8::from_u8x16_low(u8x16::unpack_low(lanes(here), lanes(next)));
                high += samples.dot(*high_weights);
                low += samples.dot(*low_weights);
            }
            let high: i32x4 = high << LOW_BITS;
            let [red, green, blue, _] = (high + low).to_array();
            *out = [red, green, blue].map(to_u8);
        }
    }
}

/// Two weights as factors for three channels of two pixels each; `None` when they are too large.
fn split(weights: &[i32]) -> Option<[i16x8; 2]> {
    let second = weights.get(1).copied().unwrap_or(0);
    let lanes = |a: i16, b: i16| i16x8::from([a, b, a, b, a, b, 0, 0]);
    let high = |weight: i32| i16::try_from(weight >> LOW_BITS).ok();
    let low = |weight: i32| (weight & ((1 << LOW_BITS) - 1)) as i16;
    Some([lanes(high(weights[0])?, high(second)?), lanes(low(weights[0]), low(second))])
}

fn sum_up<const N: usize>(pixels: &[[u8; N]], weights: &[i32]) -> [u8; N] {
    let mut sums = [HALF; N];
    for (pixel, &weight) in pixels.iter().zip(weights) {
        for (sum, &sample) in sums.iter_mut().zip(pixel) {
            *sum = sum.wrapping_add(i32::from(sample) * weight);
        }
    }
    sums.map(to_u8)
}
