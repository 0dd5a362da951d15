"""Users of the running stack, made through the Auth API."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from sauti_local.stack import Addresses

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class User:
    """A signed-up user with a session."""

    id: str
    email: str | None
    password: str | None
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    #: Of the user's requests to the gateway: key and token.
    headers: dict[str, str] = field(repr=False)


def sign_up(
    addresses: Addresses,
    user_type: str | None = None,
    *,
    email: str | None = None,
    display_name: str | None = None,
    anonymous: bool = False,
) -> User:
    """Sign a new user up.

    Args:
        addresses: The stack.
        user_type: ``survivor`` or ``professional``; None leaves it to the default.
        email: Address; default one that nobody has.
        display_name: Name to show.
        anonymous: Sign in anonymously; there is no address and no password then.
    """
    metadata = {"user_type": user_type, "display_name": display_name}
    body: dict[str, Any] = {"data": {key: value for key, value in metadata.items() if value is not None}}
    if not anonymous:
        body |= {"email": email or f"{uuid.uuid4().hex}@example.org", "password": PASSWORD}
    answer = httpx.post(
        f"{addresses.api_url}/auth/v1/signup",
        json=body,
        headers={"apikey": addresses.anon_key},
        timeout=30,
        trust_env=False,
    )
    answer.raise_for_status()
    session = answer.json()
    return User(
        id=session["user"]["id"],
        email=body.get("email"),
        password=body.get("password"),
        access_token=session["access_token"],
        refresh_token=session["refresh_token"],
        headers={"apikey": addresses.anon_key, "Authorization": f"Bearer {session['access_token']}"},
    )
