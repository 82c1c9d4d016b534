"""Exports: the catalogue's data about items, written for other systems; one module per format.

Every export is a stream ordered by accession number. The same catalogue gives the same bytes.
"""
