"""The receiver of call results, which also serves scripts, as an ASGI app."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.call_results import FIELDS, CallResult, PostedResult, read_result
from airflow_provider_queuecalls.records.database.database import Database, opened_once
from airflow_provider_queuecalls.records.database.errors import describe_error
from airflow_provider_queuecalls.records.receiver.requests import InvalidRequest, Receive, Scope, Send, pairs_of
from airflow_provider_queuecalls.records.receiver.urls import key_of, script_of
from airflow_provider_queuecalls.voice.script import CALL, CHOICE, CONTENT_TYPE, END_CALL, script
from airflow_provider_queuecalls.voice.speech import Speech

log = logging.getLogger("airflow_provider_queuecalls.results")
_T = TypeVar("_T")
HEALTH = "/health"
#: How many results are committed in one transaction, and about how many characters of fields.
MOST_AT_ONCE = 100
MOST_CHARACTERS_AT_ONCE = 1 << 20
#: About how many characters of fields may wait for the database.
MOST_CHARACTERS = 64 << 20
#: How long a result may wait for the database.
STORE_SECONDS = 30
#: The fields of a call whose text is spoken. A contact's own has the name of its column, or that of the form.
SPOKEN = ("call_parameter", "call_parameters")
_RESULT_FIELDS = frozenset(field.name for field in FIELDS)
_MORE_HEADERS = {503: [(b"retry-after", b"30")], 405: [(b"allow", b"GET, HEAD, POST")]}


class _Response(NamedTuple):
    """A response: a text, which is also logged, or a script."""

    status: int
    text: str
    script: bytes = b""


OK = _Response(200, "ok")
NO_DATABASE = _Response(503, "this receiver has no database")


class Receiver:
    """An ASGI app that stores the results of calls. It responds with 200 once a result is committed.

    It serves the results URLs and the scripts of all campaigns that one of the secrets has signed, below any prefix, and
    ``/health``. Its log has neither paths nor values of a request.

    :param open_database: opens the database of results and choices, once and in a thread, when it is needed first; None to
        serve only scripts without choices
    """

    def __init__(self, open_database: Callable[[], Database] | None, secrets: Sequence[str]) -> None:
        self._database = open_database and opened_once(open_database)
        self._secrets = tuple(secrets)
        self._problem = ""
        self._has_warned = False
        self._waiting: deque[_Waiting] = deque()
        self._characters = 0
        self._writing: asyncio.Task[None] | None = None
        # Requests of /health, which anybody may send, must not delay a result.
        self._writer, self._reader = (ThreadPoolExecutor(1, f"queuecalls-results-{name}") for name in ("write", "read"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        path, is_read = scope["path"], scope["method"] in ("GET", "HEAD")
        speaking, key = script_of(path, self._secrets), key_of(path, self._secrets)
        try:
            if speaking is not None:
                key = speaking[0]
                response = await self._speak(*speaking, scope, receive)
            elif key is not None:
                response = await self._respond(key, scope, receive)
            elif is_read and path.endswith(HEALTH):
                response = await self._ping() if self._database else OK
            else:
                response = _Response(404, "not found")
        except InvalidRequest as refused:
            response = _Response(*refused.args)
        if key and not is_read:
            log.info("%s %d campaign %s: %s", scope["method"], response.status, key, response.text)
        body = response.script or f"{response.text}\n".encode()
        content_type = CONTENT_TYPE if response.script else "text/plain"
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        headers += _MORE_HEADERS.get(response.status, ())
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def close(self) -> None:
        """Wait for what is being stored."""
        self._writer.shutdown()
        self._reader.shutdown()

    async def _ping(self) -> _Response:
        return await self._result_of(self._in_thread(self._reader, lambda database: database.ping()))

    async def _respond(self, key: str, scope: Scope, receive: Receive) -> _Response:
        pairs = await pairs_of(scope, receive)
        if self._database is None:
            return NO_DATABASE
        if scope["method"] != "POST":  # the service asks so before it queues a campaign
            if not self._has_warned and not _RESULT_FIELDS.isdisjoint(name for name, _ in pairs):
                log.warning(
                    "A result of campaign %s came with %s and was not stored: results must be posted.",
                    key,
                    scope["method"],
                )
                self._has_warned = True
            return OK
        if not pairs:
            return _Response(400, "the post has no fields")
        return await self._result_of(self._store(key, read_result(pairs)))

    async def _speak(self, key: str, speech: Speech, scope: Scope, receive: Receive) -> _Response:
        pairs = await pairs_of(scope, receive)
        fields, result = dict(pairs), read_result(pairs).result
        if speech.choices and self._database is None:
            return NO_DATABASE
        if scope["method"] == "POST" and CHOICE in fields:
            return await self._choose(key, speech, fields[CHOICE], result)
        call = {name: getattr(result, name) or "" for name in CALL}
        text = next(filter(None, map(fields.get, SPOKEN)), "")
        return _Response(200, "script", script(speech, text, call, scope["path"].rpartition("/")[2]))

    async def _choose(self, key: str, speech: Speech, choice: str, call: CallResult) -> _Response:
        if choice not in speech.choices.values():
            return _Response(400, "the script does not offer this choice")
        if call.call_key is None:
            return _Response(400, "the choice names no call")
        chosen = (key, call, choice, int(time.time()))
        storing = self._in_thread(self._writer, lambda database: database.add_choice(*chosen))
        response = await self._result_of(asyncio.wait_for(storing, STORE_SECONDS))
        return _Response(200, "choice stored", END_CALL) if response is OK else response

    async def _result_of(self, operation: Awaitable[bool | None]) -> _Response:
        try:
            is_new = await operation
        except Exception as error:  # noqa: BLE001  # any: only a committed result may be acknowledged
            if (problem := describe_error(error)) != self._problem:  # one line, however many posts fail
                log.error("The database cannot be used: %s", problem)
                self._problem = problem
            return _Response(503, "the database cannot be used")
        self._problem = ""
        return OK if is_new is None else _Response(200, "stored" if is_new else "stored before")

    async def _store(self, key: str, posted: PostedResult) -> bool:
        if self._characters > MOST_CHARACTERS:
            raise QueueCallsError(f"Results of more than {MOST_CHARACTERS} characters wait for it.")
        loop = asyncio.get_running_loop()
        waiting = _Waiting((key, posted), loop.create_future())
        deadline = loop.call_later(STORE_SECONDS, waiting.fail, TimeoutError())
        self._waiting.append(waiting)
        self._characters += len(posted.fields)
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        try:
            return await waiting.stored
        finally:
            deadline.cancel()

    async def _write(self) -> None:
        """Commit the results that wait, many in one transaction, until none is left."""
        while self._waiting:
            batch, before = list[_Waiting](), self._characters
            while self._waiting and len(batch) < MOST_AT_ONCE and before - self._characters < MOST_CHARACTERS_AT_ONCE:
                batch.append(self._waiting.popleft())
                self._characters -= len(batch[-1].post[1].fields)
            await self._commit(batch)
        self._writing = None

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        batch = [waiting for waiting in batch if not waiting.stored.done()]
        posts = [waiting.post for waiting in batch]
        try:
            all_new = await self._in_thread(self._writer, lambda database: database.add_all(posts))
        except Exception as error:  # noqa: BLE001  # whoever waits gets it
            if len(batch) == 1:
                batch[0].fail(error)
            else:  # one result that cannot be stored must not keep the others from being stored
                for waiting in batch:
                    await self._commit([waiting])
        else:
            for waiting, is_new in zip(batch, all_new, strict=True):
                if not waiting.stored.done():
                    waiting.stored.set_result(is_new)

    def _in_thread(self, threads: ThreadPoolExecutor, operation: Callable[[Database], _T]) -> asyncio.Future[_T]:
        database = self._database
        assert database is not None  # noqa: S101  # without one, nothing waits for it
        return asyncio.get_running_loop().run_in_executor(threads, lambda: operation(database()))


class _Waiting(NamedTuple):
    """A post whose request waits until it is committed."""

    post: tuple[str, PostedResult]
    stored: asyncio.Future[bool]

    def fail(self, error: Exception) -> None:
        if not self.stored.done():
            self.stored.set_exception(error)
