"""Which providers these settings are enough for."""

from __future__ import annotations

from sauti_sync.calendars.caldav import CalDavCalendar
from sauti_sync.calendars.google import GoogleCalendar
from sauti_sync.calendars.interface import Opener
from sauti_sync.calendars.microsoft import MicrosoftCalendar
from sauti_sync.calendars.oauth import Endpoints, OAuthClient
from sauti_sync.calendars.records import Records
from sauti_sync.config import WorkerSettings
from sauti_sync.credentials import TokenKeys


def openers_for(settings: WorkerSettings, keys: TokenKeys, records: Records) -> dict[str, Opener]:
    """By name of the provider: CalDAV always, the others when this project is registered with them."""
    openers: dict[str, Opener] = {"caldav": CalDavCalendar.opener(allow_private=settings.allow_private_caldav)}
    if settings.google_client_id and settings.google_client_secret:
        endpoints = Endpoints.google(settings.google_oauth_url)
        secret = settings.google_client_secret.get_secret_value()
        client = OAuthClient(settings.google_client_id, secret, endpoints, keys, records)
        openers["google"] = GoogleCalendar.opener(client, settings.google_api_url)
    if settings.microsoft_client_id and settings.microsoft_client_secret:
        endpoints = Endpoints.microsoft(settings.microsoft_oauth_url)
        secret = settings.microsoft_client_secret.get_secret_value()
        client = OAuthClient(settings.microsoft_client_id, secret, endpoints, keys, records)
        openers["microsoft"] = MicrosoftCalendar.opener(client, settings.microsoft_api_url)
    return openers
