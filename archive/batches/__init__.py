"""Batches: a set of masters to restore is planned as rows, then run, and each outcome recorded in one transaction.

``planning`` writes a batch with its tasks and needs neither torch nor pixels. ``running`` claims the tasks, processes a
few at a time and commits each derivative: its file and its rows in one transaction.
"""
