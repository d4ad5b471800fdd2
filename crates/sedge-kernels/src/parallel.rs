use rayon::prelude::*;

/// How much work is worth a second thread: about ten microseconds of one.
const LEAST_WORK: usize = 150_000;

/// Threads a kernel may use; they are those of the rayon pool it runs in.
#[derive(Clone, Copy, Debug)]
pub struct Threads(usize);

impl Threads {
    /// Up to `count` threads.
    pub fn new(count: usize) -> Self {
        Self(count.max(1))
    }

    /// Calls `act(first_row, rows)` over all of `output`, in pieces of whole rows. `work` is the
    /// number of multiplications (or as costly steps) of the whole.
    pub(crate) fn over_rows(
        self,
        output: &mut [u8],
        row: usize,
        work: usize,
        act: impl Fn(usize, &mut [u8]) + Sync,
    ) {
        let rows = output.len().checked_div(row).unwrap_or(0);
        let pieces = self.0.min(rows).min(work / LEAST_WORK);
        if pieces < 2 {
            if rows > 0 {
                act(0, output);
            }
            return;
        }
        let rows_each = rows.div_ceil(pieces);
        output
            .par_chunks_mut(rows_each * row)
            .enumerate()
            .with_max_len(1)
            .for_each(|(i, piece)| act(i * rows_each, piece));
    }
}
