//! StatsD: datagrams are summed up, and what they amount to is written at each flush.
//!
//! Nobody is told whether a datagram arrived; but what a flush gives is written durably, and written again until it is:
//! while the store cannot be reached, flushes wait, as many as `WAITING`, and the newest beyond are dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use nephos_identity::Caller;
use nephos_model::Timestamp;
use nephos_observe::Shutdown;
use nephos_wire::gather::{Gathered, GatheredMetric, GatheredResource, id_text};
use nephos_wire::gnocchi::scan::Columns;
use nephos_wire::statsd::{Aggregator, Due};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::instrument;
use crate::service::ingest::{self, Destination};
use crate::state::ApiState;

/// Flushes that wait for the store, at most.
const WAITING: usize = 64;

/// Times a flush is tried once the server stops.
const LAST_TRIES: u32 = 3;

/// Datagrams that are still taken once the server stops, at most.
const LAST_DATAGRAMS: usize = 10_000;

/// How long nothing is received after a datagram that could not be.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// A datagram is never longer.
const DATAGRAM: usize = 65_536;

/// What an operator sets about StatsD.
#[derive(Clone, Debug)]
pub struct StatsdOptions {
    /// The resource that metrics belong to.
    pub resource_id: String,
    /// Creator of the resource and its metrics.
    pub creator: String,
    /// User of the resource.
    pub user_id: Option<String>,
    /// Project of the resource.
    pub project_id: Option<String>,
    /// Policy of the metrics; otherwise by rule.
    pub archive_policy_name: Option<String>,
    /// How often values are written.
    pub flush_delay: Duration,
    /// Metrics that are kept between two flushes, at most.
    pub max_metrics: usize,
}

/// A bound socket, and what is done with what comes there.
#[derive(Debug)]
pub struct Statsd {
    /// The socket.
    pub socket: UdpSocket,
    /// What an operator set.
    pub options: StatsdOptions,
}

/// Takes datagrams until shutdown is requested; what came until then is written before it returns.
pub(crate) async fn run(state: Arc<ApiState>, statsd: Statsd, shutdown: Shutdown) {
    let Statsd { socket, options } = statsd;
    let options = Arc::new(options);
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer =
        tokio::spawn(write_all(Arc::clone(&state), Arc::clone(&options), receiver, shutdown.clone()));
    receive(&state, &socket, &options, sender, &shutdown).await;
    // It ends when the sender is gone and everything was written, or given up.
    if writer.await.is_err() {
        tracing::error!("writing what statsd received failed");
    }
}

async fn receive(
    state: &ApiState,
    socket: &UdpSocket,
    options: &StatsdOptions,
    sender: mpsc::Sender<Vec<Due>>,
    shutdown: &Shutdown,
) {
    let mut aggregator = Aggregator::new(options.max_metrics);
    let mut buffer = vec![0; DATAGRAM];
    let mut flush = tokio::time::interval(options.flush_delay);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            () = shutdown.requested() => is_over = true,
            _ = flush.tick() => {}
            received = socket.recv(&mut buffer) => {
                match received {
                    Ok(length) => {
                        take(&mut aggregator, buffer.get(..length).unwrap_or_default(), state.clock.now());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "statsd: a datagram could not be received");
                        tokio::time::sleep(AFTER_ERROR).await;
                    }
                }
                continue;
            }
        }
        if is_over {
            // What the kernel holds already came, too; but senders may never pause.
            for _ in 0..LAST_DATAGRAMS {
                let Ok(length) = socket.try_recv(&mut buffer) else { break };
                take(&mut aggregator, buffer.get(..length).unwrap_or_default(), state.clock.now());
            }
        }
        let due = aggregator.flush();
        if due.is_empty() {
            continue;
        }
        if let Err(refused) = sender.try_send(due) {
            let values = refused.into_inner().len();
            instrument::left_out("unwritten", values as u64);
            tracing::error!(values, "statsd: too many flushes wait for the store; one was dropped");
        }
    }
}

fn take(aggregator: &mut Aggregator, datagram: &[u8], now: Timestamp) {
    let tally = aggregator.take(datagram, now);
    instrument::statsd(tally.taken);
    instrument::left_out("malformed", tally.faulty);
    instrument::left_out("full", tally.dropped);
    if let Some(fault) = tally.first {
        tracing::debug!(%fault, "statsd: a line was not understood");
    }
}

/// Writes flushes, one after the other.
async fn write_all(
    state: Arc<ApiState>,
    options: Arc<StatsdOptions>,
    mut receiver: mpsc::Receiver<Vec<Due>>,
    shutdown: Shutdown,
) {
    let mut tries_left = LAST_TRIES;
    while let Some(due) = receiver.recv().await {
        let mut wait = Duration::from_millis(100);
        while let Err(problem) = write(&state, &options, &due).await {
            if shutdown.is_requested() {
                tries_left = tries_left.saturating_sub(1);
            }
            if tries_left == 0 {
                instrument::left_out("unwritten", due.len() as u64);
                tracing::error!(error = %problem, values = due.len(), "statsd: values were lost");
                break;
            }
            tracing::warn!(error = %problem, "statsd: values could not be written yet");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        }
    }
}

async fn write(
    state: &ApiState,
    options: &StatsdOptions,
    due: &[Due],
) -> Result<(), crate::service::Problem> {
    let caller = Caller {
        user_id: options.user_id.clone(),
        project_id: options.project_id.clone(),
        roles: vec!["service".to_owned()],
        creator: Some(options.creator.clone()),
        rules: Arc::clone(&state.options.rules.borrow()),
    };
    let destination = Destination {
        archive_policy_name: options.archive_policy_name.as_deref(),
        owner: (options.user_id.as_deref(), options.project_id.as_deref()),
        ..Destination::of_type("generic")
    };
    let taken = ingest::take(state, &caller, &destination, gathered(&options.resource_id, due)).await?;
    instrument::left_out("refused", taken.refused);
    if let Some(problem) = taken.problem {
        let values = taken.refused;
        tracing::warn!(error = %problem, values, "statsd: some metrics could not be made");
    }
    Ok(())
}

/// Values as a message of one resource.
fn gathered(resource: &str, due: &[Due]) -> Gathered {
    let columns = Columns {
        timestamps: due.iter().map(|due| due.timestamp).collect(),
        values: due.iter().map(|due| due.value).collect(),
    };
    let metrics = due.iter().enumerate().map(|(place, due)| GatheredMetric {
        name: due.metric.clone(),
        unit: None,
        points: place..place + 1,
    });
    let metrics = metrics.collect();
    let resource = GatheredResource { id: id_text(resource).into_owned(), attributes: Vec::new(), metrics };
    Gathered { resources: vec![resource], columns }
}
