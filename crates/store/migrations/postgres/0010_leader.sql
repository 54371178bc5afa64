-- The gateway that has the database now: where others of the same database find it. lent: accounts may run elsewhere, by
-- leases of lease_ms. probe: nothing, sealed with the seal key, by which one with another key is known.
CREATE TABLE leader (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    lease_ms BIGINT NOT NULL,
    lent BIGINT NOT NULL,
    probe BYTEA NOT NULL
);
