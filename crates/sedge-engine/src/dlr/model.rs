//! One model in the library. It is not `Send`: whoever creates it is the only one to use it.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int};
use std::path::Path;

use sedge_graph::Dim;
use sedge_tensor::{DType, Tensor, element_count};

use super::captured::{captured, log};
use super::library::{Handle, Library, Shape, SizeDim, shortened, text};
use crate::{Compiled, TensorInfo};

/// DLPack's number of the processor.
const CPU: c_int = 1;
/// Most dimensions that are believed.
const MOST_DIMS: usize = 32;
/// Most bytes of an output that are believed.
const MOST_BYTES: usize = 1 << 31;
/// The largest element there is. What the metadata of a package calls `float16` may be `float64`
/// in its code, and the library copies what the code made.
const LARGEST_ELEMENT: usize = 8;

/// A model that the library has loaded.
pub(super) struct Loaded {
    handle: Handle,
    library: Library,
    pub(super) inputs: Vec<TensorInfo>,
    pub(super) outputs: Vec<TensorInfo>,
    names: Vec<CString>,
    trees: bool,
}

impl Loaded {
    /// Has the library load a package.
    pub(super) fn create(library: Library, package: &Compiled) -> Result<Self, String> {
        let path = path_for(&library, package)?;
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: handle and path live until the call returns; the library writes a handle or
        // nothing.
        let (status, said) =
            captured(|| unsafe { (library.create)(&mut handle, path.as_ptr(), CPU, 0) });
        if status != 0 || handle.is_null() {
            // Releases from 1.4 on say it on standard error, those before and after to the caller.
            let reason = [shortened(&said), library.last_error()];
            let reason = reason.into_iter().find(|reason| !reason.is_empty());
            return Err(reason.unwrap_or_else(|| "it does not say why".into()));
        }
        if !said.trim().is_empty() {
            log(&said);
        }
        let names = package.inputs.iter().map(|input| CString::new(input.name.as_str()));
        let names = names.collect::<Result<_, _>>().map_err(|_| "a name of an input holds NUL")?;
        let (inputs, outputs) = (package.inputs.clone(), package.outputs.clone());
        let mut loaded = Self { handle, library, inputs, outputs, names, trees: package.trees };
        loaded.compare()?;
        if loaded.trees {
            loaded.measure_trees();
            loaded.tell_of_zeros();
        }
        Ok(loaded)
    }

    /// Holds what the package says of itself to what the library makes of it.
    fn compare(&mut self) -> Result<(), String> {
        let (library, handle) = (&self.library, &mut self.handle);
        let (mut inputs, mut outputs) = (0, 0);
        // SAFETY: the handle is the library's own; the numbers live until the calls return.
        let asked = unsafe {
            (library.num_inputs)(handle, &mut inputs) == 0
                && (library.num_outputs)(handle, &mut outputs) == 0
        };
        let stated = (self.inputs.len(), self.outputs.len());
        let counted = (usize::try_from(inputs).ok(), usize::try_from(outputs).ok());
        if !asked || (Some(stated.0), Some(stated.1)) != counted {
            return Err(format!(
                "the package tells of {} inputs and {} outputs, the runtime of {inputs} and \
                 {outputs}",
                stated.0, stated.1
            ));
        }
        for index in 0..inputs {
            let mut words = std::ptr::null();
            // SAFETY: the index is in range; the text is copied before the next call.
            let name = unsafe {
                let status = (library.input_name)(handle, index, &mut words);
                text(words).filter(|_| status == 0)
            };
            let known = |name: &String| self.inputs.iter().any(|input| input.name == *name);
            if let Some(name) = name.filter(|name| !known(name)) {
                return Err(format!("the runtime has an input '{name}', the package has none"));
            }
        }
        Ok(())
    }

    /// How many columns trees take and give, which no file may say.
    fn measure_trees(&mut self) {
        let handle = &mut self.handle;
        let columns = |size_dim: SizeDim, shape: Shape, handle: &mut Handle| {
            // SAFETY: trees have one input and one output.
            let shape = unsafe { shape_of(size_dim, shape, handle, 0) };
            match shape.ok().as_deref() {
                Some(&[_, columns]) => usize::try_from(columns).ok(),
                _ => None,
            }
        };
        let library = &self.library;
        let taken = library.input_size_dim.zip(library.input_shape);
        let taken = taken.and_then(|(size_dim, shape)| columns(size_dim, shape, handle));
        let given = columns(library.output_size_dim, library.output_shape, handle);
        for (info, columns) in [(&mut self.inputs[0], taken), (&mut self.outputs[0], given)] {
            if let (Some(columns), [_, last]) = (columns, info.shape.as_mut_slice()) {
                *last = Dim::Fixed(columns);
            }
        }
    }

    /// Who trained with zeros learns here that they are dropped.
    fn tell_of_zeros(&self) {
        let version = self.library.version();
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        // 1.4 and 1.5 keep them as 1.3 does, from 1.9 on the metadata says.
        if let (Some(1), Some(6..=8)) = (numbers.next(), numbers.next()) {
            log(&format!(
                "libdlr {version} takes exact zeros for missing values, other than the trees were \
                 trained; releases up to 1.5 and from 1.9 on do not"
            ));
        }
    }

    /// What may be given for an input; the last dimension of trees is a most.
    pub(super) fn accept(&self, inputs: &[Tensor]) -> Result<(), crate::RunError> {
        if !self.trees {
            return crate::session::accept_all(&self.inputs, inputs);
        }
        let narrowed = |info: &TensorInfo, tensor: &Tensor| {
            let mut info = info.clone();
            if let ([_, columns], Some(most)) = (tensor.shape(), info.shape.last_mut())
                && most.fixed().is_some_and(|most| *columns <= most)
            {
                *most = Dim::Fixed(*columns);
            }
            info
        };
        let infos: Vec<_> = self.inputs.iter().zip(inputs).map(|(i, t)| narrowed(i, t)).collect();
        let infos = if infos.len() == self.inputs.len() { infos } else { self.inputs.clone() };
        crate::session::accept_all(&infos, inputs)
    }

    /// Answers tensors that were accepted, in the order of the inputs.
    pub(super) fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        for (index, tensor) in inputs.iter().enumerate() {
            self.set(index, tensor)?;
        }
        // SAFETY: the handle is the library's own, and every input was set.
        if unsafe { (self.library.run)(&mut self.handle) } != 0 {
            return Err(self.library.last_error());
        }
        (0..self.outputs.len()).map(|index| self.output(index)).collect()
    }

    fn set(&mut self, index: usize, tensor: &Tensor) -> Result<(), String> {
        let name = &self.names[index];
        if tensor.is_empty() {
            return Err(format!("input '{}' has no elements", self.inputs[index].name));
        }
        let shape: Vec<i64> = tensor.shape().iter().map(|&n| n as i64).collect();
        let bytes = tensor.bytes();
        // Trees are read in place, as floats.
        let aligned;
        let data = match bytes.as_ptr().align_offset(LARGEST_ELEMENT) {
            0 => bytes.as_ptr(),
            _ => {
                aligned = aligned_copy(bytes);
                aligned.as_ptr().cast()
            }
        };
        // SAFETY: the name is that of an input, which the tensor fits in type and number of
        // elements; all of them live until the call returns, and the library copies the data.
        let status = unsafe {
            let dims = shape.len() as c_int;
            (self.library.set_input)(
                &mut self.handle,
                name.as_ptr(),
                shape.as_ptr(),
                data.cast(),
                dims,
            )
        };
        if status == 0 { Ok(()) } else { Err(self.library.last_error()) }
    }

    /// An output of the run before. Its shape is asked for only now: of some models it is the run
    /// that decides it.
    fn output(&mut self, index: usize) -> Result<Tensor, String> {
        let name = self.outputs[index].name.clone();
        let refuse = |reason: &str| format!("output '{name}': {reason}");
        let (library, handle) = (&self.library, &mut self.handle);
        let at = index as c_int;
        // SAFETY: there is a run behind, and the index is in range.
        let shape = unsafe { shape_of(library.output_size_dim, library.output_shape, handle, at) };
        let shape = shape.map_err(|reason| refuse(&reason))?;
        let shape: Option<Vec<usize>> = shape.iter().map(|&n| usize::try_from(n).ok()).collect();
        let shape = shape.ok_or_else(|| refuse("its shape is still open"))?;
        let dtype = match library.output_type {
            None => DType::F32,
            Some(output_type) => {
                let mut words = std::ptr::null();
                // SAFETY: the index is in range; the text is copied before the next call.
                let said = unsafe {
                    let status = output_type(handle, at, &mut words);
                    text(words).filter(|_| status == 0)
                };
                let said = said.ok_or_else(|| refuse("its type is not told"))?;
                DType::of_numpy(&said).ok_or_else(|| refuse(&format!("its type is {said}")))?
            }
        };
        let count = element_count(&shape).filter(|&n| n <= MOST_BYTES / LARGEST_ELEMENT);
        let count = count.ok_or_else(|| refuse("it is too large"))?;
        let size = dtype.size().unwrap_or(LARGEST_ELEMENT);
        let mut buffer = vec![0u64; count.max(1)];
        // SAFETY: the buffer has room for so many elements of the largest kind.
        if unsafe { (library.output)(handle, at, buffer.as_mut_ptr().cast()) } != 0 {
            return Err(refuse(&library.last_error()));
        }
        let words = buffer.iter().flat_map(|word| word.to_ne_bytes());
        let bytes: Vec<u8> = words.take(count * size).collect();
        Tensor::from_bytes(dtype, shape, bytes.into()).map_err(|error| refuse(&error.to_string()))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's own and is not used after this.
        unsafe { (self.library.delete)(&mut self.handle) };
    }
}

/// The shape of an input or output, negative where it is open.
///
/// # Safety
/// The handle is the library's own, and the index in range.
unsafe fn shape_of(
    size_dim: SizeDim,
    shape: Shape,
    handle: &mut Handle,
    index: c_int,
) -> Result<Vec<i64>, String> {
    let (mut size, mut dims) = (0, 0);
    // SAFETY: as the caller promises; the numbers live until the call returns.
    let status = unsafe { size_dim(handle, index, &mut size, &mut dims) };
    let count = usize::try_from(dims).ok().filter(|&dims| status == 0 && dims <= MOST_DIMS);
    let count = count.ok_or_else(|| format!("it has {dims} dimensions"))?;
    let mut found = vec![0; MOST_DIMS];
    // SAFETY: as above; there is room for more dimensions than there are.
    let status = unsafe { shape(handle, index, found.as_mut_ptr()) };
    found.truncate(count);
    if status == 0 { Ok(found) } else { Err("its shape is not told".into()) }
}

/// What the library is given for a package: its files, or to old releases its directory.
fn path_for(library: &Library, package: &Compiled) -> Result<CString, String> {
    let at = |part: &Path| part.to_str().map(str::to_owned).ok_or("its path is not UTF-8");
    let path = if library.takes_files {
        let parts = package.parts.iter().map(|part| at(&package.directory.join(part)));
        parts.collect::<Result<Vec<_>, _>>()?
    } else {
        if let Some(problem) = &package.unfit_as_directory {
            let version = library.version();
            return Err(format!("libdlr {version} reads whole directories, and {problem}"));
        }
        vec![at(&package.directory)?]
    };
    // It separates the files of a package, and the runtime knows no other way to write it.
    if path.iter().any(|path| path.contains(':')) {
        return Err("the runtime cannot read paths with a ':'. Hint: rename the directory".into());
    }
    CString::new(path.join(":")).map_err(|_| "its path holds NUL".into())
}

fn aligned_copy(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; LARGEST_ELEMENT];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_ne_bytes(word)
    };
    bytes.chunks(LARGEST_ELEMENT).map(word).collect()
}
