"""A report is the survivor's: consent decides who hears of it, and nothing malformed is ever written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.support.cases import Cases, Survivor, call, insert
from tests.support.refusals import forbidden, refused

PLAIN = {"incident_type": "emotional", "required_services": ["counseling"]}


@pytest.fixture
def survivor(cases: Cases) -> Survivor:
    return cases.survivor()


#: What only functions may set.
CLOSED = {
    "status": "active",
    "match_status": "accepted",
    "ismatched": True,
    "case_code": "MINE-MINE-01",
    "created_at": "2020-01-01",
    "archived_at": "2020-01-01",
}
#: What is settled when the report is filed.
SETTLED = {
    "consent_to_share": True,
    "consent_location": True,
    "latitude": 1.0,
    "longitude": 1.0,
    "urgency": "high",
    "required_services": ["shelter"],
    "incident_type": "cyber",
    "gender": "male",
    "age_category": "child",
    "user_id": "00000000-0000-0000-0000-000000000000",
    "report_id": "00000000-0000-0000-0000-000000000000",
}


class TestConsent:
    def test_without_consent_a_report_is_kept_and_never_matched(self, cases: Cases, survivor: Survivor) -> None:
        cases.professional()
        report = insert(survivor.sql, "public.reports", PLAIN)
        assert (report["status"], report["consent_to_share"], report["ismatched"]) == ("recorded", False, False)
        cases.pass_time(days=3)
        cases.run_due_timers()
        cases.professional()
        assert cases.offers(report["report_id"]) == []
        assert cases.count("private.response_clocks") == 0
        assert cases.count("private.outbox_jobs") == 0

    def test_with_consent_it_is_matched_in_the_same_transaction(self, cases: Cases, survivor: Survivor) -> None:
        cases.professional()
        report_id = cases.file_report(survivor)
        assert len(cases.offers(report_id, "pending")) == 1
        assert (cases.report(report_id)["status"], cases.report(report_id)["match_status"]) == ("pending", "matched")

    def test_a_recorded_report_is_matched_when_its_owner_asks(self, cases: Cases, survivor: Survivor) -> None:
        cases.professional()
        report_id = cases.file_report(survivor, consent_to_share=False)
        told = call(survivor.sql, "request_support", report_id)
        assert (told["status"], told["consent_to_share"], told["match_status"]) == ("pending", True, "matched")
        offers = cases.offers(report_id)
        assert len(offers) == 1
        assert call(survivor.sql, "request_support", report_id) == told
        assert cases.offers(report_id) == offers

    def test_nobody_else_can_ask_for_it(self, cases: Cases, survivor: Survivor) -> None:
        report_id = cases.file_report(survivor, consent_to_share=False)
        for actor in (cases.survivor().sql, cases.professional().sql, cases.admin()):
            with refused("not_found"):
                call(actor, "request_support", report_id)
            with refused("not_found"):
                call(actor, "withdraw_report", report_id)
        with refused("not_authenticated"):
            call(cases.database.as_anon(), "request_support", report_id)
        assert cases.report(report_id)["status"] == "recorded"

    def test_withdrawal_ends_every_access_and_every_future_session_at_once(self, cases: Cases) -> None:
        case = cases.accepted(required_services=["counseling", "legal_aid"])
        lawyer = cases.professional(service_type="legal_aid")
        waiting = cases.offer(case.report_id, lawyer)
        told = call(case.survivor.sql, "withdraw_report", case.report_id)
        assert (told["status"], told["consent_to_share"]) == ("withdrawn", False)
        assert {offer["match_status_type"] for offer in cases.offers(case.report_id)} == {"withdrawn"}
        appointment = cases.one("select * from public.appointments")
        assert (appointment["status"], appointment["cancelled_by"]) == ("cancelled", case.survivor.id)
        for professional, match_id in ((case.professional, case.match_id), (lawyer, waiting["id"])):
            with refused("report_withdrawn"):
                call(professional.sql, "open_case", match_id)
        with refused("report_withdrawn"):
            call(case.survivor.sql, "request_support", case.report_id)

    def test_withdrawing_twice_is_withdrawing_once(self, cases: Cases) -> None:
        case = cases.accepted()
        first = call(case.survivor.sql, "withdraw_report", case.report_id)
        jobs = cases.count("private.outbox_jobs")
        assert call(case.survivor.sql, "withdraw_report", case.report_id) == first
        assert cases.count("private.outbox_jobs") == jobs

    def test_withdrawal_leaves_what_has_been_held(self, cases: Cases) -> None:
        case = cases.accepted()
        cases.pass_time(hours=3)
        call(case.survivor.sql, "withdraw_report", case.report_id)
        assert cases.one("select status from public.appointments")["status"] == "confirmed"

    def test_after_withdrawal_nobody_is_asked_any_more(self, cases: Cases, survivor: Survivor) -> None:
        cases.professional()
        report_id = cases.file_report(survivor)
        call(survivor.sql, "withdraw_report", report_id)
        cases.professional()
        cases.pass_time(days=2)
        cases.run_due_timers()
        assert len(cases.offers(report_id)) == 1


class TestFields:
    @pytest.mark.parametrize(
        ("columns", "field"),
        [
            ({"required_services": []}, "required_services"),
            ({"required_services": None}, "required_services"),
            ({"required_services": ["counseling"] * 11}, "required_services"),
            ({"required_services": ["counseling", None]}, "required_services"),
            ({"required_services": [["counseling"]]}, "required_services"),
            ({"required_services": [["counseling"], ["medical"]]}, "required_services"),
            ({"incident_type": None}, "incident_type"),
            ({"urgency": None}, "urgency"),
            ({"gender": None}, "gender"),
            ({"contact_preference": None}, "contact_preference"),
            ({"special_needs": None}, "special_needs"),
            ({"consent_to_share": None}, "consent"),
            ({"consent_location": None}, "consent"),
            ({"incident_description": "x" * 20001}, "incident_description"),
            ({"incident_description": "x" * 5_000_000}, "incident_description"),
            ({"incident_date": "infinity"}, "incident_date"),
            ({"incident_date": "-infinity"}, "incident_date"),
            ({"incident_date": "1899-12-31"}, "incident_date"),
            ({"incident_date": "0044-03-15 BC"}, "incident_date"),
            ({"incident_date": "2999-01-01"}, "incident_date"),
            ({"survivor_name": "x" * 201}, "survivor_name"),
            ({"survivor_name": "two\nlines"}, "survivor_name"),
            ({"survivor_name": "bell\a"}, "survivor_name"),
            ({"contact_email": "nobody"}, "contact_email"),
            ({"contact_email": "a@b@c"}, "contact_email"),
            ({"contact_email": "a b@c.org"}, "contact_email"),
            ({"contact_email": "a@b.org\r\nBcc: c@d.org"}, "contact_email"),
            ({"contact_email": "Amina <a@b.org>"}, "contact_email"),
            ({"contact_email": "a@b.org,c@d.org"}, "contact_email"),
            ({"contact_email": "a" * 250 + "@b.org"}, "contact_email"),
            ({"contact_email": ""}, "contact_email"),
            ({"contact_phone": "call me"}, "contact_phone"),
            ({"contact_phone": "1" * 33}, "contact_phone"),
            ({"contact_phone": "12"}, "contact_phone"),
            ({"contact_phone": "+254\n700"}, "contact_phone"),
            ({"safe_contact_from": "09:00"}, "safe_contact"),
            ({"safe_contact_until": "09:00"}, "safe_contact"),
            ({"emergency_contact": "x" * 501}, "emergency_contact"),
            ({"preferred_language": "x" * 36}, "preferred_language"),
            ({"preferred_language": "sw\n"}, "preferred_language"),
            ({"special_needs": ["x"] * 21}, "special_needs"),
            ({"special_needs": ["x" * 61]}, "special_needs"),
            ({"special_needs": [""]}, "special_needs"),
            ({"special_needs": ["a\nb"]}, "special_needs"),
            ({"special_needs": [None]}, "special_needs"),
            ({"special_needs": [["a"], ["b"]]}, "special_needs"),
            ({"latitude": 1.0, "consent_location": True}, "latitude"),
            ({"longitude": 1.0, "consent_location": True}, "latitude"),
            ({"latitude": 90.1, "longitude": 0.0, "consent_location": True}, "latitude"),
            ({"latitude": 0.0, "longitude": -180.1, "consent_location": True}, "longitude"),
            ({"latitude": float("nan"), "longitude": 0.0, "consent_location": True}, "latitude"),
            ({"latitude": 0.0, "longitude": float("inf"), "consent_location": True}, "longitude"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_a_malformed_field_is_named_and_nothing_is_written(
        self, cases: Cases, survivor: Survivor, columns: dict[str, Any], field: str
    ) -> None:
        with refused("invalid_input") as told:
            cases.file_report(survivor, **columns)
        assert field in told.details
        assert cases.count("public.reports") == 0
        assert cases.count("private.outbox_jobs") == 0

    @pytest.mark.parametrize("consent", [False, None])
    def test_a_place_without_consent_to_it_is_refused(self, cases: Cases, survivor: Survivor, consent: Any) -> None:
        for place in ({"latitude": 1.0, "longitude": 36.0}, {"latitude": 1.0}, {"longitude": float("nan")}):
            with refused("consent_required"):
                cases.file_report(survivor, consent_location=consent, **place)
        assert cases.count("public.reports") == 0

    @pytest.mark.parametrize(
        ("columns", "error"),
        [
            ({"incident_type": "bad luck"}, psycopg.errors.InvalidTextRepresentation),
            ({"required_services": ["magic"]}, psycopg.errors.InvalidTextRepresentation),
            ({"urgency": "HIGH"}, psycopg.errors.InvalidTextRepresentation),
            ({"incident_date": "yesterweek"}, psycopg.errors.InvalidDatetimeFormat),
            ({"incident_date": "2026-02-30"}, psycopg.errors.DatetimeFieldOverflow),
            ({"safe_contact_from": "25:00", "safe_contact_until": "26:00"}, psycopg.errors.DatetimeFieldOverflow),
            ({"user_id": "me"}, psycopg.errors.InvalidTextRepresentation),
        ],
    )
    def test_what_no_type_can_hold_is_refused_by_the_type(
        self, cases: Cases, survivor: Survivor, columns: dict[str, Any], error: type[psycopg.Error]
    ) -> None:
        with pytest.raises(error):
            cases.file_report(survivor, **columns)
        assert cases.count("public.reports") == 0

    def test_a_full_report_at_every_limit_is_kept_as_it_is(self, cases: Cases, survivor: Survivor) -> None:
        full = {
            "incident_type": "trafficking",
            "incident_description": "x" * 19_990 + "\n\t«ñ» 🕊",
            "incident_date": (cases.now() - timedelta(days=1)).date(),
            "urgency": "low",
            "required_services": ["shelter", "medical"],
            "gender": "non_binary",
            "age_category": "adolescent",
            "survivor_name": "ñ" * 200,
            "contact_email": "a+b.c@sub.example.org",
            "contact_phone": "+254 (700) 123-456/7.8",
            "contact_preference": "sms",
            "emergency_contact": "y" * 500,
            "preferred_language": "sw-KE",
            "preferred_professional_gender": "female",
            "special_needs": ["n" * 60] * 20,
            "consent_to_share": False,
            "consent_location": True,
            "latitude": -90.0,
            "longitude": 180.0,
        }
        report = cases.report(cases.file_report(survivor, **full))
        assert {name: report[name] for name in full} == full

    def test_the_same_help_asked_for_twice_is_asked_for_once(self, cases: Cases, survivor: Survivor) -> None:
        report_id = cases.file_report(survivor, required_services=["medical", "counseling", "medical"])
        assert cases.report(report_id)["required_services"] == ["medical", "counseling"]

    def test_codes_are_speakable_and_tell_no_order(self, cases: Cases, survivor: Survivor) -> None:
        codes = [cases.report(cases.file_report(survivor))["case_code"] for _ in range(20)]
        assert len(set(codes)) == 20
        assert all(len(code) == 12 and code[4] == code[9] == "-" for code in codes), codes
        assert codes != sorted(codes)


class TestWriting:
    @pytest.mark.parametrize("column", CLOSED)
    def test_a_survivor_does_not_choose_state_code_or_times(
        self, cases: Cases, survivor: Survivor, column: str
    ) -> None:
        with forbidden():
            insert(survivor.sql, "public.reports", PLAIN | {column: CLOSED[column]})
        assert cases.count("public.reports") == 0

    @pytest.mark.parametrize("column", [*CLOSED, *SETTLED])
    def test_a_survivor_does_not_rewrite_what_is_settled(self, cases: Cases, survivor: Survivor, column: str) -> None:
        report_id = cases.file_report(survivor, consent_to_share=False)
        before = cases.report(report_id)
        with forbidden():
            survivor.sql.execute(f"update public.reports set {column} = %s", ((CLOSED | SETTLED)[column],))
        assert cases.report(report_id) == before

    def test_a_survivor_corrects_story_and_contact(self, cases: Cases, survivor: Survivor) -> None:
        report_id = cases.file_report(survivor)
        corrected = {
            "incident_description": "again, better",
            "incident_date": cases.now().date(),
            "survivor_name": "A.",
            "contact_email": "new@example.org",
            "contact_phone": "0700",
            "contact_preference": "email",
            "emergency_contact": "sister",
            "preferred_language": "sw",
            "preferred_professional_gender": "female",
            "special_needs": ["disability"],
        }
        assignments = ", ".join(f"{name} = %({name})s" for name in corrected)
        survivor.sql.execute(f"update public.reports set {assignments}", corrected)
        report = cases.report(report_id)
        assert {name: report[name] for name in corrected} == corrected

    def test_a_correction_is_checked_like_the_first_word(self, cases: Cases, survivor: Survivor) -> None:
        report_id = cases.file_report(survivor)
        before = cases.report(report_id)
        for column, value in (
            ("incident_description", "x" * 20001),
            ("contact_email", "nobody"),
            ("incident_date", "infinity"),
            ("safe_contact_from", "09:00"),
            ("special_needs", [""]),
        ):
            with refused("invalid_input"):
                survivor.sql.execute(f"update public.reports set {column} = %s", (value,))
        assert cases.report(report_id) == before

    def test_an_ended_report_is_not_corrected(self, cases: Cases, survivor: Survivor) -> None:
        report_id = cases.file_report(survivor)
        call(survivor.sql, "withdraw_report", report_id)
        with refused("report_withdrawn"):
            survivor.sql.execute("update public.reports set survivor_name = 'B.'")
        case = cases.accepted()
        call(case.professional.sql, "complete_case", case.match_id)
        call(case.survivor.sql, "complete_case", case.match_id)
        with refused("case_not_open"):
            case.survivor.sql.execute("update public.reports set survivor_name = 'B.'")
        assert cases.count("public.reports", "survivor_name is not null") == 0

    def test_nobody_files_for_somebody_else(self, cases: Cases, survivor: Survivor) -> None:
        with forbidden():
            insert(cases.survivor().sql, "public.reports", PLAIN | {"user_id": survivor.id})
        with forbidden():
            insert(cases.database.as_anon(), "public.reports", PLAIN)
        assert cases.count("public.reports") == 0

    def test_nobody_deletes_a_report_by_hand(self, cases: Cases, survivor: Survivor) -> None:
        cases.file_report(survivor)
        with forbidden():
            survivor.sql.execute("delete from public.reports")
        assert cases.count("public.reports") == 1
