-- Who may call the API: digests of bearer tokens, never the tokens.

CREATE TABLE IF NOT EXISTS api_token (
    token_id    uuid        NOT NULL PRIMARY KEY,
    digest      bytea       NOT NULL UNIQUE,        -- sha256; the token has 256 random bits, so no salt is needed
    role        text        NOT NULL,
    subject     text        NOT NULL,               -- staff-… or source:<name>
    label       text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    created_by  text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
