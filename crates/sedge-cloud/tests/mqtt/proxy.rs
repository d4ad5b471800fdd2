//! A network between client and broker that can be slow, broken or cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections to a port.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    network: Arc<Network>,
    /// Connections with a smaller number are silent: nothing arrives, and nobody is told.
    silent: watch::Sender<usize>,
}

#[derive(Default)]
struct Network {
    connections: AtomicUsize,
    /// Every piece to the client comes so many milliseconds later.
    late_ms: AtomicU64,
    /// Bytes to the broker after which a connection is cut; 0 for never.
    cut_after: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Arc::new(Network::default());
        let (silent, heard) = watch::channel(0);
        let shared = network.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, to, number, shared.clone(), heard.clone()));
            }
        });
        Self { port, network, silent }
    }

    /// The connections that there are become silent; later ones are not.
    pub(crate) fn silence(&self) {
        self.silent.send_replace(self.connections());
    }

    pub(crate) fn connections(&self) -> usize {
        self.network.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn late(&self, by: Duration) {
        self.network.late_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn cut_after(&self, bytes: usize) {
        self.network.cut_after.store(bytes, Ordering::Relaxed);
    }
}

async fn carry(
    client: TcpStream,
    to: u16,
    number: usize,
    network: Arc<Network>,
    silent: watch::Receiver<usize>,
) {
    let Ok(broker) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let wait = |mut silent: watch::Receiver<usize>| async move {
        let _ = silent.wait_for(|first| number >= *first).await;
    };
    let up = async {
        let (mut piece, mut bytes) = (vec![0; 1000], 0);
        while let Ok(read @ 1..) = from_client.read(&mut piece).await {
            wait(silent.clone()).await;
            let cut = network.cut_after.load(Ordering::Relaxed);
            let most = if cut == 0 { read } else { cut.saturating_sub(bytes).min(read) };
            if to_broker.write_all(&piece[..most]).await.is_err() || most < read {
                break;
            }
            bytes += read;
        }
    };
    let down = async {
        let mut piece = vec![0; 1000];
        while let Ok(read @ 1..) = from_broker.read(&mut piece).await {
            wait(silent.clone()).await;
            let late = network.late_ms.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(late)).await;
            if to_client.write_all(&piece[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
