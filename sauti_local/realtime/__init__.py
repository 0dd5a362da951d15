"""Realtime of the local stack: a small stand-in that speaks the wire protocol of Supabase Realtime.

Local only. Broadcast, presence and `postgres_changes` over websockets (protocol 1.0.0 and 2.0.0), authorised by the
policies on `realtime.messages` and by those of the tables themselves; changes come from the WAL. One process, one
database; nothing of it is left in the database when it ends or dies. Replay of stored broadcasts is not served.
"""

from sauti_local.realtime.server import RealtimeServer
from sauti_local.realtime.settings import Limits, RealtimeSettings

__all__ = ["Limits", "RealtimeServer", "RealtimeSettings"]
