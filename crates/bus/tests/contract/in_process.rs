//! The bus of one process.

use std::sync::Arc;
use std::time::Duration;

use nephos_bus::{Bus, BusError, Destination, InProcessBus, InProcessOptions, Subscription};

use super::suite::bus_suite;
use super::{RETRY, samples, soon};

fn bus(capacity: usize) -> Arc<dyn Bus> {
    Arc::new(InProcessBus::new(InProcessOptions { queues: 16, capacity, retry: RETRY }))
}

async fn make() -> (Arc<dyn Bus>, ()) {
    (bus(256), ())
}

bus_suite!(make);

#[tokio::test]
async fn publish_returns_only_when_every_message_was_acked() {
    let bus = bus(256);
    let mut consumer = bus.subscribe(Subscription::Polling, 2).await.unwrap();
    let publisher = Arc::clone(&bus);
    let mut published =
        tokio::spawn(async move { publisher.publish(Destination::Polling, samples(150)).await });
    consumer.next().await.unwrap().ack().await.unwrap();
    let last = consumer.next().await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), &mut published).await;
    assert!(early.is_err(), "returned before the ack");
    last.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_publisher_is_told_of_what_was_given_up_even_if_the_rest_was_acked() {
    let bus = bus(256);
    let mut consumer = bus.subscribe(Subscription::Polling, 2).await.unwrap();
    let publisher = Arc::clone(&bus);
    let published = tokio::spawn(async move { publisher.publish(Destination::Polling, samples(101)).await });
    consumer.next().await.unwrap().ack().await.unwrap();
    for _ in 0..RETRY.deliveries {
        soon("redelivery", consumer.next()).await.unwrap().retry().await.unwrap();
    }
    let error = soon("publish", published).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "message was not accepted: given back by its consumer 4 times");
}

#[tokio::test]
async fn publishers_wait_while_the_queue_is_full() {
    let bus = bus(2);
    let publisher = Arc::clone(&bus);
    // 300 samples are three messages: one more than there is room for.
    let mut published =
        tokio::spawn(async move { publisher.publish(Destination::Polling, samples(300)).await });
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut published).await.is_err());
    let mut consumer = bus.subscribe(Subscription::Polling, 8).await.unwrap();
    let (first, second) = (consumer.next().await.unwrap(), consumer.next().await.unwrap());
    assert!(consumer.try_next().is_none(), "the third message still waits for room");
    first.ack().await.unwrap();
    soon("the third message", consumer.next()).await.unwrap().ack().await.unwrap();
    second.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_lets_consumers_finish_what_is_queued() {
    let bus = bus(256);
    let mut consumer = bus.subscribe(Subscription::Metering, 8).await.unwrap();
    let publisher = Arc::clone(&bus);
    let published = tokio::spawn(async move { publisher.publish(Destination::Metering, samples(300)).await });
    let first = consumer.next().await.unwrap();
    let closer = Arc::clone(&bus);
    let closed = tokio::spawn(async move { closer.close().await });
    first.retry().await.unwrap();
    let mut count = 0;
    while let Some(mut delivery) = soon("the rest", consumer.next()).await {
        count += delivery.take_samples().len();
        delivery.ack().await.unwrap();
    }
    assert_eq!(count, 300, "what was given back while closing included");
    soon("close", closed).await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_without_consumers_tells_publishers_at_once() {
    let bus = bus(256);
    let publisher = Arc::clone(&bus);
    let published = tokio::spawn(async move { publisher.publish(Destination::Polling, samples(1)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    soon("close", bus.close()).await;
    assert!(matches!(soon("publish", published).await.unwrap(), Err(BusError::Closed)));
}
