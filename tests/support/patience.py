"""How long tests wait for an event. Nothing here is about speed, and the machine may be busy: this only ends what hangs."""

from __future__ import annotations

#: Until whatever waits gives up, and says what it waited for.
PATIENCE_SECONDS = 600
#: Until a test is broken off that waits for something without a limit.
WATCHDOG_SECONDS = 900
