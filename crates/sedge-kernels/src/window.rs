/// Size of a picture, channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Nhwc {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Nhwc {
    /// Bytes, one per element.
    pub fn len(&self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// True when there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a kernel window moves over height and width; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps of the kernel.
    pub kernel: [usize; 2],
    /// Pixels between two positions.
    pub strides: [usize; 2],
    /// Pixels between two taps.
    pub dilations: [usize; 2],
    /// Padding above and to the left.
    pub before: [usize; 2],
    /// Padding below and to the right.
    pub after: [usize; 2],
}

impl Window {
    /// One pixel at a time.
    pub const POINT: Window = Window {
        kernel: [1; 2],
        strides: [1; 2],
        dilations: [1; 2],
        before: [0; 2],
        after: [0; 2],
    };

    /// Height and width of the result; `None` when the window is larger than the picture.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let covered = (self.kernel[axis].checked_sub(1)?) * self.dilations[axis] + 1;
            let padded = input[axis] + self.before[axis] + self.after[axis];
            Some(padded.checked_sub(covered)? / self.strides[axis].max(1) + 1)
        };
        Some([along(0)?, along(1)?])
    }

    /// Taps of the kernel in all.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// True when every position reads exactly the pixel of its own place.
    pub fn is_point(&self) -> bool {
        *self == Window { dilations: self.dilations, ..Self::POINT }
    }

    /// The first tap's row or column for a result's, which may lie outside (negative).
    pub(crate) fn start(&self, axis: usize, at: usize) -> isize {
        (at * self.strides[axis]) as isize - self.before[axis] as isize
    }

    /// The taps along an axis that fall inside `size` for the result at `at`, as `[from, to)`.
    pub(crate) fn inside(&self, axis: usize, at: usize, size: usize) -> (usize, usize) {
        let (start, step) = (self.start(axis, at), self.dilations[axis].max(1) as isize);
        let from = if start < 0 { (-start + step - 1) / step } else { 0 };
        let room = size as isize - start;
        let to = if room <= 0 { 0 } else { (room + step - 1) / step };
        let to = to.min(self.kernel[axis] as isize);
        (from.min(to) as usize, to as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_outside_are_cut_off() {
        let window = Window { kernel: [3; 2], strides: [2; 2], before: [1; 2], ..Window::POINT };
        assert_eq!(window.output([5, 6]), Some([2, 3]));
        assert_eq!(window.inside(0, 0, 5), (1, 3));
        assert_eq!(window.inside(0, 2, 4), (0, 1));
        let dilated = Window { dilations: [2; 2], ..window };
        assert_eq!(dilated.inside(1, 0, 6), (1, 3));
        assert_eq!(Window { kernel: [9; 2], ..window }.output([5, 5]), None);
    }
}
