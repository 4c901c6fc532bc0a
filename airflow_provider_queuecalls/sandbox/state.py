"""The parts of one sandbox, put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow_provider_queuecalls.sandbox.callbacks import Callbacks
from airflow_provider_queuecalls.sandbox.clock import Clock
from airflow_provider_queuecalls.sandbox.database import Database
from airflow_provider_queuecalls.sandbox.dialer import Dialer
from airflow_provider_queuecalls.sandbox.faults import ArmedFaults
from airflow_provider_queuecalls.sandbox.hours import AttemptsOutsideHours
from airflow_provider_queuecalls.sandbox.journal import Journal
from airflow_provider_queuecalls.sandbox.settings import Settings
from airflow_provider_queuecalls.sandbox.store import Store


@dataclass(frozen=True)
class State:
    """All parts of a sandbox, over one database."""

    settings: Settings
    database: Database
    clock: Clock
    store: Store
    journal: Journal
    faults: ArmedFaults
    callbacks: Callbacks
    dialer: Dialer
    outside_hours: AttemptsOutsideHours

    @classmethod
    def open(cls, path: Path | None, settings: Settings) -> State:
        """Open the :class:`Database`, and raise its errors."""
        database = Database(path)
        clock = Clock(database, settings.speed)
        store = Store(database, unique_names=settings.unique_names)
        journal = Journal(database)
        callbacks = Callbacks(journal, settings.callback_hosts)
        hours = AttemptsOutsideHours(settings.calling_hours)
        dialer = Dialer(store, clock, callbacks, settings.seed, hours)
        return cls(settings, database, clock, store, journal, ArmedFaults(database), callbacks, dialer, hours)

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and wait until everything that is due by then has happened."""
        self.clock.advance(seconds)
        self.dialer.catch_up()
        self.dialer.wake()

    def set_speed(self, speed: float) -> None:
        """Let the clock go on at another speed."""
        self.clock.set_speed(speed)
        self.dialer.wake()

    def reset(self) -> None:
        """Delete campaigns, calls, journal and armed faults, and set the clock to the real time."""
        self.database.clear()
        self.outside_hours.counts.clear()
        self.clock.reset()
        self.dialer.wake()

    def close(self) -> None:
        """Stop the dialer, and keep the time."""
        self.dialer.stop()
        self.callbacks.close()
        self.clock.save()
        self.database.close()
