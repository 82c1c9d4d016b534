"""Colour: toning, conversion between colour spaces, and adapters for greyscale pictures."""
