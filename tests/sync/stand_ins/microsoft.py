"""Microsoft Graph as its documentation describes it: transaction ids, weak etags, deltas over a calendar view."""

import itertools
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from aiohttp import web

from tests.sync.stand_ins.server import Channel, StandIn

#: Fields that an occurrence in a delta carries of its own.
OF_OCCURRENCE = ("id", "type", "seriesMasterId", "start", "end", "@odata.etag")


class MicrosoftStandIn(StandIn):
    """Default calendars by user."""

    token_path = "/common/oauth2/v2.0/token"

    def __init__(self) -> None:
        super().__init__()
        self.calendars: dict[str, dict[str, dict[str, Any]]] = {}
        self.page = 200
        self.forgotten_before = 0
        self._changes = itertools.count(1)
        self._changed: dict[tuple[str, str], int] = {}
        self._gone: dict[tuple[str, str], int] = {}
        self._transactions: dict[tuple[str, str], str] = {}
        self._last = 0

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/v1.0/me/calendar", self._calendar)
        router.add_get("/v1.0/me/calendar/events", self._list)
        router.add_post("/v1.0/me/calendar/events", self._insert)
        router.add_get("/v1.0/me/calendarView/delta", self._delta)
        router.add_post("/v1.0/subscriptions", self._subscribe)
        router.add_delete("/v1.0/subscriptions/{subscription}", self._unsubscribe)
        router.add_get("/v1.0/me/events/{event}", self._get)
        router.add_patch("/v1.0/me/events/{event}", self._patch)
        router.add_delete("/v1.0/me/events/{event}", self._delete)

    def refused(self, status: int, reason: str) -> web.Response:
        return web.json_response({"error": {"code": reason, "message": "canary"}}, status=status)

    # What the owner does by hand

    def write(self, user: str, event_id: str | None = None, **fields: Any) -> dict[str, Any]:
        event_id = event_id or f"AAMk{next(self._changes)}="
        before = self.calendars.setdefault(user, {}).get(event_id, {"id": event_id, "type": "singleInstance"})
        return self._store(user, event_id, before | fields)

    def drop(self, user: str, event_id: str) -> None:
        del self.calendars[user][event_id]
        self._last = self._gone[user, event_id] = next(self._changes)

    def live(self, user: str) -> list[dict[str, Any]]:
        return list(self.calendars.get(user, {}).values())

    # The API

    async def _calendar(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "AAMk=", "owner": {"address": f"{self._user(request)}@example.org"}})

    async def _list(self, request: web.Request) -> web.Response:
        condition = request.query.get("$filter", "")
        events = self.live(self._user(request))
        if match := re.fullmatch(r"iCalUId eq '([^']+)'", condition):
            found = [event for event in events if event.get("iCalUId") == match[1]]
        elif match := re.fullmatch(
            r"singleValueExtendedProperties/Any\(ep: ep/id eq '([^']+)' and ep/value eq '([^']+)'\)", condition
        ):
            wanted = {"id": match[1], "value": match[2]}
            found = [event for event in events if wanted in event.get("singleValueExtendedProperties", [])]
        else:
            return self.refused(400, "ErrorInvalidUrlQueryFilter")
        return web.json_response({"value": found[: int(request.query.get("$top", 10))]})

    async def _insert(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        transaction = body.get("transactionId")
        known = self._transactions.get((user, transaction))
        if known is not None:
            event = self.calendars.get(user, {}).get(known)
            return web.json_response(event, status=201) if event else self.refused(409, "ErrorDuplicateTransactionId")
        event_id = f"AAMk{next(self._changes)}="
        if transaction:
            self._transactions[user, transaction] = event_id
        fields = {"id": event_id, "iCalUId": f"040000{event_id}", "type": "singleInstance", "isCancelled": False}
        return web.json_response(self._store(user, event_id, fields | body), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        event = self._event(request)
        return web.json_response(event) if event else self.refused(404, "ErrorItemNotFound")

    async def _patch(self, request: web.Request) -> web.Response:
        event, body = self._event(request), await request.json()
        if event is None:
            return self.refused(404, "ErrorItemNotFound")
        if request.headers.get("If-Match", event["@odata.etag"]) != event["@odata.etag"]:
            return self.refused(412, "ErrorIrresolvableConflict")
        return web.json_response(self._store(self._user(request), event["id"], event | body))

    async def _delete(self, request: web.Request) -> web.Response:
        event = self._event(request)
        if event is None:
            return self.refused(404, "ErrorItemNotFound")
        self.drop(self._user(request), event["id"])
        return web.Response(status=204)

    async def _delta(self, request: web.Request) -> web.Response:
        user, query = self._user(request), request.query
        token = query.get("$deltatoken") or query.get("$skiptoken")
        if token is None and not ("startDateTime" in query and "endDateTime" in query):
            return self.refused(400, "ErrorInvalidParameter")
        since, start = (int(part) for part in (token or "0.0").split("."))
        if token and since and since < self.forgotten_before:
            return self.refused(410, "SyncStateNotFound")
        found: list[dict[str, Any]] = [
            {name: event[name] for name in OF_OCCURRENCE if name in event}
            if event.get("type") == "occurrence"
            else {name: value for name, value in event.items() if name != "singleValueExtendedProperties"}
            for event_id, event in self.calendars.get(user, {}).items()
            if self._changed[user, event_id] > since
        ]
        if since:
            found += [
                {"id": event_id, "@removed": {"reason": "deleted"}}
                for (owner, event_id), at in self._gone.items()
                if owner == user and at > since
            ]
        more = start + self.page < len(found)
        name, value = (
            ("$skiptoken", f"{since}.{start + self.page}") if more else ("$deltatoken", f"{self._last or 1}.0")
        )
        link = f"https://graph.microsoft.example/v1.0/me/calendarView/delta?{name}={value}"
        assert parse_qs(urlsplit(link).query)
        kind = "@odata.nextLink" if more else "@odata.deltaLink"
        return web.json_response({"value": found[start : start + self.page], kind: link})

    async def _subscribe(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        wanted = {
            "changeType", "notificationUrl", "lifecycleNotificationUrl", "resource", "expirationDateTime", "clientState"
        }  # fmt: skip
        until = datetime.fromisoformat(body["expirationDateTime"])
        if set(body) != wanted or body["resource"] != "me/events" or len(body["clientState"]) > 128:
            return self.refused(400, "InvalidRequest")
        if not timedelta() < until - datetime.now(UTC) <= timedelta(minutes=4230):
            return self.refused(400, "ExtensionError")
        echo = secrets.token_hex(8) + " :/&<b>"
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            answer = await http.post(body["notificationUrl"], params={"validationToken": echo})
        if (answer.status_code, answer.text) != (200, echo) or not answer.headers["content-type"].startswith(
            "text/plain"
        ):
            return self.refused(400, "ValidationError")
        name = secrets.token_hex(16)
        channel, _, token = body["clientState"].partition(".")
        self.channels[name] = Channel(user, channel, body["notificationUrl"], token, name)
        return web.json_response({"id": name} | body | {"clientState": None}, status=201)

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        channel = self.channels.pop(request.match_info["subscription"], None)
        return web.Response(status=204) if channel else self.refused(404, "ResourceNotFound")

    async def send(self, http: httpx.AsyncClient, channel: Channel, state: str) -> httpx.Response:
        """One message in a list; `state` is a change, or what has happened to the subscription."""
        news = {"changeType": "updated"} if state == "exists" else {"lifecycleEvent": state}
        value = {"subscriptionId": channel.resource_id, "clientState": f"{channel.name}.{channel.token}"} | news
        return await http.post(channel.address, json={"value": [value | {"resource": "Users/x/Events/y"}]})

    def _user(self, request: web.Request) -> str:
        user = self.user_of(request)
        assert user is not None
        return user

    def _event(self, request: web.Request) -> dict[str, Any] | None:
        return self.calendars.get(self._user(request), {}).get(request.match_info["event"])

    def _store(self, user: str, event_id: str, event: dict[str, Any]) -> dict[str, Any]:
        self._last = self._changed[user, event_id] = next(self._changes)
        stored = event | {"@odata.etag": f'W/"{self._last}"'}
        self.calendars.setdefault(user, {})[event_id] = stored
        return stored
