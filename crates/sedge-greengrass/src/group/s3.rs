//! Addresses of objects, as resources spell them: `s3://bucket/key`, or the URL that the console
//! shows, with the bucket in the host or in the path.

use sedge_deploy::Source;

use super::node::Node;

/// The address as `s3://bucket/key`.
pub(super) fn read(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let address = match text.starts_with("s3://") {
        true => Some(text.to_owned()),
        false => from_url(text),
    };
    let Some(address) = address else {
        node.error("it must be the address of an object", "write s3://BUCKET/KEY");
        return None;
    };
    match address.parse::<Source>() {
        Ok(Source::S3 { .. }) => {}
        Ok(_) => return None,
        Err(error) => {
            let (rule, hint) = error.problem.split_once(" Hint: ").unwrap_or((&error.problem, ""));
            let hint = if hint.is_empty() { "write s3://BUCKET/KEY" } else { hint };
            node.error(rule.trim_end_matches('.'), hint);
            return None;
        }
    }
    if !(address.ends_with(".tar.gz") || address.ends_with(".zip")) {
        node.warn(
            "Greengrass takes .tar.gz and .zip",
            "Sedge tells archives and models by their content",
        );
    }
    Some(address)
}

/// `https://BUCKET.s3.REGION.amazonaws.com/KEY`, `https://s3.REGION.amazonaws.com/BUCKET/KEY`, and
/// the same with `s3-REGION` or without a region.
fn from_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    let host = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
    let server = |host: &str| host == "s3" || host.starts_with("s3.") || host.starts_with("s3-");
    if server(host) {
        return Some(format!("s3://{path}"));
    }
    // The bucket may itself have periods, which is told where the address is understood.
    let (bucket, rest) = host.rfind(".s3").map(|at| (&host[..at], &host[at + 1..]))?;
    server(rest).then(|| format!("s3://{bucket}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::from_url;

    #[test]
    fn urls_are_addresses() {
        for url in [
            "https://models.s3.amazonaws.com/a/b.zip",
            "http://models.s3.eu-west-1.amazonaws.com/a/b.zip",
            "https://models.s3-eu-west-1.amazonaws.com/a/b.zip",
            "https://s3.amazonaws.com/models/a/b.zip",
            "https://s3-eu-west-1.amazonaws.com/models/a/b.zip",
            "https://models.s3.cn-north-1.amazonaws.com.cn/a/b.zip",
        ] {
            assert_eq!(from_url(url).as_deref(), Some("s3://models/a/b.zip"), "{url}");
        }
        for url in ["https://example.org/models/a.zip", "https://s3.amazonaws.com", "models/a.zip"]
        {
            assert_eq!(from_url(url), None, "{url}");
        }
    }
}
