"""The tables of the results database, and how they are created and upgraded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.call_results import KEY_LENGTH

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: The statements that lead from each version of the schema to the next, the first from nothing to version 1.
#: A statement that was released is never changed. Times are seconds since 1970 in UTC.
#:
#: ``queuecalls_calls`` has the result of each call, whatever the order in which its posts arrived, and the one that it
#: replaced last. ``queuecalls_tallies`` counts these results. Both change in the transaction that stores a post, so counting a
#: campaign costs the same for ten results and for a million. ``shard`` keeps several receivers from waiting for each
#: other's counts. ``queuecalls_requests`` and ``queuecalls_numbers`` are the record for ``max_per_period``, see
#: :mod:`~airflow_provider_queuecalls.records.database.called_numbers`. ``queuecalls_breakdowns`` counts the same results by one dimension at a time, as
#: :data:`~airflow_provider_queuecalls.records.database.storing.DIMENSIONS` says, so that its rows add up instead of multiplying.
#: ``queuecalls_choices`` has what somebody chose in a call, before its result arrives, and what it replaced last. It is counted
#: among the breakdowns.
SCHEMA: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE queuecalls_campaigns (
            campaign_key varchar({KEY_LENGTH}) PRIMARY KEY, name text NOT NULL, contacts bigint NOT NULL,
            outcome varchar(32) NOT NULL, dag_id text NOT NULL, run_id text NOT NULL, started_at bigint NOT NULL,
            expires_at bigint, calls_from bigint, calls bigint, collects_results boolean, campaign_url text,
            zones text)""",
        "CREATE INDEX queuecalls_campaigns_started ON queuecalls_campaigns (started_at, campaign_key)",
        "CREATE INDEX queuecalls_campaigns_outcome ON queuecalls_campaigns (outcome)",
        "CREATE INDEX queuecalls_campaigns_dag ON queuecalls_campaigns (dag_id, started_at)",
        """CREATE TABLE queuecalls_records (
            record_key varchar(128) NOT NULL, generation bigint NOT NULL, entry text NOT NULL,
            PRIMARY KEY (record_key, generation))""",
        f"""CREATE TABLE queuecalls_results (
            campaign_key varchar({KEY_LENGTH}) NOT NULL, digest varchar({KEY_LENGTH}) NOT NULL, call_key varchar({KEY_LENGTH}),
            received_at bigint NOT NULL, phone_number text, message_reference text, call_id text, result text,
            callee_type text, attempts bigint, last_attempt_timestamp bigint, duration bigint, problems text NOT NULL,
            fields text NOT NULL, PRIMARY KEY (campaign_key, digest))""",
        "CREATE INDEX queuecalls_results_received ON queuecalls_results (received_at)",
        f"""CREATE TABLE queuecalls_calls (
            campaign_key varchar({KEY_LENGTH}) NOT NULL, call_key varchar({KEY_LENGTH}) NOT NULL,
            digest varchar({KEY_LENGTH}) NOT NULL, rank bigint NOT NULL, received_at bigint NOT NULL, result text NOT NULL,
            callee_type text NOT NULL, attempts bigint NOT NULL, quarter bigint NOT NULL, zone text NOT NULL,
            old_result text, old_callee_type text, old_attempts bigint, old_quarter bigint,
            PRIMARY KEY (campaign_key, call_key))""",
        "CREATE INDEX queuecalls_calls_latest ON queuecalls_calls (campaign_key, result, received_at, call_key)",
        f"""CREATE TABLE queuecalls_tallies (
            campaign_key varchar({KEY_LENGTH}) NOT NULL, result text NOT NULL, callee_type text NOT NULL,
            shard bigint NOT NULL, calls bigint NOT NULL, attempts bigint NOT NULL, unreadable bigint NOT NULL,
            last_received_at bigint NOT NULL, PRIMARY KEY (campaign_key, result, callee_type, shard))""",
        f"""CREATE TABLE queuecalls_requests (
            token varchar(32) PRIMARY KEY, campaign_key varchar({KEY_LENGTH}) NOT NULL, key_name varchar(16) NOT NULL,
            contacts bigint NOT NULL, period bigint NOT NULL, recorded_at bigint NOT NULL, starts_at bigint NOT NULL,
            ends_at bigint NOT NULL)""",
        "CREATE INDEX queuecalls_requests_campaign ON queuecalls_requests (campaign_key)",
        """CREATE TABLE queuecalls_numbers (
            token varchar(32) NOT NULL, part bigint NOT NULL, hashes bytea NOT NULL, PRIMARY KEY (token, part))""",
        f"""CREATE TABLE queuecalls_breakdowns (
            campaign_key varchar({KEY_LENGTH}) NOT NULL, dimension varchar(16) NOT NULL, value text NOT NULL,
            result text NOT NULL, shard bigint NOT NULL, calls bigint NOT NULL,
            PRIMARY KEY (campaign_key, dimension, value, result, shard))""",
        f"""CREATE TABLE queuecalls_choices (
            campaign_key varchar({KEY_LENGTH}) NOT NULL, call_key varchar({KEY_LENGTH}) NOT NULL,
            phone_number text, message_reference text, call_id text, choice text NOT NULL, chosen_at bigint NOT NULL,
            old_choice text, PRIMARY KEY (campaign_key, call_key))""",
        "CREATE INDEX queuecalls_choices_chosen ON queuecalls_choices (chosen_at)",
    ),
)
VERSION = "SELECT max(version) FROM queuecalls_schema"
#: Taken while the schema is made, so that of several processes one makes it. Any number that others don't take.
_LOCK = 0x71756575


def is_current(connection: Connection) -> bool:
    """Whether there is nothing to upgrade. Unlike :func:`upgrade`, this waits for nobody who writes."""
    return inspect(connection).has_table("queuecalls_schema") and connection.execute(text(VERSION)).scalar() == len(
        SCHEMA
    )


def upgrade(connection: Connection) -> None:
    """Make the schema, or what is new in it. Of several processes that start at once, the others wait."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    connection.execute(text("CREATE TABLE IF NOT EXISTS queuecalls_schema (version bigint PRIMARY KEY)"))
    version = connection.execute(text(VERSION)).scalar() or 0
    if version > len(SCHEMA):
        raise QueueCallsError(
            f"The results database has schema version {version}, and this version of airflow-provider-queuecalls "
            f"knows versions up to {len(SCHEMA)}. Upgrade the package here."
        )
    for number, statements in enumerate(SCHEMA[version:], version + 1):
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO queuecalls_schema VALUES (:version)"), {"version": number})
