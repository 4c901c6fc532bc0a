"""Where the record of a campaign is kept: the protocol of a store, a local folder, and no store at all."""

from __future__ import annotations

import errno
import json
import os
import pwd
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from airflow_provider_queuecalls.files.writing import NO_HARD_LINKS
from airflow_provider_queuecalls.records.sent.entry import CampaignKey

_FILE_NAME = re.compile(r"([0-9]{6,})\.json")
#: The file that shows that a folder was made for records. An unmounted share looks like an empty folder.
MARKER = "queuecalls-records.txt"
MARKER_TEXT = """\
This folder holds the records of what was sent with queuecalls. If this file is not here, no campaign is sent.
"""


class Store(Protocol):
    """Keeps the entries of one campaign's record, each a JSON object with a number, its generation.

    An entry is created once and never changed. Any error means that it isn't known what is kept.
    """

    #: Where that is, for messages.
    location: str
    #: How the command ``queuecalls records`` finds the record; empty where nothing is kept.
    command_arguments: str
    #: What to mind when the task is cleared, after "Then clear this task".
    clear_note: str = ""
    #: Whether it is the record of one task, so that what was sent under another name counts, too.
    other_names_count: bool = False
    #: Where the record was kept before this place was set. Its last entry counts as long as there is none here.
    before: Store | None = None

    @property
    def exclusive(self) -> bool:
        """Whether :meth:`create` compares and sets in one step, so that of two tries at the same moment one is stopped.

        Raises what :meth:`last` may raise.
        """

    def location_of(self, generation: int) -> str:
        """Where that entry is, for messages: its file, where it has one."""

    def problem(self, error: Exception) -> str:
        """What an error of this store means, for messages. Its own text may hold credentials."""

    def last(self) -> tuple[int, Any] | None:
        """The last generation and its entry; None where there is no entry."""

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        """Keep an entry. False, and nothing is changed, where this generation exists already."""


#: How the record of a campaign is opened.
OpenStore: TypeAlias = Callable[[CampaignKey], Store]


class SharedStore(Store, Protocol):
    """A store in a place that it shares with the records of other campaigns."""

    def probe(self) -> bool:
        """Try to write, and leave nothing behind. Returns whether the store is exclusive; raises what :meth:`create` raises."""

    def names(self) -> list[str]:
        """The names of all records in that place."""


class NoStore(Store):
    """Keeps nothing, for whoever accepts that a campaign may be sent again."""

    location = "no store"
    exclusive = False
    command_arguments = ""

    def location_of(self, generation: int) -> str:  # noqa: ARG002
        return self.location

    def problem(self, error: Exception) -> str:
        return type(error).__name__

    def last(self) -> tuple[int, Any] | None:
        return None

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return True


class LocalStore(SharedStore):
    """A folder of this machine with one small JSON file for each entry, created exclusively and written through to
    the disk.

    It lies in ``root``, the folder of all records, which :func:`init_folder` has made.
    """

    exclusive = True

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._folder = root / name
        self.location = str(self._folder)
        self.command_arguments = command_arguments_for(name, str(root))

    def location_of(self, generation: int) -> str:
        return str(self._folder / file_name(generation))

    def problem(self, error: Exception) -> str:
        if isinstance(error, UnusableFolder):
            return str(error)
        if isinstance(error, PermissionError):
            return _permission_problem(self._root)
        return (isinstance(error, OSError) and error.strerror) or type(error).__name__

    def probe(self) -> bool:
        assert_initialized(self._root)
        with tempfile.NamedTemporaryFile(prefix=".", suffix=".partial", dir=self._root) as file:
            file.write(MARKER_TEXT.encode())
            file.flush()
            self._link(file.name, linked := Path(f"{file.name}.link"))
            linked.unlink()
        return self.exclusive

    def names(self) -> list[str]:
        assert_initialized(self._root)
        return [each.name for each in self._root.iterdir() if each.is_dir()]

    def last(self) -> tuple[int, Any] | None:
        assert_initialized(self._root)
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return None
        if not (generation := last_generation(names)):
            return None
        return generation, decoded((self._folder / file_name(generation)).read_bytes())

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        assert_initialized(self._root)
        group = _group_bits(self._root)
        with suppress(FileExistsError):
            self._folder.mkdir(0o700)
            self._folder.chmod(0o700 | group)  # whatever the umask is
        # Written to another name first, so that nobody ever reads half an entry.
        descriptor, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=self._folder)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600 | group & 0o060)
                file.write(encoded(entry))
                file.flush()
                os.fsync(file.fileno())
            self._link(partial, self._folder / file_name(generation))
        except FileExistsError:
            if os.stat(partial).st_nlink == 1:  # NFS may repeat a link that it has made
                return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(partial)
        _sync(self._folder)
        _sync(self._root)
        return True

    def _link(self, source: str, target: Path) -> None:
        """Give a file one more name. Unlike a rename, this fails if the name is taken."""
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            raise UnusableFolder(
                f"the file system of {self._root} has no hard links, which records need; use another folder, a URL, or "
                "'database'"
            ) from None


class UnusableFolder(Exception):
    """The folder cannot hold records. The message says why."""


def init_folder(folder: Path, *, group: bool = False) -> None:
    """Make a folder for records: put the marker into it, which shows that it is the right one.

    A folder that is there is kept; it must be empty or have the marker. ``group`` lets the folder's Unix group read and
    write all records. Raises :class:`OSError`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker = folder / MARKER
    if not marker.exists():
        if any(folder.iterdir()):
            raise OSError(errno.ENOTEMPTY, "it has other files in it; name a new or empty folder", str(folder))
        marker.write_text(MARKER_TEXT)
    for path in (folder, *folder.rglob("*")) if group else ():
        mode = 0o2770 if path.is_dir() else 0o660
        if stat.S_IMODE(path.stat().st_mode) != mode:  # what another user has made may be right already
            path.chmod(mode)
    _sync(folder)
    _sync(folder.parent)


def assert_initialized(folder: Path) -> None:
    """Raise :class:`UnusableFolder` if the folder has no marker, so that :func:`init_folder` has not made it."""
    try:
        os.stat(folder / MARKER)
    except FileNotFoundError:
        raise UnusableFolder(
            f"the folder has no file {MARKER}; mount the share if it is on one, or make a folder for records, once, with: "
            f"queuecalls records init {shlex.quote(str(folder))}"
        ) from None


def _group_bits(root: Path) -> int:
    """The mode bits that let the folder's group in, if it has the setgid bit: only then do new files belong to that group."""
    mode = root.stat().st_mode
    return mode & 0o2070 if mode & stat.S_ISGID else 0


def _permission_problem(root: Path) -> str:
    """Who may use the folder, for a process that may not."""
    try:
        status = root.stat()
    except OSError:
        return "permission denied"
    return (
        f"permission denied: this process runs as {user_name(os.geteuid())}, and {root} belongs to {user_name(status.st_uid)} "
        f"with mode {stat.S_IMODE(status.st_mode):04o}; the owner can let the folder's group in with: "
        f"queuecalls records init --group {shlex.quote(str(root))}"
    )


def user_name(number: int) -> str:
    """The name of a user of this machine, or the number if it has no name."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as in a container that knows only its own
        return f"user {number}"


def command_arguments_for(name: str, receipts: str) -> str:
    """How the command ``queuecalls records`` finds the record in a folder of that name."""
    receipts_option = f"--receipts {shlex.quote(receipts)}"
    # After "--", a name that begins with a dash is not read as an option.
    return (
        f"{receipts_option} -- {shlex.quote(name)}"
        if name.startswith("-")
        else f"{shlex.quote(name)} {receipts_option}"
    )


def ways_to_resolve(arguments: str, clear_note: str) -> str:
    """What a person can do about an unknown outcome, once they have looked the campaign up."""
    if not arguments:
        return "If it is not there, clear this task to send it. If it is there, do not clear it: no record was kept."
    return (
        f"If it is there, run: queuecalls records resolve --queued {arguments}\n"
        f"If it is not there, run: queuecalls records resolve --not-queued {arguments}\n"
        f"Then clear this task{clear_note}, or repeat the command that has sent the campaign: it returns the result of the queued "
        "campaign, or sends the campaign once."
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_name(generation: int) -> str:
    """The name of the file with one entry."""
    return f"{generation:06}.json"


def last_generation(names: list[str]) -> int:
    """The last generation among the names of files; 0 where there is none."""
    return max((int(match[1]) for name in names if (match := _FILE_NAME.fullmatch(name))), default=0)


def encoded(entry: Mapping[str, Any]) -> bytes:
    """The entry as it is kept in a file."""
    return json.dumps(entry, ensure_ascii=False, indent=1).encode()


def decoded(data: bytes) -> Any:
    """What is kept in a file; None where that is not JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return None
