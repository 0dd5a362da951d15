"""What the worker can do, by kind of job."""

from __future__ import annotations

from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.calendars.interface import Opener
from sauti_sync.config import WorkerSettings
from sauti_sync.credentials import TokenKeys
from sauti_sync.events import Handler
from sauti_sync.handlers.calendar_event import CalendarEventHandler
from sauti_sync.handlers.mail import MailHandler
from sauti_sync.messages.sender import Sender
from sauti_sync.messages.smtp import SmtpTransport
from sauti_sync.messages.smtp_address import SmtpAddress


def handlers_for(settings: WorkerSettings) -> dict[str, Handler]:
    """The handlers that these settings are enough for; jobs of other kinds are left to other workers."""
    handlers: dict[str, Handler] = {}
    if settings.smtp_url is not None and settings.mail_from is not None:
        sender = Sender.parse(settings.mail_from)
        transport = SmtpTransport(SmtpAddress.parse(settings.smtp_url.get_secret_value()), sender)
        handlers["mail"] = MailHandler(transport, sender, settings.app_url)
    if settings.token_keys is not None:
        openers: dict[str, Opener] = {"caldav": CalDavCalendar.opener(allow_private=settings.allow_private_caldav)}
        keys = TokenKeys.parse(settings.token_keys.get_secret_value())
        handlers["calendar_event"] = CalendarEventHandler(keys, openers, settings.app_url)
    return handlers
