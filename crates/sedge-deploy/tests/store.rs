//! Installing from this device, versions and their histories, and what the store keeps.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Device, SERVICE, archive, model, names, sound, testdata, write};
use sedge_deploy::{DeployError, Hooks, Installed, State, Store};
use sedge_package::{Package, Policy, SecretKey, TrustList, verify};

#[test]
fn files_directories_and_archives_become_the_same_package() {
    let device = Device::new();
    let abs = model("abs");
    let manifest = b"schema = 1\n[model]\nfiles = [\"abs.tflite\"]\n";
    write(&device.path("bare/abs.tflite"), &abs);
    write(&device.path("bare/unrelated.txt"), b"not of the model");
    write(&device.path("package/abs.tflite"), &abs);
    write(&device.path("package/model.toml"), manifest);
    let files = [("top/abs.tflite", &*abs), ("top/model.toml", manifest)];
    write(&device.path("package.tar.gz"), &archive(&files));

    let bare = device.deploy(&device.local("bare/abs.tflite"));
    let directory = device.deploy(&device.local("package"));
    assert_eq!((bare.number, directory.number), (1, 2));
    assert_eq!(bare.entry, "abs.tflite");
    assert_ne!(bare.identity, directory.identity);
    let same = device.install(&device.local("package.tar.gz")).unwrap();
    assert!(matches!(same, Installed::Unchanged(version) if version.number == 2));

    // The model is there once, linked into both packages and read-only.
    assert_eq!(names(&device.path("root/store/blobs")).len(), 2);
    let package = device.path("root/store/packages").join(&directory.identity);
    assert_eq!(names(&package), ["abs.tflite", "model.toml"]);
    let mode = package.join("abs.tflite").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    device.is_sound();
}

#[test]
fn a_model_of_several_files_arrives_whole() {
    let device = Device::new();
    let source = testdata("models/mxnet-resnet8");
    let version = device.deploy(&common::request(&source.display().to_string()));
    let (stored, original) =
        (Package::open(&device.store.path(&version), &[]), Package::open(&source, &[]));
    assert_eq!(stored.unwrap().identity, original.unwrap().identity);
    device.is_sound();
}

#[test]
fn a_file_is_changed_when_its_companions_are() {
    let device = Device::new();
    for file in ["resnet8-symbol.json", "resnet8-0000.params"] {
        let bytes = fs::read(testdata("models/mxnet-resnet8").join(file)).unwrap();
        write(&device.path(&format!("m/{file}")), &bytes);
    }
    let request = device.local("m/resnet8-symbol.json");
    let version = device.deploy(&request);
    assert_eq!(version.artefact.beside, [device.path("m/resnet8-0000.params")]);
    write(&device.path("m/notes.txt"), b"nobody's");
    assert!(!device.store.plan(SERVICE, &request).unwrap().changed);
    let params = device.path("m/resnet8-0000.params");
    let mut bytes = fs::read(&params).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    write(&params, &bytes);
    assert_ne!(device.deploy(&request).identity, version.identity);
    fs::remove_file(&params).unwrap();
    assert!(device.store.plan(SERVICE, &request).unwrap().changed);
    device.is_sound();
}

#[test]
fn only_what_has_changed_is_a_new_version() {
    let device = Device::new();
    let request = device.local("m.tflite");
    write(&device.path("m.tflite"), &model("abs"));
    assert!(device.store.plan(SERVICE, &request).unwrap().changed);
    device.deploy(&request);
    let plan = device.store.plan(SERVICE, &request).unwrap();
    assert_eq!((plan.changed, plan.download_bytes), (false, Some(0)));
    assert!(matches!(device.install(&request).unwrap(), Installed::Unchanged(_)));

    // Touched, but the same: the version that runs is still that.
    write(&device.path("m.tflite"), &model("abs"));
    let same = device.install(&request).unwrap();
    assert!(matches!(same, Installed::Unchanged(version) if version.number == 1));

    write(&device.path("m.tflite"), &model("neg"));
    assert!(device.store.plan(SERVICE, &request).unwrap().changed);
    let second = device.deploy(&request);
    assert_eq!(second.number, 2);
    let history = device.store.history(SERVICE).unwrap();
    assert_eq!((history.current, history.previous), (Some(2), Some(1)));
    device.is_sound();
}

#[test]
fn a_candidate_is_not_in_use_before_it_is_committed() {
    let device = Device::new();
    write(&device.path("a.tflite"), &model("abs"));
    write(&device.path("b.tflite"), &model("neg"));
    device.deploy(&device.local("a.tflite"));
    let Installed::Candidate(candidate) = device.install(&device.local("b.tflite")).unwrap() else {
        panic!("b is new")
    };
    assert_eq!(device.store.history(SERVICE).unwrap().current, Some(1));
    // It stays as long as it is held.
    device.store.collect(1, Some(0)).unwrap();
    Package::open(&candidate.path, &[]).unwrap();

    let bad = device.store.discard(candidate, "golden case 1 differs").unwrap();
    assert_eq!((bad.number, bad.kept), (2, false));
    assert_eq!(names(&device.path("root/store/packages")).len(), 1);
    assert!(!device.store.plan(SERVICE, &device.local("b.tflite")).unwrap().changed);
    let error = device.refused(&device.local("b.tflite"));
    assert_eq!(
        error,
        "PLACE/b.tflite is version 2 of pets, which was found bad: golden case 1 differs. \
         Hint: put another model there, or force its installation"
    );
    let mut forced = device.local("b.tflite");
    forced.force = true;
    assert_eq!(device.deploy(&forced).number, 3);
    device.is_sound();
}

#[test]
fn a_roll_back_leads_to_the_version_before() {
    let device = Device::new();
    for (number, operator) in (1..).zip(["abs", "neg", "exp"]) {
        write(&device.path("m.tflite"), &model(operator));
        assert_eq!(device.deploy(&device.local("m.tflite")).number, number);
    }
    let back = device.store.roll_back(SERVICE, "3 of 10 requests failed").unwrap();
    assert_eq!(back.number, 2);
    let history = device.store.history(SERVICE).unwrap();
    assert_eq!((history.current, history.previous), (Some(2), Some(1)));
    let reason = State::Bad("3 of 10 requests failed".to_owned());
    assert_eq!(history.version(3).unwrap().state, reason);
    // What was rolled back does not come again by itself.
    assert!(matches!(device.install(&device.local("m.tflite")), Err(DeployError::KnownBad { .. })));
    device.store.roll_back(SERVICE, "again").unwrap();
    let error = device.store.roll_back(SERVICE, "again").unwrap_err();
    assert_eq!(error.to_string(), "pets has no earlier good version to go back to");
    device.is_sound();
}

#[test]
fn a_way_back_to_an_earlier_source_needs_no_copy() {
    let device = Device::new();
    write(&device.path("a.tflite"), &model("abs"));
    write(&device.path("b.tflite"), &model("neg"));
    let first = device.deploy(&device.local("a.tflite"));
    device.deploy(&device.local("b.tflite"));
    let third = device.deploy(&device.local("a.tflite"));
    assert_eq!((third.number, third.identity), (3, first.identity));
    assert_eq!(names(&device.path("root/store/packages")).len(), 2);
}

#[test]
fn old_versions_go_and_the_needed_stay() {
    let device = Device::new();
    for operator in ["abs", "neg", "exp", "sin", "cos"] {
        write(&device.path("m.tflite"), &model(operator));
        device.deploy(&device.local("m.tflite"));
    }
    let collected = device.store.collect(3, None).unwrap();
    assert_eq!(collected.versions, 2);
    assert!(collected.bytes > 0);
    let kept = |device: &Device| -> Vec<bool> {
        let history = device.store.history(SERVICE).unwrap();
        history.versions.iter().map(|version| version.kept).collect()
    };
    assert_eq!(kept(&device), [false, false, true, true, true]);
    device.is_sound();
    device.store.collect(3, Some(1)).unwrap();
    assert_eq!(kept(&device), [false, false, false, true, true]);
    assert_eq!(names(&device.path("root/store/packages")).len(), 2);
    device.is_sound();
}

#[test]
fn damage_is_found_and_mended_by_installing_again() {
    let device = Device::new();
    write(&device.path("m.tflite"), &model("abs"));
    let mut request = device.local("m.tflite");
    let version = device.deploy(&request);
    let blob = device.path("root/store/blobs").join(&names(&device.path("root/store/blobs"))[0]);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
    let problems = device.store.verify().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].problem.starts_with("its bytes have the sha256 "));
    request.force = true;
    assert_eq!(device.deploy(&request).identity, version.identity);
    device.is_sound();

    fs::remove_file(device.store.path(&version)).unwrap();
    assert_eq!(device.store.verify().unwrap().len(), 3);
    device.deploy(&request);
    device.is_sound();
}

#[test]
fn what_a_process_left_goes_when_the_store_is_opened() {
    let device = Device::new();
    write(&device.path("m.tflite"), &model("abs"));
    device.deploy(&device.local("m.tflite"));
    let root = device.store.root().to_owned();
    let blob = names(&root.join("store/blobs")).remove(0);
    let Device { place: _place, store } = device;
    drop(store);
    for name in ["young.part", "young.json", "old.part", "old.json", "alone.json", ".tmpabc"] {
        write(&root.join("store/incoming").join(name), b"x");
    }
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 60 * 60);
    fs::File::open(root.join("store/incoming/old.part")).unwrap().set_modified(old).unwrap();
    write(&root.join("store/tmp/.tmpabc/package/m.tflite"), b"x");
    write(&root.join("store/packages").join("0".repeat(64)).join("m.tflite"), b"x");
    write(&root.join("store/blobs").join("0".repeat(64)), b"x");
    write(&root.join("state/services/.tmpabc"), b"{");
    let store = Store::open(&root).unwrap();
    assert_eq!(names(&root.join("store/incoming")), ["young.json", "young.part"]);
    assert_eq!(names(&root.join("store/packages")).len(), 1);
    assert_eq!(names(&root.join("store/blobs")), [blob]);
    assert_eq!(names(&root.join("state/services")), ["pets.json"]);
    sound(&store);
}

#[test]
fn a_store_has_one_owner() {
    let device = Device::new();
    let error = Store::open(device.store.root()).unwrap_err().to_string();
    let own = format!("is in use by the process {}. Hint: ", std::process::id());
    assert!(error.contains(&own), "{error}");
}

#[test]
fn what_is_no_model_leaves_nothing_behind() {
    let device = Device::new();
    let zeros = vec![0; 200 << 20];
    write(&device.path("bomb.tar.gz"), &archive(&[("zeros.tflite", &zeros)]));
    let mut link = tar::Header::new_gnu();
    link.set_size(0);
    link.set_entry_type(tar::EntryType::Symlink);
    let mut escaping = tar::Builder::new(Vec::new());
    escaping.append_link(&mut link, "model.tflite", "/etc/passwd").unwrap();
    write(&device.path("link.tar"), &escaping.into_inner().unwrap());
    write(&device.path("text.txt"), b"hello");
    fs::create_dir(device.path("empty")).unwrap();
    for (name, words) in [
        ("bomb.tar.gz", "it unpacks to more than"),
        ("link.tar", "'model.tflite' is a Symlink, not a file"),
        ("text.txt", "text.txt"),
        ("empty", "no file of a format that is imported"),
        ("nothing", "No such file"),
    ] {
        let error = device.refused(&device.local(name));
        assert!(error.contains(words), "{name}: {error}");
        assert!(!error.contains("store/tmp"), "{name}: {error}");
        device.is_sound();
    }
    assert_eq!(names(&device.path("root/store/blobs")), [""; 0]);
    assert_eq!(device.store.services().unwrap(), [""; 0]);
}

#[test]
fn sizes_and_digests_are_held_to() {
    let device = Device::new();
    write(&device.path("m.tflite"), &model("abs"));
    write(&device.path("m.tar.gz"), &archive(&[("m.tflite", &model("abs"))]));
    for name in ["m.tflite", "m.tar.gz"] {
        let mut small = device.local(name);
        small.limits.download_bytes = 10;
        small.limits.package_bytes = 10;
        let error = device.refused(&small);
        assert!(error.contains("more than the 10 that are allowed"), "{error}");
        let mut other = device.local(name);
        other.sha256 = Some("0".repeat(64));
        let error = device.refused(&other);
        assert!(error.contains("is not the file that was asked for"), "{error}");
    }
    let mut small = device.local("m.tar.gz");
    small.limits.package_bytes = 10;
    assert!(device.refused(&small).contains("it unpacks to more than"));
    device.deploy(&device.local("m.tflite"));
    let mut other = device.local("m.tflite");
    other.sha256 = Some("0".repeat(64));
    assert!(device.refused(&other).contains("is not the file that was asked for"));
    let mut directory = device.local("");
    directory.sha256 = Some("0".repeat(64));
    assert!(device.refused(&directory).contains("is a directory, which has no sha256"));
    let mut none = device.local("m.tflite");
    none.sha256 = Some("abc".to_owned());
    assert!(device.refused(&none).starts_with("'abc' is no sha256. Hint: "));
    device.is_sound();
}

#[test]
fn the_callers_check_and_its_will_count() {
    let device = Device::new();
    write(&device.path("m/m.tflite"), &model("abs"));
    write(&device.path("m/model.toml"), b"schema = 1\n[model]\nfiles = [\"m.tflite\"]\n");
    write(&device.path("m/model.sig"), b"signed");
    let check = |package: &Package, directory: &std::path::Path| {
        assert_eq!(package.main_file(), "m.tflite");
        assert_eq!(fs::read(directory.join("model.sig")).unwrap(), b"signed");
        Err("nobody who is trusted has signed it".to_owned())
    };
    let hooks = Hooks { check: &check, ..Hooks::default() };
    let error = device.store.install(SERVICE, &device.local("m"), &hooks).unwrap_err();
    assert!(error.to_string().ends_with("/m is refused: nobody who is trusted has signed it"));
    let cancel = std::sync::atomic::AtomicBool::new(true);
    let hooks = Hooks { cancel: &cancel, ..Hooks::default() };
    let cancelled = device.store.install(SERVICE, &device.local("m"), &hooks);
    assert!(matches!(cancelled, Err(DeployError::Cancelled)));
    device.is_sound();
}

#[test]
fn only_what_is_signed_by_whom_one_trusts_gets_in() {
    let device = Device::new();
    let (key, _) = SecretKey::generate(&device.path("maker")).unwrap();
    let mut trusted = TrustList::default();
    trusted.add(key.public(), "maker");
    let check = |_: &Package, directory: &std::path::Path| {
        let policy = Policy { require_signature: true };
        let verified = verify(directory, &trusted, policy).map_err(|error| error.to_string())?;
        Ok(verified.signers.into_iter().map(|signer| signer.key).collect())
    };
    let hooks = Hooks { check: &check, ..Hooks::default() };
    let install = |name: &str| device.store.install(SERVICE, &device.local(name), &hooks);
    let manifest = b"schema = 1\n[model]\nfiles = [\"m.tflite\"]\n";
    write(&device.path("p/m.tflite"), &model("abs"));
    write(&device.path("p/model.toml"), manifest);
    assert!(matches!(install("p"), Err(DeployError::Refused { .. })));
    sedge_package::sign(&device.path("p"), &key).unwrap();
    let Installed::Candidate(candidate) = install("p").unwrap() else { panic!("it is new") };
    let version = device.store.commit(&candidate).unwrap();
    assert_eq!(version.vouched_by, [key.public().id()]);
    // Who is no longer trusted has what he signed looked at anew.
    let looked = std::cell::Cell::new(false);
    let refuse = |_: &Package, _: &std::path::Path| {
        looked.set(true);
        Err("nobody is trusted any more".to_owned())
    };
    let hooks = Hooks { check: &refuse, trusted: &|signers| signers.is_empty(), ..hooks };
    assert!(device.store.install(SERVICE, &device.local("p"), &hooks).is_err() && looked.get());

    let signature = fs::read(device.path("p/model.sig")).unwrap();
    for (name, model, extra) in
        [("good", "abs", None), ("other", "neg", None), ("more", "abs", Some(b"x"))]
    {
        let bytes = common::model(model);
        let mut files =
            vec![("m.tflite", &*bytes), ("model.toml", manifest), ("model.sig", &signature)];
        files.extend(extra.map(|extra| ("extra", &extra[..])));
        let name = format!("{name}.tar.gz");
        write(&device.path(&name), &archive(&files));
        // The good one is the version that runs.
        match install(&name) {
            Ok(Installed::Unchanged(_)) => assert_eq!(name, "good.tar.gz"),
            Err(DeployError::Refused { .. }) => assert_ne!(name, "good.tar.gz"),
            other => panic!("{name}: {other:?}"),
        }
    }
    device.is_sound();
}

#[test]
fn a_damaged_history_is_told_and_removes_nothing() {
    let device = Device::new();
    write(&device.path("m.tflite"), &model("abs"));
    device.deploy(&device.local("m.tflite"));
    let root = device.store.root().to_owned();
    let file = root.join("state/services/pets.json");
    let text = fs::read_to_string(&file).unwrap();
    let Device { place: _place, store } = device;
    drop(store);
    for damaged in [
        "",
        "{",
        "[]",
        &text.replace("\"schema\": 1", "\"schema\": 2"),
        &text.replace("\"entry\": \"m", "\"entry\": \"../m"),
    ] {
        fs::write(&file, damaged).unwrap();
        let store = Store::open(&root).unwrap();
        let error = store.history(SERVICE).unwrap_err();
        assert!(matches!(error, DeployError::History { .. }), "{damaged}: {error}");
        assert_eq!(store.verify_histories().unwrap().len(), 1);
        assert_eq!(names(&root.join("store/packages")).len(), 1);
    }
    fs::write(&file, text).unwrap();
    sound(&Store::open(&root).unwrap());
}
