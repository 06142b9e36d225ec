"""Tests of the stress lab."""
