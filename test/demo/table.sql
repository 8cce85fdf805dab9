-- The demo's table: one row per Debian package (test/data/README.md).

SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecpg;

CREATE TABLE packages (
	id integer PRIMARY KEY,
	name text NOT NULL UNIQUE,
	section text NOT NULL,
	description text NOT NULL,
	embedding vector(384) NOT NULL
);
