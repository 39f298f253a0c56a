-- Numbers that attributes of a resource have, or had in some revision: where to look for those that have one. As the
-- floating-point numbers that filters compare.
CREATE TABLE resource_number (
    id BLOB NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (id, name, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_number_value ON resource_number (name, value, id);

-- Where no number can be, nothing is parsed.
CREATE TRIGGER resource_created_number AFTER INSERT ON resource
WHEN new.attributes GLOB '*:[-0-9' || char(9, 10, 13, 32) || ']*'
BEGIN
    INSERT INTO resource_number (id, name, value)
    SELECT new.id, key, CAST(value AS REAL) FROM json_each(new.attributes) WHERE type IN ('integer', 'real')
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER resource_changed_number AFTER UPDATE OF attributes ON resource
WHEN new.attributes <> old.attributes AND new.attributes GLOB '*:[-0-9' || char(9, 10, 13, 32) || ']*'
BEGIN
    INSERT INTO resource_number (id, name, value)
    SELECT new.id, key, CAST(value AS REAL) FROM json_each(new.attributes) WHERE type IN ('integer', 'real')
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER resource_history_changed_number AFTER UPDATE OF attributes ON resource_history
WHEN new.attributes <> old.attributes AND new.attributes GLOB '*:[-0-9' || char(9, 10, 13, 32) || ']*'
BEGIN
    INSERT INTO resource_number (id, name, value)
    SELECT new.id, key, CAST(value AS REAL) FROM json_each(new.attributes) WHERE type IN ('integer', 'real')
    ON CONFLICT DO NOTHING;
END;

INSERT INTO resource_number (id, name, value)
SELECT r.id, a.key, CAST(a.value AS REAL) FROM resource AS r, json_each(r.attributes) AS a
WHERE a.type IN ('integer', 'real') ON CONFLICT DO NOTHING;

INSERT INTO resource_number (id, name, value)
SELECT r.id, a.key, CAST(a.value AS REAL) FROM resource_history AS r, json_each(r.attributes) AS a
WHERE a.type IN ('integer', 'real') ON CONFLICT DO NOTHING;
