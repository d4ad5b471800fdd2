use sedge_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::Box2d;

/// One class of a classified picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Index into the model's output.
    pub index: usize,
    /// What the index means; left out of the JSON when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How sure the model is; a probability for most models.
    pub score: f32,
}

/// One object found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Class index as the model emits it.
    pub index: usize,
    /// What the index means; left out of the JSON when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How sure the model is, 0..=1.
    pub score: f32,
    /// Where it is, in pixels of the upright picture, clamped to the picture.
    #[serde(rename = "box")]
    pub bounds: Box2d,
    /// The same box as ratios of the picture's width and height.
    pub box_normalized: Box2d,
}

/// What a model says about one picture. Classes and objects are sorted by score, best first.
///
/// In JSON it is one key, `classes` or `objects`, made to be flattened into a prediction; raw
/// tensors have no JSON form here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Classes of the whole picture.
    Classes(Vec<Class>),
    /// Objects and where they are.
    Objects(Vec<Object>),
    /// The model's outputs as they are: name and tensor.
    #[serde(skip)]
    Tensors(Vec<(String, Tensor)>),
}

/// Names of a model's classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    offset: usize,
}

impl Labels {
    /// Labels whose first belongs to output index `offset`: 1 when output 0 is a background class
    /// that the list leaves out. Indices before it have no label.
    pub fn new(names: Vec<String>, offset: usize) -> Self {
        Self { names, offset }
    }

    /// The output indices that have labels: the first, and the one after the last.
    pub fn range(&self) -> (usize, usize) {
        (self.offset, self.offset.saturating_add(self.names.len()))
    }

    /// The label of an output index.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.names.get(index.checked_sub(self.offset)?).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_begin_at_their_offset() {
        let labels = Labels::new(vec!["cat".into(), "dog".into()], 1);
        assert_eq!([labels.get(0), labels.get(1), labels.get(3)], [None, Some("cat"), None]);
    }
}
