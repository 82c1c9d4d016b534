"""Reproduction: derivatives are recreated from their records alone and compared with the recorded digests."""

from __future__ import annotations

from archive.reproduction.reproduction_run import Reproduction, ReproductionReport, reproduce_derivatives

__all__ = ["Reproduction", "ReproductionReport", "reproduce_derivatives"]
