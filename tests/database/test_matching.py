"""Who is asked: each rule of candidacy by itself, the score part by part, and who takes the place of whom."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.cases import NAIROBI, Cases, Professional, Survivor, accept, call, north
from tests.support.refusals import forbidden

AT_NAIROBI = {"consent_location": True, "latitude": NAIROBI[0], "longitude": NAIROBI[1]}
#: A working day on which everybody without appointments is free from 09:00 to 17:00 UTC.
MONDAY = datetime(2027, 3, 1, 10, tzinfo=UTC)


def at(place: tuple[float, float]) -> dict[str, Any]:
    return {"consent_location": True, "latitude": place[0], "longitude": place[1]}


class TestCandidates:
    """A verified counselor at Nairobi, and a report there, differing in one thing at a time."""

    def asked(self, cases: Cases, report: dict[str, Any] | None = None, **service: Any) -> bool:
        professional = cases.professional(**service)
        report_id = cases.file_report(cases.survivor(), **(AT_NAIROBI if report is None else report))
        return cases.offered_to(report_id) == {professional.id}

    def test_somebody_who_fits_is_asked(self, cases: Cases) -> None:
        assert self.asked(cases)

    @pytest.mark.parametrize(
        "service",
        [
            {"service_type": "legal_aid"},
            {"incident_types": ["cyber", "stalking"]},
            {"is_active": False},
            {"verification_status": "pending"},
            {"verification_status": "under_review"},
            {"verification_status": "rejected"},
            {"verification_status": "suspended"},
            {"card": {"verification_status": "pending"}},
            {"card": {"verification_status": "under_review"}},
            {"card": {"verification_status": "rejected"}},
            {"card": {"verification_status": "suspended"}},
            {"card": {"out_of_office_until": datetime(2099, 1, 1, tzinfo=UTC)}},
            {"card": {"out_of_office_until": "infinity"}},
            {"place": north(50.1)},
            {"place": north(-50.1)},
            {"place": north(10.1), "coverage_radius_km": 10},
            {"place": None},
        ],
        ids=str,
    )
    def test_somebody_who_does_not_fit_is_not_asked(self, cases: Cases, service: dict[str, Any]) -> None:
        assert not self.asked(cases, **service)

    @pytest.mark.parametrize(
        "service",
        [
            {"incident_types": ["emotional"]},
            {"incident_types": ["cyber", "emotional"]},
            {"card": {"out_of_office_until": datetime(2020, 1, 1, tzinfo=UTC)}},
            {"card": {"out_of_office_until": "-infinity"}},
            {"place": north(49.9)},
            {"place": north(9.9), "coverage_radius_km": 10},
            {"place": (40.0, -74.0), "is_remote": True},
            {"place": None, "is_remote": True},
            {"place": (40.0, -74.0), "coverage_radius_km": 20000},
        ],
        ids=str,
    )
    def test_somebody_who_just_fits_is_asked(self, cases: Cases, service: dict[str, Any]) -> None:
        assert self.asked(cases, **service)

    @pytest.mark.parametrize("place", [NAIROBI, (40.0, -74.0), None])
    def test_a_report_without_a_place_is_for_everybody(self, cases: Cases, place: Any) -> None:
        assert self.asked(cases, {}, place=place)

    @pytest.mark.parametrize(
        ("service", "report"),
        [((0.0, 179.9), (0.0, -179.9)), ((89.9, 0.0), (89.9, 180.0)), ((-89.95, -90.0), (-89.95, 90.0))],
    )
    def test_the_globe_has_no_seam(
        self, cases: Cases, service: tuple[float, float], report: tuple[float, float]
    ) -> None:
        assert self.asked(cases, at(report), place=service)
        assert not self.asked(cases, at(report), place=service, coverage_radius_km=10)

    def test_nobody_is_offered_their_own_report(self, cases: Cases) -> None:
        professional = cases.professional()
        report_id = cases.file_report(Survivor(professional.id, professional.sql))
        assert cases.offers(report_id) == []

    def test_nobody_is_asked_whom_the_survivor_blocks(self, cases: Cases) -> None:
        professional, survivor = cases.professional(), cases.survivor()
        survivor.sql.execute(
            "insert into public.blocked_professionals (professional_id) values (%s)", (professional.id,)
        )
        assert cases.offers(cases.file_report(survivor)) == []

    def test_nobody_is_asked_who_blocks_the_reporter(self, cases: Cases) -> None:
        # Both are professionals; one has blocked the other as a survivor.
        blocker, reporter = cases.professional(), cases.professional()
        blocker.sql.execute("insert into public.blocked_professionals (professional_id) values (%s)", (reporter.id,))
        assert cases.offers(cases.file_report(Survivor(reporter.id, reporter.sql))) == []

    def test_a_blocked_professional_is_replaced_at_once(self, cases: Cases) -> None:
        survivor = cases.survivor()
        blocked = cases.professional()
        report_id = cases.file_report(survivor, urgency="low")
        next_best = cases.professional()
        assert cases.offered_to(report_id) == {blocked.id}
        survivor.sql.execute("insert into public.blocked_professionals (professional_id) values (%s)", (blocked.id,))
        assert cases.offer(report_id, blocked)["match_status_type"] == "withdrawn"
        assert cases.offered_to(report_id, "pending") == {next_best.id}

    def test_a_full_service_is_not_asked_until_its_professional_completes_a_case(self, cases: Cases) -> None:
        professional = cases.professional(max_active_cases=2)
        first = cases.accepted(professional=professional)
        cases.pass_time(hours=3)
        cases.accepted(professional=professional)
        waiting = cases.file_report(cases.survivor())
        assert cases.offers(waiting) == []
        call(professional.sql, "complete_case", first.match_id)
        assert cases.offered_to(waiting) == {professional.id}

    def test_capacity_is_counted_for_each_service(self, cases: Cases) -> None:
        professional = cases.professional(max_active_cases=1)
        cases.service(professional.id, service_type="legal_aid", max_active_cases=1)
        cases.accepted(professional=professional)
        report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
        assert [offer["service_type"] for offer in cases.offers(report_id)] == ["legal_aid"]

    def test_two_services_of_one_professional_make_one_offer(self, cases: Cases) -> None:
        professional = cases.professional()
        better = cases.service(professional.id, incident_types=["emotional"])
        (offer,) = cases.offers(cases.file_report(cases.survivor()))
        assert offer["service_id"] == better

    def test_nobody_is_asked_twice(self, cases: Cases) -> None:
        professional = cases.professional()
        report_id = cases.file_report(cases.survivor())
        call(professional.sql, "decline_match", cases.offer(report_id, professional)["id"])
        cases.service(professional.id)
        cases.pass_time(days=2)
        cases.run_due_timers()
        assert len(cases.offers(report_id)) == 1

    def test_each_required_service_is_asked_for_by_itself(self, cases: Cases) -> None:
        counselor, lawyer = cases.professional(), cases.professional(service_type="legal_aid")
        report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid", "shelter"])
        assert {(offer["service_type"], offer["professional_id"]) for offer in cases.offers(report_id)} == {
            ("counseling", counselor.id),
            ("legal_aid", lawyer.id),
        }


@pytest.mark.parametrize(("urgency", "offers"), [("low", 3), ("medium", 5), ("high", 8)])
def test_urgency_sets_how_many_are_asked(cases: Cases, urgency: str, offers: int) -> None:
    for _ in range(9):
        cases.professional()
    assert len(cases.offers(cases.file_report(cases.survivor(), urgency=urgency))) == offers


class TestScore:
    @pytest.fixture(autouse=True)
    def _working_hours(self, cases: Cases) -> None:
        cases.set_time(MONDAY)

    def parts(self, cases: Cases, professional: Professional, **report: Any) -> dict[str, float]:
        offer = cases.offer(cases.file_report(cases.survivor(), **report), professional)
        parts: dict[str, float] = offer["parts"]
        total = sum(points for name, points in parts.items() if name != "stage")
        assert total == pytest.approx(float(offer["score"]), abs=0.01)
        assert 0 <= offer["score"] <= 100
        assert offer["match_score"] % 5 == 0
        assert abs(offer["match_score"] - offer["score"]) <= 2.5
        return parts

    def test_everything_that_fits_gives_all_points_but_the_boost(self, cases: Cases) -> None:
        professional = cases.professional(incident_types=["emotional"])
        assert self.parts(cases, professional, **AT_NAIROBI) == {
            "speciality": 25,
            "proximity": 20,
            "availability": 15,
            "language": 10,
            "gender": 10,
            "needs": 5,
            "load": 5,
            "boost": 0,
            "stage": 0,
        }

    def test_a_generalist_has_half_the_speciality(self, cases: Cases) -> None:
        assert self.parts(cases, cases.professional())["speciality"] == 12.5

    @pytest.mark.parametrize(
        ("service", "report", "points"),
        [
            ({}, AT_NAIROBI, 20),
            ({"place": north(20)}, AT_NAIROBI, 10),
            ({"place": north(40)}, AT_NAIROBI, 5),
            ({"place": (40.0, -74.0), "is_remote": True}, AT_NAIROBI, 8),
            ({"place": None, "is_remote": True}, AT_NAIROBI, 8),
            ({"place": NAIROBI, "is_remote": True}, AT_NAIROBI, 20),
            ({"place": north(40), "is_remote": True}, AT_NAIROBI, 8),
            ({"place": (40.0, -74.0)}, {}, 20),
        ],
    )
    def test_proximity_halves_every_twenty_kilometres(
        self, cases: Cases, service: dict[str, Any], report: dict[str, Any], points: float
    ) -> None:
        parts = self.parts(cases, cases.professional(**service), **report)
        assert parts["proximity"] == pytest.approx(points, abs=0.01)

    @pytest.mark.parametrize(("urgency", "hours"), [("high", 4), ("medium", 24), ("low", 72)])
    def test_availability_halves_by_the_urgency(self, cases: Cases, urgency: str, hours: int) -> None:
        professional = cases.professional()
        cases.sql.execute(
            "insert into public.availability_exceptions (professional_id, during, kind)"
            " values (%s, tstzrange(%s, %s), 'blocked'), (%s, tstzrange(%s, %s), 'open')",
            (
                professional.id,
                MONDAY - timedelta(hours=1),
                MONDAY + timedelta(days=8),
                professional.id,
                MONDAY,
                MONDAY + timedelta(days=8),
            ),
        )
        assert self.parts(cases, professional, urgency=urgency)["availability"] == 0
        cases.sql.execute("delete from public.availability_exceptions where kind = 'blocked'")
        cases.sql.execute(
            "insert into public.availability_exceptions (professional_id, during, kind)"
            " values (%s, tstzrange(%s, %s), 'blocked')",
            (professional.id, MONDAY - timedelta(hours=1), MONDAY + timedelta(hours=hours)),
        )
        assert self.parts(cases, professional, urgency=urgency)["availability"] == pytest.approx(7.5, abs=0.01)

    @pytest.mark.parametrize(("urgency", "points"), [("high", 15), ("medium", None)])
    def test_a_crisis_service_is_free_at_any_hour_for_urgent_cases(
        self, cases: Cases, urgency: str, points: float | None
    ) -> None:
        cases.set_time(MONDAY.replace(hour=3))
        professional = cases.professional(crisis_24_7=True)
        availability = self.parts(cases, professional, urgency=urgency)["availability"]
        assert availability == points if points else availability < 15

    def test_an_appointment_makes_busy(self, cases: Cases) -> None:
        professional = cases.professional()
        first = cases.file_report(cases.survivor(), urgency="high")
        assert cases.offer(first, professional)["parts"]["availability"] == 15
        accept(professional.sql, cases.offer(first, professional)["id"], MONDAY + timedelta(minutes=30), 120)
        # Free again from 12:30.
        assert self.parts(cases, professional, urgency="high")["availability"] == pytest.approx(
            15 * 0.5 ** (2.5 / 4), abs=0.01
        )

    @pytest.mark.parametrize(
        ("preferred", "card", "service", "points"),
        [
            (None, [], [], 10),
            ("sw", ["sw"], [], 10),
            ("SW", ["sw"], [], 10),
            ("sw", ["en", "Sw"], [], 10),
            ("sw", [], ["SW"], 10),
            ("sw", ["en"], ["fr"], 0),
            ("sw", [], [], 0),
            ("NULL", ["null"], [], 10),
            ('a"b\\', ['A"B\\'], [], 10),
            ("{}", ["x,y"], [], 0),
        ],
    )
    def test_language_counts_whole_or_not_at_all(
        self, cases: Cases, preferred: Any, card: list[str], service: list[str], points: float
    ) -> None:
        professional = cases.professional(card={"languages": card}, languages=service)
        assert self.parts(cases, professional, preferred_language=preferred)["language"] == points

    @pytest.mark.parametrize(
        ("preferred", "gender", "points"),
        [
            (None, "male", 10),
            ("prefer_not_to_say", "male", 10),
            ("female", "female", 10),
            ("female", "male", 0),
            ("female", "prefer_not_to_say", 0),
        ],
    )
    def test_a_preferred_gender_counts(self, cases: Cases, preferred: Any, gender: str, points: float) -> None:
        professional = cases.professional(card={"gender": gender})
        assert self.parts(cases, professional, preferred_professional_gender=preferred)["gender"] == points

    @pytest.mark.parametrize(
        ("needs", "points"),
        [
            ([], 5),
            (["disability"], 5),
            (["Disability"], 5),
            (["disability", "lgbtq"], 2.5),
            (["lgbtq"], 0),
            (["a quiet room"], 0),
        ],
    )
    def test_special_needs_count_by_their_share(self, cases: Cases, needs: list[str], points: float) -> None:
        professional = cases.professional(specialisations=["disability", "children"])
        assert self.parts(cases, professional, special_needs=needs)["needs"] == points

    def test_open_cases_weigh(self, cases: Cases) -> None:
        professional = cases.professional(max_active_cases=4)
        assert self.parts(cases, professional)["load"] == 5
        case = cases.accepted(professional=professional)
        assert self.parts(cases, professional)["load"] == 3.75
        call(professional.sql, "complete_case", case.match_id)
        assert self.parts(cases, professional)["load"] == 5

    def test_the_breakdown_is_for_administrators_alone(self, cases: Cases) -> None:
        case = cases.accepted()
        admin = cases.admin()
        (row,) = admin.execute("select * from public.match_breakdowns").fetchall()
        assert row["match_id"] == case.match_id
        for actor in (case.professional.sql, case.survivor.sql, cases.professional().sql):
            assert actor.execute("select * from public.match_breakdowns").fetchall() == []
        with forbidden():
            cases.database.as_anon().execute("select * from public.match_breakdowns")

    def test_a_setting_that_does_not_add_up_is_refused(self, cases: Cases) -> None:
        with pytest.raises(Exception, match="matching_settings_weights_sum_to_100"):
            cases.sql.execute("update private.matching_settings set weight_boost = 11")


class TestBoost:
    def boost(self, cases: Cases, professional: Professional) -> float:
        offer = cases.offer(cases.file_report(cases.survivor()), professional)
        points: float = offer["parts"]["boost"]
        return points

    def test_it_comes_with_the_professionals_mark_and_decays_in_thirty_days(self, cases: Cases) -> None:
        case = cases.accepted()
        assert self.boost(cases, case.professional) == 0
        call(case.professional.sql, "complete_case", case.match_id)
        assert self.boost(cases, case.professional) == 6
        cases.pass_time(days=15)
        assert self.boost(cases, case.professional) == pytest.approx(3, abs=0.01)
        cases.pass_time(days=14)
        assert self.boost(cases, case.professional) == pytest.approx(0.2, abs=0.01)
        cases.pass_time(days=2)
        assert self.boost(cases, case.professional) == 0

    def test_it_is_bounded_however_many_cases(self, cases: Cases) -> None:
        professional = cases.professional()
        for _ in range(3):
            call(professional.sql, "complete_case", cases.accepted(professional=professional).match_id)
            cases.pass_time(hours=2)
        assert self.boost(cases, professional) == 10

    def test_it_is_given_once_for_a_case_with_two_services(self, cases: Cases) -> None:
        professional = cases.professional()
        cases.service(professional.id, service_type="legal_aid")
        report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
        for offer in cases.offers(report_id):
            accept(professional.sql, offer["id"])
            cases.pass_time(hours=2)
            call(professional.sql, "complete_case", offer["id"])
        assert cases.count("private.completion_boosts") == 1

    def test_marking_twice_boosts_once(self, cases: Cases) -> None:
        case = cases.accepted()
        call(case.professional.sql, "complete_case", case.match_id)
        cases.pass_time(days=10)
        call(case.professional.sql, "complete_case", case.match_id)
        assert self.boost(cases, case.professional) == pytest.approx(4, abs=0.01)

    def test_a_dispute_takes_it_away(self, cases: Cases) -> None:
        case = cases.accepted()
        call(case.professional.sql, "complete_case", case.match_id)
        call(case.survivor.sql, "dispute_completion", case.match_id)
        assert self.boost(cases, case.professional) == 0

    def test_a_survivors_mark_boosts_nobody(self, cases: Cases) -> None:
        case = cases.accepted()
        call(case.survivor.sql, "complete_case", case.match_id)
        assert cases.count("private.completion_boosts") == 0


class TestTies:
    def test_equal_candidates_are_asked_by_the_length_of_their_wait(self, cases: Cases) -> None:
        waiting = []
        for _ in range(5):
            waiting.append(cases.professional().id)
            cases.pass_time(minutes=1)
        report_id = cases.file_report(cases.survivor(), urgency="low")
        assert cases.offered_to(report_id) == set(waiting[:3])

    def test_who_has_taken_a_case_goes_to_the_end_of_the_queue(self, cases: Cases) -> None:
        cases.sql.execute("update private.matching_settings set offers_low = 1")
        first = cases.professional(max_active_cases=100)
        cases.pass_time(minutes=1)
        second = cases.professional(max_active_cases=100)
        # Nothing but the wait may tell them apart.
        cases.sql.execute(
            "update private.matching_settings set weight_load = 0, weight_availability = 0, weight_speciality = 45"
        )
        cases.pass_time(minutes=1)
        report_id = cases.file_report(cases.survivor(), urgency="low")
        assert cases.offered_to(report_id) == {first.id}
        accept(first.sql, cases.offer(report_id, first)["id"])
        assert cases.offered_to(cases.file_report(cases.survivor(), urgency="low")) == {second.id}


class TestChildren:
    def escalations(self, cases: Cases) -> list[str]:
        return [row["reason"] for row in cases.sql.execute("select reason from private.escalations order by 1")]

    def test_a_childs_case_goes_to_child_specialists_alone(self, cases: Cases) -> None:
        for _ in range(3):
            cases.professional(incident_types=["emotional"])
        specialist = cases.professional(specialisations=["children"])
        assert cases.offered_to(cases.file_report(cases.survivor(), age_category="child")) == {specialist.id}
        assert self.escalations(cases) == []

    def test_without_a_specialist_others_are_asked_and_administrators_told(self, cases: Cases) -> None:
        cases.admin()
        other = cases.professional(specialisations=["disability", "lgbtq"])
        report_id = cases.file_report(cases.survivor(), age_category="child")
        assert cases.offered_to(report_id) == {other.id}
        assert self.escalations(cases) == ["no_child_specialist"]
        assert cases.count("public.notifications", "kind = 'case_escalated'") == 1
        assert cases.report(report_id)["match_status"] == "matched"

    def test_others_are_asked_when_the_last_specialist_has_declined(self, cases: Cases) -> None:
        other = cases.professional()
        specialists = [cases.professional(specialisations=["children"]) for _ in range(2)]
        report_id = cases.file_report(cases.survivor(), age_category="child")
        call(specialists[0].sql, "decline_match", cases.offer(report_id, specialists[0])["id"])
        assert cases.offered_to(report_id, "pending") == {specialists[1].id}
        call(specialists[1].sql, "decline_match", cases.offer(report_id, specialists[1])["id"])
        assert cases.offered_to(report_id, "pending") == {other.id}
        assert self.escalations(cases) == ["no_child_specialist"]

    @pytest.mark.parametrize("age", ["adolescent", "adult", "older_adult", None])
    def test_specialists_are_not_reserved_for_children(self, cases: Cases, age: str | None) -> None:
        everybody = {cases.professional().id, cases.professional(specialisations=["children"]).id}
        assert cases.offered_to(cases.file_report(cases.survivor(), age_category=age)) == everybody


class TestReplacement:
    @pytest.fixture
    def queue(self, cases: Cases) -> list[Professional]:
        queue = []
        for _ in range(5):
            queue.append(cases.professional())
            cases.pass_time(minutes=1)
        return queue

    def test_a_declined_offer_is_replaced_in_the_same_transaction(
        self, cases: Cases, queue: list[Professional]
    ) -> None:
        report_id = cases.file_report(cases.survivor(), urgency="low")
        told = call(queue[0].sql, "decline_match", cases.offer(report_id, queue[0])["id"], "on leave")
        assert (told["match_status_type"], told["decline_reason"]) == ("declined", "on leave")
        assert cases.offered_to(report_id, "pending") == {queue[1].id, queue[2].id, queue[3].id}

    def test_declining_twice_replaces_once(self, cases: Cases, queue: list[Professional]) -> None:
        report_id = cases.file_report(cases.survivor(), urgency="low")
        match_id = cases.offer(report_id, queue[0])["id"]
        first = call(queue[0].sql, "decline_match", match_id)
        assert call(queue[0].sql, "decline_match", match_id, "another reason") == first
        assert len(cases.offers(report_id)) == 4

    def test_a_long_reason_declines_nothing(self, cases: Cases, queue: list[Professional]) -> None:
        report_id = cases.file_report(cases.survivor(), urgency="low")
        with pytest.raises(Exception, match="invalid_input"):
            call(queue[0].sql, "decline_match", cases.offer(report_id, queue[0])["id"], "x" * 501)
        assert cases.offer(report_id, queue[0])["match_status_type"] == "pending"

    @pytest.mark.parametrize(("urgency", "hours"), [("high", 4), ("low", 24)])
    def test_an_offer_expires_and_is_replaced_at_once(
        self, cases: Cases, queue: list[Professional], urgency: str, hours: int
    ) -> None:
        cases.sql.execute("update private.matching_settings set offers_high = 3")
        report_id = cases.file_report(cases.survivor(), urgency=urgency)
        cases.pass_time(hours=hours, seconds=-1)
        assert cases.run_due_timers()["expired"] == 0
        cases.pass_time(seconds=1)
        assert cases.run_due_timers()["expired"] == 3
        assert len(cases.offers(report_id, "expired")) == 3
        # Two were left, and nobody is asked twice.
        assert cases.offered_to(report_id, "pending") == {queue[3].id, queue[4].id}

    def test_when_nobody_is_left_it_is_escalated_once(self, cases: Cases) -> None:
        cases.admin()
        professional = cases.professional()
        report_id = cases.file_report(cases.survivor())
        call(professional.sql, "decline_match", cases.offer(report_id, professional)["id"])
        assert cases.report(report_id)["match_status"] == "escalated"
        assert cases.count("private.escalations", "reason = 'no_candidate'") == 1
        assert cases.count("public.notifications", "kind = 'case_escalated'") == 1
        cases.pass_time(hours=1)
        cases.run_due_timers()
        assert cases.count("public.notifications", "kind = 'case_escalated'") == 1

    def test_a_report_that_nobody_can_take_is_escalated_at_once_with_masked_facts(self, cases: Cases) -> None:
        admin = cases.admin()
        report_id = cases.file_report(cases.survivor(), urgency="high", gender="female", age_category="adult")
        (row,) = admin.execute("select * from public.escalations").fetchall()
        assert (row["report_id"], row["reason"], row["urgency"]) == (report_id, "no_candidate", "high")
        assert row["attempts"] == {
            "offered": 0, "pending": 0, "declined": 0, "expired": 0, "withdrawn": 0,
            "nudged": False, "widened": False, "opened": False,
        }  # fmt: skip
        assert row["age_minutes"] == 0
        assert cases.report(report_id)["match_status"] == "escalated"
        for actor in (cases.professional().sql, cases.survivor().sql):
            assert actor.execute("select * from public.escalations").fetchall() == []

    def test_acceptance_closes_the_escalation(self, cases: Cases) -> None:
        admin = cases.admin()
        report_id = cases.file_report(cases.survivor())
        professional = cases.professional()
        accept(professional.sql, cases.offer(report_id, professional)["id"])
        assert admin.execute("select * from public.escalations").fetchall() == []
        assert cases.report(report_id)["match_status"] == "accepted"


class TestLosingVerification:
    """Who may not help any more is no longer asked, and nobody waits for their answer."""

    @pytest.mark.parametrize("table", ["professionals", "support_services"])
    @pytest.mark.parametrize("status", ["suspended", "rejected", "under_review", "pending"])
    def test_open_offers_end_and_the_next_best_is_asked_at_once(self, cases: Cases, table: str, status: str) -> None:
        gone = cases.professional()
        report_id = cases.file_report(cases.survivor())
        next_best = cases.professional()
        row_id = gone.id if table == "professionals" else gone.service_id
        cases.sql.execute(f"update public.{table} set verification_status = %s where id = %s", (status, row_id))
        ended = cases.offer(report_id, gone)
        assert (ended["match_status_type"], ended["closed_at"]) == ("withdrawn", cases.now())
        assert cases.offered_to(report_id, "pending") == {next_best.id}
        assert cases.report(report_id)["match_status"] == "matched"

    def test_without_a_next_best_it_is_escalated(self, cases: Cases) -> None:
        cases.professional()
        report_id = cases.file_report(cases.survivor())
        cases.sql.execute("update public.professionals set verification_status = 'suspended'")
        assert cases.report(report_id)["match_status"] == "escalated"

    def test_one_service_of_two_ends_its_own_offers_only(self, cases: Cases) -> None:
        professional = cases.professional()
        law = cases.service(professional.id, service_type="legal_aid")
        report_id = cases.file_report(cases.survivor(), required_services=["counseling", "legal_aid"])
        cases.sql.execute("update public.support_services set verification_status = 'rejected' where id = %s", (law,))
        states = {offer["service_type"]: offer["match_status_type"] for offer in cases.offers(report_id)}
        assert states == {"counseling": "pending", "legal_aid": "withdrawn"}


class TestAnotherLook:
    """A report that waits with no open offer is looked at again as soon as somebody becomes free."""

    @pytest.fixture
    def waiting(self, cases: Cases) -> uuid.UUID:
        return cases.file_report(cases.survivor())

    def test_when_a_professional_is_verified(self, cases: Cases, waiting: uuid.UUID) -> None:
        professional = cases.professional(card={"verification_status": "under_review"})
        assert cases.offers(waiting) == []
        cases.sql.execute(
            "update public.professionals set verification_status = 'verified' where id = %s", (professional.id,)
        )
        assert cases.offered_to(waiting) == {professional.id}
        assert cases.report(waiting)["match_status"] == "matched"

    def test_when_a_service_is_verified(self, cases: Cases, waiting: uuid.UUID) -> None:
        professional = cases.professional(verification_status="pending")
        cases.sql.execute("update public.support_services set verification_status = 'verified'")
        assert cases.offered_to(waiting) == {professional.id}

    def test_when_a_professional_is_back_in_the_office_early(self, cases: Cases, waiting: uuid.UUID) -> None:
        professional = cases.professional(card={"out_of_office_until": datetime(2099, 1, 1, tzinfo=UTC)})
        professional.sql.execute("update public.professionals set out_of_office_until = null")
        assert cases.offered_to(waiting) == {professional.id}

    def test_when_leave_has_ended_by_the_calendar(self, cases: Cases, waiting: uuid.UUID) -> None:
        professional = cases.professional(card={"out_of_office_until": cases.now() + timedelta(minutes=3)})
        cases.run_due_timers()
        assert cases.offers(waiting) == []
        cases.pass_time(minutes=6)
        assert cases.run_due_timers()["searched"] == 1
        assert cases.offered_to(waiting) == {professional.id}

    def test_when_a_service_is_switched_on_or_takes_more(self, cases: Cases, waiting: uuid.UUID) -> None:
        professional = cases.professional(is_active=False)
        professional.sql.execute("update public.support_services set is_active = true")
        assert cases.offered_to(waiting) == {professional.id}

    def test_when_a_new_service_is_verified_for_a_verified_professional(self, cases: Cases) -> None:
        professional = cases.professional()
        waiting = cases.file_report(cases.survivor(), required_services=["shelter"])
        cases.service(professional.id, service_type="shelter")
        assert cases.offered_to(waiting) == {professional.id}

    def test_but_not_when_somebody_still_thinks_about_it(self, cases: Cases) -> None:
        first = cases.professional()
        report_id = cases.file_report(cases.survivor())
        cases.professional()
        assert cases.offered_to(report_id) == {first.id}

    def test_but_not_for_a_circle_that_is_moved_about(self, cases: Cases) -> None:
        # An offer that appears would tell where the report is.
        prober = cases.professional(place=north(3000), coverage_radius_km=1)
        report_id = cases.file_report(cases.survivor(), **AT_NAIROBI)
        prober.sql.execute("update public.support_services set latitude = %s, longitude = %s", NAIROBI)
        prober.sql.execute("update public.support_services set coverage_radius_km = 2")
        assert cases.offers(report_id) == []
        with pytest.raises(Exception, match="support_services_coverage_range"):
            prober.sql.execute("update public.support_services set coverage_radius_km = 0.9")
        cases.pass_time(minutes=5)
        cases.run_due_timers()
        assert cases.offered_to(report_id) == {prober.id}

    def test_suspended_professionals_are_out_at_once(self, cases: Cases) -> None:
        professional = cases.professional()
        cases.sql.execute("update public.professionals set verification_status = 'suspended'")
        assert cases.offers(cases.file_report(cases.survivor())) == []
        cases.sql.execute("update public.professionals set verification_status = 'verified'")
        assert cases.offered_to(cases.file_report(cases.survivor())) == {professional.id}
