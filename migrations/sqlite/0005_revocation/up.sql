-- Assertions that are to be revoked at the backend; the row goes when that is done.
CREATE TABLE revocation (
  learner_id bigint NOT NULL,
  award_id text NOT NULL,
  reason text NOT NULL,
  created_at timestamp NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamp NOT NULL,
  lease_token bigint NOT NULL DEFAULT 0,
  last_error text,
  PRIMARY KEY (learner_id, award_id)
);
