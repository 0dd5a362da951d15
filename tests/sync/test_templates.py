"""Messages: complete in every language, in the reader's zone, and neutral."""

import re
from datetime import UTC, datetime

import pytest

from sauti_sync.errors import Permanent
from sauti_sync.messages import render
from sauti_sync.messages.render import Facts

MOMENT = datetime(2026, 11, 23, 11, 5, tzinfo=UTC)
FACTS = Facts(link="https://app.example", case_code="KAZI-417", starts_at=MOMENT, time_zone="Africa/Nairobi")
#: What the database may ask for; that none is missing is proved in test_worker_process.py.
KINDS = render.templates("en")
#: Whatever tells a stranger what this is about.
TELLTALE = re.compile(
    r"surviv|abus|violen|assault|rape|victim|counsel|legal|lawyer|medic|shelter|police|traffick|stalk|traum|therap"
    r"|support|help|profession|report|incident|sauti|crisis|urgent|safe|child"
    # Swahili
    r"|manusura|mhanga|waathirika|mwathirika|unyanyas|dhuluma|ukatili|ubakaji|ushauri|nasaha|wakili|sheria|polisi"
    r"|hospitali|daktari|makazi|msaada|usaidizi|mtaalamu|ripoti|tukio|dharura|haraka|usalama|mtoto|sauti"
    # French
    r"|survivan|abus|viol(?!et)|agress|victime|conseil|avocat|juridi|médec|refuge|foyer|traite|harcèl|psycho|thérap"
    r"|soutien|aide|secours|signalement|plainte|crise|urgen|sécurit|enfant",
    re.IGNORECASE,
)


@pytest.mark.parametrize("language", render.languages())
@pytest.mark.parametrize("kind", KINDS)
def test_every_message_exists_in_every_language_and_is_neutral(kind: str, language: str) -> None:
    text = render.render(kind, language, FACTS)
    assert text.language == language
    for part in (text.subject, text.plain, text.html, text.sms, render.wording(language, FACTS.link).title):
        assert part.strip()
        assert not TELLTALE.search(part), TELLTALE.search(part)
    assert "{" not in text.plain
    assert len(text.subject.splitlines()) == 1


@pytest.mark.parametrize("language", render.languages())
def test_every_language_has_the_same_messages(language: str) -> None:
    assert render.templates(language) == render.templates("en")


def test_there_are_texts_in_english_swahili_and_french() -> None:
    assert render.languages() == ("en", "fr", "sw")


@pytest.mark.parametrize("language", render.languages())
@pytest.mark.parametrize("kind", KINDS)
def test_an_sms_is_one_short_line_without_the_case(kind: str, language: str) -> None:
    sms = render.render(kind, language, FACTS).sms
    assert len(sms.splitlines()) == 1
    assert len(sms) <= 200, "three segments of an SMS with accents"
    assert "KAZI" not in sms
    assert sms.endswith(" https://app.example")


@pytest.mark.parametrize(
    ("language", "long", "short"),
    [
        ("en", "Monday 23 November 2026, 14:05 (Africa/Nairobi, UTC+03:00)", "Mon 23 Nov, 14:05 (UTC+03:00)"),
        ("fr", "lundi 23 novembre 2026, 14:05 (Africa/Nairobi, UTC+03:00)", "lun. 23 nov., 14:05 (UTC+03:00)"),
        ("sw", "Jumatatu 23 Novemba 2026, 14:05 (Africa/Nairobi, UTC+03:00)", "Jumatatu 23 Nov, 14:05 (UTC+03:00)"),
    ],
)
def test_dates_are_in_the_readers_language(language: str, long: str, short: str) -> None:
    assert render.format_moment(MOMENT, "Africa/Nairobi", language) == long
    assert render.format_short_moment(MOMENT, "Africa/Nairobi", language) == short


@pytest.mark.parametrize("language", render.languages())
def test_no_language_borrows_a_sentence_from_another(language: str) -> None:
    others = [other for other in render.languages() if other != language]
    for kind in KINDS:
        own = render.render(kind, language, FACTS).plain.splitlines()[0]
        assert own not in [render.render(kind, other, FACTS).plain.splitlines()[0] for other in others]


@pytest.mark.parametrize(("locale", "language"), [("sw-KE", "sw"), ("fr_CD", "fr"), ("FR", "fr"), ("sw-Latn-TZ", "sw")])
def test_a_locale_reads_its_language(locale: str, language: str) -> None:
    assert render.language_of(locale) == language


def test_subjects_hold_no_fact() -> None:
    for kind in KINDS:
        assert "KAZI" not in render.render(kind, "en", FACTS).subject


def test_plain_text_holds_time_case_and_link() -> None:
    plain = render.render("appointment_confirmed", "en", FACTS).plain
    assert plain.splitlines()[:5] == [
        "Your appointment is confirmed.",
        "",
        "When: Monday 23 November 2026, 14:05 (Africa/Nairobi, UTC+03:00)",
        "Case: KAZI-417",
        "Open: https://app.example",
    ]


def test_html_loads_nothing_and_tracks_nobody() -> None:
    html = render.render("appointment_confirmed", "en", FACTS).html
    assert re.findall(r'(?:src|href|background)="([^"]*)"', html) == ["https://app.example"]
    assert not re.search(r"<(img|script|link|iframe|style|form)\b", html)


def test_facts_cannot_become_markup() -> None:
    facts = Facts(link='https://x.example/"><script>', case_code="<b>&")
    html = render.render("offer_made", "en", facts).html
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;" in html


def test_without_facts_there_are_no_empty_labels() -> None:
    text = render.render("offer_made", "en", Facts(link="https://app.example"))
    assert "When" not in text.plain + text.html
    assert "Case" not in text.plain + text.html


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("America/New_York", "Monday 23 November 2026, 06:05 (America/New_York, UTC-05:00)"),
        ("Asia/Kolkata", "Monday 23 November 2026, 16:35 (Asia/Kolkata, UTC+05:30)"),
        ("UTC", "Monday 23 November 2026, 11:05 (UTC)"),
        (None, "Monday 23 November 2026, 11:05 (UTC)"),
        ("Nowhere/Land", "Monday 23 November 2026, 11:05 (UTC)"),
        ("../../etc/passwd", "Monday 23 November 2026, 11:05 (UTC)"),
        ("x\x00y", "Monday 23 November 2026, 11:05 (UTC)"),
    ],
)
def test_times_are_in_the_readers_zone(zone: str | None, shown: str) -> None:
    assert render.format_moment(MOMENT, zone, "en") == shown


@pytest.mark.parametrize("locale", ["en", "en-KE", "en_GB", "EN", "xx", "", "../en", "xx-YY"])
def test_an_unknown_locale_reads_english(locale: str) -> None:
    assert render.language_of(locale) == "en"


def test_an_unknown_message_is_permanent() -> None:
    with pytest.raises(Permanent, match="template_unknown"):
        render.render("newsletter", "en", FACTS)
