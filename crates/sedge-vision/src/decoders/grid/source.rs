use serde::{Deserialize, Serialize};

use super::Grid;
use crate::Placement;
use crate::decoders::outputs::Pool;
use crate::decoders::{DecoderError, Output};

/// How the numbers of a grid lie in its outputs; K numbers per location, A anchors per cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GridLayout {
    /// A map per stride, `[1, A*K, H, W]`.
    MapsNchw,
    /// A map per stride, `[1, H, W, A*K]` or `[1, H, W, A, K]`.
    MapsNhwc,
    /// A map per stride, `[1, A, H, W, K]`.
    MapsAnchorFirst,
    /// One tensor `[1, N, K]`, the locations of all maps one after another.
    Rows,
    /// One tensor `[1, K, N]`.
    Columns,
}

/// One location of a grid.
pub(super) struct Cell {
    /// Column and row in its map.
    pub(super) at: [usize; 2],
    /// Input pixels between two cells, per axis.
    pub(super) stride: [f32; 2],
    /// Width and height of its anchor in input pixels.
    pub(super) anchor: [f32; 2],
}

/// An output and the maps whose locations it holds.
pub(super) struct Source<'o, 'a> {
    pub(super) output: &'o Output<'a>,
    layout: GridLayout,
    fields: usize,
    maps: Vec<Map>,
}

#[derive(Clone)]
struct Map {
    width: usize,
    height: usize,
    stride: [f32; 2],
    anchors: Vec<[f32; 2]>,
    anchor_count: usize,
}

impl Map {
    /// No more than the elements of the tensor or the number of cells checked against it.
    fn locations(&self) -> Option<usize> {
        self.width.checked_mul(self.height)?.checked_mul(self.anchor_count)
    }

    fn cell(&self, at: [usize; 2], anchor: usize) -> Cell {
        let anchor = self.anchors.get(anchor).copied().unwrap_or_default();
        Cell { at, stride: self.stride, anchor }
    }
}

impl<'o, 'a> Source<'o, 'a> {
    pub(super) fn all(
        grid: &Grid,
        outputs: &'o [Output<'a>],
        placement: &Placement,
    ) -> Result<Vec<Self>, DecoderError> {
        let wrong = |key, why: &str| Err(DecoderError::Parameter { key, why: why.into() });
        if grid.box_form.needs_anchors() && grid.anchors.is_empty() {
            return wrong("anchors", "is missing, and the `box_form` needs it");
        }
        if grid.anchors.iter().any(Vec::is_empty) {
            return wrong("anchors", "has no anchor for one of the maps");
        }
        if grid.strides.contains(&0) {
            return wrong("strides", "holds a zero");
        }
        let mut pool = Pool::new(outputs);
        match grid.layout {
            GridLayout::Rows | GridLayout::Columns => {
                let name = grid.outputs.first().map(String::as_str);
                let output = pool.named_or_first("outputs", name)?;
                Ok(vec![Self::matrix(grid, output, placement)?])
            }
            _ => {
                let found = Self::map_outputs(grid, &mut pool, placement)?;
                if !grid.anchors.is_empty() && grid.anchors.len() != found.len() {
                    return wrong("anchors", "needs one list for each map");
                }
                let source = |(i, output)| Self::map(grid, output, i, placement);
                found.into_iter().enumerate().map(source).collect()
            }
        }
    }

    /// The outputs that are maps, in the order of strides and anchors.
    fn map_outputs(
        grid: &Grid,
        pool: &mut Pool<'o, 'a>,
        placement: &Placement,
    ) -> Result<Vec<&'o Output<'a>>, DecoderError> {
        if !grid.outputs.is_empty() {
            let mut found = Vec::new();
            for name in &grid.outputs {
                found.extend(pool.named("outputs", Some(name))?);
            }
            return Ok(found);
        }
        if grid.strides.is_empty() {
            return match pool.left() {
                [] => Err(pool.unclear("outputs")),
                all => Ok(all.to_vec()),
            };
        }
        let fitting = |&stride: &u32| {
            let cells = [placement.input_width, placement.input_height]
                .map(|size| size.div_ceil(stride) as usize);
            pool.only("outputs", |o| {
                map_shape(grid.layout, o.tensor.shape()).is_some_and(|s| s.cells == cells)
            })
        };
        grid.strides.iter().map(fitting).collect()
    }

    fn map(
        grid: &Grid,
        output: &'o Output<'a>,
        index: usize,
        placement: &Placement,
    ) -> Result<Self, DecoderError> {
        let anchors = grid.anchors.get(index).cloned().unwrap_or_default();
        let expected = match grid.layout {
            GridLayout::MapsNchw => "[1, numbers, height, width]",
            GridLayout::MapsNhwc => "[1, height, width, numbers]",
            _ => "[1, anchors, height, width, numbers]",
        };
        let wrong = || output.wrong_shape(expected);
        let shape = map_shape(grid.layout, output.tensor.shape()).ok_or_else(wrong)?;
        let anchor_count = shape.anchors.unwrap_or(anchors.len().max(1));
        if !anchors.is_empty() && anchor_count != anchors.len() {
            let needs = format!("{} anchors as in `decoder.anchors`", anchors.len());
            return Err(output.wrong_shape(needs));
        }
        if anchor_count == 0 || !shape.numbers.is_multiple_of(anchor_count) {
            let needs = format!("a multiple of its {anchor_count} anchors as numbers of a cell");
            return Err(output.wrong_shape(needs));
        }
        let [width, height] = shape.cells;
        let stride = match grid.strides.get(index) {
            Some(&stride) => [stride as f32; 2],
            None => [
                placement.input_width as f32 / width as f32,
                placement.input_height as f32 / height as f32,
            ],
        };
        let map = Map { width, height, stride, anchors, anchor_count };
        let fields = shape.numbers / anchor_count;
        Ok(Self { output, layout: grid.layout, fields, maps: vec![map] })
    }

    fn matrix(
        grid: &Grid,
        output: &'o Output<'a>,
        placement: &Placement,
    ) -> Result<Self, DecoderError> {
        let (expected, size) = match grid.layout {
            GridLayout::Rows => ("[1, locations, numbers]", output.matrix()),
            _ => ("[1, numbers, locations]", output.matrix().map(|[k, n]| [n, k])),
        };
        let [count, fields] = size.ok_or_else(|| output.wrong_shape(expected))?;
        let mut maps = Vec::new();
        if grid.box_form.is_decoded() {
            let (stride, anchors) = ([0.0; 2], Vec::new());
            maps.push(Map { width: count, height: 1, stride, anchors, anchor_count: 1 });
        } else {
            let wrong = |why: String| Err(DecoderError::Parameter { key: "strides", why });
            if !grid.anchors.is_empty() && grid.anchors.len() != grid.strides.len() {
                return wrong("needs one entry for each entry of `anchors`".into());
            }
            for (i, &stride) in grid.strides.iter().enumerate() {
                let anchors = grid.anchors.get(i).cloned().unwrap_or_default();
                maps.push(Map {
                    width: placement.input_width.div_ceil(stride) as usize,
                    height: placement.input_height.div_ceil(stride) as usize,
                    stride: [stride as f32; 2],
                    anchor_count: anchors.len().max(1),
                    anchors,
                });
            }
            let add = |sum: usize, map: &Map| sum.checked_add(map.locations()?);
            if maps.iter().try_fold(0, add) != Some(count) {
                return wrong(format!(
                    "and `anchors` do not make the {count} locations of output `{}`",
                    output.name
                ));
            }
        }
        Ok(Self { output, layout: grid.layout, fields, maps })
    }

    /// The parts of the output that lie regularly, each with locations of its own.
    pub(super) fn blocks<'v>(&'v self, values: &'v [f32]) -> Vec<Block<'v>> {
        let one = |values, order, columns| Block {
            values,
            fields: self.fields,
            columns,
            order,
            maps: &self.maps,
        };
        if values.is_empty() {
            return Vec::new();
        }
        match self.layout {
            GridLayout::MapsNchw => {
                let size = values.len() / self.maps[0].anchor_count;
                let block = |(anchor, part)| one(part, Order::Anchor(anchor), true);
                values.chunks_exact(size).enumerate().map(block).collect()
            }
            GridLayout::MapsNhwc => vec![one(values, Order::AnchorInCell, false)],
            GridLayout::MapsAnchorFirst | GridLayout::Rows => {
                vec![one(values, Order::CellInAnchor, false)]
            }
            GridLayout::Columns => vec![one(values, Order::CellInAnchor, true)],
        }
    }
}

struct MapShape {
    /// Columns and rows.
    cells: [usize; 2],
    /// Anchors, where they have a dimension of their own.
    anchors: Option<usize>,
    /// Numbers of all anchors of a cell.
    numbers: usize,
}

fn map_shape(layout: GridLayout, shape: &[usize]) -> Option<MapShape> {
    let (cells, anchors, numbers) = match (layout, shape) {
        (GridLayout::MapsNchw, &[1, k, h, w]) => ([w, h], None, k),
        (GridLayout::MapsNhwc, &[1, h, w, k]) => ([w, h], None, k),
        (GridLayout::MapsNhwc, &[1, h, w, a, k]) => ([w, h], Some(a), a.checked_mul(k)?),
        (GridLayout::MapsAnchorFirst, &[1, a, h, w, k]) => ([w, h], Some(a), a.checked_mul(k)?),
        _ => return None,
    };
    Some(MapShape { cells, anchors, numbers })
}

/// How the locations of a block follow one another.
#[derive(Clone, Copy)]
enum Order {
    /// The cells of one anchor of the only map.
    Anchor(usize),
    /// Cell by cell, the anchors of each.
    AnchorInCell,
    /// Map by map, anchor by anchor, the cells of each.
    CellInAnchor,
}

/// Locations whose numbers lie regularly: `[locations, fields]`, or with `columns`
/// `[fields, locations]`.
pub(super) struct Block<'v> {
    values: &'v [f32],
    pub(super) fields: usize,
    columns: bool,
    order: Order,
    maps: &'v [Map],
}

/// Locations turned from columns to rows at once: few enough for the first-level cache.
const TILE: usize = 32;

impl Block<'_> {
    /// Calls `each` with every location and its numbers.
    pub(super) fn visit<E>(
        &self,
        mut each: impl FnMut(usize, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.fields == 0 {
            return Ok(());
        }
        if !self.columns {
            let mut rows = self.values.chunks_exact(self.fields).enumerate();
            return rows.try_for_each(|(location, row)| each(location, row));
        }
        let count = self.values.len() / self.fields;
        let mut tile = vec![0.0f32; TILE.min(count) * self.fields];
        for start in (0..count).step_by(TILE) {
            let size = TILE.min(count - start);
            for (field, column) in self.values.chunks_exact(count).enumerate() {
                for (i, &value) in column[start..start + size].iter().enumerate() {
                    tile[i * self.fields + field] = value;
                }
            }
            for (i, row) in tile.chunks_exact(self.fields).take(size).enumerate() {
                each(start + i, row)?;
            }
        }
        Ok(())
    }

    pub(super) fn cell(&self, location: usize) -> Cell {
        let first = &self.maps[0];
        let at = |map: &Map, cell: usize| [cell % map.width.max(1), cell / map.width.max(1)];
        match self.order {
            Order::Anchor(anchor) => first.cell(at(first, location), anchor),
            Order::AnchorInCell => {
                let anchors = first.anchor_count.max(1);
                first.cell(at(first, location / anchors), location % anchors)
            }
            Order::CellInAnchor => {
                let mut location = location;
                let mut of = first;
                for map in self.maps {
                    of = map;
                    // Counted when the source was made, so it cannot overflow here.
                    let locations = map.locations().unwrap_or(usize::MAX);
                    if location < locations {
                        break;
                    }
                    location -= locations;
                }
                let cells = (of.width * of.height).max(1);
                of.cell(at(of, location % cells), location / cells)
            }
        }
    }
}
