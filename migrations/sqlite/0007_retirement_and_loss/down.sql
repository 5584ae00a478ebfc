ALTER TABLE revocation DROP COLUMN by_loss;
ALTER TABLE dead_letter DROP COLUMN erased_at;
