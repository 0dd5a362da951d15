"""Thirty-two professionals accept one offer over HTTP at the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import psycopg

from sauti_local.stack import Stack
from tests.support.api import People, file_report

RIVALS = 32


async def accept_all(url: str, anon_key: str, calls: list[tuple[str, str]]) -> list[httpx.Response]:
    """Each token accepts its offer; all requests are on their way before the first is answered."""
    limits = httpx.Limits(max_connections=len(calls))
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        return await asyncio.gather(
            *(
                client.post(
                    "/rest/v1/rpc/accept_match",
                    json={"match_id": match_id, "mode": "meet_now"},
                    headers={"apikey": anon_key, "Authorization": f"Bearer {token}"},
                )
                for token, match_id in calls
            )
        )


async def test_one_wins_and_thirty_one_get_a_clean_conflict(stack: Stack, people: People) -> None:
    addresses = stack.addresses
    with psycopg.connect(addresses.db_url, autocommit=True) as sql:
        sql.execute("update private.matching_settings set offers_high = %s", (RIVALS,))
        try:
            rivals = [people.professional() for _ in range(RIVALS)]
            report = file_report(people.user(), urgency="high")
        finally:
            sql.execute("update private.matching_settings set offers_high = 8")
        offers: dict[str, str] = dict(
            sql.execute(
                "select professional_id::text, id::text from public.matched_services where report_id = %s",
                (report["report_id"],),
            ).fetchall()
        )
        calls = [(rival.user.access_token, offers[rival.id]) for rival in rivals if rival.user]
        answers = await accept_all(addresses.api_url, addresses.anon_key, calls)
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: RIVALS - 1}
        for answer in answers:
            if answer.status_code == 409:
                body = answer.json()
                assert (body["code"], body["message"]) == ("PT409", "match_not_pending")
                assert set(body) == {"code", "message", "details", "hint"}
        counts = sql.execute(
            "select match_status_type::text, count(*) from public.matched_services where report_id = %s group by 1",
            (report["report_id"],),
        ).fetchall()
        assert dict(counts) == {"accepted": 1, "superseded": RIVALS - 1}
        appointments = sql.execute(
            "select count(*) from public.appointments a join public.matched_services m on m.id = a.matched_services"
            " where m.report_id = %s",
            (report["report_id"],),
        ).fetchone()
        assert appointments == (1,)
