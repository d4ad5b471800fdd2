use serde::{Deserialize, Serialize};

use super::{Coordinates, DecoderError};
use crate::Placement;

/// The default boxes of an SSD, made by rule.
///
/// For every map, for every cell row by row, first a square of each size, then for each aspect
/// ratio `r` a box `size[0] * sqrt(r)` wide and `size[0] / sqrt(r)` high: the order of MXNet's
/// `MultiBoxPrior`. Caffe's `PriorBox` fits with `sizes = [min, sqrt(min * max)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorMaps {
    /// Width and height of each feature map in cells, in the order of the rows.
    pub maps: Vec<[u32; 2]>,
    /// Sizes of the squares on each map.
    pub sizes: Vec<Vec<f32>>,
    /// Unit of the sizes; default `relative`. A relative size is a ratio of the input's width
    /// horizontally and of its height vertically.
    #[serde(default = "relative")]
    pub unit: Coordinates,
    /// Further ratios of width to height: none, one list for all maps, or one for each.
    #[serde(default)]
    pub aspect_ratios: Vec<Vec<f32>>,
    /// Distance of two cells in pixels of the input, per map; default the input's size divided by
    /// the map's, which differs where the map was rounded up.
    #[serde(default)]
    pub steps: Vec<f32>,
    /// Whether every number of an anchor is clamped to 0..=1; default false.
    #[serde(default)]
    pub clip: bool,
}

fn relative() -> Coordinates {
    Coordinates::Relative
}

impl AnchorMaps {
    /// How many anchors the rule makes; `None` when they cannot be counted.
    fn count(&self) -> Option<usize> {
        let mut count = 0usize;
        for (i, &[width, height]) in self.maps.iter().enumerate() {
            let cells = usize::try_from(width).ok()?.checked_mul(usize::try_from(height).ok()?)?;
            let each = self.sizes.get(i)?.len().checked_add(self.ratios(i).len())?;
            count = count.checked_add(cells.checked_mul(each)?)?;
        }
        Some(count)
    }

    fn ratios(&self, map: usize) -> &[f32] {
        let index = if self.aspect_ratios.len() == 1 { 0 } else { map };
        self.aspect_ratios.get(index).map_or(&[], Vec::as_slice)
    }

    /// The anchors as `cx, cy, width, height`, all relative to the input; exactly `expected` of
    /// them, or an error before any is made.
    pub fn generate(
        &self,
        expected: usize,
        placement: &Placement,
    ) -> Result<Vec<[f32; 4]>, DecoderError> {
        self.check(expected)?;
        let input = [f64::from(placement.input_width), f64::from(placement.input_height)];
        let unit = match self.unit {
            Coordinates::Relative => [1.0, 1.0],
            Coordinates::Pixels => input,
        };
        let mut anchors = Vec::with_capacity(expected);
        for (i, &[width, height]) in self.maps.iter().enumerate() {
            let mut shapes: Vec<[f64; 2]> = Vec::new();
            let sizes = &self.sizes[i];
            shapes.extend(sizes.iter().map(|&s| [f64::from(s) / unit[0], f64::from(s) / unit[1]]));
            if let Some(&[w, h]) = shapes.first() {
                let shape = |&r: &f32| [w * f64::from(r).sqrt(), h / f64::from(r).sqrt()];
                shapes.extend(self.ratios(i).iter().map(shape));
            }
            let cells = match self.steps.get(i) {
                Some(&step) => [input[0] / f64::from(step), input[1] / f64::from(step)],
                None => [f64::from(width), f64::from(height)],
            };
            for y in 0..height {
                for x in 0..width {
                    let (cx, cy) =
                        ((f64::from(x) + 0.5) / cells[0], (f64::from(y) + 0.5) / cells[1]);
                    anchors.extend(shapes.iter().map(|&[w, h]| [cx, cy, w, h].map(|v| v as f32)));
                }
            }
        }
        if self.clip {
            anchors.iter_mut().flatten().for_each(|v| *v = v.clamp(0.0, 1.0));
        }
        Ok(anchors)
    }

    fn check(&self, expected: usize) -> Result<(), DecoderError> {
        let wrong = |why: String| Err(DecoderError::Parameter { key: "anchors", why });
        let maps = self.maps.len();
        if self.sizes.len() != maps || self.sizes.iter().any(Vec::is_empty) {
            return wrong(format!("needs `sizes` for each of its {maps} maps"));
        }
        if !(self.aspect_ratios.len() <= 1 || self.aspect_ratios.len() == maps) {
            return wrong(format!("needs `aspect_ratios` once, or for each of its {maps} maps"));
        }
        if !(self.steps.is_empty() || self.steps.len() == maps) {
            return wrong(format!("needs `steps` for none or each of its {maps} maps"));
        }
        let numbers = self.sizes.iter().chain(&self.aspect_ratios).flatten().chain(&self.steps);
        if numbers.into_iter().any(|v| !(v.is_finite() && *v > 0.0)) {
            return wrong("holds a size, ratio or step that is not a positive number".into());
        }
        match self.count() {
            Some(count) if count == expected => Ok(()),
            Some(count) => wrong(format!("makes {count} anchors, the outputs have {expected}")),
            None => wrong("makes more anchors than can be counted".into()),
        }
    }
}

/// Anchors from text: one a line, `cx cy width height` relative to the input, separated by blanks
/// or commas; empty lines and lines beginning with `#` are skipped.
pub fn parse_anchors(text: &str) -> Result<Vec<[f32; 4]>, DecoderError> {
    let line = |(number, line): (usize, &str)| {
        let numbers = line.split([',', ' ', '\t']).filter(|part| !part.is_empty());
        let numbers: Option<Vec<f32>> = numbers.map(|part| part.parse().ok()).collect();
        let anchor = numbers.and_then(|n| <[f32; 4]>::try_from(n).ok());
        anchor.filter(|a| a.iter().all(|v| v.is_finite())).ok_or_else(|| {
            let why = format!("has no four numbers `cx cy width height` in line {}", number + 1);
            DecoderError::Parameter { key: "anchor_file", why }
        })
    };
    let lines = text.lines().map(str::trim).enumerate();
    lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        Placement::stretch((40, 20), (40, 20))
    }

    #[test]
    fn a_cell_has_its_squares_then_its_ratios() {
        let maps = AnchorMaps {
            maps: vec![[2, 1]],
            sizes: vec![vec![10.0, 20.0]],
            unit: Coordinates::Pixels,
            aspect_ratios: vec![vec![4.0]],
            steps: vec![],
            clip: true,
        };
        let anchors = maps.generate(6, &placement()).unwrap();
        assert_eq!(anchors[0], [0.25, 0.5, 0.25, 0.5]);
        assert_eq!(anchors[1], [0.25, 0.5, 0.5, 1.0]);
        assert_eq!(anchors[2], [0.25, 0.5, 0.5, 0.25]);
        assert_eq!(anchors[3][..2], [0.75, 0.5]);
        let stepped = AnchorMaps { steps: vec![8.0], ..maps };
        assert_eq!(stepped.generate(6, &placement()).unwrap()[3][..2], [0.3, 0.2]);
    }

    #[test]
    fn hostile_rules_are_refused_before_anything_is_made() {
        let endless = AnchorMaps {
            maps: vec![[u32::MAX, u32::MAX]; 3],
            sizes: vec![vec![0.1; 5]; 3],
            unit: Coordinates::Relative,
            aspect_ratios: vec![],
            steps: vec![],
            clip: false,
        };
        assert!(endless.generate(10, &placement()).is_err());
        let zero = AnchorMaps { maps: vec![[1, 1]], sizes: vec![vec![0.0]], ..endless };
        assert!(zero.generate(1, &placement()).is_err());
    }

    #[test]
    fn anchors_are_read_from_text() {
        let text = "# cx cy w h\n0.5, 0.5, 1, 1\n\n0.25 0.5 1e-1 1\n";
        assert_eq!(parse_anchors(text).unwrap(), [[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.1, 1.0]]);
        assert!(parse_anchors("1 2 3").unwrap_err().to_string().contains("line 1"));
        assert!(parse_anchors("1 2 3 nan").is_err());
    }
}
