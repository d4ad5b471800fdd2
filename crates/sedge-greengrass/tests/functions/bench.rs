//! A core with functions made of texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sedge_greengrass::group::{Function, Group};
use sedge_greengrass::{
    Call, ClientContext, Core, Failure, FunctionArn, FunctionStatus, Kind, Options,
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const REGION: &str = "eu-west-1";

/// The ARN of a function of these tests.
pub(crate) fn arn(name: &str) -> FunctionArn {
    format!("arn:aws:lambda:{REGION}:123456789012:function:{name}:1").parse().unwrap()
}

/// A function on demand; its code is `main.py`, its handler `main.handler`.
pub(crate) fn function(name: &str) -> Function {
    Function {
        id: name.into(),
        arn: arn(name),
        handler: Some("main.handler".into()),
        runtime: Some("python3.7".into()),
        pinned: false,
        memory_bytes: None,
        timeout: Duration::from_secs(20),
        binary: false,
        exec_args: None,
        variables: BTreeMap::new(),
        container: false,
        run_as: None,
        access_sysfs: false,
        resources: Vec::new(),
    }
}

/// The same, running all the time.
pub(crate) fn pinned(name: &str) -> Function {
    Function { pinned: true, ..function(name) }
}

/// A core that runs.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) directory: TempDir,
}

/// What is put together before it runs.
pub(crate) struct Plan {
    pub(crate) group: Group,
    pub(crate) options: Options,
    pub(crate) directory: TempDir,
}

impl Plan {
    /// A core with functions and their code.
    pub(crate) fn new(functions: Vec<(Function, &str)>) -> Self {
        let directory = tempfile::Builder::new().prefix("sedge-functions-").tempdir().unwrap();
        let mut options = Options::new(directory.path().join("core"));
        options.port = 0;
        fs::create_dir(&options.directory).unwrap();
        let mut group = Group { core_thing: Some("core".into()), ..Group::default() };
        for (function, code) in functions {
            let place = directory.path().join("code").join(&function.id);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("main.py"), code).unwrap();
            options.code.insert(function.id.clone(), place);
            group.functions.push(function);
        }
        Self { group, options, directory }
    }

    pub(crate) async fn prepare(self) -> Bench {
        let core = Core::new(&self.group, self.options).await.unwrap();
        Bench { core, directory: self.directory }
    }

    pub(crate) async fn start(self) -> Bench {
        let mut bench = self.prepare().await;
        bench.core.start();
        bench
    }
}

impl Bench {
    /// Runs functions with their code.
    pub(crate) async fn start(functions: Vec<(Function, &str)>) -> Self {
        Plan::new(functions).start().await
    }

    /// Begins a call; its place in the queue is taken when this returns.
    pub(crate) fn begin(
        &self,
        name: &str,
        event: &Value,
    ) -> impl Future<Output = Result<Value, Failure>> + use<> {
        let payload = Bytes::from(event.to_string());
        let call = self.call_of(ClientContext::of(&json!({})), payload);
        let answer = self.core.registry().find(&arn(name)).unwrap().call(call);
        async move { answer.await.map(|payload| serde_json::from_slice(&payload).unwrap()) }
    }

    pub(crate) fn call_of(&self, context: ClientContext, payload: Bytes) -> Call {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Call { id: format!("call-{number}"), caller: None, context, kind: Kind::Request, payload }
    }

    /// Calls a function and waits for its answer.
    pub(crate) async fn call(&self, name: &str, event: &Value) -> Result<Value, Failure> {
        tokio::time::timeout(Duration::from_secs(60), self.begin(name, event)).await.unwrap()
    }

    pub(crate) fn status(&self, name: &str) -> FunctionStatus {
        let functions = self.core.status().functions;
        functions.into_iter().find(|status| status.arn == arn(name).to_string()).unwrap()
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.directory.path().join("core/ggc/var/log").join(name)
    }

    /// What is in a log; empty without one.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// The log of a function, with its predecessor.
    pub(crate) fn function_log(&self, name: &str) -> String {
        let path = format!("user/{REGION}/123456789012/{name}.log");
        self.log(&format!("{path}.1")) + &self.log(&path)
    }

    /// Waits until a log has a text, and returns it all.
    pub(crate) async fn log_with(&self, log: impl Fn(&Self) -> String, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let whole = log(self);
            if whole.contains(text) {
                return whole;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no '{text}' in: {whole}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn runtime_log(&self) -> String {
        self.log("system/runtime.log")
    }
}

/// Whether a process is there that is not only waited for.
pub(crate) fn is_running(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The text of an error that the one who was called did not say itself.
pub(crate) fn unhandled(result: Result<Value, Failure>) -> String {
    match result {
        Err(Failure::Unhandled(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// A callee of one function.
pub(crate) struct Answering<F>(pub(crate) F);

impl<F> sedge_greengrass::Callee for Answering<F>
where
    F: Fn(Call) -> Result<Bytes, Failure> + Send + Sync,
{
    fn call(&self, call: Call) -> sedge_greengrass::Answer {
        let answer = (self.0)(call);
        Box::pin(async move { answer })
    }
}

/// A callee of a closure.
pub(crate) fn answering(
    answer: impl Fn(Call) -> Result<Bytes, Failure> + Send + Sync + 'static,
) -> Arc<dyn sedge_greengrass::Callee> {
    Arc::new(Answering(answer))
}
