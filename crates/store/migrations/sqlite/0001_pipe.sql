-- The pipe: who there is, what was said, what must be done about it.
-- Names of networks are stored once; every other table has their number.

CREATE TABLE counter (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('seq', 0), ('network', 0);

CREATE TABLE network (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE gateway_user (
    name TEXT NOT NULL PRIMARY KEY,
    is_admin BIGINT NOT NULL,
    password TEXT,
    token_hash TEXT,
    created_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX gateway_user_token ON gateway_user (token_hash) WHERE token_hash IS NOT NULL;

-- is_leaving: being removed, step by step; nobody sees it any more.
CREATE TABLE account (
    network INTEGER NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    own_name TEXT NOT NULL,
    wants_online BIGINT NOT NULL,
    is_leaving BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX account_owner ON account (owner);

CREATE TABLE note (
    network BIGINT NOT NULL,
    key TEXT NOT NULL,
    is_secret BIGINT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (network, key)
) WITHOUT ROWID;

-- origin: who handed it over; network, chat: where it was said. fate 0: not visible yet,
-- 1 said, 2 not delivered, 3 may have been delivered. native_id: only for posts that came
-- through a face; others have their own.
CREATE TABLE post (
    id INTEGER NOT NULL PRIMARY KEY,
    origin BIGINT NOT NULL,
    network BIGINT NOT NULL,
    chat TEXT NOT NULL,
    shown_seq BIGINT,
    fate BIGINT NOT NULL,
    why TEXT,
    target BIGINT,
    native_id TEXT,
    is_recalled BIGINT NOT NULL,
    post TEXT NOT NULL
);
CREATE INDEX post_timeline ON post (network, shown_seq) WHERE shown_seq IS NOT NULL;
CREATE INDEX post_chat ON post (network, chat, shown_seq) WHERE shown_seq IS NOT NULL;
CREATE INDEX post_unshown ON post (network) WHERE shown_seq IS NULL;

-- piece 0: the post's own id; 1 and up: what a delivery of it was called over there.
CREATE TABLE remote_id (
    network BIGINT NOT NULL,
    remote_id TEXT NOT NULL,
    post BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    chat TEXT NOT NULL,
    PRIMARY KEY (network, remote_id)
) WITHOUT ROWID;
CREATE INDEX remote_id_post ON remote_id (post);

-- network, chat: the lane. state 0 open, 1 sent, 2 refused, 3 uncertain. The job goes when it closes.
CREATE TABLE delivery (
    id INTEGER NOT NULL PRIMARY KEY,
    network BIGINT NOT NULL,
    chat TEXT NOT NULL,
    post BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    closed_ms BIGINT,
    state BIGINT NOT NULL,
    why TEXT,
    job TEXT NOT NULL
);
CREATE INDEX delivery_open ON delivery (network, chat, id) WHERE closed_ms IS NULL;
CREATE INDEX delivery_closed ON delivery (network, closed_ms) WHERE closed_ms IS NOT NULL;

CREATE TABLE link (
    id INTEGER NOT NULL PRIMARY KEY,
    created_ms BIGINT NOT NULL
);
CREATE TABLE link_member (
    network BIGINT NOT NULL,
    chat TEXT NOT NULL,
    link BIGINT NOT NULL,
    PRIMARY KEY (network, chat)
) WITHOUT ROWID;
CREATE INDEX link_member_link ON link_member (link);

CREATE TABLE chat (
    network BIGINT NOT NULL,
    chat TEXT NOT NULL,
    profile TEXT NOT NULL,
    members TEXT,
    PRIMARY KEY (network, chat)
) WITHOUT ROWID;

CREATE TABLE person (
    network BIGINT NOT NULL,
    person TEXT NOT NULL,
    is_contact BIGINT NOT NULL,
    profile TEXT NOT NULL,
    PRIMARY KEY (network, person)
) WITHOUT ROWID;
