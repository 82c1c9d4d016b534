"""The database schema: tables, column types, indexes, vocabularies and migrations."""
