"""Deletes what is old from the results database: results, choices, campaigns, and the numbers for ``max_per_period``."""

from __future__ import annotations

import time

from sqlalchemy import text

from airflow_provider_queuecalls.records.database.database import Database, forget_numbers

#: How many rows are deleted in one transaction: a receiver waits for its end.
PRUNED_AT_ONCE = 10_000
#: ``ends_at`` is never before ``starts_at``, so it is enough to compare one.
_OLD_REQUESTS = "SELECT token FROM queuecalls_requests WHERE ends_at < :until"
#: Whole seconds, so that calls and results are those of the same time.
_OLDEST = """SELECT max(received_at) FROM
    (SELECT received_at FROM queuecalls_results WHERE received_at < :before ORDER BY received_at LIMIT :most) AS oldest"""
_PRUNE_CALLS = """DELETE FROM queuecalls_calls WHERE (campaign_key, call_key, digest) IN
    (SELECT campaign_key, call_key, digest FROM queuecalls_results WHERE received_at <= :until)"""
_WITHOUT_CALL = """SELECT campaign_key, digest FROM queuecalls_results AS post WHERE call_key IS NOT NULL AND NOT EXISTS
    (SELECT 1 FROM queuecalls_calls AS call WHERE call.campaign_key = post.campaign_key AND call.call_key = post.call_key)
    LIMIT :most"""
_PRUNE_POST = "DELETE FROM queuecalls_results WHERE campaign_key = :campaign_key AND digest = :digest"
_PRUNE_RESULTS = "DELETE FROM queuecalls_results WHERE received_at <= :until"
#: A choice stays as long as the result of its call.
_PRUNE_CHOICES = """DELETE FROM queuecalls_choices WHERE chosen_at <= :until AND NOT EXISTS
    (SELECT 1 FROM queuecalls_calls AS call WHERE call.campaign_key = queuecalls_choices.campaign_key
        AND call.call_key = queuecalls_choices.call_key)"""
_PRUNE_CAMPAIGNS = """DELETE FROM queuecalls_campaigns WHERE started_at < :before AND NOT EXISTS
    (SELECT 1 FROM queuecalls_results AS result WHERE result.campaign_key = queuecalls_campaigns.campaign_key)
    AND NOT EXISTS (SELECT 1 FROM queuecalls_choices AS choice WHERE choice.campaign_key = queuecalls_campaigns.campaign_key)"""
_PRUNE_TALLIES = """DELETE FROM queuecalls_tallies WHERE last_received_at < :before
    AND NOT EXISTS (SELECT 1 FROM queuecalls_results AS result WHERE result.campaign_key = queuecalls_tallies.campaign_key)
    AND NOT EXISTS (SELECT 1 FROM queuecalls_campaigns AS known WHERE known.campaign_key = queuecalls_tallies.campaign_key)"""
_PRUNE_BREAKDOWNS = """DELETE FROM queuecalls_breakdowns WHERE NOT EXISTS
    (SELECT 1 FROM queuecalls_tallies AS tally WHERE tally.campaign_key = queuecalls_breakdowns.campaign_key)
    AND NOT EXISTS (SELECT 1 FROM queuecalls_choices AS choice WHERE choice.campaign_key = queuecalls_breakdowns.campaign_key)"""


def prune(database: Database, before: int) -> int:
    """Delete the results that were received before a time, and choices and campaigns from before it; return how many results.

    A call is as old as its result: with that, all of its posts are deleted, also one that came later and did not change it.
    The counts of a campaign stay as long as the campaign, since they say nothing about a person.
    """
    deleted, count = 0, 1
    while count:
        with database.transaction(unlimited=True) as connection:
            oldest = {"before": before, "most": PRUNED_AT_ONCE}
            until = {"until": connection.execute(text(_OLDEST), oldest).scalar()}
            connection.execute(text(_PRUNE_CALLS), until)
            count = connection.execute(text(_PRUNE_RESULTS), until).rowcount
            connection.execute(text(_PRUNE_CHOICES), until)
        deleted += count
    if deleted:
        deleted += _prune_posts_without_call(database)
    with database.transaction(unlimited=True) as connection:
        connection.execute(text(_PRUNE_CHOICES), {"until": before - 1})
        for statement in (_PRUNE_CAMPAIGNS, _PRUNE_TALLIES, _PRUNE_BREAKDOWNS):
            connection.execute(text(statement), {"before": before})
    return deleted


def _prune_posts_without_call(database: Database) -> int:
    """Delete the posts of calls whose result is deleted; return how many. They are looked for while receivers write."""
    deleted, count = 0, PRUNED_AT_ONCE
    while count == PRUNED_AT_ONCE:
        with database.reading(unlimited=True) as connection:
            posts = connection.execute(text(_WITHOUT_CALL), {"most": PRUNED_AT_ONCE}).mappings().all()
        count = len(posts)
        if posts:
            with database.transaction(unlimited=True) as connection:
                connection.execute(text(_PRUNE_POST), [dict(post) for post in posts])
        deleted += count
    return deleted


def prune_numbers(database: Database, before: int) -> int:
    """Delete the numbers of campaigns that ended before a time, unless a period of ``max_per_period`` still needs them, as the
    longest one on record does. Return the number of deleted requests."""
    with database.transaction() as connection:
        longest = connection.execute(text("SELECT coalesce(max(period), 0) FROM queuecalls_requests")).scalar() or 0
        until = {"until": min(before, int(time.time()) - longest)}
        tokens = [row[0] for row in connection.execute(text(_OLD_REQUESTS), until)]
    for token in tokens:  # one at a time: a receiver waits for the end of each
        with database.transaction(unlimited=True) as connection:
            forget_numbers(connection, token)
    return len(tokens)
