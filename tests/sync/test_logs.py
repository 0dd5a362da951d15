"""Logs: fields of the allow-list only, whoever writes them."""

import io
import json
import logging

import pytest

from sauti_sync import logs

CANARY = "canary@example.org"


def lines(output: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_field_that_is_not_on_the_list_is_dropped(log_output: io.StringIO) -> None:
    logs.logger().info("attempt", job_id=7, to=CANARY, exception=ValueError(CANARY), exc_info=True)
    (line,) = lines(log_output)
    assert set(line) == {"event", "level", "at", "job_id"}


def test_what_a_library_says_is_replaced_by_where_it_said_it(log_output: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: PUT https://dav.example/%s", CANARY)
    logging.getLogger("somewhere").warning("mail to %s", CANARY)
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        logging.getLogger("somewhere").exception(CANARY)
    first, second = lines(log_output)
    assert CANARY not in log_output.getvalue()
    assert (first["event"], first["logger"], first["level"]) == ("library", "somewhere", "warning")
    assert second["type"] == "RuntimeError"


def test_the_place_of_an_error_is_told_without_its_message() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError(CANARY)
    assert logs.place_of(caught.value).startswith("test_logs.py:")
    assert logs.place_of(RuntimeError(CANARY)) == "unknown"
