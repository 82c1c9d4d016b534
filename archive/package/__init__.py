"""Packages: masters and derivatives with their metadata, in a folder for another system."""
