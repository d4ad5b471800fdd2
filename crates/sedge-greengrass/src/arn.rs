use std::fmt;
use std::str::FromStr;

/// Why a text is no ARN of the kind it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct ArnError {
    text: String,
    expected: &'static str,
}

impl ArnError {
    /// What it should be.
    pub(crate) fn expected(&self) -> String {
        format!("it must be {}", self.expected)
    }
}

/// A Lambda function: `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
///
/// Region and account may be empty and the account a word, as in the addresses of the system's own
/// functions (`arn:aws:lambda:::function:GGRouter`) and of connectors (account `aws`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionArn {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// `eu-west-1`; empty for the system's functions.
    pub region: String,
    /// Twelve digits, `aws` or empty.
    pub account: String,
    /// Name of the function.
    pub name: String,
    /// Version or alias.
    pub qualifier: Option<String>,
}

impl FunctionArn {
    /// Whether it is a function that comes with the core: the router, the shadows, the secrets.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.region.is_empty() && self.account.is_empty() && self.name.starts_with("GG")
    }

    /// The same without version or alias: by this a function is found, whichever version is there.
    #[must_use]
    pub fn unqualified(&self) -> Self {
        Self { qualifier: None, ..self.clone() }
    }
}

impl FromStr for FunctionArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let expected = "the ARN of a function (arn:aws:lambda:REGION:ACCOUNT:function:NAME)";
        let error = || ArnError { text: shown(text), expected };
        let parts: Vec<&str> = text.split(':').collect();
        let &["arn", partition, "lambda", region, account, "function", name, ref rest @ ..] =
            parts.as_slice()
        else {
            return Err(error());
        };
        let qualifier = match rest {
            [] => None,
            [qualifier] => Some(*qualifier),
            _ => return Err(error()),
        };
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        let name_like = |text: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            !text.is_empty() && text.bytes().all(fits)
        };
        let qualified = qualifier.is_none_or(|q| q == "$LATEST" || name_like(q));
        let fits = is_partition(partition)
            && (region.is_empty() || is_region(region))
            && word(account)
            && name_like(name)
            && qualified;
        fits.then(|| Self {
            partition: partition.into(),
            region: region.into(),
            account: account.into(),
            name: name.into(),
            qualifier: qualifier.map(Into::into),
        })
        .ok_or_else(error)
    }
}

impl fmt::Display for FunctionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, name, qualifier } = self;
        write!(f, "arn:{partition}:lambda:{region}:{account}:function:{name}")?;
        qualifier.iter().try_for_each(|qualifier| write!(f, ":{qualifier}"))
    }
}

/// A connector: `arn:aws:greengrass:REGION::/connectors/NAME/versions/N`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectorArn {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// `eu-west-1`.
    pub region: String,
    /// `ImageClassificationARMv7` and its like.
    pub name: String,
    /// Version of the connector.
    pub version: u32,
}

impl ConnectorArn {
    /// What stands for a region in the documentation's examples, and in what was copied from them.
    pub(crate) const NO_REGION: &str = "region";
}

impl FromStr for ConnectorArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let expected =
            "the ARN of a connector (arn:aws:greengrass:REGION::/connectors/NAME/versions/N)";
        let parse = || {
            let rest = text.strip_prefix("arn:")?;
            let (partition, rest) = rest.split_once(":greengrass:")?;
            let (region, rest) = rest.split_once("::/connectors/")?;
            let (name, version) = rest.split_once("/versions/")?;
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let named = !name.is_empty() && name.bytes().all(fits);
            let digits = version.bytes().all(|b| b.is_ascii_digit());
            let placed = is_region(region) || region == ConnectorArn::NO_REGION;
            (is_partition(partition) && placed && named && digits).then_some(())?;
            Some(Self {
                partition: partition.into(),
                region: region.into(),
                name: name.into(),
                version: version.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ArnError { text: shown(text), expected })
    }
}

impl fmt::Display for ConnectorArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, name, version } = self;
        write!(f, "arn:{partition}:greengrass:{region}::/connectors/{name}/versions/{version}")
    }
}

/// `aws(-[a-z]+)*`
pub(crate) fn is_partition(text: &str) -> bool {
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let mut parts = text.split('-');
    parts.next() == Some("aws") && parts.all(letters)
}

/// `[a-z]{2}(-[a-z]+)+-\d`
pub(crate) fn is_region(text: &str) -> bool {
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [country, places @ .., number] => {
            country.len() == 2
                && letters(country)
                && !places.is_empty()
                && places.iter().all(letters)
                && number.len() == 1
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

/// What can be shown of a text that may be anything.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_itself_again() {
        for text in [
            "arn:aws:lambda:eu-west-1:123456789012:function:classify",
            "arn:aws:lambda:eu-west-1:123456789012:function:classify:3",
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:a_b-C:$LATEST",
            "arn:aws:lambda:us-west-2:aws:function:GG-ML-INF-image-classification-cats:1",
            "arn:aws:lambda:::function:GGRouter",
        ] {
            let arn: FunctionArn = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(arn.to_string(), text);
            assert_eq!(arn.unqualified().qualifier, None);
        }
    }

    #[test]
    fn what_is_no_function_is_refused() {
        for text in [
            "",
            "arn",
            "arn:aws:lambda:eu-west-1:1:function:",
            "arn:aws:lambda:eu-west-1:1:function:a:b:c",
            "arn:aws:lambda:eu-west-1:1:function:a:",
            "arn:aws:lambda:eu-west-1:1:layer:a",
            "arn:aws:lambda:Europe:1:function:a",
            "arn:AWS:lambda:eu-west-1:1:function:a",
            "arn:aws:lambda:eu-west-1:1 2:function:a",
            "arn:aws:s3:::bucket",
        ] {
            assert!(text.parse::<FunctionArn>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_connector_is_itself_again() {
        let text = "arn:aws:greengrass:us-west-2::/connectors/ImageClassificationx86-64/versions/2";
        let arn: ConnectorArn = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((arn.name.as_str(), arn.version), ("ImageClassificationx86-64", 2));
        assert_eq!(arn.to_string(), text);
        for text in [
            "arn:aws:greengrass:us-west-2::/connectors/A/versions/",
            "arn:aws:greengrass:us-west-2::/connectors//versions/1",
            "arn:aws:greengrass:us-west-2:1:/connectors/A/versions/1",
            "arn:aws:greengrass:us-west-2::/connectors/A/versions/+1",
        ] {
            assert!(text.parse::<ConnectorArn>().is_err(), "{text}");
        }
    }
}
