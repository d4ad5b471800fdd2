//! Files that are no package: brought, kept, and fetched again only when they changed.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "../../sedge-cloud/tests/common/server.rs"]
mod server;

use std::fs;
use std::sync::{Arc, Mutex};

use common::{Device, archive, names, request, write};
use sedge_deploy::{Hooks, InstallRequest, Version};
use server::{Answer, Server};

const NAME: &str = "greengrass-resource-1";

fn bring(device: &Device, request: &InstallRequest) -> Version {
    device.store.bring(NAME, request, &Hooks::default()).unwrap()
}

#[test]
fn whatever_an_archive_holds_is_brought() {
    let device = Device::new();
    let files: [(&str, &[u8]); 3] =
        [("net/model.py", b"class Net: pass"), ("net/weights.bin", &[7; 5000]), ("read me", b"")];
    write(&device.path("model.tar.gz"), &archive(&files));
    let version = bring(&device, &device.local("model.tar.gz"));
    let directory = device.store.path(&version);
    assert_eq!(names(&directory), ["net", "read me"]);
    assert_eq!(fs::read(directory.join("net/weights.bin")).unwrap(), [7; 5000]);
    assert_eq!(device.store.verify().unwrap(), []);
    // It is in use: nothing of it is collected, and what is the same is the same version.
    device.store.collect(1, None).unwrap();
    assert_eq!(bring(&device, &device.local("model.tar.gz")), version);
    // One without links and paths that lead out.
    write(&device.path("bad.tar.gz"), b"\x1f\x8b no archive");
    let error = device.store.bring(NAME, &device.local("bad.tar.gz"), &Hooks::default());
    assert!(error.is_err());
    assert_eq!(device.store.history(NAME).unwrap().current(), Some(&version));
}

#[test]
fn a_source_is_fetched_again_only_when_it_changed() {
    let device = Device::new();
    let body = Arc::new(Mutex::new(("one", archive(&[("a.txt", b"1")]))));
    let served = body.clone();
    let server = Server::new(move |asked| {
        let served = served.lock().unwrap();
        Answer::file(asked, &served.1, served.0)
    });
    let mut request = request("s3://models/a.tar.gz");
    request.remote.s3_endpoint = Some(server.base.clone());
    request.remote.path_style = Some(true);
    request.remote.credentials = sedge_deploy::Credentials::Anonymous;
    let first = bring(&device, &request);
    server.asked();
    assert_eq!(bring(&device, &request), first);
    // It was asked whether it still has the same.
    let [asked] = &server.asked()[..] else { panic!() };
    assert_eq!(asked.header("if-none-match"), Some("\"one\""));
    *body.lock().unwrap() = ("two", archive(&[("a.txt", b"2")]));
    let second = bring(&device, &request);
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(fs::read(device.store.path(&second).join("a.txt")).unwrap(), b"2");
    assert_eq!(device.store.verify().unwrap(), []);
}
