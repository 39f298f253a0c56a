-- Metrics in a unit, and those that somebody of a project created.
CREATE INDEX metric_unit ON metric (unit, id);
CREATE INDEX metric_creator_project ON metric (substr(creator, strpos(creator, ':') + 1));

-- Beginnings (255 letters) of texts that attributes of a resource have, or had in some revision: where to look for
-- those that have one.
CREATE TABLE resource_attribute (
    id BYTEA NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id, name, value)
);

CREATE INDEX resource_attribute_value ON resource_attribute (name, value, id);

CREATE FUNCTION note_resource_attributes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO resource_attribute (id, name, value)
    SELECT new.id, a.key, substr(a.value #>> '{}', 1, 255) FROM json_each(new.attributes::json) AS a
    WHERE json_typeof(a.value) = 'string' ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER resource_created AFTER INSERT ON resource
FOR EACH ROW WHEN (new.attributes <> '{}') EXECUTE FUNCTION note_resource_attributes();

CREATE TRIGGER resource_changed AFTER UPDATE OF attributes ON resource
FOR EACH ROW WHEN (new.attributes <> old.attributes) EXECUTE FUNCTION note_resource_attributes();

CREATE TRIGGER resource_history_changed AFTER UPDATE OF attributes ON resource_history
FOR EACH ROW WHEN (new.attributes <> old.attributes) EXECUTE FUNCTION note_resource_attributes();

INSERT INTO resource_attribute (id, name, value)
SELECT r.id, a.key, substr(a.value #>> '{}', 1, 255) FROM resource AS r, json_each(r.attributes::json) AS a
WHERE json_typeof(a.value) = 'string' ON CONFLICT DO NOTHING;

INSERT INTO resource_attribute (id, name, value)
SELECT r.id, a.key, substr(a.value #>> '{}', 1, 255) FROM resource_history AS r, json_each(r.attributes::json) AS a
WHERE json_typeof(a.value) = 'string' ON CONFLICT DO NOTHING;
