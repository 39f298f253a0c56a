//! Sending, with confirms.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use nephos_model::Clock;
use nephos_wire::oslo::{MessageKind, Signer, Stamp, write_samples};
use uuid::Uuid;

use super::session::Session;
use super::topology::{CEILOMETER, DEAD, NEPHOS, POLLING, partition_queue};
use crate::batch::Batch;
use crate::contract::{BusError, Destination};

/// Messages of one batch that may be unconfirmed at a time.
const WINDOW: usize = 64;
/// How long the broker may take to confirm a message. Longer, and it is as good as gone.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// Header that tells why a message was dead-lettered.
pub(super) const REASON: &str = "x-nephos-reason";
/// Header that tells which queue a dead letter came from.
pub(super) const QUEUE: &str = "x-nephos-queue";
/// Longest reason that is kept.
const LONGEST_REASON: usize = 1_000;

/// Turns samples into messages.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) publisher_id: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signer: Signer,
}

impl Sender {
    /// Sends every batch as a message; `Ok` when the broker has confirmed all.
    pub(super) async fn send_all(
        &self,
        session: &Session,
        destination: Destination,
        batches: Vec<Batch>,
    ) -> Result<(), BusError> {
        let mut unconfirmed = VecDeque::with_capacity(batches.len().min(WINDOW));
        for batch in batches {
            if unconfirmed.len() >= WINDOW
                && let Some(oldest) = unconfirmed.pop_front()
            {
                confirmed(session, oldest).await?;
            }
            unconfirmed.push_back(self.send(session, destination, batch).await?);
        }
        for confirm in unconfirmed {
            confirmed(session, confirm).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        session: &Session,
        destination: Destination,
        batch: Batch,
    ) -> Result<PublisherConfirm, BusError> {
        let (kind, publisher_id) = match destination {
            Destination::Polling => (MessageKind::Polling, "ceilometer.polling"),
            Destination::Metering => (MessageKind::Metering, self.publisher_id.as_str()),
        };
        let stamp = Stamp {
            publisher_id,
            message_id: Uuid::new_v4(),
            unique_id: Uuid::new_v4(),
            sent: self.clock.now(),
        };
        let body = write_samples(kind, &batch.samples, &self.signer, stamp)
            .map_err(|error| BusError::NotAccepted { reason: error.reason() })?;
        match destination {
            Destination::Polling => send(session, CEILOMETER, POLLING, &body, FieldTable::default()).await,
            Destination::Metering => {
                let key = partition_queue(batch.partition);
                send(session, NEPHOS, &key, &body, FieldTable::default()).await
            }
        }
    }
}

/// Sends a message that cannot be handled to where people find it; `Ok` when the broker has confirmed it.
pub(super) async fn dead_letter(
    session: &Session,
    body: &[u8],
    queue: &str,
    reason: &str,
) -> Result<(), BusError> {
    session.declare_dead_letters().await?;
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    let mut headers = FieldTable::default();
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    headers.insert(QUEUE.into(), AMQPValue::LongString(queue.into()));
    let sending = async {
        let confirm = send(session, DEAD, queue, body, headers).await?;
        confirmed(session, confirm).await
    };
    session.during(sending).await
}

async fn send(
    session: &Session,
    exchange: &str,
    key: &str,
    body: &[u8],
    headers: FieldTable,
) -> Result<PublisherConfirm, BusError> {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_priority(0)
        .with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let sending = session.publisher.basic_publish(exchange.into(), key.into(), options, body, properties);
    match tokio::time::timeout(CONFIRM_TIMEOUT, sending).await {
        Ok(sent) => sent.map_err(|error| session.failed(&error)),
        Err(_) => Err(session.peer.unavailable("the broker takes no messages")),
    }
}

async fn confirmed(session: &Session, confirm: PublisherConfirm) -> Result<(), BusError> {
    let confirmation = match tokio::time::timeout(CONFIRM_TIMEOUT, confirm).await {
        Ok(Ok(confirmation)) => confirmation,
        Ok(Err(error)) => return Err(session.failed(&error)),
        Err(_) => return Err(session.peer.unavailable("the broker did not confirm a message in time")),
    };
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            // What led to a queue has been deleted meanwhile: the next session declares it again.
            session.fail();
            let reason = format!("{} {}", returned.reply_code, returned.reply_text);
            Err(BusError::NotAccepted { reason })
        }
        Confirmation::Nack(None) | Confirmation::NotRequested => {
            Err(BusError::NotAccepted { reason: "the broker could not store it".to_owned() })
        }
    }
}
