-- Who changed what by hand. Learners appear by id only: nothing here is to be erased.
CREATE TABLE audit (
  id integer PRIMARY KEY AUTOINCREMENT,
  created_at timestamp NOT NULL,
  actor text NOT NULL,
  via text NOT NULL,
  action text NOT NULL,
  target text NOT NULL,
  details text NOT NULL
);
