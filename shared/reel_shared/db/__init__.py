"""The database: engine, transactions, tables, migrations. Everything else says what to read or write."""
