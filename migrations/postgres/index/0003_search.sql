-- Resources of a project in the default order of listings, and those that somebody of a project created.

DROP INDEX resource_project;
CREATE INDEX resource_project ON resource (project_id, revision_start, started_at, id);
CREATE INDEX resource_creator_project ON resource (substr(creator, strpos(creator, ':') + 1));
CREATE INDEX resource_history_project ON resource_history (project_id, revision_start, started_at, id);
CREATE INDEX resource_history_creator_project ON resource_history (substr(creator, strpos(creator, ':') + 1));
CREATE INDEX resource_history_original_id ON resource_history (original_resource_id);
