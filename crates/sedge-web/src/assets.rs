use std::hash::{DefaultHasher, Hasher};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A picture to try when none is at hand.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) file: &'static str,
    /// What is in it, for those who do not see it.
    pub(crate) words: &'static str,
    bytes: &'static [u8],
}

macro_rules! sample {
    ($file:literal, $words:literal) => {
        Sample {
            file: $file,
            words: $words,
            bytes: include_bytes!(concat!("../assets/samples/", $file)),
        }
    };
}

/// Sources and licences are in `assets/README.md`.
pub(crate) const SAMPLES: [Sample; 3] = [
    sample!("cat.jpg", "The head of a tabby cat"),
    sample!("coffee.jpg", "A cup of coffee on a wooden table"),
    sample!("astronaut.jpg", "An astronaut in an orange suit"),
];

/// Style, script, icon and samples.
pub(crate) fn routes() -> Router {
    let mut router = Router::new()
        .merge(asset("sedge.css", "text/css", include_bytes!("../assets/sedge.css")))
        .merge(asset("sedge.js", "text/javascript", include_bytes!("../assets/sedge.js")))
        .merge(asset("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")));
    for sample in SAMPLES {
        let path = format!("samples/{}", sample.file);
        router = router.merge(asset(&path, "image/jpeg", sample.bytes));
    }
    router
}

/// One file. Browsers keep it and ask each time whether it is still the same, so that a new version
/// of the program is seen at once.
fn asset(path: &str, content_type: &'static str, bytes: &'static [u8]) -> Router {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let answer = async move |headers: HeaderMap| -> Response {
        let same = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *tag);
        let headers = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, &tag)];
        match same {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, [(header::CONTENT_TYPE, content_type)], bytes).into_response(),
        }
    };
    Router::new().route(&format!("/page/{path}"), get(answer))
}
