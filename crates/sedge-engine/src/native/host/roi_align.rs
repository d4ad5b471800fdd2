//! ONNX's `RoiAlign`: regions of a picture, resampled to one size.
//!
//! Source: the ONNX specification, and onnxruntime's
//! `core/providers/cpu/object_detection/roialign.cc` for samples outside the picture and maxima.

use sedge_graph::Node;
use sedge_tensor::Tensor;

use super::Host;

/// Samples along one side of a cell at most.
const MOST_SAMPLES: f32 = 1024.0;

#[derive(Debug)]
pub(super) struct RoiAlign {
    height: usize,
    width: usize,
    /// Samples along a cell's side; none to take one for each old pixel.
    samples: Option<usize>,
    scale: f32,
    half_pixel: bool,
    greatest: bool,
}

impl RoiAlign {
    pub(super) fn read(node: &Node) -> Option<Self> {
        let size = |name: &str| usize::try_from(node.int(name).unwrap_or(1)).ok();
        let mode = node.string("coordinate_transformation_mode");
        Some(Self {
            height: size("output_height")?,
            width: size("output_width")?,
            samples: usize::try_from(node.int("sampling_ratio").unwrap_or(0))
                .ok()
                .filter(|&n| n > 0),
            scale: node.float("spatial_scale").unwrap_or(1.0),
            half_pixel: mode != Some("output_half_pixel"),
            greatest: node.string("mode") == Some("max"),
        })
    }
}

impl Host for RoiAlign {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String> {
        let text = |error: sedge_tensor::TensorError| error.to_string();
        let [pictures, regions, batches] = operands else { return Err("operands lack".into()) };
        let (&[batch, channels, height, width], &[count, 4]) = (pictures.shape(), regions.shape())
        else {
            return Err("pictures or regions have a wrong number of dimensions".into());
        };
        let of_picture = batches.to_i64().filter(|list| list.len() == count);
        let of_picture = of_picture.ok_or("regions and their pictures do not belong together")?;
        let pixels = pictures.view::<f32>().map_err(text)?;
        let regions = regions.view::<f32>().map_err(text)?;
        let mut output = Vec::new();
        for (region, &picture) in regions.as_chunks::<4>().0.iter().zip(&of_picture) {
            let picture = usize::try_from(picture).ok().filter(|&picture| picture < batch);
            let picture = picture.ok_or("a region is of a picture that is not there")?;
            let cells = self.cells(region, [height, width])?;
            for channel in 0..channels {
                let plane = &pixels[(picture * channels + channel) * height * width..];
                let plane = &plane[..height * width];
                output.extend(cells.iter().map(|cell| self.value(cell, plane)));
            }
        }
        Tensor::new([count, channels, self.height, self.width], output).map_err(text)
    }
}

/// Up to four pixels and what they weigh.
type Sample = [(usize, f32); 4];

impl RoiAlign {
    /// The samples of each cell of a region.
    fn cells(&self, region: &[f32; 4], size: [usize; 2]) -> Result<Vec<Vec<Sample>>, String> {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let [left, top, right, bottom] = region.map(|x| x * self.scale - offset);
        let least = |length: f32| if self.half_pixel { length } else { length.max(1.0) };
        let cell_height = least(bottom - top) / self.height as f32;
        let cell_width = least(right - left) / self.width as f32;
        let samples = |cell: f32| match self.samples {
            Some(samples) => Ok(samples),
            None if cell <= MOST_SAMPLES => Ok(cell.ceil().max(0.0) as usize),
            None => Err("a region is far larger than any picture".to_owned()),
        };
        let (rows, columns) = (samples(cell_height)?, samples(cell_width)?);
        let place = |start: f32, cell: f32, index: usize, sample: usize, count: usize| {
            start + index as f32 * cell + (sample as f32 + 0.5) * cell / count as f32
        };
        let mut cells = Vec::with_capacity(self.height * self.width);
        for y in 0..self.height {
            for x in 0..self.width {
                let mut cell = Vec::with_capacity(rows * columns);
                for row in 0..rows {
                    let at_y = place(top, cell_height, y, row, rows);
                    cell.extend((0..columns).map(|column| {
                        sample([at_y, place(left, cell_width, x, column, columns)], size)
                    }));
                }
                cells.push(cell);
            }
        }
        Ok(cells)
    }

    fn value(&self, cell: &[Sample], plane: &[f32]) -> f32 {
        let parts = |sample: &Sample| sample.map(|(pixel, weight)| plane[pixel] * weight);
        if self.greatest {
            let greatest = |sample: &Sample| parts(sample).into_iter().fold(f32::MIN, f32::max);
            return cell.iter().map(greatest).reduce(f32::max).unwrap_or(0.0);
        }
        let sum: f32 = cell.iter().flat_map(parts).sum();
        sum / cell.len().max(1) as f32
    }
}

/// The pixels around a place; none outside the picture.
fn sample([y, x]: [f32; 2], [height, width]: [usize; 2]) -> Sample {
    let outside = |at: f32, length: usize| at < -1.0 || at > length as f32 || at.is_nan();
    if outside(y, height) || outside(x, width) || height == 0 || width == 0 {
        return [(0, 0.0); 4];
    }
    let around = |at: f32, length: usize| {
        let at = at.clamp(0.0, (length - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(length - 1), at - low as f32)
    };
    let ((top, bottom, down), (left, right, across)) = (around(y, height), around(x, width));
    [
        (top * width + left, (1.0 - down) * (1.0 - across)),
        (top * width + right, (1.0 - down) * across),
        (bottom * width + left, down * (1.0 - across)),
        (bottom * width + right, down * across),
    ]
}
