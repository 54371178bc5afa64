-- Further ways in for people. scram: what checks SCRAM-SHA-256, sealed, in base64; made with the password, or
-- when it is next typed.

ALTER TABLE gateway_user ADD COLUMN scram TEXT;

-- Client certificates, by SHA-256 of their DER form in hex.
CREATE TABLE certificate (
    fingerprint TEXT NOT NULL,
    gateway_user TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (fingerprint)
) WITHOUT ROWID;
CREATE INDEX certificate_user ON certificate (gateway_user);
