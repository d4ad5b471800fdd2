use std::cell::RefCell;
use std::io;

use bytes::Bytes;

/// A model as its files: the main one, and the way to those beside it.
///
/// A model file may name others (weights, variables, labels). It gets what its directory holds and
/// nothing above: [`Siblings`] has no other paths.
pub struct Source<'a> {
    /// Path of the main file, relative to the model's directory, with `/`.
    pub name: &'a str,
    /// Its content.
    pub bytes: Bytes,
    /// Which network the weights belong to, for formats that have weights alone.
    pub architecture: Option<&'a str>,
    siblings: &'a dyn Siblings,
    taken: RefCell<Vec<String>>,
}

/// The files of a directory, as far as a model may see them.
pub trait Siblings {
    /// Relative paths of all files, with `/`, in order.
    fn names(&self) -> Vec<String>;

    /// The content of one of them.
    ///
    /// # Errors
    /// Files that are not among [`Siblings::names`], or cannot be read.
    fn read(&self, name: &str) -> io::Result<Bytes>;
}

/// No files beside the main one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Siblings for Alone {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, _name: &str) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl<'a> Source<'a> {
    /// A model whose main file is `name`.
    pub fn new(name: &'a str, bytes: Bytes, siblings: &'a dyn Siblings) -> Self {
        Self { name, bytes, architecture: None, siblings, taken: RefCell::default() }
    }

    /// A model that is one file.
    pub fn alone(bytes: impl Into<Bytes>) -> Self {
        Self::new("", bytes.into(), &Alone)
    }

    /// Relative paths of the files beside the main one, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.siblings.names();
        names.retain(|name| name != self.name);
        names
    }

    /// The content of a file beside the main one; from now on it is part of the model.
    ///
    /// # Errors
    /// Files that are not there or cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Bytes> {
        let bytes = self.siblings.read(name)?;
        let mut taken = self.taken.borrow_mut();
        if !taken.iter().any(|known| known == name) {
            taken.push(name.to_owned());
        }
        Ok(bytes)
    }

    /// Names of the files that were read so far, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        let mut taken = self.taken.borrow().clone();
        taken.sort();
        taken
    }
}
