"""Queries: Lucene syntax to SQL conditions."""
