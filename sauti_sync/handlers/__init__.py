"""What the worker can do, by kind of job."""

from __future__ import annotations

from sauti_sync.calendars.channels import Channels
from sauti_sync.calendars.openers import openers_for
from sauti_sync.calendars.records import RpcRecords
from sauti_sync.config import WorkerSettings
from sauti_sync.credentials import TokenKeys
from sauti_sync.events import Caller, Handler
from sauti_sync.handlers.calendar_disconnect import CalendarDisconnectHandler
from sauti_sync.handlers.calendar_event import CalendarEventHandler
from sauti_sync.handlers.calendar_pull import CalendarPullHandler
from sauti_sync.handlers.connection import Calendars
from sauti_sync.handlers.mail import MailHandler
from sauti_sync.handlers.probe import ProbeHandler
from sauti_sync.handlers.sms import SmsHandler
from sauti_sync.messages.africas_talking import AfricasTalking
from sauti_sync.messages.return_path import ReturnPath
from sauti_sync.messages.sender import Sender
from sauti_sync.messages.sms import SmsTransport
from sauti_sync.messages.smtp import SmtpTransport
from sauti_sync.messages.smtp_address import SmtpAddress
from sauti_sync.messages.twilio import Twilio


def handlers_for(settings: WorkerSettings, call: Caller) -> dict[str, Handler]:
    """The handlers that these settings are enough for; jobs of other kinds are left to other workers.

    `call` is the queue's, so that whatever they keep in the database takes the road of the jobs.
    """
    handlers: dict[str, Handler] = {"probe": ProbeHandler()}
    if settings.smtp_url is not None and settings.mail_from is not None:
        sender = Sender.parse(settings.mail_from)
        transport = SmtpTransport(SmtpAddress.parse(settings.smtp_url.get_secret_value()), sender)
        handlers["mail"] = MailHandler(transport, sender, settings.app_url, call, _return_path(settings))
    if (sms := _sms_transport(settings)) is not None:
        handlers["sms"] = SmsHandler(sms, settings.app_url, settings.sms_country_code)
    if settings.token_keys is not None:
        keys = TokenKeys.parse(settings.token_keys.get_secret_value())
        records = RpcRecords(call)
        calendars = Calendars(keys, openers_for(settings, keys, records))
        handlers["calendar_event"] = CalendarEventHandler(calendars, settings.app_url)
        handlers["calendar_pull"] = CalendarPullHandler(calendars, records, Channels(records, settings.push_url))
        handlers["calendar_disconnect"] = CalendarDisconnectHandler(calendars)
    return handlers


def _return_path(settings: WorkerSettings) -> ReturnPath | None:
    if settings.bounce_address is None:
        return None
    return ReturnPath.of(settings.bounce_address, settings.supabase_service_role_key.get_secret_value())


def _sms_transport(settings: WorkerSettings) -> SmsTransport | None:
    account, secret = settings.sms_account, settings.sms_secret
    if settings.sms_provider is None or account is None or secret is None:
        return None
    if settings.sms_provider == "twilio" and settings.sms_from is not None:
        return Twilio(account, secret, settings.sms_from, settings.sms_api_url)
    return AfricasTalking(account, secret, settings.sms_from, settings.sms_api_url)
