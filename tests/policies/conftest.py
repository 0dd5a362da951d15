"""The cast of the database's tests, for the policies."""

from tests.database.conftest import cases, shared_database

__all__ = ["cases", "shared_database"]
