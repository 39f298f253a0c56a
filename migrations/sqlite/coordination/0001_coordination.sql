-- Who is alive. seen_at: the database's wall clock, in nanoseconds since the epoch.
CREATE TABLE membership (
    group_name TEXT NOT NULL,
    member TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (group_name, member)
) STRICT, WITHOUT ROWID;

-- Exclusive ownership with expiry; epoch rises each time a lease changes hands.
CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    url TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What transformers remember between batches; version counts the writes of a key. Nothing but the key is indexed: rows
-- are rewritten with every batch, while expiry reads them all now and then.
CREATE TABLE transformer_state (
    sink TEXT NOT NULL,
    transformer INTEGER NOT NULL,
    grp TEXT NOT NULL,
    version INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (sink, transformer, grp)
) STRICT;
