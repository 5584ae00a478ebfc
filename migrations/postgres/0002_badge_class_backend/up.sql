-- Which backend gave a badge class its id: another one knows nothing of it.
ALTER TABLE badge_class ADD COLUMN backend text;
UPDATE badge_class SET backend = (SELECT min(backend) FROM assertion) WHERE backend_id IS NOT NULL;
