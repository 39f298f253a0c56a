//! The bus on a real RabbitMQ.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use nephos_bus::{AmqpBus, AmqpOptions, Bus, Destination, Subscription};
use nephos_model::{ManualClock, Timestamp};
use nephos_wire::oslo::{MessageKind, Signer, Stamp, write_samples};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::broker::{Broker, send};
use super::suite::bus_suite;
use super::{RETRY, sample, samples, soon};

pub(crate) const SECRET: &str = "change this for valid signing";

pub(crate) fn connect(url: SecretString) -> Arc<dyn Bus> {
    let mut options = AmqpOptions::new(url, SECRET.to_owned().into(), "host-1");
    options.retry = RETRY;
    let clock = ManualClock::new(Timestamp::from_nanos(1_795_302_501_007_503_000));
    Arc::new(AmqpBus::connect(options, Arc::new(clock)).unwrap())
}

pub(crate) async fn until_ready(bus: &Arc<dyn Bus>) {
    soon("connection", async {
        while bus.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(crate) async fn until_lost(bus: &Arc<dyn Bus>) {
    soon("loss", async {
        while bus.ready().is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(crate) async fn make() -> (Arc<dyn Bus>, Broker) {
    let broker = Broker::new().await;
    let bus = connect(broker.url());
    until_ready(&bus).await;
    (bus, broker)
}

bus_suite!(make);

pub(crate) fn header(properties: &BasicProperties, name: &str) -> String {
    match properties.headers().as_ref().and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => String::from_utf8(text.as_bytes().to_vec()).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn metering(samples: &[nephos_model::Sample], secret: &str) -> Vec<u8> {
    let (message_id, unique_id) = (Uuid::new_v4(), Uuid::new_v4());
    let stamp =
        Stamp { publisher_id: "telemetry.publisher.other", message_id, unique_id, sent: Timestamp::EPOCH };
    write_samples(MessageKind::Metering, samples, &Signer::new(secret), stamp).unwrap()
}

#[tokio::test]
async fn messages_have_the_properties_and_envelope_of_the_original() {
    let (bus, broker) = make().await;
    bus.publish(Destination::Polling, samples(2)).await.unwrap();
    bus.publish(Destination::Metering, vec![sample(1, 10)]).await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let metering = format!("nephos.samples.{:02}", nephos_bus::partition_of("r1", 16));
    for (queue, event_type, publisher_id) in [
        ("notifications.sample", "telemetry.polling", "ceilometer.polling"),
        (metering.as_str(), "metering", "telemetry.publisher.host-1"),
    ] {
        let (body, properties) = broker.take(&channel, queue).await;
        assert_eq!(properties.content_type().as_ref().map(|t| t.as_str()), Some("application/json"));
        assert_eq!(properties.content_encoding().as_ref().map(|t| t.as_str()), Some("utf-8"));
        assert_eq!((*properties.delivery_mode(), *properties.priority()), (Some(2), Some(0)));
        assert!(properties.message_id().is_none() && properties.timestamp().is_none());
        let envelope: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(envelope["oslo.version"], "2.0");
        let inner: Value = serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap();
        assert_eq!(
            (inner["event_type"].as_str(), inner["publisher_id"].as_str()),
            (Some(event_type), Some(publisher_id))
        );
        assert_eq!(
            (&inner["priority"], &inner["timestamp"]),
            (&json!("SAMPLE"), &json!("2026-11-21 23:08:21.007503"))
        );
        let samples = inner["payload"].get("samples").unwrap_or(&inner["payload"]);
        assert_eq!(samples[0]["message_signature"].as_str().map(str::len), Some(64));
    }
}

#[tokio::test]
async fn what_is_declared_survives_and_dead_letters() {
    let (bus, broker) = make().await;
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    bus.publish(Destination::Metering, samples(1)).await.unwrap();
    for shared in ["notifications.sample", "metering.sample"] {
        let queue = broker.queue(shared).await;
        assert_eq!((&queue["durable"], &queue["auto_delete"]), (&json!(true), &json!(false)), "{queue}");
        assert_eq!(queue["arguments"], json!({}), "as OpenStack's services declare it");
    }
    for own in ["nephos.samples.00", "nephos.samples.15"] {
        let queue = broker.queue(own).await;
        let arguments = &queue["arguments"];
        assert_eq!((&queue["durable"], &arguments["x-queue-type"]), (&json!(true), &json!("quorum")));
        assert_eq!(arguments["x-single-active-consumer"], true);
        assert_eq!(arguments["x-dead-letter-exchange"], "nephos.dead");
        assert!(arguments["x-delivery-limit"].as_u64() > Some(u64::from(RETRY.deliveries)));
    }
    let dead = broker.queue("nephos.dead").await;
    assert_eq!((&dead["durable"], &dead["arguments"]["x-queue-type"]), (&json!(true), &json!("quorum")));
}

#[tokio::test]
async fn malformed_messages_go_to_the_dead_letters_with_the_reason_and_hold_nothing_up() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Polling, 4).await.unwrap();
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let mut compressed = FieldTable::default();
    compressed.insert("compression".into(), AMQPValue::LongString("gzip".into()));
    for (body, headers, reason) in [
        (&b"\xff\xfe"[..], FieldTable::default(), "message body is not UTF-8"),
        (b"{", FieldTable::default(), "message body is not a notification's JSON: EOF"),
        (
            br#"{"oslo.version": "2.1", "oslo.message": "{}"}"#,
            FieldTable::default(),
            "envelope version \"2.1\"",
        ),
        (
            br#"{"event_type": "telemetry.polling", "payload": 5}"#,
            FieldTable::default(),
            "payload is not a notification's JSON",
        ),
        (b"eJw=", compressed, "compressed messages (gzip) are not supported"),
    ] {
        send(&channel, "ceilometer", "notifications.sample", body, headers).await;
        let (dead, properties) = broker.take(&channel, "nephos.dead").await;
        assert_eq!(dead, body);
        let found = header(&properties, "x-nephos-reason");
        assert!(found.starts_with(reason), "{found}");
        assert_eq!(header(&properties, "x-nephos-queue"), "notifications.sample");
    }
    bus.publish(Destination::Polling, samples(7)).await.unwrap();
    let mut delivery = soon("delivery", consumer.next()).await.unwrap();
    assert_eq!(delivery.take_samples().len(), 7);
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn a_bad_sample_is_dead_lettered_alone() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Polling, 4).await.unwrap();
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let good = json!({"counter_name": "m", "counter_type": "gauge", "counter_unit": "", "counter_volume": 1,
        "resource_id": "r", "timestamp": "2026-11-21T00:00:00", "message_id": "m1"});
    let mut bad = good.clone();
    bad["counter_volume"] = Value::Null;
    let body = json!({"event_type": "telemetry.polling", "payload": {"samples": [good, bad, good]}});
    send(&channel, "ceilometer", "notifications.sample", body.to_string().as_bytes(), FieldTable::default())
        .await;
    let mut delivery = soon("delivery", consumer.next()).await.unwrap();
    assert_eq!(delivery.take_samples().len(), 2);
    delivery.ack().await.unwrap();
    let (dead, properties) = broker.take(&channel, "nephos.dead").await;
    assert_eq!(serde_json::from_slice::<Value>(&dead).unwrap(), bad);
    assert_eq!(header(&properties, "x-nephos-reason"), "sample 1: counter_volume is missing");
}

#[tokio::test]
async fn foreign_publishers_are_read_if_they_know_the_secret() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Metering, 32).await.unwrap();
    bus.publish(Destination::Metering, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let sent = samples(3);
    for secret in ["guessed", SECRET] {
        let body = metering(&sent, secret);
        send(&channel, "ceilometer", "metering.sample", &body, FieldTable::default()).await;
    }
    let mut delivery = soon("delivery", consumer.next()).await.unwrap();
    assert_eq!(delivery.take_samples(), sent);
    delivery.ack().await.unwrap();
    for index in 0..3 {
        let (_, properties) = broker.take(&channel, "nephos.dead").await;
        let reason = format!("sample {index}: message_signature is wrong or missing");
        assert_eq!(header(&properties, "x-nephos-reason"), reason);
    }
}

#[tokio::test]
async fn other_notifications_are_taken_out_of_shared_queues_and_ignored() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Polling, 1).await.unwrap();
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let other = br#"{"event_type": "volume.create.end", "payload": {}}"#;
    send(&channel, "ceilometer", "notifications.sample", other, FieldTable::default()).await;
    bus.publish(Destination::Polling, samples(2)).await.unwrap();
    let mut delivery = soon("delivery", consumer.next()).await.unwrap();
    assert_eq!(delivery.take_samples().len(), 2);
    delivery.ack().await.unwrap();
}
