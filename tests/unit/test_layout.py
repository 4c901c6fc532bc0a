"""The layout of the package: which modules need Airflow, which may import which, and which names are public.

The modules are found by listing the package's files, so that a new one is tested from its first day.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import airflow_provider_queuecalls as package

ROOT = Path(package.__file__).parent
REPOSITORY = ROOT.parent
#: What the package consists of, from the bottom up. A module imports from its own folder and from lower layers only.
LAYERS = (
    {"outcome", "exceptions", "stopping", "progress", "parameters", "clocks", "value_types", "signed_url", "listening"},
    {"files"},
    {"client"},
    {"contacts", "voice"},
    {"records"},
    {"delivery"},
    {"pages"},
    {"sandbox", "probe", "get_provider_info"},
    {"_airflow"},
    {"hooks"},
    {"links", "triggers"},
    {"operators", "sensors"},
    {"transfers", "decorators", "notifications", "plugins"},
    {"pytest_plugin"},
    {"cli"},
)
#: Folders whose modules are written for Airflow. All others can be imported where it is not installed.
AIRFLOW_FLOOR = {
    *("_airflow", "hooks", "links", "operators", "sensors", "triggers"),
    *("transfers", "decorators", "notifications", "plugins"),
}
#: Commands that may start Airflow or read its connections, once they are told to.
COMMANDS = {"cli"}


def modules() -> dict[str, Path]:
    """All modules by name, without the package's own name in front; the package itself is ``""``."""
    paths = sorted(ROOT.rglob("*.py"))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").strip("."): path
        for path in paths
    }


MODULES = modules()


def part(module: str) -> str:
    """The folder or module directly below the package."""
    return module.partition(".")[0]


def layer(module: str) -> int:
    (found,) = [number for number, parts in enumerate(LAYERS) if part(module) in parts]
    return found


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Everything a file imports, inside functions too: modules and, for ``from a import b``, ``a.b``."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """Our modules that a file imports, as in :data:`MODULES`, without the package itself."""
    names = (
        name.removeprefix(f"{package.__name__}.") for name in imports(path) if name.startswith(f"{package.__name__}.")
    )
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} - {""}


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_every_module_belongs_to_a_layer_and_imports_from_lower_ones(module: str) -> None:
    assert part(module) in set().union(*LAYERS), f"say in LAYERS where {part(module)} belongs"
    others = [other for other in own_imports(MODULES[module]) if part(other) != part(module)]
    allowed = LAYERS[0] if layer(module) == 0 else set().union(*LAYERS[: layer(module)])
    assert [other for other in others if part(other) not in allowed] == []


def room(module: str) -> str:
    """The folder within a folder of the package where a module is, or the module itself."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("of", [str, room], ids=["modules", "rooms"])
def test_none_import_each_other_in_a_circle(of: Callable[[str], str]) -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        graph.setdefault(of(module), set()).update(map(of, own_imports(path)))
    try:
        TopologicalSorter({name: others - {name} for name, others in graph.items() if name}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("parent", ["contacts", "records"])
def test_a_folder_within_another_imports_from_those_above_it_in_the_architecture_page(parent: str) -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    table = page.partition(f"| folder of `{parent}/` |")[2].partition("\n\n")[0]
    folders = [f"{parent}.{name}" for name in re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE)]
    packages = [module for module, path in MODULES.items() if path.name == "__init__.py"]
    assert sorted(folders) == [module for module in sorted(packages) if module.startswith(f"{parent}.")]
    for module in MODULES:
        if room(module) in folders:
            others = {room(other) for other in own_imports(MODULES[module])}
            assert others & set(folders[folders.index(room(module)) + 1 :]) == set(), module


def test_the_architecture_page_has_every_folder_and_module_of_the_package() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`([\w.]+)(?:/|\.py)`", page))
    assert {part(name) for name in MODULES if name} - named == set()


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) not in AIRFLOW_FLOOR | COMMANDS])
def test_below_the_airflow_floor_no_function_imports_airflow(module: str) -> None:
    assert [name for name in imports(MODULES[module]) if re.match(r"airflow\b(?!_)", name)] == []


WITHOUT_AIRFLOW = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ImportError(f"{name} is imported")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
"""


def test_below_the_airflow_floor_every_module_can_be_imported_without_airflow() -> None:
    below = [name for name in MODULES if part(name) not in AIRFLOW_FLOOR]
    assert {"client", "files", "contacts", "records", "sandbox"} <= set(below)
    names = [f"{package.__name__}.{name}".rstrip(".") for name in [*below, "hooks.queuecalls"]]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIRFLOW, *names], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    # The hook shows that Airflow was out of reach.
    assert [line.split(" ")[0] for line in ran.stdout.splitlines()] == [names[-1]], ran.stdout


# Public names: those in the ``__all__`` of a module without an underscore in its name.


def imported(module: str) -> ModuleType:
    return importlib.import_module(f"{package.__name__}.{module}".rstrip("."))


def declares_names(path: Path) -> bool:
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for node in ast.parse(path.read_text("utf-8")).body
    )


def is_public(module: str) -> bool:
    return declares_names(MODULES[module]) and not any(name.startswith("_") for name in module.split("."))


PUBLIC = [name for name in MODULES if is_public(name)]
#: What DAGs import from.
FOR_DAGS = [
    name for name, path in MODULES.items() if part(name) in AIRFLOW_FLOOR - {"_airflow"} and path.name != "__init__.py"
]
#: Names in other people's DAGs. Nothing here may be renamed.
FIXED = {
    "client": {"Campaign", "Response"},
    "exceptions": {
        *("QueueCallsError", "InvalidCampaign", "InvalidConnection", "InvalidContacts", "CheckFailed"),
        *("NotSent", "NotAccepted", "Refused", "OutcomeUnknown", "AlreadySent"),
    },
    "hooks.queuecalls": {"QueueCallsHook"},
    "operators.queuecalls": {"QueueCallsOperator"},
    "operators.call_results": {"CallResultsOperator"},
    "operators.split_contacts": {"SplitContactsOperator"},
    "sensors.queuecalls": {"QueueCallsResultsSensor"},
    "notifications.queuecalls": {"QueueCallsNotifier"},
}


@pytest.mark.usefixtures("airflow")
@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_defines_and_documents_the_names_it_lists(module: str) -> None:
    found = imported(module)
    defined = {name for name, value in vars(found).items() if getattr(value, "__module__", module) == found.__name__}
    if MODULES[module].name == "__init__.py":
        defined |= {name.rpartition(".")[2] for name in imports(MODULES[module])} - {"annotations"}
        assert set(found.__all__) == {name for name in defined if not name.startswith("_")}
    objects = {name: getattr(found, name) for name in found.__all__}
    code = {name: value for name, value in objects.items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert code.keys() <= defined
    assert [name for name, value in code.items() if not inspect.getdoc(value)] == []


@pytest.mark.parametrize("module", FOR_DAGS)
def test_a_module_that_dags_import_from_lists_its_names(module: str) -> None:
    assert module in PUBLIC


@pytest.mark.parametrize("module", FIXED)
def test_names_that_dags_use_are_public(module: str) -> None:
    assert set(imported(module).__all__) >= FIXED[module]


def used_by_readers() -> Iterator[tuple[str, str, str]]:
    """What examples and documentation import of ours: where, the module, the name."""
    pages = [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "example_dags").rglob("*.py"),
    ]
    pattern = rf"^ *from {package.__name__}(?:\.([\w.]+))? import ([\w, ]+)$"
    for page in pages:
        for module, names in re.findall(pattern, page.read_text("utf-8"), re.MULTILINE):
            yield from ((page.name, module, name.strip()) for name in names.split(","))


@pytest.mark.usefixtures("airflow")
def test_examples_and_documentation_import_public_names_only() -> None:
    used = list(used_by_readers())
    assert used
    assert [(page, module, name) for page, module, name in used if module not in PUBLIC] == []
    assert [(page, module, name) for page, module, name in used if name not in imported(module).__all__] == []
