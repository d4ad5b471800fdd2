//! Brokers that misbehave, or mean it well in a way that is rarely seen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use sedge_cloud::mqtt::{Protocol, Settled, State, Version};
use tokio::io::AsyncWriteExt;

use crate::queue::Queue;
use crate::raw::{ACCEPTED, Published, RESUMED, broker};
use crate::{LONG, QOS_1, connected, error_of, eventually, link, settings};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_acknowledged_is_sent_again_under_its_number() {
    let seen: Arc<Mutex<Vec<Vec<Published>>>> = Arc::default();
    let kept = seen.clone();
    let port = broker(move |mut wire, number| {
        let seen = kept.clone();
        async move {
            seen.lock().unwrap().push(Vec::new());
            // The session is there the first and second time, and then forgotten.
            wire.accept(if number < 2 { RESUMED } else { ACCEPTED }).await?;
            loop {
                let published = wire.publish().await?;
                seen.lock().unwrap()[number].push(published.clone());
                if number == 2 {
                    wire.acknowledge(published.id).await?;
                }
            }
        }
    })
    .await;
    let queue = Arc::new(Queue::default());
    queue.put_numbers("never", QOS_1, 1..=8);
    let mut settings = settings(port);
    settings.operation_timeout = Duration::from_millis(200);
    let link = link(settings, &queue);
    eventually("settled", || queue.is_empty()).await;
    let seen = seen.lock().unwrap().clone();
    let payloads =
        |at: usize| -> Vec<&str> { seen[at].iter().map(|p| p.payload.as_str()).collect() };
    assert_eq!(payloads(0), ["1", "2", "3", "4", "5"], "no more than may be in flight");
    assert_eq!(payloads(1), payloads(0));
    for (first, second) in seen[0].iter().zip(&seen[1]) {
        assert_eq!((second.id, second.is_repeated), (first.id, true));
    }
    assert_eq!(payloads(2), ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert!(seen[2].iter().all(|published| !published.is_repeated), "in a new session");
    assert!(error_of(&link).await.contains("has not answered a message within 200ms"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_wants_one_at_a_time_gets_one_at_a_time() {
    let port = broker(|mut wire, _| async move {
        // Receive maximum 1, keep alive 1 s.
        wire.accept(&[0x20, 9, 0, 0, 6, 0x21, 0, 1, 0x13, 0, 1]).await?;
        for _ in 0..5 {
            let published = wire.publish().await?;
            assert!(wire.is_silent().await, "only one before the acknowledgement");
            wire.acknowledge(published.id).await?;
        }
        loop {
            if wire.packet().await?.0 == 0xc0 {
                wire.send(&[0xd0, 0]).await?;
            }
        }
    })
    .await;
    let queue = Arc::new(Queue::default());
    queue.put_numbers("one", QOS_1, 1..=5);
    let link = link(settings(port), &queue);
    eventually("settled", || queue.is_empty()).await;
    assert_eq!(link.status().connections, 1);
    link.stop(LONG).await;
}

/// A broker that wants to hear something every second and gets nothing but pings; its port, and how
/// many came.
async fn pinged() -> (u16, Arc<AtomicUsize>) {
    let pings = Arc::new(AtomicUsize::new(0));
    let counted = pings.clone();
    let port = broker(move |mut wire, _| {
        let pings = counted.clone();
        async move {
            wire.accept(&[0x20, 6, 0, 0, 3, 0x13, 0, 1]).await?;
            while wire.packet().await?.0 == 0xc0 {
                pings.fetch_add(1, Ordering::Relaxed);
                wire.send(&[0xd0, 0]).await?;
            }
            None
        }
    })
    .await;
    (port, pings)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_keep_alive_is_kept() {
    let (port, pings) = pinged().await;
    let link = link(settings(port), &Arc::new(Queue::default()));
    eventually("pings", || pings.load(Ordering::Relaxed) >= 2).await;
    assert_eq!(link.status().connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_for_long_takes_what_is_next() {
    let (port, pings) = pinged().await;
    // Silence is longer than the socket has for what is written.
    let mut settings = settings(port);
    settings.operation_timeout = Duration::from_millis(500);
    let link = link(settings, &Arc::new(Queue::default()));
    eventually("pings", || pings.load(Ordering::Relaxed) >= 8).await;
    assert_eq!(link.status().connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_told_in_words_and_slow_the_client_down_where_they_should() {
    for (reason, words, is_slow) in [
        (0x97, "a quota is exceeded (0x97; it says: too much). Hint: lower publishes_per_s", true),
        (0x8e, "another client connected with the same client id (0x8e; it says", true),
        (0x8b, "the broker is shutting down (0x8b", false),
    ] {
        let port = broker(move |mut wire, _| async move {
            wire.accept(ACCEPTED).await?;
            let properties = [11, 0x1f, 0, 8].into_iter().chain(*b"too much");
            let body: Vec<u8> = [reason].into_iter().chain(properties).collect();
            wire.send(&[&[0xe0, body.len() as u8], &body[..]].concat()).await
        })
        .await;
        let mut settings = settings(port);
        settings.reconnect_max = Duration::from_secs(100);
        let link = link(settings, &Arc::new(Queue::default()));
        let error = error_of(&link).await;
        assert!(error.contains(words), "{error}");
        let State::Waiting { until } = link.status().state else { panic!("{:?}", link.status()) };
        let left = until.duration_since(SystemTime::now()).unwrap();
        assert_eq!(left > Duration::from_secs(40), is_slow, "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_does_not_take_is_refused_and_what_is_too_much_waits() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let port = broker(move |mut wire, _| {
        let tries = counted.clone();
        async move {
            wire.accept(ACCEPTED).await?;
            loop {
                let Published { id, topic, .. } = wire.publish().await?;
                match topic.as_str() {
                    "nobody" => wire.answer(id, 0x10).await?,
                    "forbidden" => wire.answer(id, 0x87).await?,
                    "quota" if tries.fetch_add(1, Ordering::Relaxed) < 3 => {
                        wire.answer(id, 0x97).await?;
                    }
                    _ => wire.acknowledge(id).await?,
                }
            }
        }
    })
    .await;
    let queue = Arc::new(Queue::default());
    let nobody = queue.put("nobody", QOS_1, "1");
    let forbidden = queue.put("forbidden", QOS_1, "2");
    queue.put("quota", QOS_1, "3");
    queue.put("last", QOS_1, "4");
    let link = link(settings(port), &queue);
    eventually("settled", || queue.is_empty()).await;
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    assert!(queue.settled().contains(&(nobody, Settled::Delivered)));
    let reason = queue.refusal(forbidden).unwrap();
    assert!(reason.starts_with("the broker does not take it: not authorized (0x87)"), "{reason}");
    assert_eq!((link.status().delivered, link.status().refused), (3, 1));
    assert_eq!(link.status().connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_ends_every_connection_does_not_hold_up_the_others() {
    let port = broker(|mut wire, _| async move {
        wire.accept(ACCEPTED).await?;
        loop {
            let published = wire.publish().await?;
            if published.topic == "poison" {
                return None;
            }
            wire.acknowledge(published.id).await?;
        }
    })
    .await;
    let queue = Arc::new(Queue::default());
    queue.put_numbers("good", QOS_1, 1..=3);
    let poison = queue.put("poison", QOS_1, "x");
    queue.put_numbers("good", QOS_1, 4..=6);
    let mut settings = settings(port);
    settings.publish_attempts = 3;
    let link = link(settings, &queue);
    eventually("settled", || queue.is_empty()).await;
    let reason = queue.refusal(poison).unwrap();
    assert!(reason.starts_with("the broker ended 3 connections when this was sent."), "{reason}");
    assert_eq!(link.status().refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_of_3_1_1_alone_are_spoken_to_in_it() {
    // One answers as the standard says, one only closes the connection.
    for answer in [&[0x20, 2, 0, 1][..], &[]] {
        let port = broker(move |mut wire, _| async move {
            let (_, connect) = wire.packet().await?;
            if connect[6] != 4 {
                return wire.send(answer).await;
            }
            wire.send(&[0x20, 2, 0, 0]).await?;
            let (_, body) = wire.packet().await?;
            assert_eq!(body, b"\0\x05topic\0\x01text", "no properties");
            wire.acknowledge(1).await?;
            wire.packet().await.map(drop)
        })
        .await;
        let queue = Arc::new(Queue::default());
        queue.put("topic", QOS_1, "text");
        let link = link(settings(port), &queue);
        eventually("settled", || queue.is_empty()).await;
        let state = link.status().state;
        assert!(matches!(state, State::Connected { protocol: Protocol::V311, .. }), "{state:?}");
        // Who is told which version to speak speaks no other.
        let mut only_5 = settings(port);
        only_5.version = Version::V5;
        let error = error_of(&crate::link(only_5, &Arc::new(Queue::default()))).await;
        assert!(error.contains("Hint: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_in_words() {
    for (version, connack, words) in [
        (Version::V5, &[0x20, 3, 0, 0x87, 0][..], "client 'camera': not authorized (0x87). Hint: "),
        (Version::V311, &[0x20, 2, 0, 5], "refuses the client 'camera': not authorized (0x87)"),
        (Version::V311, &[0x20, 2, 0, 4], "bad user name or password (0x86). Hint: check user"),
        (Version::V5, &[0x20, 3, 0, 0x85, 0], "the client id is not allowed (0x85). Hint: use"),
    ] {
        let port = broker(move |mut wire, _| async move {
            wire.accept(connack).await?;
            wire.packet().await.map(drop)
        })
        .await;
        let mut settings = settings(port);
        settings.version = version;
        let link = link(settings, &Arc::new(Queue::default()));
        let error = error_of(&link).await;
        assert!(error.contains(words), "{error}");
        assert_eq!(link.status().connections, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_mqtt_end_a_connection_and_nothing_else() {
    const GARBAGE: [&[u8]; 9] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x30, 0xff, 0xff, 0xff, 0x7f],
        &[0x00, 0x00],
        &[0xf0, 0x00],
        &[0x32, 2, 0, 9],
        &[0x20, 3, 0, 0, 0, 0x20, 3, 0, 0, 0],
        &[0x90, 4, 0, 1, 0x7f, 0xff],
        &[0x3f, 3, 0, 1, b'a'],
    ];
    let port = broker(|mut wire, number| async move {
        let Some(garbage) = GARBAGE.get(number / 2) else {
            wire.accept(ACCEPTED).await?;
            return wire.acknowledge_all().await;
        };
        // Once instead of the acceptance, once behind it.
        if number % 2 == 1 {
            wire.accept(ACCEPTED).await?;
        }
        wire.send(garbage).await?;
        while let Some((first, body)) = wire.packet().await {
            if first == 0xe0 {
                // What was wrong is told, by a code of MQTT 5.
                assert!(matches!(body[..], [0x81 | 0x82]), "{body:?}");
            }
        }
        Some(())
    })
    .await;
    let queue = Arc::new(Queue::default());
    queue.put_numbers("after", QOS_1, 1..=3);
    let mut settings = settings(port);
    settings.version = Version::V5;
    let link = link(settings, &queue);
    let mut errors = Vec::new();
    eventually("settled", || {
        let error = link.status().last_error;
        if error.is_some() && errors.last() != error.as_ref() {
            errors.extend(error);
        }
        queue.is_empty()
    })
    .await;
    assert!(errors.len() >= 2 * GARBAGE.len() - 1, "{errors:?}");
    for (_, error) in errors {
        assert!(error.contains("sent what cannot be understood: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_slow_inbox_is_bounded() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let port = broker(move |mut wire, _| {
        let taken = counted.clone();
        async move {
            wire.accept(ACCEPTED).await?;
            // Messages of QoS 0 with 10 KB each, which no acknowledgement holds back.
            let mut message = vec![0x30, 0x84, 0x4e, 0, 1, b'a', 0];
            message.resize(3 + 9988, b'x');
            for _ in 0..10_000 {
                wire.0.write_all(&message).await.ok()?;
                taken.fetch_add(message.len(), Ordering::Relaxed);
            }
            None
        }
    })
    .await;
    let queue = Arc::new(Queue::slow(LONG));
    let link = link(settings(port), &queue);
    connected(&link).await;
    // The flood ends when the buffers of the system are full, far below what is to come.
    let (mut last, mut since) = (usize::MAX, Instant::now());
    eventually("an end of the flood", || {
        let now = taken.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_millis(500)
    })
    .await;
    assert!(last < 30 << 20, "{last} bytes were taken");
    let received = link.status().received;
    assert!(received <= 120, "{received} messages are held");
    assert_eq!(link.status().connections, 1, "it is slow, not broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_message_is_left_out_where_the_broker_cannot_know() {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let kept = acknowledged.clone();
    let port = broker(move |mut wire, _| {
        let acknowledged = kept.clone();
        async move {
            wire.accept(&[0x20, 2, 0, 0]).await?;
            // 300,000 bytes with QoS 1 and the number 7, then a small one with 8.
            wire.send(&[0x32, 0xe0, 0xa7, 0x12, 0, 1, b'a', 0, 7]).await?;
            wire.send(&vec![b'x'; 300_000 - 5]).await?;
            wire.send(&[0x32, 6, 0, 1, b'a', 0, 8, b'y']).await?;
            loop {
                let packet = wire.packet().await?;
                acknowledged.lock().unwrap().push(packet);
            }
        }
    })
    .await;
    let queue = Arc::new(Queue::default());
    let mut settings = settings(port);
    settings.version = Version::V311;
    settings.limits = sedge_cloud::mqtt::topic::Limits::aws_iot();
    let link = link(settings, &queue);
    eventually("both", || acknowledged.lock().unwrap().len() == 2).await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert_eq!(acknowledged, [(0x40, vec![0, 7]), (0x40, vec![0, 8])]);
    assert_eq!(queue.received().len(), 1);
    assert_eq!(link.status().connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_stopped_waits_for_acknowledgements_but_not_for_ever() {
    let port = broker(|mut wire, _| async move {
        wire.accept(ACCEPTED).await?;
        let published = [wire.publish().await?, wire.publish().await?];
        tokio::time::sleep(Duration::from_millis(200)).await;
        wire.acknowledge(published[0].id).await?;
        wire.packet().await.map(drop)
    })
    .await;
    let queue = Arc::new(Queue::default());
    let mut settings = settings(port);
    settings.max_in_flight = 2;
    let link = link(settings, &queue);
    queue.put_numbers("stop", QOS_1, 1..=9);
    eventually("in flight", || link.status().in_flight == 2).await;
    link.stop(Duration::from_secs(1)).await;
    assert_eq!(queue.settled(), [(1, Settled::Delivered)], "and nothing new was begun");
}
