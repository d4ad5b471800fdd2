//! Operators element by element: sums, products, tables, joining, quantising.

use sedge_graph::ValueId;
use sedge_kernels::{Affine, Arithmetic, Binary, Broadcast, Level, Rounding, Threads};
use sedge_tensor::{DType, Tensor};

use super::Writer;
use super::requantize::Channels;

/// Room for the roundings of a formula in doubles of numbers of steps, which are some hundreds.
const ROOM: f64 = 1e-10;

/// Sums of a graph that are checked for all pairs of bytes, which takes about a millisecond.
const MOST_CHECKED: usize = 4096;

/// `floor(left * byte + right * byte + nudge * sign + offset)`, limited to bytes.
struct Sum {
    factors: [f64; 2],
    /// What is below the offset where both operands are zero.
    zero: f64,
    nudge: f64,
    offset: f64,
}

impl Sum {
    /// True when the formula gives the bytes of `binary` for all pairs of bytes.
    fn holds(&self, bytes: &[u8], (low, high): (u8, u8)) -> bool {
        let (low, high) = (f64::from(low), f64::from(high));
        bytes.iter().enumerate().all(|(pair, &byte)| {
            let [left, right] = [pair >> 8, pair & 255].map(|byte| byte as f64);
            let steps = left * self.factors[0] + right * self.factors[1] - self.zero;
            let sign = if steps == 0.0 { 0.0 } else { steps.signum() };
            // The sign of what is hardly anything may be either.
            let certain = self.nudge == 0.0 || steps == 0.0 || steps.abs() > ROOM;
            let value = steps + self.nudge * sign + self.offset;
            let wanted = f64::from(byte);
            let above = wanted <= low || value - wanted > ROOM;
            let below = wanted >= high || wanted + 1.0 - value > ROOM;
            certain && above && below
        })
    }
}

impl Writer<'_> {
    pub(super) fn binary(
        &mut self,
        arithmetic: Arithmetic,
        [(left, of_left), (right, of_right)]: [(ValueId, Affine); 2],
        to: Affine,
        limits: (u8, u8),
    ) -> Option<ValueId> {
        let meanings = (of_left, of_right);
        let binary =
            Binary::new(Level::Portable, Rounding::FixedAway, arithmetic, meanings, to, limits);
        let operands = [self.bytes(left)?, self.bytes(right)?];
        if let Some(requantize) = binary.products() {
            let [a, b] = [(operands[0], of_left.zero), (operands[1], of_right.zero)]
                .map(|(bytes, zero)| self.steps(bytes, zero));
            let product = self.pair("Mul", a, b);
            return self.requantize(product, requantize, None, Channels::Last);
        }
        self.checked += 1;
        let formula =
            (self.checked <= MOST_CHECKED).then(|| sum(&binary, arithmetic, meanings, to, limits));
        if let Some(sum) = formula.flatten() {
            return Some(self.sum(&sum, operands, limits));
        }
        let (shares, requantize) = binary.shares()?;
        let [a, b] = [(operands[0], shares[0]), (operands[1], shares[1])]
            .map(|(bytes, shares)| self.choose(bytes, Tensor::vector(shares.to_vec())));
        let sums = self.pair("Add", a, b);
        self.requantize(sums, requantize, None, Channels::Last)
    }

    fn sum(&mut self, sum: &Sum, operands: [ValueId; 2], (low, high): (u8, u8)) -> ValueId {
        let [left, right] = [(operands[0], sum.factors[0]), (operands[1], sum.factors[1])].map(
            |(bytes, factor)| {
                let doubles = self.cast(bytes, DType::F64);
                self.with("Mul", doubles, Tensor::scalar(factor))
            },
        );
        let mut x = self.pair("Add", left, right);
        let mut offset = sum.offset - sum.zero;
        if sum.nudge != 0.0 {
            x = self.with("Sub", x, Tensor::scalar(sum.zero));
            let sign = self.one("Sign", x);
            let nudge = self.with("Mul", sign, Tensor::scalar(sum.nudge));
            x = self.pair("Add", x, nudge);
            offset = sum.offset;
        }
        x = self.with("Add", x, Tensor::scalar(offset));
        self.floor(x, (low.into(), high.into()))
    }

    /// Every byte's entry in a table.
    pub(super) fn table(&mut self, bytes: ValueId, table: &[u8; 256]) -> ValueId {
        if table.iter().enumerate().all(|(i, &byte)| i == usize::from(byte)) {
            return bytes;
        }
        self.choose(bytes, Tensor::vector(table.to_vec()))
    }

    /// The entries of a list at integers. As one long line, where `GatherElements` is several times
    /// faster than `Gather`, which copies blocks.
    pub(super) fn choose(&mut self, at: ValueId, list: Tensor) -> ValueId {
        let shape = self.one("Shape", at);
        let indices = self.cast(at, DType::I64);
        let line = self.out.node("Reshape").input(indices).ints(&[-1]).output("line");
        let list = self.out.add_constant("table", list);
        let chosen = self.pair("GatherElements", list, line);
        self.pair("Reshape", chosen, shape)
    }

    pub(super) fn concat(
        &mut self,
        axis: i64,
        tables: &[[u8; 256]],
        inputs: &[ValueId],
    ) -> Option<ValueId> {
        let mut parts = Vec::new();
        for (&value, table) in inputs.iter().zip(tables) {
            let bytes = self.bytes(value)?;
            parts.push(self.table(bytes, table));
        }
        let mut node = self.out.node("Concat").attribute("axis", axis);
        for part in parts {
            node = node.input(part);
        }
        Some(node.output("joined"))
    }

    /// Bytes nearest to real numbers, ties away from zero.
    pub(super) fn quantize(&mut self, real: ValueId, to: Affine) -> ValueId {
        let steps = self.with("Div", real, Tensor::scalar(to.scale));
        let steps = self.cast(steps, DType::F64);
        // Enough to push a tie over, and less than the next float is away from one.
        let pushed = self.with("Mul", steps, Tensor::scalar(1.0 + (-30f64).exp2()));
        let whole = self.one("Round", pushed);
        let bytes = self.with("Add", whole, Tensor::scalar(f64::from(to.zero)));
        self.floor(bytes, (0, 255))
    }
}

/// A sum or difference as one scaled sum of bytes, where that gives the same for all pairs of them.
fn sum(
    binary: &Binary,
    arithmetic: Arithmetic,
    (left, right): (Affine, Affine),
    to: Affine,
    limits: (u8, u8),
) -> Option<Sum> {
    let (_, requantize) = binary.shares()?;
    let tie = 0.5 / f64::from(requantize.fixed_point(0)?.bits).exp2();
    let of_left: Vec<u8> = (0..=u16::MAX).map(|pair| (pair >> 8) as u8).collect();
    let of_right: Vec<u8> = (0..=u16::MAX).map(|pair| pair as u8).collect();
    let mut bytes = vec![0; of_left.len()];
    let broadcast = Broadcast { left: bytes.len(), right: bytes.len() };
    binary.run(Threads::new(1), (&of_left, &of_right), broadcast, &mut bytes);
    let scale = f64::from(to.scale);
    let sign = if arithmetic == Arithmetic::Subtract { -1.0 } else { 1.0 };
    let factors = [f64::from(left.scale) / scale, sign * f64::from(right.scale) / scale];
    let zero = f64::from(left.zero) * factors[0] + f64::from(right.zero) * factors[1];
    let offset = f64::from(to.zero) + 0.5;
    // Ties up, ties down, ties away from zero.
    let nudged = [(0.0, tie), (0.0, -tie), (tie, 0.0)];
    let mut sums =
        nudged.into_iter().map(|(nudge, up)| Sum { factors, zero, nudge, offset: offset + up });
    sums.find(|sum| sum.holds(&bytes, limits))
}
