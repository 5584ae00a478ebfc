DROP INDEX learner_course_passed;
ALTER TABLE event_badges_configuration DROP COLUMN backfill_tally;
