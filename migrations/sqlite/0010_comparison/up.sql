-- When each badge backend is to be compared with what is stored, and who does it now.
CREATE TABLE comparison (
  backend text NOT NULL PRIMARY KEY,
  due_at timestamp NOT NULL,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamp
);
