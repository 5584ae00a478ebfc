DROP INDEX dead_letter_waiting;
ALTER TABLE dead_letter DROP COLUMN dropped_at;
ALTER TABLE dead_letter DROP COLUMN replayed_at;
ALTER TABLE dead_letter DROP COLUMN replays;
