"""Exports: what the catalogue knows of items, written for other systems; one module per format.

Every export is a stream in the order of accession numbers. The same catalogue gives the same bytes.
"""
