-- Who is alive. seen_at: the database's wall clock, in nanoseconds since the epoch.
CREATE TABLE membership (
    group_name TEXT COLLATE "C" NOT NULL,
    member TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (group_name, member)
);

-- Exclusive ownership with expiry; epoch rises each time a lease changes hands.
CREATE TABLE lease (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    url TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- What transformers remember between batches; version counts the writes of a key. Nothing but the key is indexed: rows
-- are rewritten with every batch, while expiry reads them all now and then.
CREATE TABLE transformer_state (
    sink TEXT COLLATE "C" NOT NULL,
    transformer BIGINT NOT NULL,
    grp TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    written_at BIGINT NOT NULL,
    PRIMARY KEY (sink, transformer, grp)
) WITH (fillfactor = 70);
