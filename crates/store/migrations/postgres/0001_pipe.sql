-- The pipe: who there is, what was said, what must be done about it.
-- Names of networks are stored once; every other table has their number.

CREATE TABLE counter (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('seq', 0), ('network', 0);

CREATE TABLE network (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE gateway_user (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    is_admin BIGINT NOT NULL,
    password TEXT COLLATE "C",
    token_hash TEXT COLLATE "C",
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX gateway_user_token ON gateway_user (token_hash) WHERE token_hash IS NOT NULL;

-- is_leaving: being removed, step by step; nobody sees it any more.
CREATE TABLE account (
    network BIGINT NOT NULL PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    own_name TEXT COLLATE "C" NOT NULL,
    wants_online BIGINT NOT NULL,
    is_leaving BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX account_owner ON account (owner);

CREATE TABLE note (
    network BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    is_secret BIGINT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (network, key)
);

-- origin: who handed it over; network, chat: where it was said. fate 0: not visible yet,
-- 1 said, 2 not delivered, 3 may have been delivered. native_id: only for posts that came
-- through a face; others have their own.
CREATE TABLE post (
    id BIGINT NOT NULL PRIMARY KEY,
    origin BIGINT NOT NULL,
    network BIGINT NOT NULL,
    chat TEXT COLLATE "C" NOT NULL,
    shown_seq BIGINT,
    fate BIGINT NOT NULL,
    why TEXT COLLATE "C",
    target BIGINT,
    native_id TEXT COLLATE "C",
    is_recalled BIGINT NOT NULL,
    post TEXT COLLATE "C" NOT NULL
);
CREATE INDEX post_timeline ON post (network, shown_seq) WHERE shown_seq IS NOT NULL;
CREATE INDEX post_chat ON post (network, chat, shown_seq) WHERE shown_seq IS NOT NULL;
CREATE INDEX post_unshown ON post (network) WHERE shown_seq IS NULL;

-- piece 0: the post's own id; 1 and up: what a delivery of it was called over there.
CREATE TABLE remote_id (
    network BIGINT NOT NULL,
    remote_id TEXT COLLATE "C" NOT NULL,
    post BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    chat TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (network, remote_id)
);
CREATE INDEX remote_id_post ON remote_id (post);

-- network, chat: the lane. state 0 open, 1 sent, 2 refused, 3 uncertain. The job goes when it closes.
CREATE TABLE delivery (
    id BIGINT NOT NULL PRIMARY KEY,
    network BIGINT NOT NULL,
    chat TEXT COLLATE "C" NOT NULL,
    post BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    closed_ms BIGINT,
    state BIGINT NOT NULL,
    why TEXT COLLATE "C",
    job TEXT COLLATE "C" NOT NULL
);
CREATE INDEX delivery_open ON delivery (network, chat, id) WHERE closed_ms IS NULL;
CREATE INDEX delivery_closed ON delivery (network, closed_ms) WHERE closed_ms IS NOT NULL;

CREATE TABLE link (
    id BIGINT NOT NULL PRIMARY KEY,
    created_ms BIGINT NOT NULL
);
CREATE TABLE link_member (
    network BIGINT NOT NULL,
    chat TEXT COLLATE "C" NOT NULL,
    link BIGINT NOT NULL,
    PRIMARY KEY (network, chat)
);
CREATE INDEX link_member_link ON link_member (link);

CREATE TABLE chat (
    network BIGINT NOT NULL,
    chat TEXT COLLATE "C" NOT NULL,
    profile TEXT COLLATE "C" NOT NULL,
    members TEXT COLLATE "C",
    PRIMARY KEY (network, chat)
);

CREATE TABLE person (
    network BIGINT NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    is_contact BIGINT NOT NULL,
    profile TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (network, person)
);
