//! Networks that are slow, silent or cut: everything arrives all the same.

use std::sync::Arc;
use std::time::Duration;

use sedge_cloud::mqtt::Version;

use crate::broker::{Mosquitto, Subscriber};
use crate::delivery::in_order;
use crate::proxy::Proxy;
use crate::queue::Queue;
use crate::{LONG, QOS_1, connected, error_of, eventually, link, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_noticed_and_replaced() {
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(&broker, "#");
    let proxy = Proxy::start(broker.port).await;
    let queue = Arc::new(Queue::default());
    let mut settings = settings(proxy.port);
    settings.keep_alive = Duration::from_secs(1);
    settings.ping_timeout = Duration::from_millis(300);
    let link = link(settings, &queue);
    connected(&link).await;
    // Nothing is to be said: only asking finds out.
    proxy.silence();
    let error = error_of(&link).await;
    assert!(error.contains("has not answered whether it is there within 300ms"), "{error}");
    queue.put_numbers("after", QOS_1, 1..=10);
    eventually("arrived", || subscriber.numbers("after").len() >= 10).await;
    in_order(&subscriber.numbers("after"), 10);
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_on_a_silent_connection_are_sent_again() {
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(&broker, "#");
    let proxy = Proxy::start(broker.port).await;
    let queue = Arc::new(Queue::default());
    let mut settings = settings(proxy.port);
    settings.operation_timeout = Duration::from_millis(500);
    let link = link(settings, &queue);
    for round in 0..3 {
        connected(&link).await;
        proxy.silence();
        queue.put_numbers("silent", QOS_1, round * 20 + 1..=round * 20 + 20);
        eventually("settled", || queue.is_empty()).await;
    }
    eventually("arrived", || subscriber.numbers("silent").contains(&60)).await;
    in_order(&subscriber.numbers("silent"), 60);
    let status = link.status();
    let error = status.last_error.clone().unwrap().1;
    assert!(error.contains("has not answered a message within 500ms"), "{error}");
    assert!(status.repeated >= 3, "the broker knew the session: {status:?}");
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_acknowledgements_are_waited_for() {
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(&broker, "#");
    let proxy = Proxy::start(broker.port).await;
    let queue = Arc::new(Queue::default());
    let link = link(settings(proxy.port), &queue);
    connected(&link).await;
    proxy.late(Duration::from_millis(150));
    queue.put_numbers("late", QOS_1, 1..=30);
    eventually("settled", || queue.is_empty()).await;
    eventually("arrived", || subscriber.numbers("late").len() >= 30).await;
    assert_eq!(subscriber.numbers("late"), (1..=30).collect::<Vec<_>>(), "none of them twice");
    let status = link.status();
    assert_eq!((status.connections, status.repeated), (1, 0));
    // None of them took at most 100 ms.
    assert_eq!(status.latency.counts[..5], [0; 5], "{:?}", status.latency);
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_any_byte_lose_nothing() {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start();
        let subscriber = Subscriber::start(&broker, "#");
        let proxy = Proxy::start(broker.port).await;
        let queue = Arc::new(Queue::default());
        let mut settings = settings(proxy.port);
        settings.version = version;
        // An end after such a message must not be put down to it.
        settings.publish_attempts = 1000;
        queue.put_numbers("cut", QOS_1, 1..=120);
        // CONNECT takes some 40 bytes, a publish 10: a few messages get through each time.
        proxy.cut_after(180);
        let link = link(settings, &queue);
        let mut bytes = 180;
        eventually("settled", || {
            bytes = 150 + (bytes * 7 + 13) % 97;
            proxy.cut_after(bytes);
            queue.is_empty()
        })
        .await;
        eventually("arrived", || subscriber.numbers("cut").contains(&120)).await;
        in_order(&subscriber.numbers("cut"), 120);
        assert!(proxy.connections() > 5, "{} connections", proxy.connections());
        proxy.cut_after(0);
        link.stop(LONG).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_inbox_gets_everything_in_order() {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start();
        let queue = Arc::new(Queue::slow(Duration::from_millis(2)));
        let mut settings = settings(broker.port);
        settings.version = version;
        settings.receive_maximum = 5;
        let wanted = vec![("flood".to_owned(), QOS_1)];
        let link = crate::Link::start(settings, queue.clone(), queue.clone(), wanted).unwrap();
        eventually("subscribed", || broker.log().contains("Sending SUBACK to camera")).await;
        let sender = Arc::new(Queue::default());
        let mut other = crate::settings(broker.port);
        other.client_id = "sender".to_owned();
        other.max_in_flight = 100;
        let sending = crate::link(other, &sender);
        sender.put_numbers("flood", QOS_1, 1..=500);
        eventually("sent", || sender.is_empty()).await;
        eventually("received", || queue.received().len() >= 500).await;
        let number = |payload: &[u8]| std::str::from_utf8(payload).unwrap().parse().unwrap();
        let numbers: Vec<u64> =
            queue.received().iter().map(|message| number(&message.payload)).collect();
        assert_eq!(numbers, (1..=500).collect::<Vec<_>>());
        assert_eq!(link.status().connections, 1);
        sending.stop(LONG).await;
        link.stop(LONG).await;
    }
}
