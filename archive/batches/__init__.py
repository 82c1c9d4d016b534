"""Batches: a set of masters to restore is planned as rows, then run, and each outcome recorded in one transaction.

``plan`` writes a batch with its tasks and needs neither torch nor pixels; ``run`` works through one, a task after the
other (``claims``, ``work``); ``record`` is where a derivative's file and its rows become one fact.
"""
