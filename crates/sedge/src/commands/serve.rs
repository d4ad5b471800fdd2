use std::collections::BTreeSet;
use std::io::{ErrorKind, IsTerminal};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{ArgGroup, Args, ValueHint};
use sedge_package::validate_service_name;
use sedge_service::{Services, ServicesError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::choices;
use crate::config::{Config, Isolation, ServiceConfig};
use crate::greengrass::{Definitions, GroupFlags};
use crate::hosting::{Flags, Sources};
use crate::logging::{self, LogFormat};
use crate::overrides::OverrideFlags;
use crate::ranges;
use crate::root;

mod bare;
mod hosted;

use hosted::Hosted;

pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

const EXAMPLES: &str = "\
Examples:
  sedge serve mobilenet.tflite detector/             two services, named for their files
  sedge serve mobilenet.tflite --name cats           one under another name
  sedge serve mobilenet.tflite --listen 0.0.0.0:80   for other machines too
  sedge serve detector/ --isolation process          a crash of the model is its own
  sedge serve --config sedge.toml                    services, engines and limits from a file
  sedge serve --group group.json                     the connectors of a Greengrass V1 group

  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' \\
      http://127.0.0.1:8080/endpoints/cats/invocations

Exit codes:
  0  stopped by a signal, after what ran was finished
  1  a model could not be loaded, or the address not listened on
  2  the command line was not understood";

/// Answer requests over HTTP
///
/// Each model becomes a named service under POST /endpoints/NAME/invocations (SageMaker Runtime)
/// and /v2/models/NAME (Open Inference Protocol). SIGTERM and SIGINT finish what runs and exit 0;
/// so does SIGHUP when the terminal closes.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[command(group = ArgGroup::new("hosted").args(["config", "group"]).multiple(true))]
pub(crate) struct Serve {
    /// Model files, package directories or archives
    #[arg(required_unless_present_any = ["config", "group"], conflicts_with = "hosted")]
    model: Vec<PathBuf>,
    /// Name of the service, once per model in their order [default: made from the file's name]
    #[arg(long, conflicts_with = "hosted")]
    name: Vec<String>,
    /// Configuration file (TOML) with a section for each service
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Definitions of a Greengrass V1 group: a file, or a directory of them; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    group: Vec<PathBuf>,
    #[command(flatten)]
    definitions: Definitions,
    /// Directory for models and states [default: /var/lib/sedge, or the user's data directory]
    #[arg(long, value_name = "DIR", requires = "hosted", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Form of the log on standard error
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
    /// Engine: auto, native or onnxruntime
    #[arg(long, conflicts_with = "hosted", value_parser = choices::engines(), hide_possible_values = true)]
    engine: Option<String>,
    /// Threads of one inference [default: the processors this process may use]
    #[arg(long, value_name = "N", value_parser = ranges::THREADS.parser::<usize>(), conflicts_with = "hosted")]
    threads: Option<usize>,
    /// Requests that may wait per service; one more is answered 503 at once [default: 128]
    #[arg(long, value_name = "N", value_parser = ranges::QUEUE.parser::<usize>(), conflicts_with = "hosted")]
    queue: Option<usize>,
    /// Requests that run side by side per service [default: the processors, at least 2]
    #[arg(long, value_name = "N", value_parser = ranges::INSTANCES.parser::<usize>(), conflicts_with = "hosted")]
    instances: Option<usize>,
    /// Most milliseconds between admission and answer [default: 60000]
    #[arg(long, value_name = "MS", value_parser = ranges::TIMEOUT_MS.parser::<u64>(), conflicts_with = "hosted")]
    timeout_ms: Option<u64>,
    /// Where models run: thread, in this process, or process, each in its own [default: thread]
    #[arg(long, conflicts_with = "hosted", hide_possible_values = true)]
    isolation: Option<Isolation>,
    /// Most memory of each model's process, in MiB; needs --isolation process
    #[arg(long, value_name = "MIB", value_parser = ranges::MEMORY_MIB.parser::<u64>(), requires = "isolation", conflicts_with = "hosted")]
    memory_mib: Option<u64>,
    /// Largest request body in MiB [default: 64]
    #[arg(long, value_name = "MIB", value_parser = ranges::MAX_BODY_MIB.parser::<u64>())]
    max_body_mib: Option<u64>,
    /// Largest picture that is decoded, in megapixels [default: 64]
    #[arg(long, value_name = "MP", value_parser = ranges::MAX_MEGAPIXELS.parser::<u64>())]
    max_megapixels: Option<u64>,
    /// Serve no page at / and no /api/v1, which show what all clients ask
    #[arg(long)]
    no_page: bool,
    /// Public host name under which browsers may open the page, for a proxy in front; repeatable
    #[arg(long, value_name = "NAME")]
    page_host: Vec<String>,
    #[command(flatten)]
    overrides: OverrideFlags,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode> {
        crate::memory::without_thread_caches();
        logging::install(self.log_format);
        let sources = self.sources();
        let (config, group) = match &sources {
            Some(sources) => sources.read()?,
            None => (self.config()?, None),
        };
        crate::memory::keep();
        // What can be found wrong at once is, before models are loaded, which may take long.
        check_names(&config.service)?;
        let listen = self.listen.as_deref().or(config.listen.as_deref()).unwrap_or(DEFAULT_LISTEN);
        let listen = addresses(listen)?;
        let flags = self.overrides.overrides()?;
        let services = Arc::new(Services::default());
        // One thread carries tens of thousands of requests a second, far more than any model
        // answers; several would wake each other for every one of them.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut unpacked = Vec::new();
        let hosted = match sources {
            Some(sources) => {
                let flags = Flags { overrides: flags, max_megapixels: self.max_megapixels };
                let root = root::choose(self.root.as_deref(), config.root.as_deref());
                Some(Hosted::prepare(
                    sources,
                    config.clone(),
                    group,
                    flags,
                    &root,
                    services.clone(),
                )?)
            }
            None => {
                let flags = Flags { overrides: flags, max_megapixels: self.max_megapixels };
                unpacked = runtime.block_on(bare::start(&config, &flags, &services))?;
                None
            }
        };
        let with_page = !self.no_page && config.page.unwrap_or(true);
        let mut options = sedge_api::Options::default();
        if let Some(mib) = self.max_body_mib.or(config.max_body_mib) {
            options.max_body_bytes = mib.saturating_mul(1 << 20);
        }
        options.page_hosts = [config.page_hosts, self.page_host].concat();
        options.outward = hosted.as_ref().map(Hosted::outward);
        #[cfg(feature = "otel")]
        let traces = crate::traces::Traces::from_environment()?.map(Arc::new);
        #[cfg(feature = "otel")]
        if let Some(traces) = traces.clone() {
            let events = services.events().clone();
            runtime.spawn(async move { traces.follow(&events).await });
        }
        runtime.spawn(crate::memory::release_when_idle(services.clone()));
        runtime.block_on(serve(services.clone(), options, with_page, &listen, hosted.as_ref()))?;
        match hosted {
            Some(hosted) => runtime.block_on(hosted.stop()),
            None => runtime.block_on(services.stop()),
        }
        drop(unpacked);
        #[cfg(feature = "otel")]
        if let Some(traces) = traces {
            traces.finish();
        }
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }

    /// Where it stands what is served, unless the command line says it.
    fn sources(&self) -> Option<Sources> {
        let hosted = self.config.is_some() || !self.group.is_empty();
        hosted.then(|| Sources {
            config: self.config.clone(),
            group: GroupFlags { files: self.group.clone(), definitions: self.definitions.clone() },
        })
    }

    fn config(&self) -> Result<Config> {
        if self.name.len() > self.model.len() {
            bail!("{} names are given for {} models", self.name.len(), self.model.len());
        }
        let section = |(index, model): (usize, &PathBuf)| ServiceConfig {
            name: self.name.get(index).cloned(),
            model: model.clone(),
            engine: self.engine.clone(),
            threads: self.threads,
            instances: self.instances,
            queue: self.queue,
            timeout_ms: self.timeout_ms,
            memory_mib: self.memory_mib,
            isolation: self.isolation.unwrap_or(Isolation::Thread),
            ..ServiceConfig::default()
        };
        let service = self.model.iter().enumerate().map(section).collect();
        Ok(Config { service, ..Config::default() })
    }
}

/// That every service's name fits, and none is there twice.
fn check_names(sections: &[ServiceConfig]) -> Result<()> {
    let mut taken = BTreeSet::new();
    for name in sections.iter().map(ServiceConfig::name) {
        validate_service_name(&name)?;
        if !taken.insert(name.clone()) {
            bail!(ServicesError::Duplicate(name));
        }
    }
    Ok(())
}

/// The addresses that `ADDRESS:PORT` means, IPv4 first: `localhost` is mostly both, and what is
/// told to use it mostly tries 127.0.0.1.
pub(crate) fn addresses(listen: &str) -> Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .with_context(|| {
            format!("cannot listen on '{listen}'. Hint: give an address and a port, such as {DEFAULT_LISTEN}")
        })?
        .collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

async fn serve(
    services: Arc<Services>,
    options: sedge_api::Options,
    with_page: bool,
    listen: &[SocketAddr],
    hosted: Option<&Hosted>,
) -> Result<()> {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
        let hint = match error.kind() {
            ErrorKind::AddrInUse => "another server has the port; choose one with --listen",
            ErrorKind::AddrNotAvailable => "this machine has other addresses; 0.0.0.0 means all",
            ErrorKind::PermissionDenied => "ports below 1024 need a right; choose a higher one",
            _ => "choose another address with --listen",
        };
        anyhow!(error).context(format!("cannot listen on {}. Hint: {hint}", listen.join(" or ")))
    })?;
    let address = listener.local_addr()?;
    if let Some(hosted) = hosted {
        hosted.begin(&options).await?;
    }
    let page = with_page.then(|| sedge_web::routes(services.clone(), &options));
    let router = sedge_api::router(services, options, page);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = hangup()?;
    let stop = async {
        let signal = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            () = closed(&mut hangup, hosted) => "SIGHUP",
        };
        tracing::info!(signal, "stopping: finishing what runs");
    };
    tracing::info!(address = %address, "listening");
    sedge_api::serve(listener, router, stop).await?;
    Ok(())
}

/// SIGHUP, unless whoever started this process had it ignored (`nohup`).
fn hangup() -> Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = 1 << (SignalKind::hangup().as_raw_value() - 1);
    Ok(if ignored & bit == 0 { Some(signal(SignalKind::hangup())?) } else { None })
}

/// Ends when the terminal closes. Without a terminal, SIGHUP asks for the configuration to be read
/// again.
async fn closed(hangup: &mut Option<Signal>, hosted: Option<&Hosted>) {
    let terminal = std::io::stdin().is_terminal() || std::io::stderr().is_terminal();
    while let Some(signal) = hangup {
        if signal.recv().await.is_none() || terminal {
            return;
        }
        match hosted {
            Some(hosted) => hosted.reload().await,
            None => tracing::warn!("SIGHUP changes nothing: there is no configuration to read"),
        }
    }
    std::future::pending::<()>().await;
}
