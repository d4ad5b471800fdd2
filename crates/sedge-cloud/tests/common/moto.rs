//! moto's server, which plays Amazon's services, and Amazon's own client.
//!
//! moto is in the tests' Python environment; where that has not been made, tests that want it are
//! skipped and say so. With CI=true that is a failure.
#![allow(clippy::unwrap_used, dead_code)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The tests' Python.
pub(crate) fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let has_moto = Command::new(&python).args(["-c", "import moto.server"]).output();
    if has_moto.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let reason = "there is no moto in .venv. Hint: tests/python/run makes it";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    #[allow(clippy::print_stderr)]
    {
        eprintln!("skipped: {reason}");
    }
    None
}

/// The server, ended with the test.
pub(crate) struct Moto {
    process: Child,
    python: PathBuf,
    pub(crate) base: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let python = python()?;
        let mut process = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let base = loop {
            let line = lines.next().expect("moto says where it runs").unwrap();
            if let Some((_, rest)) = line.split_once("Running on ") {
                break rest.trim().to_owned();
            }
        };
        // It logs every request, and stops when nobody reads that.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, python, base })
    }

    /// Runs Python with clients of the services; what it prints.
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> String {
        let clients = format!(
            "import boto3, json, sys\n\
             c = dict(endpoint_url='{}', region_name='us-east-1', aws_access_key_id='key', \
             aws_secret_access_key='secret')\n\
             s3, sagemaker, cloudwatch, logs = [boto3.client(name, **c) for name in \
             ('s3', 'sagemaker', 'cloudwatch', 'logs')]\n{script}",
            self.base
        );
        let output =
            Command::new(&self.python).arg("-c").arg(clients).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
