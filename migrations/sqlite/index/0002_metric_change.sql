-- What other processes must forget of metrics they have in memory: deleted, moved, or of another project now.
CREATE TABLE metric_change (
    -- counts the transactions that wrote here, one after the other
    position INTEGER NOT NULL,
    metric BLOB NOT NULL,
    -- seconds since the epoch by the database's clock
    changed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX metric_change_position ON metric_change (position);
CREATE INDEX metric_change_changed_at ON metric_change (changed_at);
