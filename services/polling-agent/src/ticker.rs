//! Drives cron sources: looks once a second whether one is due.

use std::time::Duration;

use tokio::sync::watch;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::instrument;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// The scheduler plans its next tick by the wall clock. Silent for this long, the clock was set back, and it must
/// plan anew.
const SILENCE: Duration = Duration::from_secs(5);

/// Counts up `ticks` until stopped.
pub(crate) async fn run(ticks: watch::Sender<u64>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = tick_until_silent(&ticks, &stop).await {
            instrument::error("cron");
            error!(%error, "cron sources cannot be driven; trying again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SILENCE) => {}
            }
        }
    }
}

async fn tick_until_silent(
    ticks: &watch::Sender<u64>,
    stop: &CancellationToken,
) -> Result<(), JobSchedulerError> {
    let mut scheduler = JobScheduler::new().await?;
    let counter = ticks.clone();
    let job = Job::new_repeated_async(EVERY, move |_, _| {
        counter.send_modify(|count| *count += 1);
        Box::pin(async {})
    })?;
    scheduler.add(job).await?;
    scheduler.start().await?;
    let mut heard = ticks.subscribe();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            ticked = tokio::time::timeout(SILENCE, heard.changed()) => if ticked.is_err() { break },
        }
    }
    scheduler.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_ticks_until_it_is_stopped() {
        let (ticks, mut heard) = watch::channel(0);
        let stop = CancellationToken::new();
        let ticker = tokio::spawn(run(ticks, stop.clone()));
        let twice = async {
            while *heard.borrow_and_update() < 2 {
                heard.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), twice).await.unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(20), ticker).await.unwrap().unwrap();
    }
}
