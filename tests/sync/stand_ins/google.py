"""Google Calendar as its documentation describes it: ids of the client, etags, cancelled events, sync tokens."""

import itertools
import re
import time
from datetime import UTC, datetime
from typing import Any

import httpx
from aiohttp import web

from tests.sync.stand_ins.server import Channel, StandIn

EVENTS = "/calendar/v3/calendars/{calendar}/events"
#: Parameters that may not stand beside a sync token.
WITHOUT_TOKEN = {"iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "timeMin", "timeMax"}


class GoogleStandIn(StandIn):
    """Calendars by user; an event is the resource itself, and its place in `log` is when it last changed."""

    def __init__(self) -> None:
        super().__init__()
        self.calendars: dict[str, dict[str, dict[str, Any]]] = {}
        self.page = 250
        #: Longest life of a channel.
        self.channel_seconds = 7 * 86_400.0
        #: Sync tokens from before this change are forgotten.
        self.forgotten_before = 0
        self._changes = itertools.count(1)
        self._changed: dict[tuple[str, str], int] = {}
        self._last = 0

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(EVENTS, self._list)
        router.add_post(EVENTS, self._insert)
        router.add_post(EVENTS + "/watch", self._open_channel)
        router.add_post("/calendar/v3/channels/stop", self._stop_channel)
        router.add_get(EVENTS + "/{event}", self._get)
        router.add_patch(EVENTS + "/{event}", self._patch)
        router.add_delete(EVENTS + "/{event}", self._delete)

    def refused(self, status: int, reason: str) -> web.Response:
        errors = [{"domain": "global", "reason": reason, "message": "canary"}]
        return web.json_response({"error": {"code": status, "message": "canary", "errors": errors}}, status=status)

    # What the owner does by hand

    def write(self, user: str, event_id: str, **fields: Any) -> dict[str, Any]:
        shelf = self.calendars.setdefault(user, {})
        before = shelf.get(event_id, {"id": event_id, "iCalUID": f"{event_id}@google.com", "status": "confirmed"})
        return self._store(user, event_id, before | fields)

    def drop(self, user: str, event_id: str) -> None:
        self._store(user, event_id, {"id": event_id, "status": "cancelled"})

    def purge(self, user: str, event_id: str) -> None:
        """Long after a deletion not even the id is there."""
        del self.calendars[user][event_id]

    def live(self, user: str) -> list[dict[str, Any]]:
        return [event for event in self.calendars.get(user, {}).values() if event["status"] != "cancelled"]

    # The API

    async def _list(self, request: web.Request) -> web.Response:
        user = self._user(request)
        query = request.query
        token = query.get("syncToken")
        if token and WITHOUT_TOKEN & set(query):
            return self.refused(400, "invalid")
        since = int(token or 0)
        if token and since < self.forgotten_before:
            return self.refused(410, "fullSyncRequired")
        found = []
        for event_id, event in self.calendars.get(user, {}).items():
            if token:
                if self._changed[user, event_id] > since:
                    found.append(event)
            elif event["status"] != "cancelled" and _within(event, query.get("timeMin"), query.get("timeMax")):
                found.append(event)
        if "iCalUID" in query:
            found = [event for event in found if event.get("iCalUID") == query["iCalUID"]]
        start = int(query.get("pageToken", 0))
        page = min(self.page, int(query.get("maxResults", self.page)))
        answer: dict[str, Any] = {"kind": "calendar#events", "summary": f"{user}@example.org", "timeZone": "UTC"}
        answer["items"] = found[start : start + page]
        if start + page < len(found):
            answer["nextPageToken"] = str(start + page)
        else:
            answer["nextSyncToken"] = str(self._last)
        return web.json_response(answer)

    async def _insert(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        event_id = body.get("id", "")
        if not re.fullmatch(r"[a-v0-9]{5,1024}", event_id):
            return self.refused(400, "invalid")
        if event_id in self.calendars.get(user, {}):
            return self.refused(409, "duplicate")
        fields = {"iCalUID": f"{event_id}@google.com", "status": "confirmed", "kind": "calendar#event"}
        return web.json_response(self._store(user, event_id, fields | body))

    async def _get(self, request: web.Request) -> web.Response:
        event = self._event(request)
        return web.json_response(event) if event else self.refused(404, "notFound")

    async def _patch(self, request: web.Request) -> web.Response:
        event, body = self._event(request), await request.json()
        if event is None:
            return self.refused(404, "notFound")
        if request.headers.get("If-Match", event["etag"]) != event["etag"]:
            return self.refused(412, "conditionNotMet")
        return web.json_response(self._store(self._user(request), event["id"], event | body))

    async def _delete(self, request: web.Request) -> web.Response:
        event = self._event(request)
        if event is None:
            return self.refused(404, "notFound")
        if event["status"] == "cancelled":
            return self.refused(410, "deleted")
        self._store(self._user(request), event["id"], event | {"status": "cancelled"})
        return web.Response(status=204)

    async def _open_channel(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        if body["type"] != "web_hook" or not body["address"].startswith(("https://", "http://127.0.0.1:")):
            return self.refused(400, "push.webhookUrlNotHttps")
        if body["id"] in self.channels or not re.fullmatch(r"[A-Za-z0-9\-_+/=]{1,64}", body["id"]):
            return self.refused(400, "channelIdNotUnique")
        channel = Channel(user, body["id"], body["address"], body["token"], f"resource-{user}")
        self.channels[channel.name] = channel
        self.tell_soon(channel, "sync")
        longest = round((time.time() + self.channel_seconds) * 1000)
        answer = {"kind": "api#channel", "id": channel.name, "resourceId": channel.resource_id, "token": channel.token}
        return web.json_response(answer | {"expiration": str(min(longest, int(body["expiration"])))})

    async def _stop_channel(self, request: web.Request) -> web.Response:
        body = await request.json()
        channel = self.channels.get(body["id"])
        if channel is None or (channel.user, channel.resource_id) != (self.user_of(request), body["resourceId"]):
            return self.refused(404, "channelNotFound")
        del self.channels[channel.name]
        return web.Response(status=204)

    async def send(self, http: httpx.AsyncClient, channel: Channel, state: str) -> httpx.Response:
        """Everything is in the headers. Numbers rise, not by one."""
        channel.messages += 1 if channel.messages == 0 else 7
        headers = {
            "X-Goog-Channel-ID": channel.name,
            "X-Goog-Channel-Token": channel.token,
            "X-Goog-Resource-ID": channel.resource_id,
            "X-Goog-Resource-URI": "https://www.googleapis.com/calendar/v3/calendars/primary/events?alt=json",
            "X-Goog-Resource-State": state,
            "X-Goog-Message-Number": str(channel.messages),
        }
        return await http.post(channel.address, headers=headers)

    def _user(self, request: web.Request) -> str:
        user = self.user_of(request)
        assert user is not None
        assert request.match_info["calendar"] == "primary"
        return user

    def _event(self, request: web.Request) -> dict[str, Any] | None:
        return self.calendars.get(self._user(request), {}).get(request.match_info["event"])

    def _store(self, user: str, event_id: str, event: dict[str, Any]) -> dict[str, Any]:
        self._last = self._changed[user, event_id] = next(self._changes)
        stored = event | {"etag": f'"{self._last}"'}
        self.calendars.setdefault(user, {})[event_id] = stored
        return stored


def _within(event: dict[str, Any], low: str | None, high: str | None) -> bool:
    def moment(side: str) -> datetime:
        value = event[side]
        text = value.get("dateTime") or value["date"]
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    if "start" not in event:
        return True
    return (low is None or moment("end") > datetime.fromisoformat(low)) and (
        high is None or moment("start") < datetime.fromisoformat(high)
    )
