"""What Airflow keeps of real runs against a service that repeats everything: none of it."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_queuecalls.records.sent.stores import init_folder
from tests.conftest import HOME
from tests.support.dag_run import run_in_a_process, without_masked
from tests.support.echo import SPELLINGS, echo, leaks
from tests.support.fault_server import FaultServer
from tests.support.moved import AIRFLOW
from tests.support.patience import PATIENCE_SECONDS

LOGIN, PASSWORD, PIN = "zoë.müller@zebra", 'pä<s"/wörd', 'q&7<é>/1"w'
REFERENCE, PARAMETERS = "patient-88 zürich", "diagnosis=private; name=Ångström"
ROWS = (("17735550162", "REF-otter-1", "name=Zoë Böhm"), ("17735550187", "REF\u200d-badger-2", "owes\u00a0a\u00a0lot"))
VALUES = {
    **{"login": LOGIN, "password": PASSWORD, "pin": PIN, "message_reference": REFERENCE, "call_parameters": PARAMETERS},
    **{f"row {i}, cell {j}": cell.removeprefix("1") for i, row in enumerate(ROWS) for j, cell in enumerate(row)},
    **{"a part of a reference": "badger", "a part of a cell": "Böhm", "a part of the login": "müller"},
}
#: A task takes a while, so these stand for all shapes: test_secrets.py tests each with the hook.
TASKS = (
    *("free text", "print_r in xml", "html", "queued elements", "attributes", "json names", "nested json", "cut short"),
    *("query", "ids that are credentials", "ids that are numbers in xml", "counts", "status", "json, split by joiners"),
)
TEXT = """Zoë's & "7/b\""""
#: What the service might write for it, by hand.
SPELLED = {
    "as it is": """Zoë's & "7/b\"""",
    "upper case": """ZOË'S & "7/B\"""",
    "escaped": "Zoë&#x27;s &amp; &quot;7/b&quot;",
    "escaped but for quotes": """Zoë's &amp; "7/b\"""",
    "named": "Zo&euml;'s &amp; &quot;7/b&quot;",
    "apos": "Zoë&apos;s &amp; &quot;7/b&quot;",
    "decimal": "&#90;&#111;&#235;&#39;&#115;&#32;&#38;&#32;&#34;&#55;&#47;&#98;&#34;",
    "hexadecimal": "&#x5A;&#x6F;&#xEB;&#x27;&#x73;&#x20;&#x26;&#x20;&#x22;&#x37;&#x2F;&#x62;&#x22;",
    "twice": "Zoë&amp;#x27;s &amp;amp; &amp;quot;7/b&amp;quot;",
    "json": r"""Zo\u00eb's & \"7/b\" """,
    "json in utf-8": r"""Zoë's & \"7/b\" """,
    "json safe in html": r"""Zo\u00eb's \u0026 \"7/b\" """,
    "json in json": r"""\"Zo\\u00eb's & \\\"7/b\\\"\" """,
    "json of php": r"""Zo\u00eb's & \"7\/b\" """,
    "eight backslashes": r"""Zoë's & \\\\\\\\"7\\\\\\\\/b\\\\\\\\" """,
    "url": "Zo%C3%AB%27s%20%26%20%227%2Fb%22",
    "url of a form": "Zo%C3%AB%27s+%26+%227%2Fb%22",
    "percent": "%5a%6f%c3%ab%27%73%20%26%20%22%37%2f%62%22",
    "base64": "Wm/DqydzICYgIjcvYiI=",
    "hex": "5a6fc3ab277320262022372f6222",
    "quoted-printable": """Zo=C3=AB's & "7/b\"""",
    "mojibake": """ZoÃ«'s & "7/b\"""",
    "nfd": """Zoe\u0308's & "7/b\"""",
    "full width": "Ｚｏë＇ｓ ＆ ＂７／ｂ＂",  # noqa: RUF001
    "python": r"""Zoë\'s & "7/b" """,
    "reversed": """\"b/7" & s'ëoZ""",
    "split by spaces": """Z o ë ' s   &   " 7 / b \"""",
    "split by dashes": """Z-o-ë-'-s- -&- -"-7-/-b-\"""",
    "split by no-break spaces": "Z\u00a0o\u00a0ë\u00a0'\u00a0s\u00a0&\u00a07\u00a0/\u00a0b",
    "split by joiners": "Z\u200do\u200dë\u200d'\u200ds\u200d&\u200d7\u200d/\u200db",
    "split by marks": "Z\ufeffo\ufeffë\ufeff'\ufeffs\ufeff&\ufeff7\ufeff/\ufeffb",
    "split by lines": "Z\r\no\r\në\r\n'\r\ns\r\n&\r\n7\r\n/\r\nb",
}
DAG_FILE = """
import json, os
from datetime import datetime, timezone
from airflow import DAG
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

start_date = datetime(2026, 1, 1, tzinfo=timezone.utc)
with DAG("echo", schedule=None, start_date=start_date, user_defined_macros={"given": os.environ.get}) as dag:
    for number, shape in enumerate(json.loads(os.environ["ECHO_SHAPES"])):
        QueueCallsOperator(
            task_id=f"task{number}", contacts=os.environ["ECHO_CONTACTS"], start_url="https://voice.example/start",
            campaign_name=shape, message_reference="{{ given('ECHO_REFERENCE') }}",
            call_parameters="{{ given('ECHO_PARAMETERS') }}",
            receipts_path=os.environ["ECHO_RECEIPTS"] if number % 2 else None,
        )

if __name__ == "__main__":
    from tests.support.moved import dag_bag
    dag_bag(__file__).dags["echo"].test()
"""


def files_below(folder: Path) -> str:
    return "\n".join(file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def kept(database: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run a DAG with a task for each shape, and return everything that is kept of it, by place."""
    folder = tmp_path_factory.mktemp("echo")
    contacts, events, receipts = folder / "calls.csv", folder / "events.json", folder / "receipts"
    contacts.write_text("".join(f"{','.join(row)}\n" for row in ROWS))
    init_folder(receipts)
    with FaultServer(echo()) as server:
        connection = {
            "conn_type": "queuecalls",
            "host": server.url,
            "login": LOGIN,
            "password": PASSWORD,
            "extra": {"pin": PIN},
        }
        environment = {
            "AIRFLOW_CONN_QUEUECALLS_DEFAULT": json.dumps(connection),
            "ECHO_SHAPES": json.dumps(TASKS),
            "ECHO_CONTACTS": str(contacts),
            "ECHO_RECEIPTS": str(receipts),
            "ECHO_REFERENCE": REFERENCE,
            **({"AIRFLOW__QUEUECALLS__RECEIPTS_PATH": "none"} if AIRFLOW < (3, 3) else {}),
            "ECHO_PARAMETERS": PARAMETERS,
        }
        done = run_in_a_process(DAG_FILE, "echo", events, environment)
        assert len(server.posts) == len(TASKS), done.stdout + done.stderr
    with closing(sqlite3.connect(HOME / "airflow.db", timeout=PATIENCE_SECONDS)) as connected:
        tables = "\n".join(connected.iterdump())
    return {
        "printed": without_masked(done.stdout + done.stderr),
        "OpenLineage": events.read_text(),
        "receipts": files_below(receipts),
        "XCom, rendered fields, task state and all other tables": tables,
    }


def test_nothing_that_the_service_repeats_is_kept_anywhere(kept: dict[str, str]) -> None:
    found = {place: leaks(text, VALUES) for place, text in kept.items()}
    assert found == {place: [] for place in kept}


def test_what_is_kept_shows_what_is_harmless(kept: dict[str, str]) -> None:
    assert "Line *** is not valid: ***" in kept["printed"]
    assert re.search(r"HTML, [0-9]+ bytes", kept["printed"])
    assert re.search('"call_id_count": [23]', kept["receipts"])
    assert '"eventType": "FAIL"' in kept["OpenLineage"]
    assert "queuecalls_campaign" in kept["OpenLineage"]
    assert "INSERT INTO" in kept["XCom, rendered fields, task state and all other tables"]


def test_the_search_finds_every_spelling() -> None:
    assert SPELLED.keys() == SPELLINGS.keys()
    for how, spelled in SPELLED.items():
        assert f"text, {how}" in leaks(f"so {spelled} it is", {"text": TEXT}), how
    assert leaks(f"so {TEXT[1:]} it is", {"text": TEXT}) == []
