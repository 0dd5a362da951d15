"""Auth of the local stack: a small stand-in for GoTrue that speaks its HTTP interface over the real `auth` schema.

Local only. Every address counts as confirmed at once (GoTrue's "autoconfirm"), because nothing here sends mail: sign-up
gives a session, and a changed address takes effect immediately. One-time links, OAuth, SAML and MFA are not served.
"""

from sauti_local.auth.application import auth_application
from sauti_local.auth.settings import AuthSettings

__all__ = ["AuthSettings", "auth_application"]
