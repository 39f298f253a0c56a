-- Who may log in where Nephos checks passwords and tokens itself.
CREATE TABLE account (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- argon2id as a PHC text; null for who has tokens only
    password TEXT,
    -- ["member", …]
    roles TEXT NOT NULL,
    -- ["<project>", …], the default first
    projects TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE account_token (
    id BYTEA NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    -- SHA-256 of the token, which is stored nowhere
    digest BYTEA NOT NULL,
    label TEXT,
    project TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE UNIQUE INDEX account_token_digest ON account_token (digest);
CREATE INDEX account_token_account ON account_token (account, created_at, id);
