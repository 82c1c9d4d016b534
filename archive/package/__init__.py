"""Packages: masters and derivatives with their metadata, in a folder that another system takes as it is."""
