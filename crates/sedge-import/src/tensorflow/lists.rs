//! Lists of tensors, which loops read and fill: `TensorArray` of TensorFlow 1, `TensorList` of
//! TensorFlow 2. While a graph is written out round by round, every place of a list is known, so
//! that nothing of it is left in the graph: reading a place gives what was written there.

use std::rc::Rc;

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::builder::Op;
use super::{Refusal, shape};

/// Places of all lists of a graph together; writing makes a new list of an old one.
pub(super) const MAX_PLACES: usize = 1 << 20;

/// What was written to the places of a list.
pub(super) type List = Rc<Vec<Option<ValueId>>>;

impl Op<'_, '_> {
    /// The list that operand `index` stands for.
    fn list_operand(&self, index: usize) -> Result<List, Refusal> {
        let value = self.operand(index)?;
        let known = self.context.lists.get(&value).cloned();
        known
            .ok_or_else(|| Refusal(format!("operand {index} is no list that is made in the graph")))
    }

    /// Gives result `index` a list. It goes through the graph as a number that nobody reads.
    fn finish_list(&mut self, index: usize, list: Vec<Option<ValueId>>) -> Result<(), Refusal> {
        let room = self.context.list_room.checked_sub(list.len().max(1));
        self.context.list_room =
            room.ok_or_else(|| Refusal::new("the lists of the graph get far too long"))?;
        let value = self.add_constant(Tensor::scalar(0f32));
        self.context.lists.insert(value, Rc::new(list));
        self.finish_at(index, value);
        Ok(())
    }

    fn place(&self, index: usize) -> Result<usize, Refusal> {
        let place = self.single(index, "the place in the list")?;
        usize::try_from(place).map_err(|_| Refusal(format!("it names the place {place}")))
    }

    /// How many places operand `index` asks for.
    fn length(&self, index: usize) -> Result<usize, Refusal> {
        let length = self.single(index, "the length of the list")?.max(0);
        let length = usize::try_from(length).ok().filter(|&length| length <= MAX_PLACES);
        length.ok_or_else(|| Refusal::new("its list is far too long"))
    }

    /// The places that operand `index` names.
    fn places(&self, index: usize) -> Result<Vec<usize>, Refusal> {
        let places = self.ints(index, "the places in the list")?;
        let place = |&n: &i64| usize::try_from(n).map_err(|_| Refusal(format!("place {n}")));
        places.iter().map(place).collect()
    }

    /// What lies at a place; zeros of the shape that operand `shape` gives where nothing does.
    fn element(&mut self, list: &List, at: usize, like: Option<usize>) -> Result<ValueId, Refusal> {
        if let Some(&Some(value)) = list.get(at) {
            return Ok(value);
        }
        let never = || Refusal(format!("place {at} of its list was never written"));
        let dims = like.and_then(|index| self.known_ints(index)).ok_or_else(never)?;
        let within = at < list.len() && dims.iter().all(|&dim| dim >= 0);
        let dtype = self.dtype_attribute("element_dtype")?;
        if !within {
            return Err(never());
        }
        let zero = self.add_constant(Tensor::scalar(0f32));
        let zero = self.cast(zero, dtype);
        let dims = self.add_ints(&dims);
        Ok(self.apply("Expand", &[zero, dims]))
    }

    /// The elements of `value` along its first dimension.
    fn elements(&mut self, value: ValueId, count: usize) -> Vec<ValueId> {
        let element = |op: &mut Self, at: usize| {
            let at = op.add_constant(Tensor::scalar(at as i64));
            op.apply("Gather", &[value, at])
        };
        (0..count).map(|at| element(self, at)).collect()
    }

    /// The elements in a new first dimension.
    fn stack(&mut self, parts: &[ValueId]) -> Result<ValueId, Refusal> {
        if parts.is_empty() {
            return Err(Refusal::new("the list it makes a tensor of is empty"));
        }
        let parts: Vec<ValueId> =
            parts.iter().map(|&part| self.apply_ints("Unsqueeze", part, &[0])).collect();
        Ok(shape::join(self, &parts, 0))
    }
}

/// TensorArrayV3 and TensorListReserve: a list of so many empty places.
pub(super) fn reserve(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let array = op.kind() == "TensorArrayV3";
    let length = op.length(usize::from(!array))?;
    if length > op.context.list_room {
        return Err(Refusal::new("the lists of the graph get far too long"));
    }
    // The first result of an array is its handle; what was written travels with the second.
    if array {
        op.finish_list(0, Vec::new())?;
    }
    op.finish_list(usize::from(array), vec![None; length])
}

/// EmptyTensorList.
pub(super) fn empty(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    op.finish_list(0, Vec::new())
}

/// TensorArrayWriteV3 (handle, place, element, list) and TensorListSetItem (list, place, element).
pub(super) fn write(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let list = op.list_operand(if op.kind() == "TensorArrayWriteV3" { 3 } else { 0 })?;
    let (place, element) = (op.place(1)?, op.operand(2)?);
    let mut list = list.to_vec();
    if place >= list.len() {
        if place >= op.context.list_room {
            return Err(Refusal::new("the lists of the graph get far too long"));
        }
        list.resize(place + 1, None);
    }
    list[place] = Some(element);
    op.finish_list(0, list)
}

/// TensorArrayReadV3 (handle, place, list) and TensorListGetItem (list, place, shape).
pub(super) fn read(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let array = op.kind() == "TensorArrayReadV3";
    let list = op.list_operand(if array { 2 } else { 0 })?;
    let place = op.place(1)?;
    let value = op.element(&list, place, (!array).then_some(2))?;
    op.finish(value)
}

/// TensorArrayScatterV3: handle, places, a tensor of elements, list.
pub(super) fn scatter(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let mut list = op.list_operand(3)?.to_vec();
    let (places, value) = (op.places(1)?, op.operand(2)?);
    let elements = op.elements(value, places.len());
    for (place, element) in places.into_iter().zip(elements) {
        let beyond = || Refusal(format!("it writes to place {place} of {}", list.len()));
        if place >= list.len() {
            return Err(beyond());
        }
        list[place] = Some(element);
    }
    op.finish_list(0, list)
}

/// TensorListFromTensor.
pub(super) fn from_tensor(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let count = op.dim(value, 0).filter(|&count| count <= op.context.list_room);
    let count = count.ok_or_else(|| Refusal::new("the number of its elements is not known"))?;
    let elements = op.elements(value, count);
    op.finish_list(0, elements.into_iter().map(Some).collect())
}

/// TensorArrayGatherV3 (handle, places, list) and TensorListGather (list, places, shape).
pub(super) fn gather(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let array = op.kind() == "TensorArrayGatherV3";
    let list = op.list_operand(if array { 2 } else { 0 })?;
    let places = op.places(1)?;
    let mut parts = Vec::new();
    for place in places {
        parts.push(op.element(&list, place, (!array).then_some(2))?);
    }
    let value = op.stack(&parts)?;
    op.finish(value)
}

/// TensorListStack: list, shape of an element.
pub(super) fn stack(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let list = op.list_operand(0)?;
    let mut parts = Vec::new();
    for place in 0..list.len() {
        parts.push(op.element(&list, place, Some(1))?);
    }
    let value = op.stack(&parts)?;
    op.finish(value)
}

/// TensorArrayConcatV3 (handle, list) and TensorListConcatV2 (list): the elements one after the
/// other. How long each was is not told.
pub(super) fn concat(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let list = op.list_operand(usize::from(op.kind() == "TensorArrayConcatV3"))?;
    let mut parts = Vec::new();
    for place in 0..list.len() {
        parts.push(op.element(&list, place, None)?);
    }
    let value = match parts.as_slice() {
        [] => return Err(Refusal::new("the list it makes a tensor of is empty")),
        parts => shape::join(op, parts, 0),
    };
    op.finish(value)
}

/// TensorListPushBack: list, element.
pub(super) fn push(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let mut list = op.list_operand(0)?.to_vec();
    list.push(Some(op.operand(1)?));
    op.finish_list(0, list)
}

/// TensorListPopBack: list, shape of an element; gives the shorter list and its last element.
pub(super) fn pop(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let list = op.list_operand(0)?;
    let last = list.len().checked_sub(1).ok_or_else(|| Refusal::new("its list is empty"))?;
    let value = op.element(&list, last, Some(1))?;
    op.finish_at(1, value);
    op.finish_list(0, list[..last].to_vec())
}

/// TensorListResize: list, length.
pub(super) fn resize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (mut list, length) = (op.list_operand(0)?.to_vec(), op.length(1)?);
    if length > op.context.list_room {
        return Err(Refusal::new("the lists of the graph get far too long"));
    }
    list.resize(length, None);
    op.finish_list(0, list)
}

/// TensorArraySizeV3 (handle, list) and TensorListLength (list).
pub(super) fn length(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let list = op.list_operand(usize::from(op.kind() == "TensorArraySizeV3"))?;
    let length = op.add_constant(Tensor::scalar(list.len() as i64));
    let length = op.cast(length, DType::I32);
    op.finish(length)
}
