use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Most problems that are told: whoever has more begins with these.
const MOST: usize = 500;
/// Characters of a value that are shown.
const SHOWN: usize = 120;

/// Whether a group can be used in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can: what is odd is understood, or left out.
    Warning,
}

/// One thing that is wrong or odd in the definitions of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the group can be used.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// Where in it: `Connectors[0].Parameters.MLModelResourceId`; empty for all of it.
    pub path: String,
    /// What stands there, the start of it; empty where nothing does.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, path, value, rule, hint, .. } = self;
        f.write_str(file)?;
        if !path.is_empty() {
            write!(f, ", {path}")?;
        }
        if !value.is_empty() {
            write!(f, " = {value}")?;
        }
        write!(f, ": {rule}")?;
        if hint.is_empty() { Ok(()) } else { write!(f, ". Hint: {hint}") }
    }
}

/// Everything that is wrong or odd in the definitions of a group, in the order of the definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The problems.
    pub problems: Vec<Problem>,
    /// How many more there are than are told.
    pub left_out: usize,
}

impl Report {
    /// Whether the group cannot be used.
    pub fn has_errors(&self) -> bool {
        self.left_out > 0 || self.of(Severity::Error).next().is_some()
    }

    /// The problems that are as grave as this.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(move |problem| problem.severity == severity)
    }

    /// Adds a problem, if there is room.
    pub fn push(&mut self, problem: Problem) {
        match self.problems.len() {
            0..MOST => self.problems.push(problem),
            _ => self.left_out += 1,
        }
    }
}

/// Where problems are told while definitions are read.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    report: RefCell<Report>,
    /// Places whose value is not known, which has been told: that they are empty is no news.
    unknown: RefCell<BTreeSet<(String, String)>>,
}

impl Recorder {
    pub(crate) fn tell(&self, problem: Problem) {
        let unknown = self.unknown.borrow();
        let at = |(file, path): &(String, String)| *file == problem.file && *path == problem.path;
        let mut report = self.report.borrow_mut();
        // What is read twice is told once.
        if !unknown.iter().any(at) && !report.problems.contains(&problem) {
            report.push(problem);
        }
    }

    /// That the value of a place is not known. What is told of it before stays.
    pub(crate) fn leave(&self, file: &str, path: &str) {
        self.unknown.borrow_mut().insert((file.to_owned(), path.to_owned()));
    }

    pub(crate) fn into_report(self) -> Report {
        self.report.into_inner()
    }
}

/// A value for people: the start of a long one, on one line.
pub(crate) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        value => value.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
