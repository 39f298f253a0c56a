//! The contract, on any bus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nephos_bus::{Bus, BusError, Consumer, Delivery, Destination, Subscription, partition_of};
use nephos_model::Sample;

use super::{sample, samples, soon};

/// Long enough for a message that should not come to come.
const QUIET: Duration = Duration::from_millis(300);

/// Makes a test of each function for one kind of bus; `$make` gives the bus and what must outlive it.
macro_rules! bus_suite {
    ($make:path) => {
        bus_suite!($make:
            samples_arrive_whole_and_in_order,
            metering_keeps_partitions_apart_and_in_order,
            what_is_given_back_comes_again,
            what_is_dropped_unsettled_comes_again,
            what_is_given_back_too_often_comes_no_more,
            dead_letters_come_no_more,
            prefetch_bounds_what_is_unsettled,
            polling_consumers_share_the_work,
            metering_has_one_active_consumer_and_another_takes_over,
            a_cancelled_consumer_ends_but_settles_what_it_has,
            nothing_is_published_by_an_empty_batch,
            a_closed_bus_refuses_and_ends_its_consumers);
    };
    ($make:path: $($test:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let (bus, _guard) = $make().await;
            $crate::suite::$test(bus).await;
        })*
    };
}
pub(crate) use bus_suite;

/// Publishes in the background: in one process `publish` ends only with the consumer's ack.
fn publish(
    bus: &Arc<dyn Bus>,
    destination: Destination,
    samples: Vec<Sample>,
) -> tokio::task::JoinHandle<Result<(), BusError>> {
    let bus = Arc::clone(bus);
    tokio::spawn(async move { bus.publish(destination, samples).await })
}

async fn subscribe(bus: &Arc<dyn Bus>, subscription: Subscription, prefetch: u16) -> Box<dyn Consumer> {
    soon("subscribe", bus.subscribe(subscription, prefetch)).await.unwrap()
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Box<dyn Delivery> {
    soon("next delivery", consumer.next()).await.expect("the consumer ended")
}

async fn nothing_comes(consumer: &mut Box<dyn Consumer>) {
    if let Ok(delivery) = tokio::time::timeout(QUIET, consumer.next()).await {
        panic!("unexpected {delivery:?}");
    }
}

pub(crate) async fn samples_arrive_whole_and_in_order(bus: Arc<dyn Bus>) {
    assert_eq!(bus.ready(), Ok(()));
    let mut consumer = subscribe(&bus, Subscription::Polling, 8).await;
    assert!(consumer.try_next().is_none());
    let mut sent = samples(250);
    sent[3].user_id = Some("u".into());
    sent[3].monotonic_time = Some(0.1);
    sent[3].metadata =
        Arc::new([("flavor".to_owned(), serde_json::json!({"vcpus": 2}))].into_iter().collect());
    let published = publish(&bus, Destination::Polling, sent.clone());
    let mut received = Vec::new();
    for size in [100, 100, 50] {
        let mut delivery = next(&mut consumer).await;
        let taken = delivery.take_samples();
        assert_eq!(taken.len(), size);
        assert!(delivery.take_samples().is_empty(), "samples are taken once");
        assert_eq!(delivery.partition(), 0);
        received.extend(taken);
        delivery.ack().await.unwrap();
    }
    soon("publish", published).await.unwrap().unwrap();
    assert_eq!(received, sent);
    nothing_comes(&mut consumer).await;
}

pub(crate) async fn metering_keeps_partitions_apart_and_in_order(bus: Arc<dyn Bus>) {
    let mut consumer = subscribe(&bus, Subscription::Metering, 64).await;
    let sent: Vec<Sample> = (0..1_000).map(|n| sample(n, 40)).collect();
    let published = publish(&bus, Destination::Metering, sent.clone());
    let mut received: BTreeMap<u32, Vec<Sample>> = BTreeMap::new();
    while received.values().map(Vec::len).sum::<usize>() < sent.len() {
        let mut delivery = next(&mut consumer).await;
        let taken = delivery.take_samples();
        assert!(taken.len() <= 100);
        received.entry(delivery.partition()).or_default().extend(taken);
        delivery.ack().await.unwrap();
    }
    soon("publish", published).await.unwrap().unwrap();
    for (partition, received) in received {
        let expected: Vec<Sample> =
            sent.iter().filter(|s| partition_of(&s.resource_id, 16) == partition).cloned().collect();
        assert_eq!(received, expected, "partition {partition}");
    }
}

pub(crate) async fn what_is_given_back_comes_again(bus: Arc<dyn Bus>) {
    for (destination, subscription) in
        [(Destination::Polling, Subscription::Polling), (Destination::Metering, Subscription::Metering)]
    {
        let mut consumer = subscribe(&bus, subscription, 4).await;
        let published = publish(&bus, destination, vec![sample(1, 10)]);
        let mut first = next(&mut consumer).await;
        let (samples, partition) = (first.take_samples(), first.partition());
        first.retry().await.unwrap();
        let mut again = next(&mut consumer).await;
        assert_eq!(again.take_samples(), samples);
        assert_eq!(again.partition(), partition);
        again.ack().await.unwrap();
        soon("publish", published).await.unwrap().unwrap();
        nothing_comes(&mut consumer).await;
    }
}

pub(crate) async fn what_is_dropped_unsettled_comes_again(bus: Arc<dyn Bus>) {
    let mut consumer = subscribe(&bus, Subscription::Polling, 1).await;
    let published = publish(&bus, Destination::Polling, samples(3));
    drop(next(&mut consumer).await);
    let mut again = next(&mut consumer).await;
    assert_eq!(again.take_samples().len(), 3);
    again.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
}

pub(crate) async fn what_is_given_back_too_often_comes_no_more(bus: Arc<dyn Bus>) {
    let mut consumer = subscribe(&bus, Subscription::Metering, 4).await;
    let published = publish(&bus, Destination::Metering, samples(1));
    for _ in 0..super::RETRY.deliveries {
        next(&mut consumer).await.retry().await.unwrap();
    }
    nothing_comes(&mut consumer).await;
    // A broker confirmed it long ago; in one process the publisher is told.
    let result = soon("publish", published).await.unwrap();
    assert!(matches!(result, Ok(()) | Err(BusError::NotAccepted { .. })), "{result:?}");
}

pub(crate) async fn dead_letters_come_no_more(bus: Arc<dyn Bus>) {
    let mut consumer = subscribe(&bus, Subscription::Polling, 4).await;
    let published = publish(&bus, Destination::Polling, samples(1));
    next(&mut consumer).await.dead_letter("nobody knows what this is").await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
    nothing_comes(&mut consumer).await;
}

pub(crate) async fn prefetch_bounds_what_is_unsettled(bus: Arc<dyn Bus>) {
    for (destination, subscription) in
        [(Destination::Polling, Subscription::Polling), (Destination::Metering, Subscription::Metering)]
    {
        let mut consumer = subscribe(&bus, subscription, 2).await;
        let published: Vec<_> = (0..4).map(|n| publish(&bus, destination, vec![sample(n, 10)])).collect();
        let (first, second) = (next(&mut consumer).await, next(&mut consumer).await);
        nothing_comes(&mut consumer).await;
        assert!(consumer.try_next().is_none());
        first.ack().await.unwrap();
        let third = next(&mut consumer).await;
        nothing_comes(&mut consumer).await;
        second.ack().await.unwrap();
        third.ack().await.unwrap();
        next(&mut consumer).await.ack().await.unwrap();
        for published in published {
            soon("publish", published).await.unwrap().unwrap();
        }
        consumer.cancel().await;
    }
}

pub(crate) async fn polling_consumers_share_the_work(bus: Arc<dyn Bus>) {
    let mut one = subscribe(&bus, Subscription::Polling, 1).await;
    let mut two = subscribe(&bus, Subscription::Polling, 1).await;
    let published = publish(&bus, Destination::Polling, samples(200));
    let (mut first, mut second) = (next(&mut one).await, next(&mut two).await);
    let mut received = first.take_samples();
    received.extend(second.take_samples());
    received.sort_by_key(|sample| sample.timestamp);
    assert_eq!(
        received.iter().map(|s| s.volume.as_f64()).collect::<Vec<_>>(),
        (0..200).map(f64::from).collect::<Vec<_>>()
    );
    first.ack().await.unwrap();
    second.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
}

pub(crate) async fn metering_has_one_active_consumer_and_another_takes_over(bus: Arc<dyn Bus>) {
    let mut active = subscribe(&bus, Subscription::Metering, 64).await;
    let published = publish(&bus, Destination::Metering, samples(1));
    next(&mut active).await.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();

    let mut standby = subscribe(&bus, Subscription::Metering, 64).await;
    let published = publish(&bus, Destination::Metering, samples(100));
    let mut count = 0;
    let mut held = Vec::new();
    while count < 100 {
        let mut delivery = next(&mut active).await;
        count += delivery.take_samples().len();
        held.push(delivery);
    }
    nothing_comes(&mut standby).await;
    for delivery in held {
        delivery.ack().await.unwrap();
    }
    soon("publish", published).await.unwrap().unwrap();

    active.cancel().await;
    let published = publish(&bus, Destination::Metering, samples(1));
    next(&mut standby).await.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
}

pub(crate) async fn a_cancelled_consumer_ends_but_settles_what_it_has(bus: Arc<dyn Bus>) {
    let mut consumer = subscribe(&bus, Subscription::Polling, 2).await;
    let published = publish(&bus, Destination::Polling, samples(2));
    let held = next(&mut consumer).await;
    consumer.cancel().await;
    assert!(soon("the end", consumer.next()).await.is_none());
    assert!(consumer.try_next().is_none());
    held.ack().await.unwrap();
    soon("publish", published).await.unwrap().unwrap();
    let mut other = subscribe(&bus, Subscription::Polling, 2).await;
    nothing_comes(&mut other).await;
}

pub(crate) async fn nothing_is_published_by_an_empty_batch(bus: Arc<dyn Bus>) {
    for destination in [Destination::Polling, Destination::Metering] {
        soon("publish", bus.publish(destination, Vec::new())).await.unwrap();
    }
}

pub(crate) async fn a_closed_bus_refuses_and_ends_its_consumers(bus: Arc<dyn Bus>) {
    let mut consumer = subscribe(&bus, Subscription::Metering, 2).await;
    soon("close", bus.close()).await;
    assert!(soon("the end", consumer.next()).await.is_none());
    let refused = bus.publish(Destination::Polling, samples(1)).await;
    assert!(matches!(refused, Err(BusError::Closed)), "{refused:?}");
    assert!(matches!(bus.subscribe(Subscription::Polling, 1).await, Err(BusError::Closed)));
    assert!(bus.ready().is_err());
    soon("closing twice", bus.close()).await;
}
