"""The settings of ``supabase/config.toml`` that the local stack obeys, so that it is no laxer than the real one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sauti_local.paths import SUPABASE


@dataclass(frozen=True)
class ProjectConfig:
    """Settings of the project; the defaults are the Supabase CLI's.

    Attributes:
        functions_without_jwt: Names of the functions that check their callers themselves.
        jwt_expiry: Lifetime of an access token, seconds.
        minimum_password_length: Shortest accepted password.
        max_rows: Most rows of one answer of the Data API.
    """

    functions_without_jwt: frozenset[str] = frozenset()
    jwt_expiry: int = 3600
    minimum_password_length: int = 6
    max_rows: int = 1000

    @classmethod
    def read(cls, path: Path = SUPABASE / "config.toml") -> Self:
        """Read the file; one that is not there has no settings."""
        config = tomllib.loads(path.read_text()) if path.exists() else {}
        functions, auth = config.get("functions", {}), config.get("auth", {})
        return cls(
            functions_without_jwt=frozenset(
                name for name, settings in functions.items() if settings.get("verify_jwt") is False
            ),
            jwt_expiry=auth.get("jwt_expiry", cls.jwt_expiry),
            minimum_password_length=auth.get("minimum_password_length", cls.minimum_password_length),
            max_rows=config.get("api", {}).get("max_rows", cls.max_rows),
        )
