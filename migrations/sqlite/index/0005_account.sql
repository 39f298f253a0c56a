-- Who may log in where Nephos checks passwords and tokens itself.
CREATE TABLE account (
    name TEXT NOT NULL PRIMARY KEY,
    -- argon2id as a PHC text; null for who has tokens only
    password TEXT,
    -- ["member", …]
    roles TEXT NOT NULL,
    -- ["<project>", …], the default first
    projects TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE account_token (
    id BLOB NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    -- SHA-256 of the token, which is stored nowhere
    digest BLOB NOT NULL,
    label TEXT,
    project TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE UNIQUE INDEX account_token_digest ON account_token (digest);
CREATE INDEX account_token_account ON account_token (account, created_at, id);
