use std::collections::{BTreeMap, BTreeSet};

use sedge_tensor::Tensor;

use super::Error;

/// Arrays that Chainer saves and no network computes with: how many batches a normalisation saw.
const COUNTERS: &str = "/N";

/// The arrays of a file, by the path of their parameter.
#[derive(Debug)]
pub(super) struct Weights {
    arrays: BTreeMap<String, Tensor>,
    /// What stands before every path, such as `predictor/`; known with the first parameter.
    prefix: Option<String>,
    used: BTreeSet<String>,
}

impl Weights {
    pub(super) fn new(arrays: Vec<(String, Tensor)>) -> Self {
        Self { arrays: arrays.into_iter().collect(), prefix: None, used: BTreeSet::new() }
    }

    /// The array of a parameter, when there is one. The path may stand below others: a classifier
    /// has its network as `predictor`, a snapshot as `updater/model:main/predictor`.
    pub(super) fn find(&mut self, path: &str) -> Option<Tensor> {
        if self.prefix.is_none() {
            let below = |name: &&String| {
                let before = name.strip_suffix(path);
                before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
            };
            // The shortest: `conv1/W` before `res2/a/conv1/W`.
            let name = self.arrays.keys().filter(below).min_by_key(|name| name.len())?;
            self.prefix = Some(name[..name.len() - path.len()].to_owned());
        }
        let name = format!("{}{path}", self.prefix.as_deref().unwrap_or_default());
        let array = self.arrays.get(&name)?.clone();
        self.used.insert(name);
        Some(array)
    }

    /// The array of a parameter that must be there.
    pub(super) fn take(&mut self, path: &str) -> Result<Tensor, Error> {
        self.find(path).ok_or_else(|| Error::Missing(path.to_owned()))
    }

    /// Marks what is below a path as known and of no use.
    pub(super) fn ignore(&mut self, path: &str) {
        let start = format!("{}{path}", self.prefix.as_deref().unwrap_or_default());
        let below = self.arrays.keys().filter(|name| name.starts_with(&start)).cloned();
        self.used.extend(below.collect::<Vec<_>>());
    }

    /// Arrays that are left over are a sign of another network.
    pub(super) fn all_used(&self) -> Result<(), Error> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let left = self.arrays.keys().filter(|name| {
            // Beside the network a snapshot has the state of its optimizer.
            name.starts_with(prefix) && !self.used.contains(*name) && !name.ends_with(COUNTERS)
        });
        let left: Vec<&String> = left.collect();
        match left.first() {
            None => Ok(()),
            Some(first) => Err(Error::Unused { first: (*first).clone(), count: left.len() }),
        }
    }
}
