-- Networks that show whole accounts, and who people are on networks that know it.

CREATE TABLE mirror (
    account BIGINT NOT NULL,
    face BIGINT NOT NULL,
    PRIMARY KEY (account, face)
) WITHOUT ROWID;

CREATE TABLE identity (
    network BIGINT NOT NULL,
    person TEXT NOT NULL,
    gateway_user TEXT NOT NULL,
    PRIMARY KEY (network, person)
) WITHOUT ROWID;
CREATE INDEX identity_user ON identity (gateway_user, network);
