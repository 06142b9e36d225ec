"""Cases kept."""

from meddiff.bank.fingerprint import Recognised
from meddiff.bank.review import Change, Review
from meddiff.bank.search import Entry, Found, Search, Sort
from meddiff.bank.store import Bank, Version

__all__ = ["Bank", "Change", "Entry", "Found", "Recognised", "Review", "Search", "Sort", "Version"]
