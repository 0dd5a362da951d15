"""Sign-up makes exactly the rows that a person needs, and no metadata gives anybody power."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cases import Cases, Row


def profile(cases: Cases, user_id: Any) -> Row:
    return cases.one("select * from public.profiles where id = %s", user_id)


def test_everybody_is_a_survivor_by_default(cases: Cases) -> None:
    user_id = cases.database.add_user()
    assert profile(cases, user_id)["user_type"] == "survivor"
    assert cases.count("public.professionals", "id = %s", user_id) == 0


def test_a_professional_starts_unverified_with_a_booking_address_of_their_own(cases: Cases) -> None:
    user_id = cases.database.add_user("professional", display_name="Asha Mwangi")
    card = cases.one("select * from public.professionals where id = %s", user_id)
    assert profile(cases, user_id)["display_name"] == "Asha Mwangi"
    assert (card["verification_status"], card["booking_slug"]) == ("pending", f"sauti-{user_id}")
    assert card["is_public_booking"] is False


@pytest.mark.parametrize(
    "user_type",
    ["admin", "ADMIN", "service_role", "Professional", "professional ", "", None, 1, True, ["professional"]],
)
def test_no_other_word_makes_anything_but_a_survivor(cases: Cases, user_type: Any) -> None:
    user_id = cases.database.add_user(metadata={"user_type": user_type})  # type: ignore[call-arg]
    assert profile(cases, user_id)["user_type"] == "survivor"
    assert cases.count("public.professionals") == 0


@pytest.mark.parametrize(
    "metadata",
    [
        {"verification_status": "verified", "user_type": "professional"},
        {"user_type": "professional", "id": "00000000-0000-0000-0000-000000000000", "is_public_booking": True},
        [],
        ["professional"],
        "professional",
        7,
        {"display_name": {"nested": "name"}},
        {"display_name": None},
    ],
)
def test_odd_metadata_neither_fails_the_sign_up_nor_verifies_anybody(cases: Cases, metadata: Any) -> None:
    user_id = cases.database.add_user(metadata=metadata)  # type: ignore[call-arg]
    assert profile(cases, user_id)["user_type"] in ("survivor", "professional")
    assert cases.count("public.professionals", "verification_status <> 'pending' or is_public_booking") == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Amina  ", "Amina"),
        ("line\r\nBcc: everybody", "line  Bcc: everybody"),
        ("\t\n", None),
        ("", None),
        ("é" * 500, "é" * 120),
        ("<script>", "<script>"),
    ],
)
def test_a_display_name_becomes_one_short_line(cases: Cases, given: str, kept: str | None) -> None:
    assert profile(cases, cases.database.add_user(display_name=given))["display_name"] == kept


def test_an_anonymous_user_has_a_profile_and_keeps_everything_when_becoming_permanent(cases: Cases) -> None:
    user_id = cases.database.add_user(anonymous=True)
    actor = cases.database.as_user(user_id, anonymous=True)
    actor.execute(
        "insert into public.reports (incident_type, required_services, consent_to_share)"
        " values ('other', '{counseling}', false)"
    )
    cases.database.as_superuser().execute(
        "update auth.users set is_anonymous = false, email = 'now@example.org' where id = %s", (user_id,)
    )
    assert cases.database.as_user(user_id).execute("select count(*) as n from public.reports").fetchall() == [{"n": 1}]
    assert cases.count("public.profiles", "id = %s", user_id) == 1


def test_metadata_that_changes_later_changes_nothing(cases: Cases) -> None:
    user_id = cases.database.add_user()
    cases.database.as_superuser().execute(
        """update auth.users set raw_user_meta_data = '{"user_type": "professional"}' where id = %s""", (user_id,)
    )
    assert profile(cases, user_id)["user_type"] == "survivor"
    assert cases.count("public.professionals") == 0


def test_deleting_an_account_takes_everything_that_hangs_on_it(committed: Cases) -> None:
    case = committed.accepted()
    call_log = "private.access_log_entries"
    case.professional.sql.execute("select public.open_case(%s)", (case.match_id,))
    assert committed.count(call_log) == 1
    committed.database.as_superuser().execute("delete from auth.users where id = %s", (case.survivor.id,))
    for relation in ("public.reports", "public.matched_services", call_log):
        assert committed.count(relation) == 0
    assert committed.count("public.appointments", "survivor_id is not null") == 0


def test_deleting_a_professionals_account_is_possible_with_open_cases(committed: Cases) -> None:
    case = committed.accepted()
    committed.database.as_superuser().execute("delete from auth.users where id = %s", (case.professional.id,))
    assert committed.count("public.support_services") == 0
    assert committed.count("public.appointments") == 0
    assert committed.count("public.reports") == 1
