//! One connection: from CONNECT until it ends.

mod publishing;

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::publishing::Publishing;
use super::error::{BEFORE_ACCEPTED, LinkError};
use super::incoming::{Input, Read, Waiting};
use super::packet::{self, Connack, Connect, Packet, Protocol};
use super::reason::PROTOCOL_ERROR;
use super::shared::{Memory, Shared, Stop, Wishes};
use super::status::State;
use super::transport::{self, Stream};
use super::{Promise, events, tls};

/// Bytes of a message beside topic and payload: properties and headers.
const MOST_HEAD_BYTES: usize = 16 << 10;
/// Longest wait for the last bytes of a connection.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection that the broker accepted.
pub(super) struct Connection<'a> {
    link: &'a Shared,
    protocol: Protocol,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    out: BytesMut,
    /// Bytes that the socket has taken.
    taken: u64,
    /// Whether bytes may lie between here and the socket.
    is_unflushed: bool,
    input: Input,
    waiting: Waiting,
    publishing: Publishing<'a>,
    keep_alive: Duration,
    heard: Instant,
    sent: Instant,
    /// Until when the socket had everything, as far as is known.
    written: Instant,
    pinged: Option<Instant>,
    /// Since when nothing was read because the inbox is slow, and when that ended last.
    paused: Option<Instant>,
    resumed: Instant,
}

impl<'a> Connection<'a> {
    /// Connects, says who the client is, and waits for the broker's answer to that.
    pub(super) async fn open(
        link: &'a Shared,
        memory: &'a mut Memory,
        protocol: Protocol,
        clean_start: bool,
    ) -> Result<Self, LinkError> {
        let settings = &link.settings;
        let stream = transport::connect(settings, &link.broker).await?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let most_packet_bytes =
            settings.limits.payload_bytes + settings.limits.topic_bytes + MOST_HEAD_BYTES;
        let hello = Connect {
            protocol,
            client_id: &settings.client_id,
            clean_start,
            keep_alive_s: settings.keep_alive.as_secs() as u16,
            session_expiry_s: u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX),
            receive_maximum: settings.receive_maximum,
            maximum_packet_bytes: u32::try_from(most_packet_bytes).unwrap_or(u32::MAX),
            login: settings.login.as_ref().map(|l| (l.name.as_str(), l.password.as_str())),
        };
        let mut out = BytesMut::new();
        packet::connect(&mut out, &hello);
        let mut input = Input::new(most_packet_bytes);
        let exchange = async {
            writer.write_all(&out).await?;
            writer.flush().await?;
            loop {
                match input.next(protocol) {
                    Ok(Some(Read::Packet(Packet::Connack(connack)))) => return Ok(Ok(connack)),
                    Ok(Some(_)) => {
                        return Ok(Err(packet::Malformed(
                            "it does not answer the connection first",
                        )));
                    }
                    Ok(None) => {}
                    Err(error) => return Ok(Err(error)),
                }
                if reader.read_buf(input.space()).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        let broker = link.broker.as_str();
        let connack: Connack = timeout(settings.operation_timeout, exchange)
            .await
            .map_err(|_| link.silent("the connection", settings.operation_timeout))?
            .map_err(|error: io::Error| closed(broker, &error, BEFORE_ACCEPTED))?
            .map_err(|error| LinkError::malformed(broker, error))?;
        if connack.reason != 0 {
            let text = connack.reason_text.as_deref();
            return Err(LinkError::refused(broker, &settings.client_id, connack.reason, text));
        }
        events::connected(broker, protocol, &connack);
        let (since, session_present) = (SystemTime::now(), connack.session_present);
        link.tell(|status| {
            status.state = State::Connected { since, protocol, session_present };
            status.connections += 1;
        });
        let now = Instant::now();
        let keep_alive = match connack.keep_alive_s {
            // 0 turns it off for the broker; a broken connection is looked for all the same.
            None | Some(0) => settings.keep_alive,
            Some(seconds) => Duration::from_secs(seconds.into()),
        };
        Ok(Self {
            link,
            protocol,
            reader,
            writer,
            out: BytesMut::new(),
            taken: 0,
            is_unflushed: false,
            input,
            waiting: Waiting::new(settings.receive_maximum),
            publishing: Publishing::new(link, memory, protocol, connack),
            keep_alive,
            heard: now,
            sent: now,
            written: now,
            pinged: None,
            paused: None,
            resumed: now,
        })
    }

    /// Carries messages until the link is stopped (`Ok`) or the connection ends.
    pub(super) async fn run(&mut self, wishes: &Wishes, stop: &Stop) -> Result<(), LinkError> {
        let ended = self.carry(wishes.clone(), stop.clone()).await;
        let code = match &ended {
            Ok(()) => Some(0),
            Err(LinkError::Protocol { code, .. }) => Some(*code),
            Err(_) => None,
        };
        if let Some(code) = code {
            packet::disconnect(&mut self.out, code, self.protocol);
            let last_words = async {
                self.writer.write_all(&self.out).await?;
                self.writer.shutdown().await
            };
            let _ = timeout(LAST_WORDS, last_words).await;
        }
        if ended.as_ref().is_err_and(LinkError::is_brokers_doing) {
            self.publishing.broker_ended_it();
        }
        ended
    }

    async fn carry(&mut self, mut wishes: Wishes, mut stop: Stop) -> Result<(), LinkError> {
        let link = self.link;
        let mut next = link.outbox.next();
        let mut handling: Option<Promise<'_, ()>> = None;
        let mut handled = 0;
        self.subscribe(&mut wishes);
        loop {
            self.read_packets(&mut wishes)?;
            if handling.is_none()
                && let Some(message) = self.waiting.pop()
            {
                handled = message.packet_id;
                handling = Some(link.inbox.message(message));
                continue;
            }
            let end = *stop.borrow_and_update();
            if end.is_some_and(|end| self.is_done() || end <= Instant::now()) {
                return Ok(());
            }
            let takes = end.is_none() && self.publishing.takes_more(self.out.len());
            let reads = self.waiting.has_room();
            let was_idle = !self.writes();
            let wake = self.wake(end);
            tokio::select! {
                read = self.reader.read_buf(self.input.space()), if reads => match read {
                    Ok(0) => return Err(self.closed(&io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => self.heard = Instant::now(),
                    Err(error) => return Err(self.closed(&error)),
                },
                wrote = write(&mut self.writer, &self.out), if self.writes() => match wrote {
                    Ok(0) => self.is_unflushed = false,
                    Ok(bytes) => {
                        self.out.advance(bytes);
                        self.taken += bytes as u64;
                        self.sent = Instant::now();
                        self.is_unflushed = true;
                        self.publishing.written(self.taken);
                    }
                    Err(error) => return Err(self.last_words(&mut wishes, &error).await),
                },
                message = &mut next, if takes => {
                    next = link.outbox.next();
                    self.publishing.publish(message, &mut self.out, self.taken);
                }
                () = done(&mut handling) => {
                    handling = None;
                    if handled != 0 {
                        packet::puback(&mut self.out, handled);
                    }
                }
                Ok(()) = wishes.changed() => self.subscribe(&mut wishes),
                Ok(()) = stop.changed() => {}
                () = sleep_until(wake) => self.look_at_the_clock()?,
            }
            // The wait for the socket begins with what there is to write, however long ago the last
            // look was.
            if was_idle {
                self.written = Instant::now();
            }
        }
    }

    fn subscribe(&mut self, wishes: &mut Wishes) {
        let wanted = wishes.borrow_and_update();
        self.publishing.subscribe(&wanted, &mut self.out);
    }

    /// Looks at every whole packet, as long as the inbox can keep up.
    fn read_packets(&mut self, wishes: &mut Wishes) -> Result<(), LinkError> {
        while self.waiting.has_room() {
            let read = self.input.next(self.protocol);
            let read = read.map_err(|error| LinkError::malformed(&self.link.broker, error))?;
            match read {
                None => break,
                Some(Read::Packet(packet)) => self.take(packet, wishes)?,
                Some(Read::TooLarge { topic, packet_id, bytes }) => {
                    events::skipped(&topic, bytes);
                    if let Some(packet_id) = packet_id {
                        packet::puback(&mut self.out, packet_id);
                    }
                }
            }
        }
        match (self.waiting.has_room(), self.paused) {
            (false, None) => self.paused = Some(Instant::now()),
            (true, Some(_)) => (self.paused, self.resumed) = (None, Instant::now()),
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet, wishes: &mut Wishes) -> Result<(), LinkError> {
        match packet {
            Packet::Publish(message) => {
                self.link.tell(|status| status.received += 1);
                self.waiting.push(message);
            }
            Packet::Puback { packet_id, reason, reason_text } => {
                self.publishing.acknowledged(packet_id, reason, reason_text.as_deref());
            }
            Packet::Suback { packet_id, reasons } => {
                self.publishing.subscribed(packet_id, &reasons);
                self.subscribe(wishes);
            }
            Packet::Unsuback { packet_id } => {
                self.publishing.subscribed(packet_id, &bytes::Bytes::new());
                self.subscribe(wishes);
            }
            Packet::Pong => self.pinged = None,
            Packet::Disconnect { reason, reason_text } => {
                return Err(LinkError::ended(&self.link.broker, reason, reason_text.as_deref()));
            }
            Packet::Connack(_) => {
                return Err(LinkError::Protocol {
                    broker: self.link.broker.clone(),
                    problem: "it accepts the connection twice",
                    code: PROTOCOL_ERROR,
                });
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.publishing.is_empty() && !self.writes()
    }

    /// What is waited for, since when, how long at most, and what it is.
    fn waits(&self) -> impl Iterator<Item = (Instant, Duration, &'static str)> {
        let settings = &self.link.settings;
        let longest = settings.operation_timeout;
        let unwritten = self.sent.max(self.written);
        let unwritten = self.writes().then_some((unwritten, longest, "by taking what was sent"));
        // While nothing is read, no answer can be seen.
        let answers = [
            self.pinged.map(|at| (at, settings.ping_timeout, "whether it is there")),
            self.publishing.sent_first().map(|at| (at, longest, "a message")),
            self.publishing.asked_first().map(|at| (at, longest, "a subscription")),
        ];
        let (is_reading, resumed) = (self.paused.is_none(), self.resumed);
        let answers = answers.into_iter().flatten().filter(move |_| is_reading);
        answers.map(move |(at, longest, what)| (at.max(resumed), longest, what)).chain(unwritten)
    }

    /// Whether there are bytes that the socket has not taken.
    fn writes(&self) -> bool {
        !self.out.is_empty() || self.is_unflushed
    }

    fn wake(&self, end: Option<Instant>) -> Instant {
        let ping = if self.pinged.is_none() { Some(self.ping_at()) } else { None };
        let waits = self.waits().map(|(at, longest, _)| at + longest);
        let others = [ping, end, self.publishing.wakes()];
        let far = Instant::now() + self.keep_alive;
        waits.chain(others.into_iter().flatten()).min().unwrap_or(far)
    }

    fn ping_at(&self) -> Instant {
        self.sent.min(self.heard) + self.keep_alive
    }

    fn look_at_the_clock(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        if let Some((_, longest, what)) =
            self.waits().find(|(at, longest, _)| *at + *longest <= now)
        {
            return Err(self.link.silent(what, longest));
        }
        if self.pinged.is_none() && self.ping_at() <= now {
            packet::ping(&mut self.out);
            self.pinged = Some(now);
        }
        self.publishing.send_again(now, &mut self.out, self.taken);
        Ok(())
    }

    /// What a broker said before it took no more bytes.
    async fn last_words(&mut self, wishes: &mut Wishes, error: &io::Error) -> LinkError {
        let end = Instant::now() + LAST_WORDS;
        loop {
            if let Err(error) = self.read_packets(wishes) {
                return error;
            }
            match timeout_at(end, self.reader.read_buf(self.input.space())).await {
                Ok(Ok(bytes)) if bytes > 0 && self.waiting.has_room() => {}
                Ok(Err(error)) => return self.closed(&error),
                _ => return self.closed(error),
            }
        }
    }

    fn closed(&self, error: &io::Error) -> LinkError {
        closed(&self.link.broker, error, "by the broker")
    }
}

fn closed(broker: &str, error: &io::Error, when: &'static str) -> LinkError {
    if let Some(error) = tls::explain(broker, error) {
        return error;
    }
    let hint = if when == BEFORE_ACCEPTED {
        "check that this port speaks MQTT, with TLS as is configured; AWS IoT also does this where \
         the certificate is not active, or its policy does not allow the client id"
    } else {
        "look into the broker's log; AWS IoT does this where the certificate's policy does not \
         allow a topic, and many brokers where another client connects with the same client id"
    };
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => "without a word".to_owned(),
        _ => error.to_string(),
    };
    LinkError::Closed { broker: broker.to_owned(), when, problem, hint }
}

/// Writes some of the bytes; without any, flushes what was written, and gives 0.
async fn write(writer: &mut WriteHalf<Box<dyn Stream>>, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        bytes => Ok(bytes),
    }
}

async fn done(handling: &mut Option<Promise<'_, ()>>) {
    match handling {
        Some(promise) => promise.await,
        None => pending().await,
    }
}
