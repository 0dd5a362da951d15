"""The cast of a case, brought as far as a test needs it, in the test's own database."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow

from tests.support.database import Connection, Database
from tests.support.one_transaction import Actor, OneTransaction

Row = DictRow
#: Somebody who runs statements.
Sql = Connection | Actor

#: Where most of the cast is; see `north`.
NAIROBI = (-1.2921, 36.8219)


#: When the tests of the database begin, so that no outcome depends on the hour at which they run: ten past noon in
#: Nairobi, with a leap day and changes of clocks in the year that follows.
A_WEDNESDAY = datetime(2031, 3, 5, 9, 10, tzinfo=UTC)


def north(kilometres: float, place: tuple[float, float] = NAIROBI) -> tuple[float, float]:
    """The place so many kilometres north (on the sphere of mean Earth radius)."""
    return place[0] + kilometres / 111.19508, place[1]


@dataclass(frozen=True)
class Professional:
    """A professional with one service."""

    id: uuid.UUID
    service_id: uuid.UUID
    #: What the professional can do.
    sql: Sql = field(repr=False)


@dataclass(frozen=True)
class Survivor:
    """Someone who files reports."""

    id: uuid.UUID
    #: What the survivor can do.
    sql: Sql = field(repr=False)


@dataclass(frozen=True)
class OpenCase:
    """A report that a professional has accepted."""

    survivor: Survivor
    professional: Professional
    report_id: uuid.UUID
    match_id: uuid.UUID
    appointment: Row


class Cases:
    """Makes people, services and reports, in one transaction or over real connections.

    `sql` sees and writes everything, as the role ``postgres``.
    """

    def __init__(self, database: Database | OneTransaction) -> None:
        self.database = database
        self.sql = database.as_admin_sql()

    # People

    def survivor(self, **profile: Any) -> Survivor:
        """A survivor; `profile` sets columns of the profile."""
        user_id = self.database.add_user("survivor")
        if profile:
            self._update("public.profiles", {"id": user_id}, profile)
        return Survivor(user_id, self.database.as_user(user_id))

    def admin(self) -> Sql:
        """What an administrator can do."""
        user_id = self.database.add_user()
        self._update("public.profiles", {"id": user_id}, {"user_type": "admin"})
        return self.database.as_user(user_id)

    def professional(
        self, *, verified: bool = True, card: dict[str, Any] | None = None, **service: Any
    ) -> Professional:
        """A professional with one counseling service at Nairobi that covers 50 km.

        Args:
            verified: Verify the professional and the service.
            card: Columns of ``professionals``.
            service: Columns of ``support_services``; `place` sets both coordinates, None none.
        """
        user_id = self.database.add_user("professional")
        status = "verified" if verified else "pending"
        self._update("public.professionals", {"id": user_id}, {"verification_status": status} | (card or {}))
        service_id = self.service(user_id, verified=verified, **service)
        return Professional(user_id, service_id, self.database.as_user(user_id))

    def service(
        self,
        professional_id: uuid.UUID,
        *,
        verified: bool = True,
        place: tuple[float, float] | None = NAIROBI,
        **columns: Any,
    ) -> uuid.UUID:
        """A further service; gives back its id."""
        latitude, longitude = place or (None, None)
        row = {
            "professional_id": professional_id,
            "name": "Help",
            "service_type": "counseling",
            "latitude": latitude,
            "longitude": longitude,
            "verification_status": "verified" if verified else "pending",
        }
        service_id: uuid.UUID = self._insert("public.support_services", row | columns)["id"]
        return service_id

    # Cases

    def file_report(self, survivor: Survivor, **columns: Any) -> uuid.UUID:
        """File a report for counseling as the survivor does; shared unless `columns` say otherwise."""
        row = {"incident_type": "emotional", "required_services": ["counseling"], "consent_to_share": True} | columns
        report_id: uuid.UUID = self._insert("public.reports", row, survivor.sql, returning="report_id")["report_id"]
        return report_id

    def offers(self, report_id: uuid.UUID, status: str | None = None) -> list[Row]:
        """The offers of a report, best first."""
        return self.sql.execute(
            "select m.*, b.score, b.parts from public.matched_services m"
            " join public.match_breakdowns b on b.match_id = m.id"
            " where m.report_id = %s and (%s::text is null or m.match_status_type::text = %s)"
            " order by b.score desc, m.id",
            (report_id, status, status),
        ).fetchall()

    def offered_to(self, report_id: uuid.UUID, status: str | None = None) -> set[uuid.UUID]:
        """Which professionals have an offer of the report."""
        return {offer["professional_id"] for offer in self.offers(report_id, status)}

    def offer(self, report_id: uuid.UUID, professional: Professional) -> Row:
        """The offer of the report to the professional."""
        (found,) = [row for row in self.offers(report_id) if row["professional_id"] == professional.id]
        return found

    def report(self, report_id: uuid.UUID) -> Row:
        """The report's row."""
        return self.one(
            "select r.*, r.required_services::text[] from public.reports r where r.report_id = %s", report_id
        )

    def accepted(self, *, professional: Professional | None = None, **report: Any) -> OpenCase:
        """A case that a professional has accepted with an appointment in an hour."""
        professional = professional or self.professional()
        survivor = self.survivor()
        report_id = self.file_report(survivor, **report)
        match_id = self.offer(report_id, professional)["id"]
        return OpenCase(survivor, professional, report_id, match_id, accept(professional.sql, match_id))

    # Time

    def now(self) -> datetime:
        """The database's clock, offset included."""
        moment: datetime = self.one("select private.clock() as now")["now"]
        return moment.astimezone(UTC)

    def pass_time(self, **time: float) -> None:
        """Move the clock on: ``pass_time(hours=4)``."""
        self.sql.execute('update private.clock_offset set "offset" = "offset" + %s', (timedelta(**time),))

    def set_time(self, moment: datetime) -> None:
        """Move the clock to a moment."""
        self.sql.execute('update private.clock_offset set "offset" = %s - now()', (moment,))

    def run_due_timers(self) -> dict[str, int]:
        """What the worker does at every poll."""
        counts: dict[str, int] = self.one("select public.run_due_timers() as counts")["counts"]
        return counts

    # Rows

    def one(self, query: str, *values: Any) -> Row:
        """The one row of a query."""
        (row,) = self.sql.execute(query, values).fetchall()
        return row

    def count(self, relation: str, where: str = "true", *values: Any) -> int:
        """Number of rows."""
        number: int = self.one(f"select count(*)::int as n from {relation} where {where}", *values)["n"]
        return number

    def _insert(self, relation: str, row: dict[str, Any], connection: Sql | None = None, returning: str = "*") -> Row:
        return insert(connection or self.sql, relation, row, returning)

    def _update(self, relation: str, key: dict[str, Any], columns: dict[str, Any]) -> None:
        statement = sql.SQL("update {} set {} where {}").format(
            sql.SQL(relation),
            sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in columns),
            sql.SQL(" and ").join(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in key),
        )
        assert self.sql.execute(statement, [*columns.values(), *key.values()]).rowcount == 1


def insert(connection: Sql, relation: str, row: dict[str, Any], returning: str = "*") -> Row:
    """Insert one row and give back what `returning` names."""
    statement = sql.SQL("insert into {} ({}) values ({}) returning {}").format(
        sql.SQL(relation),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        sql.SQL(returning),
    )
    (made,) = connection.execute(statement, list(row.values())).fetchall()
    return made


def accept(
    connection: Sql,
    match_id: uuid.UUID,
    starts_at: datetime | None = None,
    duration_minutes: int = 60,
) -> Row:
    """Accept an offer: at `starts_at`, or at once when there is none. Gives back the appointment."""
    mode = "meet_now" if starts_at is None else "schedule_later"
    (appointment,) = connection.execute(
        "select * from public.accept_match(%s, %s, %s, %s)", (match_id, mode, starts_at, duration_minutes)
    ).fetchall()
    return appointment


def call(connection: Sql, function: str, *arguments: Any) -> Any:
    """Call ``public.<function>`` and give back its value (a row comes back as a dictionary)."""
    statement = sql.SQL("select * from public.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join([sql.Placeholder()] * len(arguments))
    )
    rows = connection.execute(statement, arguments).fetchall()
    assert len(rows) == 1, rows
    return rows[0][function] if set(rows[0]) == {function} else rows[0]
