//! `sedge serve --config` and `--group`: services that are kept as files say, and told what to do at
//! a socket.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sedge_api::{Manager, Options, Outward};
use sedge_greengrass::group::Group;
use sedge_host::{Host, ServiceSpec};
use sedge_service::Services;

use crate::config::Config;
use crate::egress::Egress;
use crate::greengrass::Running;
use crate::hosting::{self, Control, Flags, Sources};
use crate::root;

pub(super) struct Hosted {
    control: Arc<Control>,
    host: Arc<Host>,
    services: Arc<Services>,
    specs: Vec<ServiceSpec>,
    group: Option<Group>,
    config: Config,
    socket: PathBuf,
}

impl Hosted {
    /// Everything that can be found wrong before a service is begun.
    pub(super) fn prepare(
        sources: Sources,
        config: Config,
        group: Option<Group>,
        flags: Flags,
        root: &Path,
        services: Arc<Services>,
    ) -> Result<Self> {
        let specs = hosting::specs(&config, &flags)?;
        if specs.is_empty() && group.is_none() {
            let hint = "add a [[service]] with model = \"PATH\", then sedge service reload";
            let path = sources.config.as_deref().unwrap_or(Path::new("")).display();
            tracing::warn!(config = %path, "no model is served yet: {hint}");
        }
        // It moves this process, so that it comes before the first worker.
        match sedge_worker::prepare() {
            Ok(()) => sedge_worker::clear_away(),
            Err(reason) => tracing::debug!("memory limits are watched, not enforced: {reason}"),
        }
        let (root, sources) = (std::path::absolute(root)?, sources.absolute()?);
        let store = hosting::store(&root)?;
        let host = hosting::host(&config, store.clone(), services.clone())?;
        let socket = root::control_socket(&root);
        let definitions = &sources.group.definitions;
        let running = Arc::new(Running::new(&root, definitions, store, services.clone()));
        let egress = Arc::new(Egress::new(&root, services.clone()));
        let control = Arc::new(Control { host: host.clone(), sources, flags, running, egress });
        Ok(Self { control, host, services, specs, group, config, socket })
    }

    /// Who knows what leaves the device.
    pub(super) fn outward(&self) -> Arc<dyn Outward> {
        self.control.egress.clone()
    }

    /// Begins the services and listens at the control socket.
    pub(super) async fn begin(&self, options: &Options) -> Result<()> {
        let directory = self.socket.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        // Whatever the service manager's mask is, the group may reach the socket.
        let _ = std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o750));
        let listener = sedge_api::bind_local(&self.socket)
            .with_context(|| format!("cannot listen at {}", self.socket.display()))?;
        let manager: Arc<dyn Manager> = self.control.clone();
        let router = sedge_api::control_router(self.services.clone(), options.clone(), manager);
        tokio::spawn(sedge_api::serve_local(listener, router));
        let ways = self.control.egress.apply(&self.config, self.group.as_ref()).await?;
        self.host.apply(self.specs.clone()).await?;
        self.control.egress.watch(&self.config)?;
        self.control.running.deploy(self.group.clone(), &self.config, ways).await?;
        Ok(())
    }

    /// Reads the configuration again.
    pub(super) async fn reload(&self) {
        match self.control.reload().await {
            Ok(changes) => tracing::info!(%changes, "read the configuration again"),
            Err(error) => {
                tracing::error!("the configuration is not valid, nothing changes: {error:#}");
            }
        }
    }

    pub(super) async fn stop(self) {
        self.control.running.stop().await;
        self.host.stop().await;
        self.control.egress.stop().await;
        let _ = std::fs::remove_file(&self.socket);
    }
}
