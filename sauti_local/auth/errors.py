"""Failures as GoTrue words them.

AuthError                 {"code", "error_code", "msg"}, or {"code", "message"} from API version 2024-01-01 on
└── WeakPasswordError     the same with {"weak_password": {"reasons"}}
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import psycopg
from aiohttp import web

API_VERSION_HEADER: Final = "X-Supabase-Api-Version"
API_VERSION_2024: Final = datetime.date(2024, 1, 1)

logger = logging.getLogger(__name__)


class AuthError(Exception):
    """A refusal with an HTTP status, a stable code and a sentence for developers."""

    def __init__(self, status: int, code: str, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.cause = cause

    def extra(self) -> dict[str, Any]:
        """Members of the answer beside code and message."""
        return {}


class WeakPasswordError(AuthError):
    """422: the password is too easy; `reasons` are symbols such as `length`."""

    def __init__(self, message: str, reasons: list[str]) -> None:
        super().__init__(422, "weak_password", message)
        self.reasons = reasons

    def extra(self) -> dict[str, Any]:
        """The reasons, where the clients look for them."""
        return {"weak_password": {"reasons": self.reasons}}


def bad_request(code: str, message: str) -> AuthError:
    """400."""
    return AuthError(400, code, message)


def forbidden(code: str, message: str) -> AuthError:
    """403."""
    return AuthError(403, code, message)


def unprocessable(code: str, message: str) -> AuthError:
    """422."""
    return AuthError(422, code, message)


def validation_failed(message: str) -> AuthError:
    """400 `validation_failed`."""
    return AuthError(400, "validation_failed", message)


def database_error(message: str, cause: BaseException) -> AuthError:
    """500 `unexpected_failure`: the database refused the write, for example in a trigger of ours."""
    return AuthError(500, "unexpected_failure", message, cause)


def user_already_exists() -> AuthError:
    """422: sign-up with a known address."""
    return unprocessable("user_already_exists", "User already registered")


def email_exists() -> AuthError:
    """422: another account has this e-mail address."""
    return unprocessable("email_exists", "A user with this email address has already been registered")


def phone_exists() -> AuthError:
    """422: another account has this phone number."""
    return unprocessable("phone_exists", "A user with this phone number has already been registered")


def duplicate_address(error: psycopg.Error) -> AuthError | None:
    """The refusal that a violated unique key of `auth.users` stands for; None for any other failure."""
    if not isinstance(error, psycopg.errors.UniqueViolation) or error.diag.schema_name != "auth":
        return None
    match error.diag.constraint_name:
        case "users_email_partial_key":
            return email_exists()
        case "users_phone_key":
            return phone_exists()
        case "users_pkey":
            return user_already_exists()
        case _:
            return None


def _speaks_2024(request: web.Request) -> bool:
    """Whether the caller asked for the error form of 2024-01-01 or later; an unreadable date means the first form."""
    try:
        asked = datetime.date.fromisoformat(request.headers.get(API_VERSION_HEADER, ""))
    except ValueError:
        return False
    return asked >= API_VERSION_2024


def _raised_for_clients(cause: BaseException | None) -> tuple[int, dict[str, Any]] | None:
    """Status and body for SQL errors that the first error form passes on: RAISE, constraints, and `PT<status>`."""
    if not isinstance(cause, psycopg.Error) or cause.sqlstate is None:
        return None
    state = cause.sqlstate
    if state.startswith("PT") and state[2:].isdecimal() and 400 <= int(state[2:]) <= 599:
        status = int(state[2:])
    elif state in {"P0001", "23000", "23001", "23502", "23503", "23505", "23514", "23P01"}:
        status = 500
    else:
        return None
    body = {"code": state, "message": cause.diag.message_primary or ""}
    if cause.diag.message_hint:
        body["hint"] = cause.diag.message_hint
    if cause.diag.message_detail:
        body["detail"] = cause.diag.message_detail
    return status, body


def error_response(request: web.Request, error: AuthError) -> web.Response:
    """The answer to a refused request, in the form of the API version that the caller asked for."""
    if _speaks_2024(request):
        body = {"code": error.code, "message": error.message, **error.extra()}
        headers = {API_VERSION_HEADER: API_VERSION_2024.isoformat(), "x-sb-error-code": error.code}
        return web.json_response(body, status=error.status, headers=headers)
    headers = {"x-sb-error-code": error.code}
    if (raised := _raised_for_clients(error.cause)) is not None:
        status, body = raised
        return web.json_response(body, status=status, headers=headers)
    body = {"code": error.status, "error_code": error.code, "msg": error.message, **error.extra()}
    return web.json_response(body, status=error.status, headers=headers)


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn every failure below into an answer of GoTrue's shape. Logs kinds and routes, never what a caller sent."""
    try:
        return await handler(request)
    except AuthError as error:
        if error.status >= 500:
            state = error.cause.sqlstate if isinstance(error.cause, psycopg.Error) else None
            logger.warning("%s %s: %s (SQLSTATE %s)", request.method, request.rel_url.path, error.message, state)
        return error_response(request, error)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n")
    except web.HTTPMethodNotAllowed as error:
        return web.Response(status=405, headers={"Allow": error.headers.get("Allow", "")})
    except web.HTTPException:
        raise
    except Exception as error:
        if isinstance(error, psycopg.Error):  # its text quotes values of rows
            kind = type(error).__name__
            logger.error("%s %s: %s (SQLSTATE %s)", request.method, request.rel_url.path, kind, error.sqlstate)
        else:
            logger.exception("%s %s failed", request.method, request.rel_url.path)
        message = "Unexpected failure, please check server logs for more information"
        return error_response(request, AuthError(500, "unexpected_failure", message))
