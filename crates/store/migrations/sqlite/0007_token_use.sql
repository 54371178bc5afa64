-- When a token last opened something, written down once an hour at most; NULL: nobody used it since this is noted.
ALTER TABLE token ADD COLUMN used_ms BIGINT;
