"""Callers of the running stack's Data API: raw HTTP, as a hostile client would speak it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import psycopg

from sauti_local.stack import Addresses
from tests.support.users import User, sign_up


class Caller:
    """Requests with one key and token."""

    def __init__(self, addresses: Addresses, headers: dict[str, str], user: User | None = None) -> None:
        self.user = user
        self._http = httpx.Client(base_url=f"{addresses.api_url}/rest/v1", headers=headers, timeout=30, trust_env=False)

    @property
    def id(self) -> str:
        """The user's id."""
        assert self.user is not None
        return self.user.id

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Any request; `path` begins after ``/rest/v1``."""
        return self._http.request(method, path, **request)

    def get(self, relation: str, *, headers: dict[str, str] | None = None, **parameters: str) -> httpx.Response:
        """Read a relation; the parameters are PostgREST's."""
        return self.send("GET", f"/{relation}", params=parameters, headers=headers)

    def rows(self, relation: str, **parameters: str) -> list[dict[str, Any]]:
        """What a read gives."""
        answer = self.get(relation, **parameters)
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()
        return rows

    def write(self, relation: str, row: Any, **headers: str) -> dict[str, Any]:
        """Insert one row and give it back."""
        answer = self.send("POST", f"/{relation}", json=row, headers={"Prefer": "return=representation"} | headers)
        assert answer.status_code == 201, answer.text
        (made,) = answer.json()
        return dict(made)

    def rpc(self, function: str, **arguments: Any) -> httpx.Response:
        """Call a function."""
        return self.send("POST", f"/rpc/{function}", json=arguments)

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function that must succeed; gives back its value."""
        answer = self.rpc(function, **arguments)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@dataclass
class People:
    """Makes callers. No report and no candidate of an earlier test is left in this one."""

    addresses: Addresses
    callers: list[Caller] = field(default_factory=list)

    def service(self) -> Caller:
        """The service key."""
        return self.with_token(self.addresses.service_role_key, self.addresses.service_role_key)

    def visitor(self) -> Caller:
        """The public key."""
        return self.with_token(self.addresses.anon_key)

    def user(self, user_type: str | None = None, *, anonymous: bool = False) -> Caller:
        """Somebody who has just signed up."""
        user = sign_up(self.addresses, user_type, anonymous=anonymous)
        return self._keep(Caller(self.addresses, user.headers, user))

    def admin(self) -> Caller:
        """An administrator, made so by the service key."""
        caller = self.user()
        self.service().send("PATCH", "/profiles", params={"id": f"eq.{caller.id}"}, json={"user_type": "admin"})
        return caller

    def professional(self, service_type: str = "counseling", *, verified: bool = True) -> Caller:
        """A professional with a service that reaches everywhere."""
        caller = self.user("professional")
        status = "verified" if verified else "pending"
        service = self.service()
        service.send("PATCH", "/professionals", params={"id": f"eq.{caller.id}"}, json={"verification_status": status})
        service.write(
            "support_services",
            {
                "professional_id": caller.id,
                "name": "Help",
                "service_type": service_type,
                "is_remote": True,
                "verification_status": status,
            },
        )
        return caller

    def with_token(self, token: str, key: str | None = None) -> Caller:
        """Whoever holds this token."""
        return self._keep(
            Caller(self.addresses, {"apikey": key or self.addresses.anon_key, "Authorization": f"Bearer {token}"})
        )

    def token(self, *, secret: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
        """A token made by hand; signed with the stack's secret unless another is given."""
        now = int(time.time())
        payload = {"iss": "made by hand", "aud": "authenticated", "iat": now, "exp": now + 3600} | claims
        signing = "" if algorithm == "none" else secret or self.addresses.jwt_secret
        return jwt.encode(payload, signing, algorithm=algorithm)

    def close(self) -> None:
        """Close all connections."""
        for caller in self.callers:
            caller.close()

    def _keep(self, caller: Caller) -> Caller:
        self.callers.append(caller)
        return caller


@contextmanager
def people_of(addresses: Addresses) -> Iterator[People]:
    """People for one test."""
    people = People(addresses)
    try:
        with psycopg.connect(addresses.db_url, autocommit=True) as sql:
            sql.execute("delete from public.reports")
            sql.execute("update public.support_services set is_active = false where is_active")
        yield people
    finally:
        people.close()


def file_report(survivor: Caller, **columns: Any) -> dict[str, Any]:
    """File a shared report for counseling; gives back the row."""
    row = {"incident_type": "emotional", "required_services": ["counseling"], "consent_to_share": True}
    return survivor.write("reports", row | columns)


def assert_error(answer: httpx.Response, symbol: str, status: int) -> None:
    """The answer is the registered error, whole."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"code", "message", "details", "hint"}
    assert (body["code"], body["message"]) == (f"PT{status}", symbol)
    assert body["details"]
    assert body["hint"]
