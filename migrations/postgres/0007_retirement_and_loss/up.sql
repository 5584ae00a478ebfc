-- When the content of a dead letter was erased, because a learner retired of whom it spoke.
ALTER TABLE dead_letter ADD COLUMN erased_at timestamp;
-- Asked for because the learner no longer qualifies, and by nobody.
ALTER TABLE revocation ADD COLUMN by_loss boolean NOT NULL DEFAULT false;
