"""Cases kept."""

from meddiff.bank.store import Bank

__all__ = ["Bank"]
