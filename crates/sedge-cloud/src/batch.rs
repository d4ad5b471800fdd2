//! Many things in as few requests as a service allows.

/// Things split into requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Batches<T> {
    /// What each request carries, none of them empty.
    pub requests: Vec<Vec<T>>,
    /// What no request can carry.
    pub left_out: Vec<LeftOut<T>>,
}

/// Something that no request can carry.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut<T> {
    /// What it is.
    pub what: T,
    /// Why.
    pub problem: String,
}

impl<T> Default for Batches<T> {
    fn default() -> Self {
        Self { requests: Vec::new(), left_out: Vec::new() }
    }
}

impl<T> Batches<T> {
    pub(crate) fn leave_out(&mut self, what: T, problem: impl Into<String>) {
        self.left_out.push(LeftOut { what, problem: problem.into() });
    }

    /// Adds something of a size to the last request, or to a new one where that is full. `fits` is
    /// asked about what the last request carries.
    pub(crate) fn add(&mut self, what: T, fits: impl FnOnce(&[T]) -> bool) {
        match self.requests.last_mut() {
            Some(last) if fits(last) => last.push(what),
            _ => self.requests.push(vec![what]),
        }
    }
}
