-- What became of a dead letter by hand: how often it was replayed in vain, when it was replayed or dropped.
ALTER TABLE dead_letter ADD COLUMN replays integer NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN replayed_at timestamp;
ALTER TABLE dead_letter ADD COLUMN dropped_at timestamp;
CREATE INDEX dead_letter_waiting ON dead_letter (id) WHERE replayed_at IS NULL AND dropped_at IS NULL;
