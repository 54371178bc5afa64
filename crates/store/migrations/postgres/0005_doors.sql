-- Further ways in for people. scram: what checks SCRAM-SHA-256, sealed, in base64; made with the password, or
-- when it is next typed.

ALTER TABLE gateway_user ADD COLUMN scram TEXT COLLATE "C";

-- Client certificates, by SHA-256 of their DER form in hex.
CREATE TABLE certificate (
    fingerprint TEXT COLLATE "C" NOT NULL,
    gateway_user TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (fingerprint)
);
CREATE INDEX certificate_user ON certificate (gateway_user);
