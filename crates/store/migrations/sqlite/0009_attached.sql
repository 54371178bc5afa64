-- Which attachments posts show: their files, and the covers of videos. A row goes with its post.
CREATE TABLE attached (
    post BIGINT NOT NULL,
    media TEXT NOT NULL,
    PRIMARY KEY (post, media)
) WITHOUT ROWID;
CREATE INDEX attached_media ON attached (media);
-- A post is JSON, in which a quotation mark inside a text has a backslash before it: these are keys and nothing else.
INSERT INTO attached (post, media)
    SELECT id, substr(post, instr(post, '"media":"') + 9, 32) FROM post WHERE instr(post, '"media":"') > 0;
INSERT INTO attached (post, media)
    SELECT id, substr(post, instr(post, '"poster":"') + 10, 32) FROM post WHERE instr(post, '"poster":"') > 0
    ON CONFLICT DO NOTHING;

-- What is still to be delivered of a post.
CREATE INDEX delivery_open_post ON delivery (post) WHERE closed_ms IS NULL;

-- made_of: the attachment of which this is another form. words_of: the post whose words it holds. It goes with either.
ALTER TABLE media ADD COLUMN made_of TEXT;
ALTER TABLE media ADD COLUMN words_of BIGINT;
CREATE INDEX media_made_of ON media (made_of) WHERE made_of IS NOT NULL;
CREATE INDEX media_words_of ON media (words_of) WHERE words_of IS NOT NULL;
