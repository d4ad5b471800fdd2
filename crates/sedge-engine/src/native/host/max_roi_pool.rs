//! ONNX's `MaxRoiPool`: the maximum of each cell of regions of a picture, in whole pixels.
//!
//! Source: the ONNX specification, and onnxruntime's `core/providers/cpu/object_detection/roi_pool.cc`
//! for the rounding of the cells, which is that of MXNet's `ROIPooling` too.

use sedge_graph::Node;
use sedge_tensor::Tensor;

use super::Host;

#[derive(Debug)]
pub(super) struct MaxRoiPool {
    /// Cells of a region, down and across.
    cells: [usize; 2],
    scale: f32,
}

impl MaxRoiPool {
    pub(super) fn read(node: &Node) -> Option<Self> {
        let &[rows, columns] = node.ints("pooled_shape")? else { return None };
        let count = |n: i64| usize::try_from(n).ok().filter(|n| (1..=4096).contains(n));
        let scale = node.float("spatial_scale").unwrap_or(1.0);
        Some(Self { cells: [count(rows)?, count(columns)?], scale })
    }

    /// Where the cells of a region lie along an axis: first pixel and the one after the last.
    fn bounds(&self, start: f32, end: f32, cells: usize, size: usize) -> Vec<(usize, usize)> {
        let (start, end) = ((start * self.scale).round(), (end * self.scale).round());
        let cell = (end - start + 1.0).max(1.0) / cells as f32;
        let place = |edge: f32| (edge + start).clamp(0.0, size as f32) as usize;
        (0..cells)
            .map(|index| {
                let (first, last) = (index as f32 * cell, (index + 1) as f32 * cell);
                (place(first.floor()), place(last.ceil()))
            })
            .collect()
    }
}

impl Host for MaxRoiPool {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String> {
        let text = |error: sedge_tensor::TensorError| error.to_string();
        let [pictures, regions] = operands else { return Err("operands lack".into()) };
        let (&[batch, channels, height, width], &[count, 5]) = (pictures.shape(), regions.shape())
        else {
            return Err("pictures or regions have a wrong number of dimensions".into());
        };
        let pixels = pictures.view::<f32>().map_err(text)?;
        let regions = regions.view::<f32>().map_err(text)?;
        let [rows, columns] = self.cells;
        let mut output = Vec::new();
        for &[picture, left, top, right, bottom] in regions.as_chunks::<5>().0 {
            if !(0.0..batch as f32).contains(&picture) {
                return Err("a region is of a picture that is not there".into());
            }
            let down = self.bounds(top, bottom, rows, height);
            let across = self.bounds(left, right, columns, width);
            for channel in 0..channels {
                let plane = &pixels[(picture as usize * channels + channel) * height * width..];
                for &(top, bottom) in &down {
                    for &(left, right) in &across {
                        let lines = (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x)));
                        let greatest = lines.map(|(y, x)| plane[y * width + x]).reduce(f32::max);
                        output.push(greatest.unwrap_or(0.0));
                    }
                }
            }
        }
        Tensor::new([count, channels, rows, columns], output).map_err(text)
    }
}
