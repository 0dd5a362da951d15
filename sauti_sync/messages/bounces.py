"""Delivery status notifications (RFC 3464), and what they say about an address. Pure.

Whatever they hold is a stranger's. Only the fields Action and Status are looked at: who is meant is known from the
return path, not from the report.
"""

from __future__ import annotations

import re
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

#: Reports hold headers of the mail, or all of it; ours are small.
LONGEST = 1_048_576
_STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\d)")
#: RFC 3463: addressing, but for what is said of the sender (7, 8); a mailbox that is closed; a host that is not there.
_ADDRESS = re.compile(r"5\.1\.(?!7$|8$)\d+|5\.2\.1|5\.4\.4")
_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
_MOST = 20


def is_about_address(status: str) -> bool:
    """Whether an enhanced status (RFC 3463) says that the address does not work, now or later.

    A full mailbox, a policy or a filter says nothing about the address.
    """
    return _ADDRESS.fullmatch(status) is not None


def parse(content: bytes) -> Message | None:
    """The message; None when nothing can be made of it."""
    try:
        return BytesParser(policy=compat32).parsebytes(content)
    except (ValueError, LookupError, RecursionError):
        return None


def statuses(message: Message) -> tuple[str, ...]:
    """Statuses of recipients that were given up; empty when the message is no delivery report."""
    report = str(message.get_param("report-type", "")).lower()
    if message.get_content_type() != "multipart/report" or report != "delivery-status":
        return ()
    found = []
    for part in _parts(message):
        if part.get_content_type() != "message/delivery-status":
            continue
        # The first block is about the message, each further one about a recipient.
        for block in _parts(part)[1:]:
            status = _STATUS.match(str(block.get("Status", "")))
            if str(block.get("Action", "")).strip().lower().partition(" ")[0] == "failed" and status:
                found.append(status[1])
    return tuple(found)


def recipients(message: Message) -> tuple[str, ...]:
    """To whom the report came, as mail servers note it; none of it is more than a hint."""
    found = (str(value)[:1000] for header in _HEADERS for value in message.get_all(header, ()))
    return tuple(address for line in found for address in re.findall(r"[^\s<>,;\"]+@[^\s<>,;\"]+", line))[:_MOST]


def _parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    return [part for part in payload[:_MOST] if isinstance(part, Message)] if isinstance(payload, list) else []
