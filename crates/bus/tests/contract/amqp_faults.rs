//! The bus on a RabbitMQ that is not at its best.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use nephos_bus::{Bus, BusError, Consumer, Destination, Subscription};

use super::amqp::{SECRET, connect, header, make, metering, until_lost, until_ready};
use super::broker::{Broker, Proxy, send};
use super::{RETRY, samples, soon};

#[tokio::test]
async fn a_lost_connection_is_told_of_at_once_and_consumers_read_on_by_themselves() {
    let broker = Broker::new().await;
    let proxy = Proxy::to(broker.host()).await;
    let bus = connect(broker.url_through(&proxy.host));
    until_ready(&bus).await;
    let mut consumer = bus.subscribe(Subscription::Metering, 4).await.unwrap();
    bus.publish(Destination::Metering, samples(1)).await.unwrap();
    let mut held = soon("delivery", consumer.next()).await.unwrap();
    let first = held.take_samples();

    proxy.cut();
    until_lost(&bus).await;
    let error = bus.publish(Destination::Metering, samples(1)).await.unwrap_err();
    assert!(matches!(&error, BusError::Unavailable { .. }), "{error:?}");
    assert!(!error.to_string().contains("nephos:nephos"), "{error}");
    assert!(bus.ready().unwrap_err().contains("not reachable"));

    proxy.mend();
    until_ready(&bus).await;
    let error = held.ack().await.unwrap_err();
    assert!(matches!(&error, BusError::Unavailable { .. }), "{error:?}");
    let mut again = soon("redelivery", consumer.next()).await.unwrap();
    assert_eq!(again.take_samples(), first, "what could not be settled comes again");
    again.ack().await.unwrap();
    bus.publish(Destination::Metering, samples(3)).await.unwrap();
    let mut count = 0;
    while count < 3 {
        let mut delivery = soon("delivery after the loss", consumer.next()).await.unwrap();
        count += delivery.take_samples().len();
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn every_confirmed_sample_arrives_though_connections_break_all_the_time() {
    let broker = Broker::new().await;
    let proxy = Proxy::to(broker.host()).await;
    let publisher = connect(broker.url_through(&proxy.host));
    let reader = connect(broker.url_through(&proxy.host));
    let mut consumer = reader.subscribe(Subscription::Polling, 8).await.unwrap();
    let breaker = tokio::spawn(async move {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            proxy.cut();
            proxy.mend();
        }
        proxy
    });
    let load = tokio::spawn(async move {
        let mut confirmed = Vec::new();
        while confirmed.len() < 60 {
            let batch = samples(20);
            let ids: Vec<_> = batch.iter().map(|sample| sample.id).collect();
            match publisher.publish(Destination::Polling, batch).await {
                Ok(()) => confirmed.push(ids),
                Err(BusError::Unavailable { .. }) => {}
                Err(other) => panic!("{other}"),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        confirmed
    });
    let received = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&received);
    let reading = tokio::spawn(async move {
        while let Some(mut delivery) = consumer.next().await {
            seen.lock().unwrap().extend(delivery.take_samples().iter().map(|sample| sample.id));
            // What cannot be acked comes again, which does no harm.
            let _lost = delivery.ack().await.is_err();
        }
    });
    let confirmed = soon("sixty confirmed batches", load).await.unwrap().concat();
    soon("every confirmed sample", async {
        while confirmed.iter().any(|id| !received.lock().unwrap().contains(id)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    reading.abort();
    drop(breaker.await.unwrap());
}

#[tokio::test]
async fn a_missing_vhost_is_a_refusal_until_somebody_creates_it() {
    let broker = Broker::without_vhost();
    let bus = connect(broker.url());
    let refused = soon("refusal", async {
        loop {
            match bus.publish(Destination::Polling, samples(1)).await.unwrap_err() {
                refused @ BusError::Refused { .. } => return refused,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    assert!(refused.to_string().contains(&broker.vhost), "{refused}");
    broker.create_vhost().await;
    until_ready(&bus).await;
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_makes_everybody_wait() {
    let broker = Broker::new().await;
    let proxy = Proxy::to(broker.host()).await;
    proxy.cut();
    let bus = connect(broker.url_through(&proxy.host));
    let mut consumer = soon("subscribe", bus.subscribe(Subscription::Polling, 1)).await.unwrap();
    assert!(bus.ready().is_err());
    assert!(matches!(bus.publish(Destination::Polling, samples(1)).await, Err(BusError::Unavailable { .. })));
    proxy.mend();
    until_ready(&bus).await;
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
}

#[tokio::test]
async fn queues_that_openstack_declared_otherwise_are_used_as_they_are() {
    let broker = Broker::new().await;
    let (_connection, channel) = broker.channel().await;
    let transient = ExchangeDeclareOptions::default();
    let kind = ExchangeKind::Topic;
    channel.exchange_declare("ceilometer".into(), kind, transient, FieldTable::default()).await.unwrap();
    let transient = QueueDeclareOptions::default();
    channel.queue_declare("notifications.sample".into(), transient, FieldTable::default()).await.unwrap();
    let bus = connect(broker.url());
    until_ready(&bus).await;
    let mut consumer = bus.subscribe(Subscription::Polling, 1).await.unwrap();
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
    assert_eq!(broker.queue("notifications.sample").await["durable"], false);
}

#[tokio::test]
async fn own_queues_of_another_form_are_a_refusal() {
    let broker = Broker::new().await;
    let (_connection, channel) = broker.channel().await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("nephos.samples.03".into(), durable, FieldTable::default()).await.unwrap();
    let bus = connect(broker.url());
    until_ready(&bus).await;
    let error = bus.publish(Destination::Metering, samples(1)).await.unwrap_err();
    assert!(matches!(&error, BusError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("nephos.samples.03"), "{error}");
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
}

/// The partitions from which something comes within a while, each once.
async fn partitions_read(consumer: &mut Box<dyn Consumer>) -> BTreeSet<u32> {
    let mut partitions = BTreeSet::new();
    while let Ok(delivery) = tokio::time::timeout(Duration::from_millis(500), consumer.next()).await {
        let delivery = delivery.unwrap();
        partitions.insert(delivery.partition());
        delivery.ack().await.unwrap();
    }
    partitions
}

/// Sends a message to every partition, past a bus that would wait for the blocked one.
async fn send_to_all_but(channel: &lapin::Channel, blocked: Option<u32>) {
    for partition in (0..16).filter(|partition| Some(*partition) != blocked) {
        let (body, key) = (metering(&samples(1), SECRET), format!("nephos.samples.{partition:02}"));
        send(channel, "nephos", &key, &body, FieldTable::default()).await;
    }
}

#[tokio::test]
async fn a_queue_that_cannot_be_read_holds_up_no_other_and_is_read_once_it_can_be() {
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let otherwise = QueueDeclareOptions { durable: true, ..Default::default() };
    for options in [exclusive, otherwise] {
        let broker = Broker::new().await;
        let (blocking, blocker) = broker.channel().await;
        blocker.queue_declare("nephos.samples.03".into(), options, FieldTable::default()).await.unwrap();
        let bus = connect(broker.url());
        until_ready(&bus).await;
        let mut consumer = bus.subscribe(Subscription::Metering, 64).await.unwrap();
        let all_but_one: BTreeSet<u32> = (0..16).filter(|partition| *partition != 3).collect();
        for partition in &all_but_one {
            broker.until_consumed(&format!("nephos.samples.{partition:02}")).await;
        }
        let (_connection, channel) = broker.channel().await;
        // More than once: the stuck queue must not break in between either.
        for _ in 0..3 {
            send_to_all_but(&channel, Some(3)).await;
            assert_eq!(partitions_read(&mut consumer).await, all_but_one);
            assert_eq!(bus.ready(), Ok(()));
        }
        blocker.queue_delete("nephos.samples.03".into(), QueueDeleteOptions::default()).await.unwrap();
        broker.until_consumed("nephos.samples.03").await;
        send_to_all_but(&channel, None).await;
        assert_eq!(partitions_read(&mut consumer).await, (0..16).collect());
        soon("cancel", consumer.cancel()).await;
        drop(blocking);
    }
}

#[tokio::test]
async fn a_message_without_a_queue_is_an_error_and_the_queue_is_made_again() {
    let (bus, broker) = make().await;
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    let (_connection, channel) = broker.channel().await;
    channel.queue_delete("notifications.sample".into(), QueueDeleteOptions::default()).await.unwrap();
    let error = bus.publish(Destination::Polling, samples(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "message was not accepted: 312 NO_ROUTE");
    soon("recovery", async {
        while bus.publish(Destination::Polling, samples(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_reads_on_when_it_is_there_again() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Polling, 1).await.unwrap();
    bus.publish(Destination::Polling, samples(1)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().ack().await.unwrap();
    let (_connection, channel) = broker.channel().await;
    channel.queue_delete("notifications.sample".into(), QueueDeleteOptions::default()).await.unwrap();
    soon("delivery from the new queue", async {
        loop {
            let _lost = bus.publish(Destination::Polling, samples(2)).await.is_err();
            let next = consumer.next();
            if let Ok(delivery) = tokio::time::timeout(Duration::from_millis(200), next).await {
                return delivery.unwrap().ack().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_given_up_is_found_among_the_dead_letters() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Polling, 1).await.unwrap();
    bus.publish(Destination::Polling, samples(5)).await.unwrap();
    for _ in 0..RETRY.deliveries {
        soon("delivery", consumer.next()).await.unwrap().retry().await.unwrap();
    }
    bus.publish(Destination::Polling, samples(6)).await.unwrap();
    soon("delivery", consumer.next()).await.unwrap().dead_letter("no such thing").await.unwrap();
    let (_connection, channel) = broker.channel().await;
    for (count, reason) in [(5, "given back by its consumer 4 times"), (6, "no such thing")] {
        let (body, properties) = broker.take(&channel, "nephos.dead").await;
        let message = nephos_wire::oslo::read_samples(&body, None).unwrap();
        assert_eq!((message.samples.len(), header(&properties, "x-nephos-reason").as_str()), (count, reason));
    }
}

#[tokio::test]
async fn what_was_acked_before_closing_stays_acked() {
    let (bus, broker) = make().await;
    let mut consumer = bus.subscribe(Subscription::Polling, 4).await.unwrap();
    bus.publish(Destination::Polling, samples(300)).await.unwrap();
    let (first, second) = (consumer.next().await.unwrap(), consumer.next().await.unwrap());
    first.ack().await.unwrap();
    consumer.cancel().await;
    second.ack().await.unwrap();
    soon("close", bus.close()).await;
    drop(bus);
    let bus: Arc<dyn Bus> = connect(broker.url());
    let mut consumer = bus.subscribe(Subscription::Polling, 4).await.unwrap();
    soon("the third message", consumer.next()).await.unwrap().ack().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
