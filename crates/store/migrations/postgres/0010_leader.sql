-- The gateway that has the database now: where others of the same database find it. lent: accounts may run elsewhere, by
-- leases of lease_ms.
CREATE TABLE leader (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    lease_ms BIGINT NOT NULL,
    lent BIGINT NOT NULL
);
