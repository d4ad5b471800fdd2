//! References in CloudFormation templates: `Ref`, `Fn::GetAtt`, `Fn::Join` and `Fn::Sub`, as far as
//! the template and the given parameters say what they mean.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lambda::Lambda;
use super::node::join;

/// References that lead to each other are followed this far.
const MOST_DEEP: usize = 32;
/// Most work on one template, in values and bytes: a few references may ask for very much.
const MOST_WORK: usize = 1 << 20;
/// Most references of one list that are told to lead nowhere.
const MOST_MISSING: usize = 200;

/// A reference whose value is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Where it stands.
    pub(super) path: String,
    /// What is referred to.
    pub(super) what: String,
    pub(super) rule: String,
    pub(super) hint: String,
}

pub(super) struct Resolver<'a> {
    parameters: Option<&'a Map<String, Value>>,
    resources: Option<&'a Map<String, Value>>,
    /// Values given for parameters, `AWS::Region` and its like, `Resource` and `Resource.Attribute`.
    given: &'a BTreeMap<String, String>,
    work_left: Cell<usize>,
}

/// Where a reference stands: its path, and how many led to it.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a str,
    depth: usize,
}

type Told<'a> = &'a mut Vec<Missing>;

impl<'a> Resolver<'a> {
    pub(super) fn new(template: &'a Value, given: &'a BTreeMap<String, String>) -> Self {
        let map = |key: &str| template.get(key).and_then(Value::as_object);
        let (parameters, resources) = (map("Parameters"), map("Resources"));
        Self { parameters, resources, given, work_left: Cell::new(MOST_WORK) }
    }

    /// A value with what it refers to in place of references, null where that is not known.
    pub(super) fn value(&self, value: &Value, path: &str, told: Told<'_>) -> Value {
        self.resolve(value, At { path, depth: 0 }, told)
    }

    /// What the template says of a function's code.
    pub(super) fn lambda(&self, name: &str) -> Option<Lambda> {
        let properties = self.properties(name)?;
        let (at, mut told) = (At { path: "", depth: 0 }, Vec::new());
        let mut text = |key: &str| {
            let value = properties.get(key)?;
            self.resolve(value, at, &mut told).as_str().map(str::to_owned)
        };
        let (handler, runtime) = (text("Handler"), text("Runtime"));
        let function = text("FunctionName").unwrap_or_else(|| name.to_owned());
        Some(Lambda { name: function, arn: None, handler, runtime })
    }

    fn resolve(&self, value: &Value, at: At<'_>, told: Told<'_>) -> Value {
        let bytes = value.as_str().map_or(0, str::len);
        let Some(left) = self.work_left.get().checked_sub(1 + bytes) else {
            return self.missing(at, "the template", "its references grow without end", told);
        };
        self.work_left.set(left);
        if at.depth > MOST_DEEP {
            return self.missing(at, "the template", "its references go round in a circle", told);
        }
        match value {
            Value::Object(map) => match map.iter().next().filter(|_| map.len() == 1) {
                Some((key, inner)) if key == "Ref" || key.starts_with("Fn::") => {
                    self.call(key, inner, at, told)
                }
                _ => {
                    let entry = |(key, value): (&String, &Value)| {
                        let path = join(at.path, key);
                        (key.clone(), self.resolve(value, At { path: &path, ..at }, told))
                    };
                    Value::Object(map.iter().map(entry).collect())
                }
            },
            Value::Array(items) => {
                let item = |(index, value): (usize, &Value)| {
                    let path = format!("{}[{index}]", at.path);
                    self.resolve(value, At { path: &path, ..at }, told)
                };
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            other => other.clone(),
        }
    }

    fn call(&self, function: &str, argument: &Value, at: At<'_>, told: Told<'_>) -> Value {
        let deeper = At { depth: at.depth + 1, ..at };
        match (function, argument) {
            ("Ref", Value::String(name)) => self.reference(name, deeper, told),
            ("Fn::GetAtt", Value::String(dotted)) => self.attribute(dotted, deeper, told),
            ("Fn::GetAtt", Value::Array(parts)) => {
                let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                self.attribute(&parts.join("."), deeper, told)
            }
            ("Fn::Sub", Value::String(text)) => self.substituted(text, None, deeper, told),
            ("Fn::Sub", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(text), Value::Object(own)] => {
                    self.substituted(text, Some(own), deeper, told)
                }
                _ => self.missing(at, function, "it takes a text and an object", told),
            },
            ("Fn::Join", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(separator), Value::Array(items)] => {
                    // Every part is asked for, so that all that is missing is told.
                    let parts: Vec<Option<String>> =
                        items.iter().map(|item| plain(&self.resolve(item, deeper, told))).collect();
                    let parts: Option<Vec<String>> = parts.into_iter().collect();
                    parts.map_or(Value::Null, |parts| parts.join(separator).into())
                }
                _ => self.missing(at, function, "it takes a separator and a list", told),
            },
            _ => self.missing(at, function, "it is not resolved here", told),
        }
    }

    /// `Ref`: a parameter's value, or what CloudFormation gives for a resource.
    fn reference(&self, name: &str, at: At<'_>, told: Told<'_>) -> Value {
        if let Some(given) = self.given.get(name) {
            return given.as_str().into();
        }
        match name {
            "AWS::NoValue" => return Value::Null,
            "AWS::Partition" => return "aws".into(),
            "AWS::URLSuffix" => return "amazonaws.com".into(),
            _ => {}
        }
        let parameter = self.parameters.and_then(|parameters| parameters.get(name));
        if let Some(default) = parameter.and_then(|parameter| parameter.get("Default")) {
            return self.resolve(default, at, told);
        }
        if parameter.is_none()
            && let Some(value) = self.resource(name, at, told)
        {
            return value;
        }
        self.missing(at, name, &format!("{name} has no value"), told)
    }

    /// What `Ref` gives for a resource.
    fn resource(&self, name: &str, at: At<'_>, told: Told<'_>) -> Option<Value> {
        // What the transform for serverless applications makes of a function.
        if let Some((function, made)) = name.split_once('.') {
            let qualifier = match made {
                "Alias" => self.text_of(function, "AutoPublishAlias", at, told)?,
                "Version" => "1".to_owned(),
                _ => return None,
            };
            return Some(self.function_arn(function, Some(&qualifier), at, told));
        }
        let kind = self.resources?.get(name)?.get("Type")?.as_str()?;
        match kind {
            "AWS::Lambda::Function" | "AWS::Serverless::Function" => {
                Some(self.function_name(name, at, told).into())
            }
            "AWS::Lambda::Alias" => {
                let alias = self.text_of(name, "Name", at, told)?;
                Some(self.qualified(name, &alias, at, told))
            }
            // Which number it gets only the cloud knows; the code is found by the name, too.
            "AWS::Lambda::Version" => Some(self.qualified(name, "1", at, told)),
            "AWS::IoT::Thing" => self.text_of(name, "ThingName", at, told).map(Value::from),
            "AWS::S3::Bucket" => self.text_of(name, "BucketName", at, told).map(Value::from),
            _ => None,
        }
    }

    /// `Fn::GetAtt`, its argument as `Resource.Attribute`.
    fn attribute(&self, dotted: &str, at: At<'_>, told: Told<'_>) -> Value {
        if let Some(given) = self.given.get(dotted) {
            return given.as_str().into();
        }
        let found = dotted.split_once('.').and_then(|(name, attribute)| {
            let kind = self.resources?.get(name)?.get("Type")?.as_str()?;
            match (kind, attribute) {
                ("AWS::Lambda::Function" | "AWS::Serverless::Function", "Arn") => {
                    Some(self.function_arn(name, None, at, told))
                }
                ("AWS::Lambda::Version", "Version") => Some("1".into()),
                ("AWS::IoT::Thing", "Arn") => {
                    let thing = self.text_of(name, "ThingName", at, told)?;
                    Some(self.arn("iot", &format!("thing/{thing}"), at, told))
                }
                _ => None,
            }
        });
        found.unwrap_or_else(|| {
            self.missing(at, dotted, &format!("only the cloud knows {dotted}"), told)
        })
    }

    /// `Fn::Sub`: a text with `${Name}`, `${Resource.Attribute}` and `${!kept}`.
    fn substituted(
        &self,
        text: &str,
        own: Option<&Map<String, Value>>,
        at: At<'_>,
        told: Told<'_>,
    ) -> Value {
        let (mut out, mut rest, mut known) = (String::new(), text, true);
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return self.missing(at, "Fn::Sub", "a ${ has no }", told);
            };
            rest = after;
            if let Some(kept) = name.strip_prefix('!') {
                out.push_str(&format!("${{{kept}}}"));
                continue;
            }
            let value = match own.and_then(|own| own.get(name)) {
                Some(value) => self.resolve(value, at, told),
                None if name.contains('.') => self.attribute(name, at, told),
                None => self.reference(name, at, told),
            };
            match plain(&value) {
                Some(text) => out.push_str(&text),
                None => known = false,
            }
        }
        out.push_str(rest);
        if known { out.into() } else { Value::Null }
    }

    fn function_name(&self, name: &str, at: At<'_>, told: Told<'_>) -> String {
        // The cloud would make one up from this.
        self.text_of(name, "FunctionName", at, told).unwrap_or_else(|| name.to_owned())
    }

    fn function_arn(
        &self,
        name: &str,
        qualifier: Option<&str>,
        at: At<'_>,
        told: Told<'_>,
    ) -> Value {
        let function = self.function_name(name, at, told);
        let qualifier = qualifier.map(|qualifier| format!(":{qualifier}")).unwrap_or_default();
        self.arn("lambda", &format!("function:{function}{qualifier}"), at, told)
    }

    /// The ARN of a version or alias, whose `FunctionName` is a name or an ARN.
    fn qualified(&self, name: &str, qualifier: &str, at: At<'_>, told: Told<'_>) -> Value {
        let function = self.text_of(name, "FunctionName", at, told).unwrap_or_default();
        if function.starts_with("arn:") {
            return format!("{function}:{qualifier}").into();
        }
        self.arn("lambda", &format!("function:{function}:{qualifier}"), at, told)
    }

    fn arn(&self, service: &str, rest: &str, at: At<'_>, told: Told<'_>) -> Value {
        let mut part = |name: &str| plain(&self.reference(name, at, told));
        let parts = [part("AWS::Partition"), part("AWS::Region"), part("AWS::AccountId")];
        let [Some(partition), Some(region), Some(account)] = parts else { return Value::Null };
        format!("arn:{partition}:{service}:{region}:{account}:{rest}").into()
    }

    fn properties(&self, name: &str) -> Option<&'a Value> {
        self.resources?.get(name)?.get("Properties")
    }

    fn text_of(&self, name: &str, key: &str, at: At<'_>, told: Told<'_>) -> Option<String> {
        let value = self.properties(name)?.get(key)?;
        plain(&self.resolve(value, At { depth: at.depth + 1, ..at }, told))
    }

    fn missing(&self, at: At<'_>, what: &str, rule: &str, told: Told<'_>) -> Value {
        let same = |missing: &Missing| missing.what == what && missing.path == at.path;
        if told.len() == MOST_MISSING || told.iter().any(same) {
            return Value::Null;
        }
        told.push(Missing {
            path: at.path.to_owned(),
            what: what.to_owned(),
            rule: rule.to_owned(),
            hint: match what.starts_with("Fn::") || what == "the template" {
                true => "write the value itself in its place".to_owned(),
                false => format!("give it: --parameter {what}=VALUE"),
            },
        });
        Value::Null
    }
}

/// A text, or a number or truth value as one.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
