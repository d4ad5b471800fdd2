//! Sums of products to bytes, in doubles.
//!
//! Two roundings of [`FixedPoint`] are one: with `x` the scaled sum and `b` bits that the first one
//! leaves, `floor(floor(x 2^b + 1/2) / 2^b + 1/2) = floor(x + 1/2 + 2^-(b+1))`, for the floor of a
//! quotient by an integer may be taken before. Below zero, where ties go away from it, the last term
//! is taken off.

use sedge_graph::ValueId;
use sedge_kernels::{FixedPoint, Requantize};
use sedge_tensor::{DType, Tensor};

use super::Writer;

/// `floor(sum * factor + nudge * sign(sum) + offset)`, by channel.
struct Formula {
    factors: Vec<f64>,
    offsets: Vec<f64>,
    /// `None` where no channel has any.
    nudges: Option<Vec<f64>>,
}

/// Which dimension of the sums is that of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// The second of so many.
    Second(usize),
    Last,
}

impl Formula {
    /// The formula that gives the bytes of `requantize`, whose sums are without `bias`; `None` when
    /// doubles are too short for it.
    fn new(requantize: &Requantize, bias: Option<&[i32]>) -> Option<Self> {
        let (zero, (low, _)) = requantize.offset_and_limits();
        // Without results below zero there is no tie there.
        let below = low < zero;
        let count = requantize.channels();
        let channels = (0..count).map(|c| requantize.fixed_point(c));
        let channels = channels.collect::<Option<Vec<FixedPoint>>>()?;
        let tie = |of: &FixedPoint| if of.bits == 0 { 0.0 } else { 0.5 / exp2(of.bits) };
        let is_nudged = |of: &FixedPoint| below && of.away && of.bits > 0;
        let nudged = channels.iter().any(is_nudged);
        if nudged && bias.is_some() {
            // Signs are those of whole sums.
            return None;
        }
        let bias = |channel: usize| bias.map_or(0, |bias| bias[channel]);
        let offset = |(channel, of): (usize, &FixedPoint)| {
            // Halfway to the next product, so that a tie is no matter of the last bit.
            let half = 0.5 + lowest_bit(of.factor).min(0.5 / exp2(of.bits)) / 2.0;
            let tie = if is_nudged(of) { 0.0 } else { tie(of) };
            f64::from(bias(channel)) * of.factor + f64::from(zero) + tie + half
        };
        let nudge = |of: &FixedPoint| if is_nudged(of) { tie(of) } else { 0.0 };
        let mut formula = Self {
            factors: channels.iter().map(|of| of.factor).collect(),
            offsets: channels.iter().enumerate().map(offset).collect(),
            nudges: nudged.then(|| channels.iter().map(nudge).collect()),
        };
        let same = |list: &[f64]| list.iter().all(|x| *x == list[0]);
        let checked = if same(&formula.factors)
            && same(&formula.offsets)
            && channels.iter().all(|of| *of == channels[0])
        {
            formula.factors.truncate(1);
            formula.offsets.truncate(1);
            formula.nudges.iter_mut().for_each(|nudges| nudges.truncate(1));
            1
        } else {
            count
        };
        (0..checked).all(|c| formula.holds(requantize, c, bias(c))).then_some(formula)
    }

    fn nudge(&self, channel: usize) -> f64 {
        self.nudges.as_ref().map_or(0.0, |nudges| nudges[channel])
    }

    /// True when the formula steps up where `requantize` does, with room for the rounding of its
    /// operations: both only rise, so that they are equal everywhere.
    fn holds(&self, requantize: &Requantize, channel: usize, bias: i32) -> bool {
        let (_, (low, high)) = requantize.offset_and_limits();
        let (factor, offset) = (self.factors[channel], self.offsets[channel]);
        if factor <= 0.0 {
            return false;
        }
        let value = |sum: i64| {
            let sum = sum as f64;
            let sign = if sum == 0.0 { 0.0 } else { sum.signum() };
            sum * factor + self.nudge(channel) * sign + offset
        };
        (low + 1..=high).all(|step| {
            let wanted = f64::from(step);
            let mut sum = ((wanted - offset) / factor).ceil() as i64;
            if value(sum - 1) >= wanted {
                sum -= 1;
            } else if value(sum) < wanted {
                sum += 1;
            }
            let byte = |sum: i64| {
                let whole = i32::try_from(sum.saturating_add(i64::from(bias))).ok()?;
                Some(i32::from(requantize.byte(whole, channel)))
            };
            // What the last bits of product and sum can make.
            let room = ((sum as f64 * factor).abs() + offset.abs() + wanted) * f64::EPSILON;
            let above = byte(sum).is_none_or(|b| b >= step && value(sum) - wanted > room);
            let below = byte(sum - 1).is_none_or(|b| b < step && wanted - value(sum - 1) > room);
            above && below
        })
    }
}

/// What a number that is not 0 is a multiple of: its lowest bit that is set.
fn lowest_bit(x: f64) -> f64 {
    let fraction = x.to_bits() & ((1 << 52) - 1) | 1 << 52;
    x / fraction as f64 * (1u64 << fraction.trailing_zeros()) as f64
}

fn exp2(bits: u32) -> f64 {
    f64::from(bits).exp2()
}

impl Writer<'_> {
    /// Bytes of sums without their bias, which are integers of any type; `None` when doubles are too
    /// short for them.
    pub(super) fn requantize(
        &mut self,
        sums: ValueId,
        requantize: &Requantize,
        bias: Option<&[i32]>,
        channels: Channels,
    ) -> Option<ValueId> {
        let mut x = self.cast(sums, DType::F64);
        let formula = match Formula::new(requantize, bias) {
            Some(formula) => formula,
            None => {
                if let Some(bias) = bias {
                    let bias: Vec<f64> = bias.iter().map(|&b| f64::from(b)).collect();
                    x = self.with("Add", x, along(&bias, channels)?);
                }
                Formula::new(requantize, None)?
            }
        };
        let Formula { factors, offsets, nudges } = &formula;
        let spread = |list: &[f64]| -> Vec<f64> {
            (0..requantize.channels()).map(|c| list[c.min(list.len() - 1)]).collect()
        };
        x = match (nudges, channels) {
            (None, Channels::Second(_)) => {
                // A multiplication and an addition in one pass.
                let [factors, offsets] = [factors, offsets].map(|list| spread(list));
                let (zeros, ones) = (vec![0.0; factors.len()], vec![1.0; factors.len()]);
                let mut node = self.out.node("BatchNormalization").input(x);
                for list in [factors, offsets, zeros, ones] {
                    node = node.constant(Tensor::vector(list));
                }
                node.attribute("epsilon", 0.0f32).output("scaled")
            }
            _ => {
                let mut x = self.with("Mul", x, along(factors, channels)?);
                if let Some(nudges) = nudges {
                    let sign = self.one("Sign", x);
                    let nudge = self.with("Mul", sign, along(nudges, channels)?);
                    x = self.pair("Add", x, nudge);
                }
                self.with("Add", x, along(offsets, channels)?)
            }
        };
        let (_, limits) = requantize.offset_and_limits();
        Some(self.floor(x, limits))
    }
}

/// Numbers by channel in the shape that lays them over the sums.
fn along(list: &[f64], channels: Channels) -> Option<Tensor> {
    if let [only] = list {
        return Some(Tensor::scalar(*only));
    }
    let mut shape = vec![list.len()];
    if let Channels::Second(rank) = channels {
        shape.extend(std::iter::repeat_n(1, rank.checked_sub(2)?));
    }
    Tensor::new(shape, list.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use sedge_kernels::{Level, Rounding};

    use super::*;

    /// Numbers in `[0, 1)`, the same in every run.
    fn random() -> impl FnMut() -> f64 {
        let mut state = 1u64;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[test]
    fn doubles_give_the_bytes_of_both_roundings() {
        let mut random = random();
        let mut written = 0;
        for round in 0..300 {
            let channels = 1 + round % 19;
            let factor = |random: &mut dyn FnMut() -> f64| match round % 5 {
                // Powers of two, whose ties are everywhere.
                0 => (-(random() * 16.0).floor()).exp2(),
                1 => random() * 4.0,
                _ => 0.5f64.powf(2.0 + 12.0 * random()),
            };
            let factors: Vec<f64> = (0..channels).map(|_| factor(&mut random)).collect();
            let rounding = [
                Rounding::FixedUp,
                Rounding::FixedAway,
                Rounding::FixedUpByEight,
                Rounding::FixedUpBySixteen,
            ][round % 4];
            let zero = (random() * 256.0) as u8;
            let limits = if round % 3 == 0 { (zero, 255) } else { (0, 250) };
            let requantize =
                Requantize::new(Level::Portable, rounding, channels, &factors, zero, limits);
            let bias: Vec<i32> =
                factors.iter().map(|f| ((random() - 0.5) * 200.0 / f) as i32).collect();
            for bias in [None, Some(bias.as_slice())] {
                let Some(formula) = Formula::new(&requantize, bias) else {
                    // Signs are those of whole sums.
                    assert!(bias.is_some(), "{rounding:?} {factors:?}");
                    continue;
                };
                written += 1;
                for channel in 0..channels {
                    let at = |list: &[f64]| list[channel.min(list.len() - 1)];
                    let bias = bias.map_or(0, |bias| bias[channel]);
                    for _ in 0..2000 {
                        let steps = (random() - 0.5) * 600.0;
                        let sum = (steps / factors[channel]) as i32;
                        let nudge = formula.nudges.as_ref().map_or(0.0, |nudges| at(nudges));
                        let value = f64::from(sum) * at(&formula.factors)
                            + nudge * f64::from(sum.signum())
                            + at(&formula.offsets);
                        let byte = value.clamp(limits.0.into(), limits.1.into()) as u8;
                        let want = requantize.byte(sum + bias, channel);
                        assert_eq!(byte, want, "{rounding:?} {sum} {bias} {}", factors[channel]);
                    }
                }
            }
        }
        assert!(written > 400, "only {written} formulas hold");
    }
}
