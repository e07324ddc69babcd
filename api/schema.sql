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

-- What a token may do; none: whatever its role may. Asked first, because an ALTER locks out everybody who reads.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'api_token'::regclass AND attname = 'scopes') THEN
        ALTER TABLE api_token ADD COLUMN scopes text[];
    END IF;
END $$;

-- Assertions of backend services that were presented, for as long as they could be presented again.
CREATE TABLE IF NOT EXISTS api_assertion (
    client_id   text        NOT NULL,
    jti         text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (client_id, jti)
);
