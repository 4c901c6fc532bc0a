"""Two weeks of campaigns with made-up results, the same each time, as pages show them at noon."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from airflow_provider_queuecalls.records.database.storing import store

#: The hour at which each DAG runs.
SCHEDULES = {"payment_due": 8, "appointment_reminders": 9, "survey_follow_up": 10, "delivery_window": 11}
#: Area codes, their time zones, and how many of a hundred contacts are there.
AREAS = {("617", "America/New_York"): 48, ("213", "America/Los_Angeles"): 21, ("312", "America/Chicago"): 20, ("303", "America/Denver"): 11}  # fmt: skip
#: Who answers, the call's result, and how many of a hundred calls end so.
ENDS = {("human", "completed"): 50, ("machine", "completed"): 20, ("no answer", "failed"): 18, ("busy", "failed"): 11, ("human", "hung up"): 1}  # fmt: skip


class Course(NamedTuple):
    """How a campaign goes: its outcome, the share of its calls with a result, for how many hours results arrive unless noon comes
    first, and how many contacts have no call."""

    outcome: str = "queued"
    results: float = 1
    hours: float = 5
    without_call: int = 0


#: The campaigns that are not complete, by how many days ago they were sent, and by DAG.
COURSES = {
    (0, "survey_follow_up"): Course("unknown", results=0),
    (0, "appointment_reminders"): Course(results=0.56),
    (0, "payment_due"): Course(results=0.9),
    (1, "payment_due"): Course(results=0.55, hours=0.8),
    (2, "delivery_window"): Course(without_call=7),
    (3, "survey_follow_up"): Course("unknown", results=0.9),
}


def add_two_weeks(database: Database, noon: datetime) -> None:
    """Add the campaigns of :data:`COURSES`, and complete ones on the days before today."""
    random = Random(1)
    for ago in range(12, -1, -1):
        complete = random.sample(sorted(SCHEDULES), random.randint(2, 3)) if ago else []
        for dag_id, hour in SCHEDULES.items():
            if dag_id in complete or (ago, dag_id) in COURSES:
                run = noon - timedelta(days=ago, hours=12 - hour)
                add_campaign(database, random, dag_id, run, COURSES.get((ago, dag_id), Course()), noon=noon)


def add_campaign(
    database: Database, random: Random, dag_id: str, run: datetime, course: Course, *, noon: datetime
) -> None:
    """Add the campaign of a DAG run, and its results."""
    run_id = f"scheduled__{run:%Y-%m-%dT%H_00_00}"
    areas = random.choices(list(AREAS), list(AREAS.values()), k=random.randint(250, 340))
    sent, calls = int(run.timestamp()) + random.randint(300, 3_000), len(areas) - course.without_call
    start = sent + 600
    campaign = CampaignRow(
        f"{sent:016x}", f"{dag_id}.queue_calls.{run_id}", len(areas), course.outcome, dag_id, run_id, sent,
        expires_at=sent + 21_600, calls_from=start, calls=None if course.outcome == "unknown" else calls, collects_results=True,
        campaign_url="https://manager.example.com", zones=json.dumps(Counter(zone for _, zone in areas)),
    )  # fmt: skip
    database.put_campaign(campaign)
    end = min(start + int(course.hours * 3_600), int(noon.timestamp()))
    moments = sorted(random.randint(start, end) for _ in range(int(calls * course.results)))
    with database.transaction() as connection:
        for moment, (area, _) in zip(moments, areas, strict=False):
            ((kind, result),) = random.choices(list(ENDS), list(ENDS.values()))
            seconds = random.randint(5, 90) if kind in ("human", "machine") else 0
            call = {
                "phone_number": f"1{area}55501{random.randrange(100):02}", "message_reference": f"{random.getrandbits(32)}",
                "result": result, "callee_type": kind, "attempts": random.choice("111223"), "duration": f"{seconds}",
                "last_attempt_timestamp": f"{moment}",
            }  # fmt: skip
            store(connection, [(campaign.campaign_key, read_result(call.items()))], received_at=moment + seconds)
