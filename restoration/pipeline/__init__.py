"""The pipeline: applies a recipe to a picture, tile by tile, and records how."""
