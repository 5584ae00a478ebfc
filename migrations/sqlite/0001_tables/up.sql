-- Times are UTC. Every table of learners is led by learner_id.

CREATE TABLE course (
  id integer PRIMARY KEY AUTOINCREMENT,
  course_key text NOT NULL UNIQUE,
  display_name text NOT NULL DEFAULT '',
  starts_at timestamp,
  ends_at timestamp,
  details_at timestamp,
  details_event text,
  issue_badges boolean NOT NULL DEFAULT true,
  issue_badges_at timestamp,
  issue_badges_event text
);

-- The row of a learner is that learner's lock.
CREATE TABLE learner (
  learner_id bigint PRIMARY KEY,
  username text NOT NULL DEFAULT '',
  username_at timestamp,
  username_event text,
  email text,
  email_at timestamp,
  email_event text,
  full_name text,
  full_name_at timestamp,
  full_name_event text,
  enrolled integer NOT NULL DEFAULT 0,
  completed integer NOT NULL DEFAULT 0,
  next_seq bigint NOT NULL DEFAULT 1,
  retired_at timestamp
);
-- Without username_at, which every event moves: its updates stay off the indexes.
CREATE INDEX learner_username ON learner (username);

CREATE TABLE learner_course (
  learner_id bigint NOT NULL,
  course_id integer NOT NULL,
  enrolled boolean,
  enrolled_mode text,
  enrolled_at timestamp,
  enrolled_event text,
  passed boolean,
  passed_mode text,
  passed_at timestamp,
  passed_event text,
  evidence_url text,
  PRIMARY KEY (learner_id, course_id)
);

CREATE TABLE badge_class (
  id integer PRIMARY KEY AUTOINCREMENT,
  public_id text NOT NULL UNIQUE,
  slug text NOT NULL,
  issuing_component text NOT NULL,
  course_id text NOT NULL,
  mode text NOT NULL,
  display_name text NOT NULL,
  description text NOT NULL,
  criteria text NOT NULL,
  image blob NOT NULL,
  created_at timestamp NOT NULL,
  backend_id text,
  backend_image_url text,
  making_token bigint NOT NULL DEFAULT 0,
  making_until timestamp,
  making_uncertain boolean NOT NULL DEFAULT false,
  UNIQUE (slug, issuing_component, course_id)
);

CREATE TABLE event_badges_configuration (
  id integer PRIMARY KEY AUTOINCREMENT,
  created_at timestamp NOT NULL,
  changed_by text NOT NULL DEFAULT '',
  courses_enrolled text NOT NULL,
  courses_completed text NOT NULL,
  course_groups text NOT NULL,
  enabled boolean NOT NULL,
  activated_at timestamp,
  backfill_cursor bigint,
  backfill_done_at timestamp,
  backfill_token bigint NOT NULL DEFAULT 0,
  backfill_until timestamp
);

CREATE TABLE completion_image (
  mode text PRIMARY KEY,
  icon blob NOT NULL,
  is_default boolean NOT NULL
);
CREATE UNIQUE INDEX completion_image_one_default ON completion_image (is_default) WHERE is_default;

CREATE TABLE award (
  learner_id bigint NOT NULL,
  id text NOT NULL,
  badge_class_id integer NOT NULL,
  idempotency_key text NOT NULL,
  rule text NOT NULL,
  by_backfill boolean NOT NULL,
  threshold integer,
  rule_count integer,
  configuration_id integer,
  event_id text,
  event_time timestamp,
  evidence_url text,
  state text NOT NULL,
  state_reason text,
  attempts integer NOT NULL DEFAULT 0,
  posted boolean NOT NULL DEFAULT false,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamp,
  next_attempt_at timestamp NOT NULL,
  first_post_at timestamp,
  recipient text,
  last_error text,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  PRIMARY KEY (learner_id, id),
  UNIQUE (learner_id, badge_class_id, idempotency_key)
);
CREATE INDEX award_id ON award (id);
CREATE INDEX award_state ON award (state, next_attempt_at) WHERE state <> 'published';

CREATE TABLE assertion (
  learner_id bigint NOT NULL,
  award_id text NOT NULL,
  id text NOT NULL UNIQUE,
  badge_class_id integer NOT NULL,
  backend text NOT NULL,
  backend_id text,
  image_url text NOT NULL,
  assertion_url text NOT NULL,
  evidence_url text,
  issuer text NOT NULL,
  recipient_salt text,
  recipient_hash text,
  data text NOT NULL,
  created_at timestamp NOT NULL,
  revoked_at timestamp,
  revocation_reason text,
  PRIMARY KEY (learner_id, award_id)
);
CREATE INDEX assertion_badge_class ON assertion (badge_class_id, learner_id);

CREATE TABLE outbox (
  learner_id bigint NOT NULL,
  seq bigint NOT NULL,
  event_id text NOT NULL,
  event_type text NOT NULL,
  award_id text NOT NULL,
  payload text NOT NULL,
  created_at timestamp NOT NULL,
  event_time timestamp,
  published_at timestamp,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamp,
  parked_reason text,
  PRIMARY KEY (learner_id, seq)
);
CREATE INDEX outbox_unpublished ON outbox (created_at, learner_id, seq) WHERE published_at IS NULL;

CREATE TABLE dead_letter (
  id integer PRIMARY KEY AUTOINCREMENT,
  topic text NOT NULL,
  record_partition integer NOT NULL,
  record_offset bigint NOT NULL,
  record_time timestamp,
  record_key blob,
  record_value blob,
  headers text NOT NULL,
  reason text NOT NULL,
  message text NOT NULL,
  created_at timestamp NOT NULL,
  published_at timestamp,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamp,
  UNIQUE (topic, record_partition, record_offset, created_at)
);
CREATE INDEX dead_letter_unpublished ON dead_letter (id) WHERE published_at IS NULL;

CREATE TABLE consumer_position (
  topic text NOT NULL,
  record_partition integer NOT NULL,
  next_offset bigint NOT NULL,
  updated_at timestamp NOT NULL,
  PRIMARY KEY (topic, record_partition)
);

-- An operator lets consumers go on that stopped before a flood: each stop remembers the last resumption that it saw.
CREATE TABLE consumer_resume (
  id integer PRIMARY KEY,
  resumed bigint NOT NULL,
  paused boolean NOT NULL
);

CREATE TABLE token_cache (
  cache_key text PRIMARY KEY,
  tokens blob,
  version bigint NOT NULL DEFAULT 0,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamp,
  not_before timestamp
);
