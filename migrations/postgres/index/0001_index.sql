-- Ids are the 16 raw bytes of a UUID; times are nanoseconds since the epoch; text sorts by bytes; JSON is text.

CREATE TABLE archive_policy (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    back_window BIGINT NOT NULL,
    -- [[granularity in nanoseconds, points or null], …] in the author's order
    definition TEXT NOT NULL,
    -- ["mean", …]
    methods TEXT NOT NULL
);

CREATE TABLE archive_policy_rule (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    metric_pattern TEXT COLLATE "C" NOT NULL,
    archive_policy_name TEXT COLLATE "C" NOT NULL REFERENCES archive_policy (name)
);

CREATE INDEX archive_policy_rule_policy ON archive_policy_rule (archive_policy_name);

CREATE TABLE resource_type (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- {"<attribute>": {"type": …, "required": …, …}}
    attributes TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL
);

CREATE TABLE resource (
    id BYTEA NOT NULL PRIMARY KEY,
    resource_type TEXT COLLATE "C" NOT NULL REFERENCES resource_type (name),
    original_resource_id TEXT COLLATE "C" NOT NULL,
    creator TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    revision_start BIGINT NOT NULL,
    -- {"<attribute>": value} of set attributes
    attributes TEXT NOT NULL,
    -- the number that the current revision gets when the next one replaces it
    next_revision BIGINT NOT NULL DEFAULT 1
);

CREATE INDEX resource_default_order ON resource (revision_start, started_at, id);
CREATE INDEX resource_type_order ON resource (resource_type, revision_start, started_at, id);
CREATE INDEX resource_project ON resource (project_id);
CREATE INDEX resource_original_id ON resource (original_resource_id);

-- Past revisions; the current one is in resource.
CREATE TABLE resource_history (
    id BYTEA NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    original_resource_id TEXT COLLATE "C" NOT NULL,
    creator TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    revision_start BIGINT NOT NULL,
    revision_end BIGINT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (id, revision)
);

CREATE INDEX resource_history_default_order ON resource_history (revision_start, started_at, id);
CREATE INDEX resource_history_type_order ON resource_history (resource_type, revision_start, started_at, id);

-- Live metrics.
CREATE TABLE metric (
    id BYTEA NOT NULL PRIMARY KEY,
    creator TEXT COLLATE "C",
    name TEXT COLLATE "C",
    unit TEXT COLLATE "C",
    resource_id BYTEA REFERENCES resource (id),
    archive_policy_name TEXT COLLATE "C" NOT NULL REFERENCES archive_policy (name)
);

CREATE UNIQUE INDEX metric_resource_name ON metric (resource_id, name);
CREATE INDEX metric_name ON metric (name, id);
CREATE INDEX metric_creator ON metric (creator, id);
CREATE INDEX metric_policy ON metric (archive_policy_name, id);

-- Metrics that are gone for clients while their data still has to be removed from the store.
CREATE TABLE deleted_metric (
    id BYTEA NOT NULL PRIMARY KEY,
    creator TEXT COLLATE "C",
    name TEXT COLLATE "C",
    unit TEXT COLLATE "C",
    resource_id BYTEA,
    archive_policy_name TEXT COLLATE "C" NOT NULL REFERENCES archive_policy (name)
);

CREATE INDEX deleted_metric_policy ON deleted_metric (archive_policy_name);

CREATE TABLE alarm (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C",
    description TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    rule TEXT NOT NULL,
    -- {"ok": […], "alarm": […], "insufficient data": […]}
    actions TEXT NOT NULL,
    repeat_actions BOOLEAN NOT NULL,
    -- 0 low, 1 moderate, 2 critical
    severity BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    state_reason TEXT COLLATE "C" NOT NULL,
    state_timestamp BIGINT NOT NULL,
    -- when the definition last changed
    defined_at BIGINT NOT NULL,
    evaluated_at BIGINT NOT NULL,
    time_constraints TEXT NOT NULL,
    user_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C"
);

CREATE INDEX alarm_default_order ON alarm (defined_at DESC, id);
CREATE INDEX alarm_project_order ON alarm (project_id, defined_at DESC, id);
-- Those never evaluated since their definition come first, whatever their time.
CREATE INDEX alarm_due
    ON alarm ((CASE WHEN evaluated_at > defined_at THEN evaluated_at ELSE 0 END), evaluated_at, id)
    WHERE enabled AND type <> 'event';

CREATE TABLE alarm_change (
    event_id BYTEA NOT NULL PRIMARY KEY,
    alarm_id BYTEA NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL,
    detail TEXT NOT NULL,
    user_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    on_behalf_of TEXT COLLATE "C",
    changed_at BIGINT NOT NULL,
    severity BIGINT NOT NULL
);

CREATE INDEX alarm_change_default_order ON alarm_change (changed_at DESC, event_id);
CREATE INDEX alarm_change_alarm_order ON alarm_change (alarm_id, changed_at DESC, event_id);
CREATE INDEX alarm_change_project_order ON alarm_change (on_behalf_of, changed_at DESC, event_id);

-- Notifications to deliver. A claim moves due into the future, so that a crashed notifier's come back.
CREATE TABLE outbox (
    id BYTEA NOT NULL PRIMARY KEY,
    alarm_id BYTEA NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    action TEXT COLLATE "C" NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due BIGINT NOT NULL,
    dead BOOLEAN NOT NULL,
    last_error TEXT
);

CREATE INDEX outbox_due ON outbox (due, id) WHERE NOT dead;
CREATE INDEX outbox_alarm ON outbox (alarm_id);
