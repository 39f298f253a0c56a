-- Past revisions by when they ended: the oldest of them are forgotten first.

CREATE INDEX resource_history_end ON resource_history (revision_end);
