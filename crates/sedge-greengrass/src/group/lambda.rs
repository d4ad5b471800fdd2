use serde_json::Value;

use crate::FunctionArn;

/// What AWS Lambda knows about a function and a group's definition does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lambda {
    pub(crate) name: String,
    /// Of the function, without a version.
    pub(crate) arn: Option<FunctionArn>,
    pub(crate) handler: Option<String>,
    pub(crate) runtime: Option<String>,
}

impl Lambda {
    /// What `aws lambda get-function-configuration` prints, or the properties of a function in a
    /// template; `None` where it is something else.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let (handler, runtime) = (text("Handler"), text("Runtime"));
        let arn: Option<FunctionArn> = text("FunctionArn").and_then(|arn| arn.parse().ok());
        let arn = arn.map(|arn| arn.unqualified());
        let name = text("FunctionName").or_else(|| arn.as_ref().map(|arn| arn.name.clone()))?;
        let known = handler.is_some() || runtime.is_some();
        known.then_some(Self { name, arn, handler, runtime })
    }

    /// What is known of a function, by its ARN, else by its name.
    pub(crate) fn of<'a>(arn: &FunctionArn, all: &'a [Self]) -> Option<&'a Self> {
        let wanted = arn.unqualified();
        let same = |known: &&Self| known.arn.as_ref() == Some(&wanted);
        let named = |known: &&Self| known.arn.is_none() && known.name == wanted.name;
        all.iter().find(same).or_else(|| all.iter().find(named))
    }
}
