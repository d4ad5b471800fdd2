//! What is published arrives, in order, whatever happens to the broker in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sedge_cloud::mqtt::{Outgoing, Properties, Protocol, Qos, Settled, State, Version};

use crate::broker::{Mosquitto, Subscriber};
use crate::queue::Queue;
use crate::{LONG, QOS_1, connected, eventually, link, link_to, settings};

/// Whether all numbers up to the last are there, each for the first time in its order.
pub(crate) fn in_order(numbers: &[u64], last: u64) {
    let mut seen = BTreeSet::new();
    let first_time: Vec<u64> = numbers.iter().copied().filter(|n| seen.insert(*n)).collect();
    assert_eq!(first_time, (1..=last).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_both_versions_and_qualities() {
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(&broker, "#");
    for (version, protocol) in [(Version::Auto, Protocol::V5), (Version::V311, Protocol::V311)] {
        let queue = Arc::new(Queue::default());
        let link = link(crate::Settings { version, ..settings(broker.port) }, &queue);
        // A broker may let a message of one quality overtake those of the other.
        let topics = [Qos::AtMostOnce, QOS_1].map(|qos| (format!("{version:?}/{qos:?}"), qos));
        for number in 1..=25 {
            for (topic, qos) in &topics {
                queue.put(topic, *qos, number.to_string());
            }
        }
        eventually("settled", || queue.is_empty()).await;
        for (topic, _) in &topics {
            eventually("arrived", || subscriber.numbers(topic).len() >= 25).await;
            in_order(&subscriber.numbers(topic), 25);
        }
        let status = link.status();
        assert!(matches!(status.state, State::Connected { protocol: p, .. } if p == protocol));
        assert_eq!((status.delivered, status.refused, status.repeated), (50, 0, 0));
        assert_eq!(status.latency.counts.iter().sum::<u64>(), 25, "those of QoS 1");
        link.stop(LONG).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_restarts_again_and_again() {
    const LAST: u64 = 3000;
    let mut broker = Mosquitto::start();
    let queue = Arc::new(Queue::default());
    // The witness is a second link, whose session the broker keeps as well.
    let witness = Arc::new(Queue::default());
    let mut witness_settings = settings(broker.port);
    witness_settings.client_id = "witness".to_owned();
    let wanted = vec![("load/#".to_owned(), QOS_1)];
    let witness_link =
        crate::Link::start(witness_settings, witness.clone(), witness.clone(), wanted).unwrap();
    connected(&witness_link).await;
    let link = link_to(&broker, &queue);
    queue.put_numbers("load/a", QOS_1, 1..=LAST);
    for part in 1..=4 {
        eventually("a part", || queue.settled().len() as u64 >= part * LAST / 5).await;
        // In good order, so that what it acknowledged is not lost by the broker itself.
        broker.end();
        broker.restart();
    }
    eventually("settled", || queue.is_empty()).await;
    assert!(queue.settled().iter().all(|(_, how)| *how == Settled::Delivered));
    let numbers = || -> Vec<u64> {
        let text = |payload: &Bytes| String::from_utf8(payload.to_vec()).unwrap();
        witness.received().iter().map(|m| text(&m.payload).parse().unwrap()).collect()
    };
    eventually("arrived", || numbers().contains(&LAST)).await;
    in_order(&numbers(), LAST);
    assert!(link.status().connections >= 5);
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_late_gets_everything_in_order() {
    let mut broker = Mosquitto::start();
    let subscriber = Subscriber::start(&broker, "#");
    broker.end();
    let queue = Arc::new(Queue::default());
    queue.put_numbers("late", QOS_1, 1..=200);
    let link = link_to(&broker, &queue);
    let error = crate::error_of(&link).await;
    assert!(error.starts_with("cannot connect to the broker 127.0.0.1:"), "{error}");
    assert!(error.contains("Hint: check that the broker runs there"), "{error}");
    broker.restart();
    eventually("arrived", || subscriber.numbers("late").len() >= 200).await;
    in_order(&subscriber.numbers("late"), 200);
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_along_with_a_message_arrives() {
    let broker = Mosquitto::start();
    let queue = Arc::new(Queue::default());
    let subscriptions = vec![("with/#".to_owned(), QOS_1)];
    let link =
        crate::Link::start(settings(broker.port), queue.clone(), queue.clone(), subscriptions)
            .unwrap();
    let sent = Outgoing {
        topic: "with/properties".to_owned(),
        qos: QOS_1,
        payload: Bytes::from_static(b"{}"),
        properties: Properties {
            is_utf8: true,
            expiry_s: None,
            content_type: Some("application/json".to_owned()),
            response_topic: Some("answers".to_owned()),
            correlation: Some(Bytes::from_static(b"17")),
            user: vec![("service".to_owned(), "cats".to_owned())],
        },
        ..Outgoing::default()
    };
    // Filters are asked for before the first message goes.
    queue.put_message(sent.clone());
    eventually("received", || !queue.received().is_empty()).await;
    let received = queue.received().remove(0);
    assert_eq!((received.topic, received.properties), (sent.topic, sent.properties));
    link.stop(LONG).await;
    eventually("a goodbye", || broker.log().contains("Received DISCONNECT from camera")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_change_without_a_new_connection_and_outlive_it() {
    let broker = Mosquitto::start();
    let queue = Arc::new(Queue::default());
    let link = link_to(&broker, &queue);
    let topics =
        || queue.received().into_iter().map(|message| message.topic).collect::<Vec<String>>();
    // More than one SUBSCRIBE takes.
    let many: Vec<(String, Qos)> = (0..150).map(|n| (format!("many/{n}"), QOS_1)).collect();
    link.set_subscriptions(many).unwrap();
    eventually("all", || broker.log().matches("Sending SUBACK to camera").count() == 3).await;
    broker.publish(&["-t", "many/149", "-m", "1", "-q", "1"]);
    eventually("received", || topics() == ["many/149"]).await;
    link.set_subscriptions(vec![("many/0".to_owned(), QOS_1)]).unwrap();
    let told = "Sending UNSUBACK to camera";
    eventually("taken back", || broker.log().matches(told).count() == 3).await;
    link.stop(LONG).await;
    // The broker keeps the session, and what is published while nobody is there.
    broker.publish(&["-t", "many/149", "-m", "2", "-q", "1"]);
    broker.publish(&["-t", "many/0", "-m", "3", "-q", "1"]);
    let link = link_to(&broker, &queue);
    eventually("received", || topics() == ["many/149", "many/0"]).await;
    let state = link.status().state;
    assert!(matches!(state, State::Connected { session_present: true, .. }), "{state:?}");
    let error = link.set_subscriptions(vec![("a/#/b".to_owned(), QOS_1)]).unwrap_err();
    assert!(error.to_string().starts_with("the filter 'a/#/b' is wrong."), "{error}");
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_over_all_messages() {
    let broker = Mosquitto::start();
    let queue = Arc::new(Queue::default());
    let mut settings = settings(broker.port);
    settings.publishes_per_second = Some(80);
    let link = link(settings, &queue);
    connected(&link).await;
    let began = std::time::Instant::now();
    queue.put_numbers("slow", QOS_1, 1..=80);
    eventually("settled", || queue.is_empty()).await;
    // Not how fast it is, but that it is not faster.
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    link.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_and_holds_up_nothing() {
    let broker = Mosquitto::with("max_packet_size 1000");
    let subscriber = Subscriber::start(&broker, "#");
    let queue = Arc::new(Queue::default());
    let mut aws = settings(broker.port);
    aws.limits = sedge_cloud::mqtt::topic::Limits::aws_iot();
    let link = link(aws, &queue);
    let wild = queue.put("a/+", QOS_1, "1");
    let deep = queue.put("1/2/3/4/5/6/7/8/9", QOS_1, "1");
    let large = queue.put("large", QOS_1, vec![b'x'; 131_073]);
    let too_large_for_it = queue.put("larger", Qos::AtMostOnce, vec![b'x'; 1000]);
    queue.put("good", QOS_1, "1");
    eventually("settled", || queue.is_empty()).await;
    for (id, words) in [
        (wild, "the topic 'a/+' has a wildcard. Hint: "),
        (deep, "the topic '1/2/3/4/5/6/7/8/9' has 8 slashes, and the broker takes at most 7."),
        (large, "a message to 'large' has 131073 bytes, and the broker takes at most 131072."),
        (too_large_for_it, "the packet has 1012 bytes, and the broker takes at most 1000."),
    ] {
        let reason = queue.refusal(id).unwrap();
        assert!(reason.starts_with(words), "{reason}");
    }
    eventually("arrived", || subscriber.lines() == ["good 1"]).await;
    assert_eq!((link.status().refused, link.status().connections), (4, 1));
    link.stop(LONG).await;
}
