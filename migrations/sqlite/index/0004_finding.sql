-- Metrics in a unit, and those that somebody of a project created.
CREATE INDEX metric_unit ON metric (unit, id);
CREATE INDEX metric_creator_project ON metric (substr(creator, instr(creator, ':') + 1));

-- Beginnings (255 letters) of texts that attributes of a resource have, or had in some revision: where to look for
-- those that have one.
CREATE TABLE resource_attribute (
    id BLOB NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (id, name, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_attribute_value ON resource_attribute (name, value, id);

CREATE TRIGGER resource_created AFTER INSERT ON resource WHEN new.attributes <> '{}'
BEGIN
    INSERT INTO resource_attribute (id, name, value)
    SELECT new.id, key, substr(value, 1, 255) FROM json_each(new.attributes) WHERE type = 'text' ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER resource_changed AFTER UPDATE OF attributes ON resource WHEN new.attributes <> old.attributes
BEGIN
    INSERT INTO resource_attribute (id, name, value)
    SELECT new.id, key, substr(value, 1, 255) FROM json_each(new.attributes) WHERE type = 'text' ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER resource_history_changed AFTER UPDATE OF attributes ON resource_history
WHEN new.attributes <> old.attributes
BEGIN
    INSERT INTO resource_attribute (id, name, value)
    SELECT new.id, key, substr(value, 1, 255) FROM json_each(new.attributes) WHERE type = 'text' ON CONFLICT DO NOTHING;
END;

INSERT INTO resource_attribute (id, name, value)
SELECT r.id, a.key, substr(a.value, 1, 255) FROM resource AS r, json_each(r.attributes) AS a WHERE a.type = 'text'
ON CONFLICT DO NOTHING;

INSERT INTO resource_attribute (id, name, value)
SELECT r.id, a.key, substr(a.value, 1, 255) FROM resource_history AS r, json_each(r.attributes) AS a WHERE a.type = 'text'
ON CONFLICT DO NOTHING;
