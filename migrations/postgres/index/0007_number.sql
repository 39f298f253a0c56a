-- Numbers that attributes of a resource have, or had in some revision: where to look for those that have one. As the
-- floating-point numbers that filters compare.
CREATE TABLE resource_number (
    id BYTEA NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (id, name, value)
);

CREATE INDEX resource_number_value ON resource_number (name, value, id);

CREATE FUNCTION note_resource_numbers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO resource_number (id, name, value)
    SELECT new.id, a.key, (a.value #>> '{}')::float8 FROM json_each(new.attributes::json) AS a
    WHERE json_typeof(a.value) = 'number' ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- Where no number can be, nothing is parsed.
CREATE TRIGGER resource_created_number AFTER INSERT ON resource
FOR EACH ROW WHEN (new.attributes ~ ':\s*[-0-9]') EXECUTE FUNCTION note_resource_numbers();

CREATE TRIGGER resource_changed_number AFTER UPDATE OF attributes ON resource
FOR EACH ROW WHEN (new.attributes <> old.attributes AND new.attributes ~ ':\s*[-0-9]')
EXECUTE FUNCTION note_resource_numbers();

CREATE TRIGGER resource_history_changed_number AFTER UPDATE OF attributes ON resource_history
FOR EACH ROW WHEN (new.attributes <> old.attributes AND new.attributes ~ ':\s*[-0-9]')
EXECUTE FUNCTION note_resource_numbers();

INSERT INTO resource_number (id, name, value)
SELECT r.id, a.key, (a.value #>> '{}')::float8 FROM resource AS r, json_each(r.attributes::json) AS a
WHERE json_typeof(a.value) = 'number' ON CONFLICT DO NOTHING;

INSERT INTO resource_number (id, name, value)
SELECT r.id, a.key, (a.value #>> '{}')::float8 FROM resource_history AS r, json_each(r.attributes::json) AS a
WHERE json_typeof(a.value) = 'number' ON CONFLICT DO NOTHING;
