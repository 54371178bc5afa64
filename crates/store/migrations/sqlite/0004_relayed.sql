-- What was carried into a chat of an account from another member of its link, and has its place
-- in that account's timeline since the delivery was settled. fate as in post; author: how the
-- author is called there.

CREATE TABLE relayed (
    post BIGINT NOT NULL,
    network BIGINT NOT NULL,
    chat TEXT NOT NULL,
    shown_seq BIGINT NOT NULL,
    fate BIGINT NOT NULL,
    why TEXT,
    native_id TEXT,
    author TEXT NOT NULL,
    PRIMARY KEY (post, network, chat)
) WITHOUT ROWID;
CREATE INDEX relayed_timeline ON relayed (network, shown_seq);
CREATE INDEX relayed_chat ON relayed (network, chat, shown_seq);
