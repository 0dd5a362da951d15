"""A survivor whose every personal field holds something that can be found again wherever it leaks."""

from __future__ import annotations

import json
import uuid
from datetime import date, time
from typing import Any

from tests.support.cases import Cases, Survivor

#: Personal columns of a report and what stands in them.
REPORT: dict[str, Any] = {
    "incident_description": "canarystory happened behind the canaryhouse",
    "incident_date": date(1987, 6, 5),
    "survivor_name": "Canaryname Canarysurname",
    "contact_email": "canarymail@canary.example",
    "contact_phone": "+254 700 314159",
    "contact_preference": "phone_call",
    "safe_contact_from": time(3, 33, 31),
    "safe_contact_until": time(4, 44, 41),
    "emergency_contact": "canarysister 0800 271828",
    "preferred_language": "canarytongue",
    "preferred_professional_gender": "non_binary",
    "special_needs": ["canaryneed"],
    "consent_location": True,
    "latitude": -1.2718281,
    "longitude": 36.8314159,
}
#: Personal columns of a profile.
PROFILE: dict[str, Any] = {
    "display_name": "Canarydisplay",
    "phone": "+254 711 161803",
    "locale": "qaa-canary",
    "time_zone": "Pacific/Chatham",
}
#: The masked facts, and what an offer copies besides.
MASKED = {"gender": "female", "age_category": "adult", "incident_type": "domestic_violence", "urgency": "high"}

_TRACES = (
    "canary",
    "1987-06-05",
    "314159",
    "271828",
    "161803",
    "03:33:31",
    "04:44:41",
    "2718281",
    "phone_call",
    "Chatham",
    "non_binary",
)


def plant(cases: Cases, **report: Any) -> tuple[Survivor, uuid.UUID]:
    """A survivor with a report for counseling, full of canaries."""
    survivor = cases.survivor(**PROFILE)
    row = {"urgency": "high", "gender": "female", "age_category": "adult", "incident_type": "domestic_violence"}
    return survivor, cases.file_report(survivor, **row | REPORT | report)


class Hunter:
    """Looks for one survivor's canaries in anything."""

    def __init__(self, cases: Cases, survivor: Survivor, report_id: uuid.UUID) -> None:
        code = cases.report(report_id)["case_code"]
        email = cases.one("select email from auth.users where id = %s", survivor.id)["email"]
        self.traces = (*_TRACES, code, str(survivor.id), email)

    def traces_in(self, anything: Any) -> set[str]:
        """Which canaries are in there."""
        text = anything if isinstance(anything, str) else json.dumps(anything, default=str, ensure_ascii=False)
        return {trace for trace in self.traces if trace.lower() in text.lower()}
