ALTER TABLE badge_class DROP COLUMN backend;
