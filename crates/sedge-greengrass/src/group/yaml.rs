//! YAML, as CloudFormation templates are mostly written, to the value that the same in JSON is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::{Map, Value};

/// As deep as JSON may be nested here.
const MOST_DEEP: usize = 127;
/// Values that repeat others (`*name`) count as often as they do: a few may ask for very many.
const MOST_VALUES: usize = 1 << 18;
/// Lines that are moved to the right, each with the whole read once more.
const MOST_MENDED: usize = 100;

/// The one document of a text, with the short forms of CloudFormation's functions (`!Ref`) written
/// out (`{"Ref": ..}`).
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_MENDED {
        match read(&text) {
            Err(Problem::Outdented { line }) => text = indented(&text, line).into(),
            Err(problem) => return Err(problem.to_string()),
            Ok(value) => return Ok(value),
        }
    }
    Err("it has quoted texts over many lines that are not indented".to_owned())
}

fn read(text: &str) -> Result<Value, Problem> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), values: 0 };
    let mut document = None;
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => {
                return document.ok_or_else(|| Problem::Other("it is empty".to_owned()));
            }
            _ if document.is_some() => return Err(reader.wrong("a second document starts")),
            event => document = Some(reader.value(event, 0)?),
        }
    }
}

enum Problem {
    /// A line of a quoted text stands further left than YAML 1.2 allows, which what CloudFormation
    /// reads templates with does not mind (the accelerator's own has such a line).
    Outdented {
        line: usize,
    },
    Other(String),
}

impl Problem {
    fn of(error: &ScanError) -> Self {
        let mark = error.marker();
        match error.kind() {
            ErrorKind::InvalidQuotedScalarIndent => Self::Outdented { line: mark.line() },
            _ => Self::Other(format!(
                "line {}, column {}: {}",
                mark.line(),
                mark.col() + 1,
                error.info()
            )),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outdented { line } => write!(f, "line {line}: a quoted text is not indented"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// The text with a line (counted from 1) moved to the right: blanks that a line of a quoted text
/// starts with are no part of it.
fn indented(text: &str, line: usize) -> String {
    let blanks = " ".repeat(4 * MOST_DEEP);
    let lines = text.split_inclusive('\n').enumerate();
    let moved = lines.map(|(index, text)| match index + 1 == line {
        true => format!("{blanks}{text}"),
        false => text.to_owned(),
    });
    moved.collect()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What has a name, by the parser's number for it, and how many values are in it.
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Problem> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(Problem::of(&error)),
            None => Ok(Event::StreamEnd),
        }
    }

    /// Something wrong about where the parser is.
    fn wrong(&mut self, what: &str) -> Problem {
        let place = match self.parser.peek() {
            Some(Ok((_, span))) => format!("before line {}", span.start.line()),
            _ => "at the end".to_owned(),
        };
        Problem::Other(format!("{place}: {what}"))
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, Problem> {
        if depth > MOST_DEEP {
            return Err(self.wrong("it is nested too deep"));
        }
        let before = self.values;
        self.count(1)?;
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(&text, style, tag.as_deref()), anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
                (Value::Array(items), anchor, tag)
            }
            Event::MappingStart(_, anchor, tag) => (self.mapping(depth)?, anchor, tag),
            Event::Alias(anchor) => {
                // Within what it names, a name has no value yet.
                let Some((value, values)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.wrong("a value contains itself"));
                };
                self.count(values)?;
                return Ok(value);
            }
            _ => return Err(self.wrong("it goes on where it should end")),
        };
        let value = match tag.as_deref() {
            Some(tag) => called(tag, value),
            None => value,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.values - before));
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut map = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Value::Object(map)),
                // Keys are texts, whatever they look like.
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.wrong("a key is no text")),
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            if map.contains_key(&key) {
                return Err(self.wrong(&format!("{key} is there twice")));
            }
            map.insert(key, value);
        }
    }

    fn count(&mut self, values: usize) -> Result<(), Problem> {
        self.values += values;
        match self.values > MOST_VALUES {
            true => Err(Problem::Other(format!("it has more than {MOST_VALUES} values"))),
            false => Ok(()),
        }
    }
}

/// A function's short form, written out.
fn called(tag: &Tag, value: Value) -> Value {
    if tag.handle() != "!" {
        return value;
    }
    let function = match tag.suffix() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    };
    Value::Object(Map::from_iter([(function, value)]))
}

/// A scalar by the core schema; what a template would lose as a number (an account with a zero in
/// front) stays a text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let called_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
    if style != ScalarStyle::Plain || called_text {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text => number(text).unwrap_or_else(|| text.into()),
    }
}

/// A number in decimal digits.
fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let leads = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if leads || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if !digits.chars().all(fits) {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let value: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_have_short_forms() {
        let text = "A: !Ref Name\nB: !GetAtt Function.Arn\nC: !Join ['-', [a, !Ref b]]\n\
                    D: !Sub\n  - 's3://${X}'\n  - X: !ImportValue it\nE: !Sub ${A}_Core\n\
                    F: !If [yes, 1, 2]\nG: !Condition c\nH: {Fn::Sub: x}\n";
        let expected = json!({
            "A": {"Ref": "Name"}, "B": {"Fn::GetAtt": "Function.Arn"},
            "C": {"Fn::Join": ["-", ["a", {"Ref": "b"}]]},
            "D": {"Fn::Sub": ["s3://${X}", {"X": {"Fn::ImportValue": "it"}}]},
            "E": {"Fn::Sub": "${A}_Core"}, "F": {"Fn::If": ["yes", 1, 2]},
            "G": {"Condition": "c"}, "H": {"Fn::Sub": "x"},
        });
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn scalars_are_what_they_look_like() {
        let text = "[True, false, 'true', 15, -1, 0.5, 1e3, 2010-09-09, 012345678901, 0, ~, null, \
                    yes, !!str 12, \"12\", 1.2.3, '', .5, 123456789012345678901]";
        let expected = json!([
            true,
            false,
            "true",
            15,
            -1,
            0.5,
            1000.0,
            "2010-09-09",
            "012345678901",
            0,
            null,
            null,
            "yes",
            "12",
            "12",
            "1.2.3",
            "",
            0.5,
            1.234_567_890_123_456_8e20
        ]);
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("a: |\n  x\n  y\nb: >\n  x\n  y\n").unwrap()["a"], "x\ny\n");
    }

    #[test]
    fn lists_and_quoted_texts_may_end_where_their_key_starts() {
        let text = "A:\n  b: [\n    1\n  ]\n  c: \"{\n    x: 1\n  }\"\n  d: 'one\ntwo\n\nthree'\n";
        let expected = json!({"A": {"b": [1], "c": "{ x: 1 }", "d": "one two\nthree"}});
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn names_stand_for_their_values() {
        let text = "a: &one {x: 1}\nb: *one\n";
        assert_eq!(parse(text).unwrap(), json!({"a": {"x": 1}, "b": {"x": 1}}));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let grows: String = (1..30)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(",")))
            .collect();
        let cases = [
            ("a: 1\na: 2\n", "a is there twice"),
            ("--- 1\n--- 2\n", "a second document"),
            ("a: [1, 2\nb: 3", "line "),
            ("a: \"x", "line "),
            ("[1]: 2", "a key is no text"),
            ("", "it is empty"),
            ("a: &a [*a]", "contains itself"),
            ("a: *nobody", "line "),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).is_err());
        assert!(parse(&format!("a0: &a0 [x]\n{grows}")).is_err());
    }
}
