"""Queries: from Lucene syntax to SQL conditions."""
