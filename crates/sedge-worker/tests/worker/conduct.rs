//! Models of all kinds of conduct, chosen by the name of the model.

use std::fmt::Write;
use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sedge_engine::{Registry, TensorInfo};
use sedge_service::{
    LoadOptions, ModelInfo, Payload, Pipeline, Request, Response, Runner, RunnerError, Timings,
};
use sedge_tensor::Tensor;
use sedge_worker::{LoadSpec, Loaded};

/// Answers after a fashion.
struct Conduct {
    info: ModelInfo,
    how: String,
    asked: AtomicUsize,
    /// What is loaded besides, to see that it works behind the walls.
    pipeline: Option<Pipeline>,
    secrets: Vec<String>,
}

pub(crate) fn load(spec: &LoadSpec) -> Result<Loaded, String> {
    let how = spec.service.clone();
    match how.as_str() {
        "refuse" => return Err("this model is none".into()),
        "die-loading" => std::process::abort(),
        "hang-loading" => std::thread::sleep(Duration::from_secs(60)),
        "panic-loading" => panic!("on purpose"),
        _ => {}
    }
    let pipeline = (how == "escape").then(|| {
        let options = LoadOptions { engine: spec.engine.clone(), ..LoadOptions::default() };
        Pipeline::open(&spec.model, &[], &Registry::new(None), &options)
            .map_err(|error| error.to_string())
    });
    let pipeline = pipeline.transpose()?;
    let secrets = spec.overrides.iter().map(|(path, ..)| path.clone()).collect();
    let info = ModelInfo { name: how.clone(), ..ModelInfo::default() };
    Ok(Box::new(Conduct { info, how, asked: AtomicUsize::default(), pipeline, secrets }))
}

impl Runner for Conduct {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, request: &Request) -> Result<Response, RunnerError> {
        // The first is the warm-up.
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked == 0 {
            return answer(Vec::new());
        }
        match self.how.as_str() {
            "crash-second" if asked == 2 => std::process::abort(),
            "crash-always" => {
                eprintln!("something is very wrong");
                std::process::exit(7);
            }
            "hoard" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                }
            }
            "loop" => loop {
                std::hint::spin_loop();
            },
            "sleep" => {
                if let Payload::Picture(bytes) = &request.payload {
                    std::thread::sleep(Duration::from_millis(bytes.len() as u64));
                }
            }
            "panic" => panic!("on purpose"),
            "flood" => (0..200_000).for_each(|_| eprintln!("{}", "x".repeat(100))),
            "escape" => return self.escape(),
            _ => {}
        }
        match &request.payload {
            Payload::Tensors(tensors) => answer(tensors.clone()),
            Payload::Picture(bytes) => {
                answer(vec![("bytes".into(), Tensor::vector(bytes.to_vec()))])
            }
        }
    }
}

fn answer(outputs: Vec<(String, Tensor)>) -> Result<Response, RunnerError> {
    let timings_us = Timings::default();
    Ok(Response { prediction: None, probabilities: None, outputs, timings_us })
}

impl Conduct {
    /// Tries whatever a model has no business with, and tells what worked; then has the engine
    /// answer once more.
    fn escape(&self) -> Result<Response, RunnerError> {
        let mut escaped = String::new();
        let mut attempt = |what: &str, worked: bool| {
            if worked {
                writeln!(escaped, "{what}").unwrap();
            }
        };
        for path in
            self.secrets.iter().map(String::as_str).chain(["/etc/passwd", "/proc/1/environ"])
        {
            attempt(&format!("read {path}"), fs::read(path).is_ok());
        }
        for directory in ["/tmp", "/dev/shm", "/var/tmp", "/proc/self/fd", "/"] {
            attempt(&format!("list {directory}"), fs::read_dir(directory).is_ok());
            let file = Path::new(directory).join("sedge-escaped");
            attempt(&format!("write {}", file.display()), fs::write(&file, "x").is_ok());
            attempt("mkdir", fs::create_dir(&file).is_ok());
        }
        if let Some(secret) = self.secrets.first() {
            attempt("remove", fs::remove_file(secret).is_ok());
            attempt("rename", fs::rename(secret, "/tmp/sedge-moved").is_ok());
            attempt("append", fs::OpenOptions::new().append(true).open(secret).is_ok());
        }
        attempt("tcp", TcpStream::connect("127.0.0.1:22").is_ok() || has_socket());
        attempt("udp", UdpSocket::bind("127.0.0.1:0").is_ok());
        attempt("unix", UnixStream::connect("/run/sedge/control.sock").is_ok());
        attempt("pair", UnixStream::pair().is_ok());
        attempt("run", std::process::Command::new("/bin/true").spawn().is_ok());
        attempt("signal", parent_can_be_signalled());
        let on_another_thread =
            std::thread::spawn(|| fs::read("/etc/passwd").is_ok() || has_socket());
        attempt("another thread", on_another_thread.join().unwrap());
        let ran = self.pipeline.as_ref().map(|pipeline| {
            let zeros = |info: &TensorInfo| {
                let shape: Vec<usize> =
                    info.shape.iter().map(|dim| dim.fixed().unwrap_or(1)).collect();
                let bytes = vec![0; shape.iter().product::<usize>() * info.dtype.size().unwrap()];
                let tensor = Tensor::from_bytes(info.dtype, shape, bytes.into()).unwrap();
                (info.name.clone(), tensor)
            };
            let inputs = pipeline.info().inputs.iter().map(zeros).collect();
            pipeline.run(&Request::tensors("x", inputs)).map(|response| response.outputs.len())
        });
        let report = format!(
            "{}\n{escaped}",
            match ran {
                Some(Ok(outputs)) => format!("{outputs} outputs"),
                Some(Err(error)) => error.to_string(),
                None => "nothing to run".into(),
            }
        );
        answer(vec![("report".into(), Tensor::vector(report.into_bytes()))])
    }
}

fn has_socket() -> bool {
    // SAFETY: it makes a descriptor or fails.
    unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) >= 0 }
}

fn parent_can_be_signalled() -> bool {
    // SAFETY: signal 0 only asks whether one could be sent.
    unsafe { libc::kill(libc::getppid(), 0) == 0 }
}
