//! A broker that does what a test tells it, in bytes.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// CONNACK of MQTT 5: accepted, no session, no properties.
pub(crate) const ACCEPTED: &[u8] = &[0x20, 3, 0, 0, 0];
/// The same where the broker had the session.
pub(crate) const RESUMED: &[u8] = &[0x20, 3, 1, 0, 0];

/// Gives every connection to `serve`, with its number from 0; the port.
pub(crate) async fn broker<F>(serve: impl Fn(Wire, usize) -> F + Send + 'static) -> u16
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(Wire(stream), number));
        }
    });
    port
}

/// A connection of a client. Everything is `None` when it has ended.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// The next packet: its first byte, and what follows its length.
    pub(crate) async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await.ok()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.0.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }

    /// The next PUBLISH of MQTT 5 without properties.
    pub(crate) async fn publish(&mut self) -> Option<Published> {
        loop {
            let (first, body) = self.packet().await?;
            if first >> 4 != 3 {
                continue;
            }
            let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            let topic = String::from_utf8(body[2..topic_end].to_vec()).unwrap();
            let id = u16::from_be_bytes([body[topic_end], body[topic_end + 1]]);
            let payload = String::from_utf8(body[topic_end + 3..].to_vec()).unwrap();
            return Some(Published { is_repeated: first & 8 != 0, id, topic, payload });
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(100), self.0.peek(&mut byte)).await.is_err()
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.write_all(bytes).await.ok()
    }

    /// Reads CONNECT and accepts it.
    pub(crate) async fn accept(&mut self, connack: &[u8]) -> Option<Vec<u8>> {
        let (_, connect) = self.packet().await?;
        self.send(connack).await?;
        Some(connect)
    }

    pub(crate) async fn acknowledge(&mut self, id: u16) -> Option<()> {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low]).await
    }

    /// The same with a reason code.
    pub(crate) async fn answer(&mut self, id: u16, reason: u8) -> Option<()> {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 3, high, low, reason]).await
    }

    /// Acknowledges everything until the connection ends.
    pub(crate) async fn acknowledge_all(&mut self) -> Option<()> {
        loop {
            let published = self.publish().await?;
            self.acknowledge(published.id).await?;
        }
    }
}

/// What a client published with QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) is_repeated: bool,
    pub(crate) id: u16,
    pub(crate) topic: String,
    pub(crate) payload: String,
}
