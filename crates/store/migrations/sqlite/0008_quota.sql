-- How many accounts a person may have where it is not what limits.accounts_per_user says; NULL: as everybody.
ALTER TABLE gateway_user ADD COLUMN accounts_max BIGINT;
