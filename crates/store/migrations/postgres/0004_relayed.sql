-- What was carried into a chat of an account from another member of its link, and has its place
-- in that account's timeline since the delivery was settled. fate as in post; author: how the
-- author is called there.

CREATE TABLE relayed (
    post BIGINT NOT NULL,
    network BIGINT NOT NULL,
    chat TEXT COLLATE "C" NOT NULL,
    shown_seq BIGINT NOT NULL,
    fate BIGINT NOT NULL,
    why TEXT COLLATE "C",
    native_id TEXT COLLATE "C",
    author TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (post, network, chat)
);
CREATE INDEX relayed_timeline ON relayed (network, shown_seq);
CREATE INDEX relayed_chat ON relayed (network, chat, shown_seq);
