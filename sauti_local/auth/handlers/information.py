"""GET /settings, /health and /.well-known/jwks.json."""

from __future__ import annotations

from typing import Final

from aiohttp import web

# fmt: off
_EXTERNAL: Final = (
    "apple", "azure", "bitbucket", "discord", "facebook", "snapchat", "figma", "fly", "github", "gitlab", "google",
    "keycloak", "kakao", "linkedin", "linkedin_oidc", "notion", "spotify", "slack", "slack_oidc", "workos", "twitch",
    "twitter", "zoom",
)
# fmt: on


async def settings(_request: web.Request) -> web.Response:
    """Which ways to sign in are on."""
    external = dict.fromkeys(_EXTERNAL, False) | {"anonymous_users": True, "email": True, "phone": True}
    return web.json_response(
        {
            "external": external,
            "disable_signup": False,
            "mailer_autoconfirm": True,
            "phone_autoconfirm": True,
            "sms_provider": "",
            "saml_enabled": False,
            "saml_private_key_next_configured": False,
            "passkeys_enabled": False,
        }
    )


async def health(_request: web.Request) -> web.Response:
    """That the stand-in answers."""
    return web.json_response({"version": "local", "name": "GoTrue", "description": "Local stand-in for GoTrue"})


async def jwks(_request: web.Request) -> web.Response:
    """No public keys: tokens are signed with a shared secret, and clients ask /user instead."""
    return web.json_response({"keys": []}, headers={"Cache-Control": "public, max-age=600"})
