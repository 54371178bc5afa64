-- Attachments. The bytes are files named by their hash; several rows may name one file.
-- state 0 announced, 1 here, 2 failed. source: how to fetch it, sealed.

CREATE TABLE media (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    network BIGINT,
    state BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    mime TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    hash TEXT COLLATE "C",
    why TEXT COLLATE "C",
    source BYTEA,
    created_ms BIGINT NOT NULL,
    last_used_ms BIGINT NOT NULL
);
CREATE INDEX media_network ON media (network, state, created_ms) WHERE network IS NOT NULL;
CREATE INDEX media_hash ON media (hash) WHERE hash IS NOT NULL;
CREATE INDEX media_used ON media (last_used_ms) WHERE state = 1;
