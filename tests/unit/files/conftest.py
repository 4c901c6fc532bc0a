"""Fixtures for the tests of files: those for the tests of the check, which opens and reads them."""

from __future__ import annotations

from tests.unit.contacts.conftest import contacts, workspace

__all__ = ["contacts", "workspace"]
