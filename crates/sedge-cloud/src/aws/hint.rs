//! What to do about the codes that all services give.

/// What is wrong, and the way on; `None` for codes of one service's own.
#[must_use]
pub fn of(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidAccessKeyId" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "nobody knows the access key. Hint: check the credentials"
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "the secret does not fit the access key. Hint: check the credentials"
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            "the credentials have expired. Hint: give new ones"
        }
        "AccessDenied" | "AccessDeniedException" => {
            "these credentials may not do that. Hint: see which permissions are needed in \
             docs/cloud.md"
        }
        "NoSuchBucket" => "there is no such bucket. Hint: check its name and the endpoint",
        "RequestTimeTooSkewed" => "the clock of the device is wrong. Hint: set it",
        _ => return None,
    })
}
