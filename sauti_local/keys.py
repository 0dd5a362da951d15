"""The secrets of one local stack: made once per data directory, kept beside the data."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import jwt

_TEN_YEARS = 10 * 365 * 24 * 3600


@dataclass(frozen=True, repr=False)
class Keys:
    """What a hosted project shows under API settings, and the key ring of the worker."""

    jwt_secret: str
    anon_key: str
    service_role_key: str
    #: ``id:base64`` of 32 bytes, as ``SAUTI_TOKEN_KEYS`` wants it.
    token_keys: str

    def __repr__(self) -> str:
        return "Keys(…)"

    @classmethod
    def generate(cls) -> Keys:
        """New secrets."""
        secret = secrets.token_hex(32)
        return cls(
            jwt_secret=secret,
            anon_key=api_key("anon", secret),
            service_role_key=api_key("service_role", secret),
            token_keys=f"local:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        )

    @classmethod
    def of(cls, data_dir: Path) -> Keys:
        """The secrets kept in the data directory; made there when it has none."""
        path = data_dir / "keys.json"
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(asdict(cls.generate()), indent=2))
            os.replace(draft, path)
        kept = json.loads(path.read_text())
        return cls(**{field.name: kept[field.name] for field in fields(cls)})


def api_key(role: str, secret: str) -> str:
    """An API key in the form of a hosted project's, valid for ten years (HS256)."""
    now = int(time.time())
    payload = {"iss": "supabase", "ref": "local", "role": role, "iat": now, "exp": now + _TEN_YEARS}
    return jwt.encode(payload, secret, algorithm="HS256")
