"""Which columns hold what a person has told, found out from the catalog and from where canaries were found."""

from __future__ import annotations

from psycopg import sql

from tests.model.canaries import Canary
from tests.model.town import Town

#: Columns that could hold anything: texts, lists of texts, JSON, numbers with fractions, days and times of day, bytes.
_FREE = (
    "select n.nspname || '.' || c.relname, a.attname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
    " where n.nspname in ('public', 'private') and c.relkind = 'r' and format_type(a.atttypid, null) = any (array["
    " 'text', 'text[]', 'character varying', 'json', 'jsonb', 'double precision', 'real', 'numeric', 'bytea', 'date',"
    " 'time without time zone', 'extensions.cube', 'cube', 'xml', 'inet', 'point'])"
    " order by 1, 2"
)

#: Reason → the columns that hold nothing which a person has told, or nothing that their other columns do not.
_REASONS = {
    "a word out of a list that the table or a type of ours fixes": """
        private.access_log_entries.actor_role private.access_log_entries.door private.audit_log.event
        private.cal_com_bookings.facts_trigger private.cal_com_bookings.state private.cal_com_deliveries.outcome
        private.cal_com_deliveries.trigger_event private.escalations.reason private.outbox_jobs.client_template
        private.outbox_jobs.kind private.outbox_jobs.state private.published_statistics.dimension
        private.published_statistics.value public.availability_exceptions.kind public.cal_com_conflicts.kind
        public.cal_com_connections.status public.calendar_connections.detail_level
        public.calendar_connections.status public.calendar_events.sync_status public.consents.purpose
        public.consents.text_version public.hand_overs.status public.notifications.kind public.profiles.user_type
        public.support_services.specialisations private.matching_lanes.specialisations
        public.verification_documents.kind private.matching_lanes.lane
    """,
    "a zone out of the public list, which the person's profile has too": """
        public.appointment_clients.time_zone public.appointments.time_zone public.professionals.time_zone
    """,
    "a stable symbol of ours, never a stranger's text": """
        private.outbox_jobs.last_error public.cal_com_connections.last_error public.calendar_connections.last_error
        public.calendar_events.last_error
    """,
    "ids, numbers and symbols": """
        private.audit_log.facts private.job_keys.dedupe_key private.outbox_jobs.dedupe_key
        private.outbox_jobs.ordering_key private.outbox_jobs.result public.match_breakdowns.parts
        public.match_breakdowns.score
    """,
    "a digest, a salt or a key of ours": """
        private.audit_log.actor_commitment private.audit_log.actor_salt private.audit_log.digest
        private.audit_log.subject_commitment private.audit_log.subject_salt private.audit_seals.hash
        private.audit_seals.previous_hash private.booking_counters.key_hash private.booking_settings.hash_key
        private.booking_tokens.token_hash private.cal_com_deliveries.body_hash private.calendar_channels.token_hash
        private.calendar_feeds.token_hash private.oauth_states.state_hash public.calendar_busy.source
        private.undeliverable_addresses.address_digest
    """,
    "encrypted before it comes to the database": """
        private.cal_com_secrets.ciphertext private.calendar_credentials.ciphertext private.oauth_states.verifier
    """,
    "a name that the calendar's host or the worker has made up": """
        private.calendar_channels.resource_id private.calendar_pulls.cursor private.outbox_jobs.worker_id
        public.calendar_events.etag public.calendar_events.external_event_id
    """,
    "the host of a calendar": """
        public.calendar_connections.account_label
    """,
    "stands for minutes, while an account or a calendar goes: test_erasure.py": """
        private.calendar_retirements.account_label private.calendar_retirements.calendar_id
        private.calendar_retirements.channels private.calendar_retirements.ciphertext
        private.calendar_retirements.events private.calendar_tombstones.etag
        private.calendar_tombstones.external_event_id
    """,
    "the place of a service, which support_services has too, as a point of the sphere; how far it reaches": """
        private.matching_lanes.coverage_chord private.matching_lanes.coverage_radius_km private.matching_lanes.place
        private.matching_lanes.reach public.support_services.coverage_radius_km
    """,
    "hours in which a professional is open, for everybody to see": """
        public.availability_rules.end_time public.availability_rules.start_time
    """,
    "the uid of a booking that Cal.com moved, which the moved booking has too": """
        private.cal_com_bookings.rescheduled_from
    """,
    "a month": """
        private.case_facts.month private.published_statistics.month
    """,
    "words and settings of ours": """
        private.booking_settings.functions_url private.error_codes.details private.error_codes.hint
        private.error_codes.symbol private.matching_settings.boost_per_case
        private.matching_settings.generalist_speciality private.matching_settings.proximity_half_km
        private.matching_settings.remote_proximity private.matching_settings.weight_availability
        private.matching_settings.weight_boost private.matching_settings.weight_gender
        private.matching_settings.weight_language private.matching_settings.weight_load
        private.matching_settings.weight_needs private.matching_settings.weight_proximity
        private.matching_settings.weight_speciality private.matching_settings.widen_factor
        private.retention_settings.data_class private.retention_settings.meaning public.consent_texts.body
        public.consent_texts.purpose public.consent_texts.version
    """,
}
#: Column → why it has no canary.
NOT_TOLD = {column: reason for reason, columns in _REASONS.items() for column in columns.split()}


def free_columns(town: Town) -> set[str]:
    """``schema.table.column`` of each."""
    return {f"{table}.{column}" for table, column in town.sql.execute(_FREE).fetchall()}


def planted_columns(town: Town, columns: set[str], canaries: list[Canary]) -> set[str]:
    """Those in which a canary is."""
    found = set()
    for name in columns:
        schema, table, column = name.split(".")
        rows = town.sql.execute(
            sql.SQL("select coalesce(json_agg({column}), '[]')::text from {table}").format(
                column=sql.Identifier(column), table=sql.Identifier(schema, table)
            )
        ).fetchone()
        text = str((rows or ("",))[0]).lower()
        if any(canary.text.lower() in text for canary in canaries):
            found.add(name)
    return found
