//! The steps of a plan and the memory they work in.

use std::sync::Arc;

use sedge_kernels::{
    self as kernels, Affine, Average, Binary, Broadcast, DetectionOptions, Mean, Nhwc, Softmax,
    Threads, Window,
};
use sedge_tensor::{DType, Tensor};

use super::host::Host;
use super::lower::Built;
use crate::error::EMBEDDED;
use crate::{RunError, Session};

/// One operator with everything it needs to run: places of its operands and results.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kernel: Kernel,
    pub(super) bytes_in: Vec<usize>,
    pub(super) bytes_out: Option<usize>,
    /// Bytes of the result; its memory may be longer.
    pub(super) length: usize,
    pub(super) tensors_in: Vec<usize>,
    pub(super) tensors_out: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Kernel {
    /// Bytes of a tensor, sign bits flipped when it is signed.
    FromTensor {
        signed: bool,
    },
    ToTensor {
        dtype: DType,
        shape: Vec<usize>,
    },
    Quantize {
        to: Affine,
        tflite: bool,
    },
    Dequantize {
        from: Affine,
        shape: Vec<usize>,
    },
    Layer {
        layer: Box<Built>,
        shape: Nhwc,
    },
    Binary {
        binary: Box<Binary>,
        broadcast: Broadcast,
    },
    Average {
        average: Average,
        shape: Nhwc,
        window: Window,
    },
    MaxPool {
        shape: Nhwc,
        window: Window,
    },
    Mean(Mean),
    Softmax(Softmax),
    Table(Box<[u8; 256]>),
    /// Bytes of each operand per step of the dimensions before the joined one.
    Concat {
        each: Vec<usize>,
    },
    Pad {
        shape: Vec<usize>,
        before: Vec<usize>,
        after: Vec<usize>,
        fill: u8,
    },
    Transpose {
        shape: Vec<usize>,
        order: Vec<usize>,
    },
    Detection(Box<DetectionOptions>),
    Host(Arc<dyn Host>),
    Section(Box<dyn Session>),
}

/// Memory of one run, kept for the next.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buffers: Vec<Vec<u8>>,
    pub(super) tensors: Vec<Option<Tensor>>,
}

impl State {
    fn tensor(&self, place: usize) -> Result<&Tensor, RunError> {
        self.tensors[place].as_ref().ok_or_else(|| refuse("a step reads what no step made"))
    }
}

fn refuse(reason: impl Into<String>) -> RunError {
    RunError::Engine { engine: EMBEDDED, reason: reason.into() }
}

/// A section's results may be of another shape than the file states.
fn same_length(length: usize, output: &[u8]) -> Result<(), RunError> {
    if length == output.len() {
        return Ok(());
    }
    Err(refuse(format!("a tensor has {length} elements where the model states {}", output.len())))
}

impl Step {
    pub(super) fn run(&self, state: &mut State, threads: Threads) -> Result<(), RunError> {
        match &self.kernel {
            Kernel::Section(session) => self.section(session.as_ref(), state),
            Kernel::Detection(options) => self.detect(options, state),
            Kernel::Host(operator) => {
                let from = self.tensors_in.iter().map(|&place| state.tensor(place));
                let answer = operator.run(&from.collect::<Result<Vec<_>, _>>()?).map_err(refuse)?;
                state.tensors[self.tensors_out[0]] = Some(answer);
                Ok(())
            }
            Kernel::ToTensor { dtype, shape } => {
                let bytes = &state.buffers[self.bytes_in[0]];
                let flip = if *dtype == DType::I8 { 0x80 } else { 0 };
                let bytes: Vec<u8> = match flip {
                    0 => bytes[..shape.iter().product()].to_vec(),
                    _ => bytes[..shape.iter().product()].iter().map(|b| b ^ flip).collect(),
                };
                let tensor = Tensor::from_bytes(*dtype, shape.clone(), bytes.into())?;
                state.tensors[self.tensors_out[0]] = Some(tensor);
                Ok(())
            }
            Kernel::Dequantize { from, shape } => {
                let bytes = &state.buffers[self.bytes_in[0]][..shape.iter().product()];
                let tensor = Tensor::new(shape.clone(), kernels::dequantize(bytes, *from))?;
                state.tensors[self.tensors_out[0]] = Some(tensor);
                Ok(())
            }
            kernel => {
                let place = self.bytes_out.ok_or_else(|| refuse("a step has no result"))?;
                // Taken out while the others are read.
                let mut output = std::mem::take(&mut state.buffers[place]);
                let done = self.bytes(kernel, state, threads, &mut output[..self.length]);
                state.buffers[place] = output;
                done
            }
        }
    }

    fn bytes(
        &self,
        kernel: &Kernel,
        state: &State,
        threads: Threads,
        output: &mut [u8],
    ) -> Result<(), RunError> {
        let operand = |index: usize| state.buffers[self.bytes_in[index]].as_slice();
        match kernel {
            Kernel::FromTensor { signed } => {
                let tensor = state.tensor(self.tensors_in[0])?;
                same_length(tensor.bytes().len(), output)?;
                if *signed {
                    kernels::flip_sign(tensor.bytes(), output);
                } else {
                    output.copy_from_slice(tensor.bytes());
                }
            }
            Kernel::Quantize { to, tflite } => {
                let tensor = state.tensor(self.tensors_in[0])?;
                let real = tensor.view::<f32>()?;
                same_length(real.len(), output)?;
                kernels::quantize(&real, *to, *tflite, output);
            }
            Kernel::Layer { layer, shape } => {
                let input = (&operand(0)[..shape.len()], *shape);
                match layer.as_ref() {
                    Built::Convolution(layer) => layer.run(threads, input, output),
                    Built::Depthwise(layer) => layer.run(threads, input, output),
                }
            }
            Kernel::Binary { binary, broadcast } => {
                binary.run(threads, (operand(0), operand(1)), *broadcast, output);
            }
            Kernel::Average { average, shape, window } => {
                let input = (&operand(0)[..shape.len()], *shape);
                average.run(threads, input, window, output);
            }
            Kernel::MaxPool { shape, window } => {
                let input = (&operand(0)[..shape.len()], *shape);
                kernels::max_pool(threads, input, window, output);
            }
            Kernel::Mean(mean) => mean.run(operand(0), output),
            Kernel::Softmax(softmax) => softmax.run(operand(0), output),
            Kernel::Table(table) => {
                let pairs = output.iter_mut().zip(operand(0));
                pairs.for_each(|(to, &byte)| *to = table[usize::from(byte)]);
            }
            Kernel::Concat { each } => {
                let operands: Vec<(&[u8], usize)> =
                    each.iter().enumerate().map(|(i, &bytes)| (operand(i), bytes)).collect();
                kernels::concatenate(&operands, output);
            }
            Kernel::Pad { shape, before, after, fill } => {
                let input = &operand(0)[..shape.iter().product()];
                kernels::pad(input, shape, (before, after), *fill, output);
            }
            Kernel::Transpose { shape, order } => {
                let input = &operand(0)[..output.len()];
                kernels::transpose(input, shape, order, output);
            }
            _ => {}
        }
        Ok(())
    }

    fn section(&self, session: &dyn Session, state: &mut State) -> Result<(), RunError> {
        let inputs = self.tensors_in.iter().map(|&place| state.tensor(place).cloned());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        for (&place, tensor) in self.tensors_out.iter().zip(session.run(&inputs)?) {
            state.tensors[place] = Some(tensor);
        }
        Ok(())
    }

    fn detect(&self, options: &DetectionOptions, state: &mut State) -> Result<(), RunError> {
        let [encodings, scores, anchors] = [0, 1, 2].map(|i| state.tensor(self.tensors_in[i]));
        let (encodings, scores, anchors) =
            (encodings?.view::<f32>()?, scores?.view::<f32>()?, anchors?.view::<f32>()?);
        let found = options.run(&encodings, &scores, &anchors);
        let rows = options.rows();
        let results = [
            Tensor::new([1, rows, 4], found.boxes)?,
            Tensor::new([1, rows], found.classes)?,
            Tensor::new([1, rows], found.scores)?,
            Tensor::vector(vec![found.count]),
        ];
        for (&place, tensor) in self.tensors_out.iter().zip(results) {
            state.tensors[place] = Some(tensor);
        }
        Ok(())
    }
}

/// The steps of a graph for inputs of certain shapes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Length of each buffer, and what constant ones hold.
    pub(super) buffers: Vec<usize>,
    pub(super) constants: Vec<(usize, Arc<[u8]>)>,
    pub(super) tensors: usize,
    pub(super) constant_tensors: Vec<(usize, Tensor)>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
}

impl Plan {
    pub(super) fn state(&self) -> State {
        let mut buffers: Vec<Vec<u8>> =
            self.buffers.iter().map(|&length| vec![0; length]).collect();
        for (place, bytes) in &self.constants {
            buffers[*place] = bytes.to_vec();
        }
        State { buffers, tensors: vec![None; self.tensors] }
    }

    pub(super) fn run(
        &self,
        state: &mut State,
        inputs: &[Tensor],
        threads: Threads,
    ) -> Result<Vec<Tensor>, RunError> {
        for (&place, tensor) in self.inputs.iter().zip(inputs) {
            state.tensors[place] = Some(tensor.clone());
        }
        for (place, tensor) in &self.constant_tensors {
            state.tensors[*place] = Some(tensor.clone());
        }
        self.steps.iter().try_for_each(|step| step.run(state, threads))?;
        let outputs = self.outputs.iter().map(|&place| state.tensor(place).cloned()).collect();
        state.tensors.iter_mut().for_each(|tensor| *tensor = None);
        outputs
    }
}
