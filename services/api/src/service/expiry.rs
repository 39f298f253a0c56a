//! Forgetting what is long over (`[retention]`): resources that ended, with their metrics, and past revisions.

use nephos_index::{Index, IndexError, Page, SortKey};
use nephos_model::Timestamp;

/// Resources looked at in one question to the index.
const BATCH: u64 = 1_000;

/// Deletes every resource that ended before `before`; answers how many. Their metrics are removed by the next
/// housekeeping.
pub async fn expire_resources(index: &dyn Index, before: Timestamp) -> Result<u64, IndexError> {
    let mut expired = 0;
    // Ended ones first, the longest ended foremost: the first that may stay ends the walk.
    let sort = vec![SortKey { key: "ended_at".to_owned(), descending: false, nulls_first: false }];
    loop {
        let page = Page { limit: Some(BATCH), marker: None, sort: sort.clone() };
        let resources = index.resources("generic", false, &page).await?;
        let due: Vec<_> = resources
            .iter()
            .take_while(|resource| resource.ended_at.is_some_and(|ended| ended < before))
            .map(|resource| resource.id)
            .collect();
        for id in &due {
            match index.delete_resource("generic", *id).await {
                Ok(_) => expired += 1,
                // Somebody deleted it meanwhile.
                Err(IndexError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if due.len() < resources.len() || resources.is_empty() {
            return Ok(expired);
        }
    }
}

/// Forgets past revisions of resources that ended before `before`; answers how many. Each transaction is small: others
/// that write wait for it.
pub async fn expire_history(index: &dyn Index, before: Timestamp) -> Result<u64, IndexError> {
    let mut expired = 0;
    loop {
        let some = index.expire_history(before, BATCH).await?;
        expired += some;
        if some < BATCH {
            return Ok(expired);
        }
    }
}
