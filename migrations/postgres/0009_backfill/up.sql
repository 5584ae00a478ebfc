-- What the backfill has come to so far, as JSON: moves with its cursor.
ALTER TABLE event_badges_configuration ADD COLUMN backfill_tally text;
-- Who has passed a course, without a look at everybody's facts.
CREATE INDEX learner_course_passed ON learner_course (course_id, learner_id) WHERE passed;
