"""The frames of the websocket protocol, both versions.

1.0.0: text, an object ``{topic, event, payload, ref, join_ref}``. 2.0.0: text, an array
``[join_ref, ref, topic, event, payload]``, and two binary frames for broadcasts, each field preceded by its size in one
byte, as listed in `_decode_push` (client to server) and `_encode_broadcast` (server to client).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

Version = Literal["1.0.0", "2.0.0"]
Ref = str | int | None

_BROADCAST_PUSH = 3
_BROADCAST = 4
_BINARY, _JSON = 0, 1
_MAX_FIELD = 255


class MalformedFrame(ValueError):
    """Not a frame of the protocol. It is dropped: the connection goes on."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message for the subscribers of a topic.

    Attributes:
        event: The sender's name for it.
        body: JSON text in UTF-8, or any bytes.
        is_json: Which of the two.
        message_id: Id in `realtime.messages`, when it came from there.
    """

    event: str
    body: bytes
    is_json: bool = True
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A frame from a client. A payload is an object, or a broadcast that came in its binary form."""

    topic: str
    event: str
    payload: dict[str, Any] | Broadcast
    ref: Ref = None
    join_ref: Ref = None


def to_json(value: object) -> str:
    """Compact ASCII JSON.

    Raises:
        ValueError: the value holds a number that JSON cannot carry.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def decode(data: str | bytes, version: Version) -> Message:
    """Read a frame.

    Raises:
        MalformedFrame: it is none.
    """
    if isinstance(data, bytes):
        if version == "1.0.0":
            raise MalformedFrame("binary frame")
        return _decode_push(data)
    value = parse(data)
    if version == "2.0.0":
        if not isinstance(value, list) or len(value) < 5:
            raise MalformedFrame("not an array of five")
        join_ref, ref, topic, event, payload = value[:5]
    else:
        if not isinstance(value, dict):
            raise MalformedFrame("not an object")
        join_ref, ref = value.get("join_ref"), value.get("ref")
        topic, event, payload = value.get("topic"), value.get("event"), value.get("payload")
    if not isinstance(payload, dict):
        raise MalformedFrame("payload is not an object")
    return Message(name(topic), name(event), payload, _ref(ref), _ref(join_ref))


def encode(version: Version, topic: str, event: str, payload: str, ref: Ref = None, join_ref: Ref = None) -> str:
    """A text frame around a payload that is JSON text already."""
    if version == "2.0.0":
        return f"[{to_json(join_ref)},{to_json(ref)},{to_json(topic)},{to_json(event)},{payload}]"
    return f'{{"topic":{to_json(topic)},"event":{to_json(event)},"payload":{payload},"ref":{to_json(ref)}}}'


def encode_reply(version: Version, message: Message, status: Literal["ok", "error"], response: dict[str, Any]) -> str:
    """The answer to a client's frame."""
    payload = to_json({"status": status, "response": response})
    return encode(version, message.topic, "phx_reply", payload, message.ref, message.join_ref)


def encode_broadcast(version: Version, topic: str, broadcast: Broadcast) -> str | bytes | None:
    """A broadcast as the version carries it; None when it cannot (bytes in 1.0.0)."""
    meta = None if broadcast.message_id is None else to_json({"id": broadcast.message_id})
    fields = (topic.encode(), broadcast.event.encode(), (meta or "").encode())
    if version == "2.0.0" and all(len(field) <= _MAX_FIELD for field in fields):
        header = bytes([_BROADCAST, *map(len, fields), _JSON if broadcast.is_json else _BINARY])
        return b"".join((header, *fields, broadcast.body))
    if not broadcast.is_json:
        return None
    payload = f'{{"type":"broadcast","event":{to_json(broadcast.event)},"payload":{broadcast.body.decode()}'
    return encode(version, topic, "broadcast", payload + ("}" if meta is None else f',"meta":{meta}}}'))


def _decode_push(data: bytes) -> Message:
    """Bytes: kind, sizes of join_ref, ref, topic, event and metadata, encoding; then those fields; then the body."""
    if len(data) < 7 or data[0] != _BROADCAST_PUSH or data[6] not in (_BINARY, _JSON):
        raise MalformedFrame("unknown binary frame")
    fields, offset = [], 7
    for size in data[1:6]:
        fields.append(data[offset : offset + size])
        offset += size
    if offset > len(data):
        raise MalformedFrame("sizes beyond the end")
    try:
        join_ref, ref, topic, event, _ = (field.decode() for field in fields)
    except UnicodeDecodeError:
        raise MalformedFrame("not UTF-8") from None
    body, is_json = data[offset:], data[6] == _JSON
    if is_json:
        parse(body)
    return Message(name(topic), "broadcast", Broadcast(name(event), body, is_json), ref or None, join_ref or None)


def parse(text: str | bytes) -> object:
    """Read JSON that can be written again.

    Raises:
        MalformedFrame: it is no JSON, not in UTF-8, nested too deeply, or has a number beyond all bounds.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise MalformedFrame("not JSON") from None


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("beyond all bounds")
    return value


def name(value: object) -> str:
    """A name that can be stored and sent on: text without NUL and lone surrogates.

    Raises:
        MalformedFrame: it is none.
    """
    if not isinstance(value, str) or "\0" in value:
        raise MalformedFrame("not a name")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MalformedFrame("not Unicode") from None
    return value


def _ref(value: object) -> Ref:
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise MalformedFrame("not a ref")
