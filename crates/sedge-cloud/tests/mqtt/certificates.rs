//! Certificates and keys, made by openssl for a test.

use std::path::Path;
use std::process::Command;

/// Makes `NAME.pem` and `NAME.key`: an authority.
pub(crate) fn authority(place: &Path, name: &str) {
    let subject = format!("/CN={name}");
    let arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let more = ["-nodes", "-days", "2", "-subj", &subject];
    openssl(place, &[&arguments[..], &more, &files(name, "-keyout", "-out")].concat());
}

/// Makes `NAME.pem` and `NAME.key`, signed by an authority for so many days: fewer than none
/// for one that has expired. `alternative` is what a broker is called by.
pub(crate) fn issue(place: &Path, authority: &str, name: &str, alternative: &str, days: i32) {
    let subject = format!("/CN={name}");
    // The key as AWS IoT hands it out: RSA, in the older form.
    let key = format!("{name}.key");
    openssl(place, &["genrsa", "-traditional", "-out", &key, "2048"]);
    openssl(place, &["req", "-new", "-key", &key, "-subj", &subject, "-out", "request.csr"]);
    std::fs::write(place.join("extensions"), format!("subjectAltName={alternative}\n")).unwrap();
    let (days, certificate) = (days.to_string(), format!("{name}.pem"));
    let (ca, ca_key) = (format!("{authority}.pem"), format!("{authority}.key"));
    let arguments = ["x509", "-req", "-in", "request.csr", "-CA", &ca, "-CAkey", &ca_key];
    let more = ["-CAcreateserial", "-extfile", "extensions", "-days", &days, "-out", &certificate];
    openssl(place, &[&arguments[..], &more].concat());
}

fn files<'a>(name: &'a str, key: &'a str, certificate: &'a str) -> [&'a str; 4] {
    // Leaked, as a few bytes of a test may be.
    let file = |ending: &str| -> &'static str { format!("{name}.{ending}").leak() };
    [key, file("key"), certificate, file("pem")]
}

fn openssl(place: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(place).output();
    let made = made.unwrap_or_else(|error| {
        panic!("{error}: these tests make certificates. Hint: apt-get install openssl")
    });
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
