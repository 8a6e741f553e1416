#!/bin/sh
# Runs once, when the postgres image makes a new database: the roles that secrets.sh wrote down.
psql -v ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file /run/secrets/postgres_roles
