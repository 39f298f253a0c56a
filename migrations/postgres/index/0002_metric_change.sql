-- What other processes must forget of metrics they have in memory: deleted, moved, or of another project now.
CREATE TABLE metric_change (
    -- the transaction: whoever remembers the oldest one that was still running when they last looked misses none
    position BIGINT NOT NULL,
    metric BYTEA NOT NULL,
    -- seconds since the epoch by the database's clock
    changed_at BIGINT NOT NULL
);

CREATE INDEX metric_change_position ON metric_change (position);
CREATE INDEX metric_change_changed_at ON metric_change (changed_at);
