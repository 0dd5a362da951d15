"""The story, step by step."""

from __future__ import annotations

import contextlib
import logging

import httpx

from sauti_local.calendar import PASSWORD
from sauti_local.demo import acceptance, ending, opening
from sauti_local.demo.people import Person
from sauti_local.demo.report import Report
from sauti_local.demo.stage import Stage
from sauti_local.stack import Addresses


async def play(addresses: Addresses, report: Report, patience: float) -> list[Person]:
    """Play the story on a running stack; gives back everybody who can sign in.

    Raises:
        DemoFailed: a step did not hold.
    """
    # A refused join, which is part of the story, would be printed as an error.
    logging.getLogger("realtime").setLevel(logging.CRITICAL)
    async with contextlib.AsyncExitStack() as exits:
        http = await exits.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30.0))
        stage = Stage(addresses, http, report, patience)

        with report.step("The cast signs up"):
            cast = await opening.sign_up_cast(stage)
        for person in (*cast.professionals, cast.newcomer):
            exits.push_async_callback(person.api.close)
        with report.step("The professionals open their apps"):
            ears = await opening.open_apps(stage, cast)
            await opening.connect_calendars(stage, cast)
        with report.step("A survivor files a report"):
            filed = await opening.file_report(stage, ears)
        exits.push_async_callback(filed.survivor.api.close)
        with report.step("Offers arrive live"):
            await opening.hear_offers(stage, cast, ears, filed)
        with report.step("The inbox tells nothing"):
            await ending.read_offer_mail(stage, cast, filed)
        with report.step("A professional looks"):
            await acceptance.look_masked(stage, cast, filed)
        with report.step("What is forbidden is refused"):
            await acceptance.try_forbidden(stage, cast, filed)
        with report.step("Two accept at the same moment"):
            accepted = await acceptance.accept_at_once(stage, cast, ears, filed)
        with report.step("The one door to the story"):
            await acceptance.open_case(stage, cast, filed, accepted)
        with report.step("The calendar"):
            await ending.read_calendar(stage, cast, filed, accepted)
        with report.step("The mail"):
            await ending.read_appointment_mail(stage, cast, filed, accepted)
        with report.step("The session is held"):
            await ending.hold_session(stage, filed, accepted)
        with report.step("The professional completes first"):
            both = await ending.complete_first(stage, cast, filed, accepted)
        with report.step("The survivor confirms, and the report is archived"):
            await ending.confirm_and_archive(stage, cast, both, accepted)
        with report.step("She keeps her account"):
            await ending.keep_account(stage, filed)
    return [filed.survivor, *cast.professionals, cast.newcomer, cast.neighbour, cast.admin]


def introduce(addresses: Addresses, people: list[Person], report: Report) -> None:
    """Say how to reach the stack and who can sign in."""
    report.say("\nThe stack keeps running. Ctrl-C stops it, and nothing of it stays.", style="bold")
    for name, value in (
        ("API", addresses.api_url),
        ("Anon key", addresses.anon_key),
        ("Service role key", addresses.service_role_key),
        ("Database", addresses.db_url),
        ("Mail", addresses.mail_url),
        ("Calendars", f"{addresses.caldav_url}/<first name>/sessions/ (password: {PASSWORD})"),
        ("Logs", str(addresses.logs)),
    ):
        report.say(f"  {name:<18}{value}")
    report.say("\nWho can sign in", style="bold")
    for person in people:
        report.say(f"  {person.name:<18}{person.email:<26}{person.password:<20}{person.role}")
