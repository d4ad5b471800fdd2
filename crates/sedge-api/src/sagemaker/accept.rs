use axum::http::{HeaderMap, StatusCode, header};

use super::Error;

/// The whole prediction, as the command line and the other protocols give it.
const PREDICTION: &str = "application/vnd.sedge.prediction+json";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The list or rows that the built-in algorithms answer.
    Dialect,
    /// The prediction with labels and timings.
    Prediction {
        /// Whether it tells what was done to the picture.
        explain: bool,
    },
}

impl Form {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Dialect => "application/json",
            Self::Prediction { .. } => PREDICTION,
        }
    }
}

/// The form the client asks for; the dialect's own when it does not care.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Error> {
    let (mut any, mut explain) = (false, false);
    let (mut dialect, mut prediction) = (0.0f32, 0.0f32);
    for value in headers.get_all(header::ACCEPT) {
        let value = String::from_utf8_lossy(value.as_bytes());
        for item in value.split(',').filter(|item| !item.trim().is_empty()) {
            any = true;
            let mut parts = item.split(';').map(|part| part.trim().to_ascii_lowercase());
            let name = parts.next().unwrap_or_default();
            let parameters: Vec<_> = parts.collect();
            let quality = parameters.iter().find_map(|part| part.strip_prefix("q="));
            let quality = quality.map_or(1.0, |q| q.trim().parse().unwrap_or(1.0));
            match name.as_str() {
                "*/*" | "application/*" | "application/json" => dialect = dialect.max(quality),
                PREDICTION => {
                    prediction = prediction.max(quality);
                    explain |= parameters.iter().any(|part| part == "explain=true");
                }
                _ => {}
            }
        }
    }
    match (any, dialect > 0.0 || prediction > 0.0) {
        (false, _) => Ok(Form::Dialect),
        (true, true) if prediction >= dialect => Ok(Form::Prediction { explain }),
        (true, true) => Ok(Form::Dialect),
        (true, false) => Err(Error::validation(
            StatusCode::NOT_ACCEPTABLE,
            format!(
                "no answer has the accepted type. Hint: accept application/json or {PREDICTION}"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_chooses_the_form() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            form(&headers).ok()
        };
        for (value, expected) in [
            ("*/*", Some(Form::Dialect)),
            ("application/json;verbose", Some(Form::Dialect)),
            ("application/json, */*;q=0.1", Some(Form::Dialect)),
            (PREDICTION, Some(Form::Prediction { explain: false })),
            (
                "application/vnd.sedge.prediction+json, */*",
                Some(Form::Prediction { explain: false }),
            ),
            (
                "application/vnd.sedge.prediction+json; explain=true",
                Some(Form::Prediction { explain: true }),
            ),
            ("application/vnd.sedge.prediction+json;q=0.5, application/json", Some(Form::Dialect)),
            ("text/csv", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
        assert_eq!(form(&HeaderMap::new()).ok(), Some(Form::Dialect));
    }
}
