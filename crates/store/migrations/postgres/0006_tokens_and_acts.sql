-- Tokens: several a person, each with a name of its own and what it opens, as words. hash: SHA-256 in hex.
CREATE TABLE token (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    gateway_user TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    opens TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX token_label ON token (gateway_user, label);
INSERT INTO token (hash, gateway_user, label, opens, created_ms)
    SELECT token_hash, name, 'main', 'read write login admin', created_ms
    FROM gateway_user WHERE token_hash IS NOT NULL;
DROP INDEX gateway_user_token;
ALTER TABLE gateway_user DROP COLUMN token_hash;

-- What was done to the instance. who: NULL for the operator or the gateway itself; door: where it was asked.
CREATE TABLE act (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    who TEXT COLLATE "C",
    door TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    about TEXT COLLATE "C" NOT NULL
);
