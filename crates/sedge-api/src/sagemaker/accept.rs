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
        /// At most so many classes or objects.
        top_k: Option<usize>,
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
    let (mut any, mut explain, mut top_k) = (false, false, None);
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
                    let asked = parameters.iter().find_map(|part| part.strip_prefix("top_k="));
                    top_k = asked.map(parse_top_k).transpose()?.or(top_k);
                }
                _ => {}
            }
        }
    }
    match (any, dialect > 0.0 || prediction > 0.0) {
        (false, _) => Ok(Form::Dialect),
        (true, true) if prediction >= dialect => Ok(Form::Prediction { explain, top_k }),
        (true, true) => Ok(Form::Dialect),
        (true, false) => Err(Error::validation(
            StatusCode::NOT_ACCEPTABLE,
            format!(
                "no answer has the accepted type. Hint: accept application/json or {PREDICTION}"
            ),
        )),
    }
}

fn parse_top_k(text: &str) -> Result<usize, Error> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| {
        let message =
            format!("top_k={text} is no number of classes or objects. Hint: give 1 or more");
        Error::validation(StatusCode::BAD_REQUEST, message)
    })
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
            (PREDICTION, Some(Form::Prediction { explain: false, top_k: None })),
            (
                "application/vnd.sedge.prediction+json, */*",
                Some(Form::Prediction { explain: false, top_k: None }),
            ),
            (
                "application/vnd.sedge.prediction+json; explain=true; top_k=5",
                Some(Form::Prediction { explain: true, top_k: Some(5) }),
            ),
            ("application/vnd.sedge.prediction+json; top_k=0", None),
            ("application/vnd.sedge.prediction+json; top_k=many", None),
            ("application/vnd.sedge.prediction+json;q=0.5, application/json", Some(Form::Dialect)),
            ("text/csv", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
        assert_eq!(form(&HeaderMap::new()).ok(), Some(Form::Dialect));
    }
}
