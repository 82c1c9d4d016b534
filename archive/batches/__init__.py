"""Batches: plans the restoration of a set of masters as rows, runs them, and records each outcome in one transaction.

``planning`` writes a batch with its tasks and needs neither torch nor pixels. ``running`` claims the tasks, processes a
few at a time and commits each derivative: its file and its rows in one transaction.
"""
