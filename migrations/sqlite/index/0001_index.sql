-- Ids are the 16 raw bytes of a UUID; times are nanoseconds since the epoch; text sorts by bytes; JSON is text.

CREATE TABLE archive_policy (
    name TEXT NOT NULL PRIMARY KEY,
    back_window INTEGER NOT NULL,
    -- [[granularity in nanoseconds, points or null], …] in the author's order
    definition TEXT NOT NULL,
    -- ["mean", …]
    methods TEXT NOT NULL
) STRICT;

CREATE TABLE archive_policy_rule (
    name TEXT NOT NULL PRIMARY KEY,
    metric_pattern TEXT NOT NULL,
    archive_policy_name TEXT NOT NULL REFERENCES archive_policy (name)
) STRICT;

CREATE INDEX archive_policy_rule_policy ON archive_policy_rule (archive_policy_name);

CREATE TABLE resource_type (
    name TEXT NOT NULL PRIMARY KEY,
    -- {"<attribute>": {"type": …, "required": …, …}}
    attributes TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE TABLE resource (
    id BLOB NOT NULL PRIMARY KEY,
    resource_type TEXT NOT NULL REFERENCES resource_type (name),
    original_resource_id TEXT NOT NULL,
    creator TEXT,
    user_id TEXT,
    project_id TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    revision_start INTEGER NOT NULL,
    -- {"<attribute>": value} of set attributes
    attributes TEXT NOT NULL,
    -- the number that the current revision gets when the next one replaces it
    next_revision INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE INDEX resource_default_order ON resource (revision_start, started_at, id);
CREATE INDEX resource_type_order ON resource (resource_type, revision_start, started_at, id);
CREATE INDEX resource_project ON resource (project_id);
CREATE INDEX resource_original_id ON resource (original_resource_id);

-- Past revisions; the current one is in resource.
CREATE TABLE resource_history (
    id BLOB NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    resource_type TEXT NOT NULL,
    original_resource_id TEXT NOT NULL,
    creator TEXT,
    user_id TEXT,
    project_id TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    revision_start INTEGER NOT NULL,
    revision_end INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (id, revision)
) STRICT;

CREATE INDEX resource_history_default_order ON resource_history (revision_start, started_at, id);
CREATE INDEX resource_history_type_order ON resource_history (resource_type, revision_start, started_at, id);

-- Live metrics.
CREATE TABLE metric (
    id BLOB NOT NULL PRIMARY KEY,
    creator TEXT,
    name TEXT,
    unit TEXT,
    resource_id BLOB REFERENCES resource (id),
    archive_policy_name TEXT NOT NULL REFERENCES archive_policy (name)
) STRICT;

CREATE UNIQUE INDEX metric_resource_name ON metric (resource_id, name);
CREATE INDEX metric_name ON metric (name, id);
CREATE INDEX metric_creator ON metric (creator, id);
CREATE INDEX metric_policy ON metric (archive_policy_name, id);

-- Metrics that are gone for clients while their data still has to be removed from the store.
CREATE TABLE deleted_metric (
    id BLOB NOT NULL PRIMARY KEY,
    creator TEXT,
    name TEXT,
    unit TEXT,
    resource_id BLOB,
    archive_policy_name TEXT NOT NULL REFERENCES archive_policy (name)
) STRICT;

CREATE INDEX deleted_metric_policy ON deleted_metric (archive_policy_name);

CREATE TABLE alarm (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT,
    description TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    type TEXT NOT NULL,
    rule TEXT NOT NULL,
    -- {"ok": […], "alarm": […], "insufficient data": […]}
    actions TEXT NOT NULL,
    repeat_actions INTEGER NOT NULL CHECK (repeat_actions IN (0, 1)),
    -- 0 low, 1 moderate, 2 critical
    severity INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT NOT NULL,
    state_timestamp INTEGER NOT NULL,
    -- when the definition last changed
    defined_at INTEGER NOT NULL,
    evaluated_at INTEGER NOT NULL,
    time_constraints TEXT NOT NULL,
    user_id TEXT,
    project_id TEXT
) STRICT;

CREATE INDEX alarm_default_order ON alarm (defined_at DESC, id);
CREATE INDEX alarm_project_order ON alarm (project_id, defined_at DESC, id);
-- Those never evaluated since their definition come first, whatever their time.
CREATE INDEX alarm_due
    ON alarm ((CASE WHEN evaluated_at > defined_at THEN evaluated_at ELSE 0 END), evaluated_at, id)
    WHERE enabled AND type <> 'event';

CREATE TABLE alarm_change (
    event_id BLOB NOT NULL PRIMARY KEY,
    alarm_id BLOB NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    user_id TEXT,
    project_id TEXT,
    on_behalf_of TEXT,
    changed_at INTEGER NOT NULL,
    severity INTEGER NOT NULL
) STRICT;

CREATE INDEX alarm_change_default_order ON alarm_change (changed_at DESC, event_id);
CREATE INDEX alarm_change_alarm_order ON alarm_change (alarm_id, changed_at DESC, event_id);
CREATE INDEX alarm_change_project_order ON alarm_change (on_behalf_of, changed_at DESC, event_id);

-- Notifications to deliver. A claim moves due into the future, so that a crashed notifier's come back.
CREATE TABLE outbox (
    id BLOB NOT NULL PRIMARY KEY,
    alarm_id BLOB NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
    action TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    dead INTEGER NOT NULL CHECK (dead IN (0, 1)),
    last_error TEXT
) STRICT;

CREATE INDEX outbox_due ON outbox (due, id) WHERE NOT dead;
CREATE INDEX outbox_alarm ON outbox (alarm_id);
