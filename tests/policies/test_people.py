"""Profiles, professionals, services, blocks: the own row, what is published, and nothing that gives power."""

from __future__ import annotations

import pytest

from tests.support.cases import Cases, Sql, insert
from tests.support.reach import changes, reads
from tests.support.refusals import forbidden


def strangers(cases: Cases) -> dict[str, Sql]:
    return {
        "survivor": cases.survivor().sql,
        "professional": cases.professional().sql,
        "administrator": cases.admin(),
        "visitor": cases.database.as_anon(),
    }


class TestProfiles:
    def test_a_person_reads_the_own_row_only(self, cases: Cases) -> None:
        survivor = cases.survivor(phone="0700 123456")
        cases.professional()
        (row,) = survivor.sql.execute("select * from public.profiles").fetchall()
        assert row["id"] == survivor.id
        for who, actor in strangers(cases).items():
            assert reads(actor, f"public.profiles where id = '{survivor.id}'") in (0, None), who

    @pytest.mark.parametrize(
        "assignment", ["display_name = 'A'", "phone = '0700'", "locale = 'sw'", "time_zone = 'Africa/Nairobi'"]
    )
    def test_a_person_changes_name_phone_language_and_zone_of_the_own_row_only(
        self, cases: Cases, assignment: str
    ) -> None:
        survivor, other = cases.survivor(), cases.survivor()
        assert changes(cases, survivor.sql, "public.profiles", f"update public.profiles set {assignment}")
        untouched = cases.one("select * from public.profiles where id = %s", other.id)
        assert (untouched["display_name"], untouched["phone"], untouched["locale"]) == (None, None, "en")
        for who, actor in strangers(cases).items():
            statement = f"update public.profiles set {assignment} where id = '{other.id}'"
            assert not changes(cases, actor, "public.profiles", statement), who

    @pytest.mark.parametrize("assignment", ["user_type = 'admin'", "id = gen_random_uuid()", "created_at = now()"])
    def test_nobody_gives_themselves_power(self, cases: Cases, assignment: str) -> None:
        for who, actor in strangers(cases).items():
            assert not changes(cases, actor, "public.profiles", f"update public.profiles set {assignment}"), who

    def test_nobody_makes_or_deletes_profiles_by_hand(self, cases: Cases) -> None:
        for who, actor in strangers(cases).items():
            for statement in (
                "insert into public.profiles (id, user_type) values (auth.uid(), 'admin')"
                " on conflict (id) do update set user_type = 'admin'",
                "delete from public.profiles",
            ):
                assert not changes(cases, actor, "public.profiles", statement), who

    def test_the_service_key_makes_the_first_administrator(self, cases: Cases) -> None:
        survivor = cases.survivor()
        statement = "update public.profiles set user_type = 'admin' where id = %s"
        assert changes(cases, cases.database.as_service(), "public.profiles", statement, (survivor.id,))

    @pytest.mark.parametrize(
        "assignment",
        [
            "display_name = repeat('x', 121)",
            "display_name = E'a\\nb'",
            "phone = 'call me'",
            "locale = 'English'",
            "time_zone = 'Mars/Olympus'",
            "time_zone = 'X+5'",
            "time_zone = ''",
        ],
    )
    def test_what_ends_in_messages_is_kept_clean(self, cases: Cases, assignment: str) -> None:
        with pytest.raises(Exception, match="violates check constraint"):
            cases.survivor().sql.execute(f"update public.profiles set {assignment}")


class TestProfessionals:
    def test_an_unpublished_card_is_for_its_owner_and_those_who_verify(self, cases: Cases) -> None:
        professional = cases.professional()
        assert reads(professional.sql, "public.professionals") == 1
        for who, actor in strangers(cases).items():
            seen = reads(actor, f"public.professionals where id = '{professional.id}'")
            assert seen == 1 if who == "administrator" else seen in (0, None), who

    @pytest.mark.parametrize(
        ("status", "booking", "seen"),
        [("verified", True, 1), ("verified", False, 0), ("pending", True, 0), ("suspended", True, 0)],
    )
    def test_everybody_reads_a_verified_one_who_takes_public_bookings(
        self, cases: Cases, status: str, booking: bool, seen: int
    ) -> None:
        cases.professional(card={"verification_status": status, "is_public_booking": booking})
        for actor in (cases.database.as_anon(), cases.survivor().sql):
            assert reads(actor, "public.professionals") == seen

    def test_a_survivor_reads_who_accepted_and_not_who_was_asked(self, cases: Cases) -> None:
        cases.professional()
        case = cases.accepted()
        (card,) = case.survivor.sql.execute("select id from public.professionals").fetchall()
        assert card["id"] == case.professional.id
        (service,) = case.survivor.sql.execute("select id from public.support_services").fetchall()
        assert service["id"] == case.professional.service_id

    @pytest.mark.parametrize(
        "assignment",
        [
            "bio = 'B'",
            "is_public_booking = true",
            "booking_slug = 'asha-counsels'",
            "languages = '{sw}'",
            "out_of_office_until = now()",
        ],
    )
    def test_the_owner_edits_the_own_card_only(self, cases: Cases, assignment: str) -> None:
        professional = cases.professional()
        statement = f"update public.professionals set {assignment} where id = '{professional.id}'"
        for who, actor in strangers(cases).items():
            assert not changes(cases, actor, "public.professionals", statement), who
        assert changes(cases, professional.sql, "public.professionals", statement)

    def test_nobody_verifies_themselves(self, cases: Cases) -> None:
        professional = cases.professional(verified=False)
        statement = "update public.professionals set verification_status = 'verified'"
        for actor in (professional.sql, cases.survivor().sql, cases.admin(), cases.database.as_anon()):
            assert not changes(cases, actor, "public.professionals", statement)
        assert changes(cases, cases.database.as_service(), "public.professionals", statement)

    def test_nobody_becomes_a_professional_by_inserting(self, cases: Cases) -> None:
        for who, actor in strangers(cases).items():
            statement = "insert into public.professionals (id, booking_slug) values (auth.uid(), 'new-slug')"
            assert not changes(cases, actor, "public.professionals", statement), who
            assert not changes(cases, actor, "public.professionals", "delete from public.professionals"), who

    def test_no_two_have_one_booking_address(self, cases: Cases) -> None:
        cases.professional(card={"booking_slug": "asha"})
        with pytest.raises(Exception, match="professionals_booking_slug_unique"):
            cases.professional().sql.execute("update public.professionals set booking_slug = 'asha'")


class TestServices:
    def test_a_service_is_for_its_owner_and_those_who_verify(self, cases: Cases) -> None:
        professional = cases.professional()
        assert reads(professional.sql, "public.support_services") == 1
        for who, actor in strangers(cases).items():
            seen = reads(actor, f"public.support_services where id = '{professional.service_id}'")
            assert seen == 1 if who == "administrator" else seen in (0, None), who

    def test_a_new_service_starts_unverified(self, cases: Cases) -> None:
        professional = cases.professional()
        row = insert(professional.sql, "public.support_services", {"name": "Law", "service_type": "legal_aid"})
        assert (row["verification_status"], row["professional_id"]) == ("pending", professional.id)
        with forbidden():
            insert(
                professional.sql,
                "public.support_services",
                {"name": "Law", "service_type": "legal_aid", "verification_status": "verified"},
            )

    def test_nobody_adds_a_service_for_another(self, cases: Cases) -> None:
        professional = cases.professional()
        for who, actor in strangers(cases).items():
            statement = (
                "insert into public.support_services (professional_id, name, service_type) values (%s, 'x', 'other')"
            )
            assert not changes(cases, actor, "public.support_services", statement, (professional.id,)), who

    def test_what_was_verified_stays_what_it_was(self, cases: Cases) -> None:
        professional = cases.professional()
        for assignment in (
            "verification_status = 'verified'",
            "service_type = 'medical'",
            "professional_id = professional_id",
        ):
            with forbidden():
                professional.sql.execute(f"update public.support_services set {assignment}")
        assert changes(
            cases, professional.sql, "public.support_services", "update public.support_services set name = 'N'"
        )

    def test_others_neither_edit_nor_delete_it(self, cases: Cases) -> None:
        cases.professional()
        for who, actor in {**strangers(cases), "visitor": cases.database.as_anon()}.items():
            if who == "professional":
                continue
            for statement in (
                "update public.support_services set is_active = false",
                "delete from public.support_services",
            ):
                assert not changes(cases, actor, "public.support_services", statement), who
        first = cases.professional()
        other = cases.professional()
        other.sql.execute("update public.support_services set name = 'taken over'")
        name = cases.one("select name from public.support_services where id = %s", first.service_id)["name"]
        assert name == "Help"

    def test_a_service_that_was_offered_a_case_cannot_be_deleted_from_under_it(self, cases: Cases) -> None:
        case = cases.accepted()
        with pytest.raises(Exception, match="violates foreign key constraint"):
            case.professional.sql.execute("delete from public.support_services")
        assert cases.offer(case.report_id, case.professional)["match_status_type"] == "accepted"
        unused = cases.professional()
        assert changes(cases, unused.sql, "public.support_services", "delete from public.support_services")


class TestBlocks:
    def test_a_survivor_keeps_an_own_list(self, cases: Cases) -> None:
        survivor, professional = cases.survivor(), cases.professional()
        insert(survivor.sql, "public.blocked_professionals", {"professional_id": professional.id})
        assert reads(survivor.sql, "public.blocked_professionals") == 1
        # The blocked person never learns of it.
        for actor in (professional.sql, cases.admin(), cases.survivor().sql):
            assert reads(actor, "public.blocked_professionals") == 0
            assert not changes(cases, actor, "public.blocked_professionals", "delete from public.blocked_professionals")
        assert reads(cases.database.as_anon(), "public.blocked_professionals") is None
        assert changes(cases, survivor.sql, "public.blocked_professionals", "delete from public.blocked_professionals")

    def test_nobody_blocks_for_another(self, cases: Cases) -> None:
        survivor, professional = cases.survivor(), cases.professional()
        with forbidden():
            insert(
                professional.sql,
                "public.blocked_professionals",
                {"survivor_id": survivor.id, "professional_id": professional.id},
            )
        with forbidden():
            survivor.sql.execute("update public.blocked_professionals set professional_id = professional_id")
