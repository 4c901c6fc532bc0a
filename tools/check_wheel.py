"""Build wheel and sdist of the last commit, look at what is in them, install the wheel into an empty environment, and
use it there. What passed lies in dist/.

python tools/check_wheel.py [--airflow-version X]
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_queuecalls"
#: What the wheel says about itself, in its folder of that.
ABOUT = {
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "licenses/LICENSE",
    f"licenses/{PACKAGE}/pages/static/chart.LICENSE.md",
}
#: What an sdist has besides the package and the example DAGs.
BESIDES = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO", ".gitignore"}
#: Whatever else is forgotten in a commit, not these.
NEVER_MISSING = {f"{PACKAGE}/py.typed", f"{PACKAGE}/get_provider_info.py", "example_dags/queue_calls.py", "LICENSE"}
USE = """
import importlib.metadata, pathlib
import airflow_provider_queuecalls
from airflow.providers_manager import ProvidersManager
assert "site-packages" in airflow_provider_queuecalls.__file__, airflow_provider_queuecalls.__file__
manager = ProvidersManager()
provider = manager.providers["airflow-provider-queuecalls"]
assert provider.version == importlib.metadata.version("airflow-provider-queuecalls") == airflow_provider_queuecalls.__version__
assert manager.hooks["queuecalls"].hook_name == "queuecalls"
assert "airflow_provider_queuecalls.links.queuecalls.CampaignLink" in manager.extra_links_class_names
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
if tuple(map(int, importlib.metadata.version("apache-airflow").split(".")[:2])) >= (3, 3):
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag
    bundles = {bundle.name: bundle for bundle in DagBundlesManager().get_all_dag_bundles()}
    bag = DagBag(str(bundles["airflow-provider-queuecalls-example-dags"].path))
    assert not bag.import_errors, bag.import_errors
    assert {"queue_calls", "queue_calls_with_approval", "queue_calls_export", "queue_calls_on_asset"} <= set(bag.dags), bag.dags
print("1 passed, 0 failed: provider", provider.version, "is found, with its connection type, operator, link and examples")
"""


def main() -> None:
    """Do it all; end with a sentence and status 1 where something is missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--airflow-version", default="3.3.2")
    airflow_version = options.parse_args().airflow_version
    if changed := git("status", "--porcelain"):
        print(f"Not in what is built, since not committed:\n{changed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        # The first wheel is made from the sdist, the second one from the repository, as another person might.
        dist = build(Path(folder, "first"), umask=0o022)
        again = build(Path(folder, "second, elsewhere"), "--sdist", "--wheel", umask=0o077)
        check_same(dist, again)
        wheel = check_contents(dist)
        run(sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir()))
        environment = Path(folder, "venv")
        venv.create(environment)
        python = str(environment / "bin" / "python")
        uv = str(Path(sys.executable).with_name("uv"))
        run(uv, "pip", "install", "-q", "--python", python, f"{wheel}[sandbox]", f"apache-airflow=={airflow_version}")
        run(
            python,
            "-c",
            USE,
            cwd=folder,
            env={**os.environ, "AIRFLOW_HOME": folder, "PYTHONPATH": "", "AIRFLOW__CORE__LOAD_EXAMPLES": "True"},
        )
        run(str(environment / "bin" / "queuecalls"), "demo", cwd=folder, env={**os.environ, "PYTHONPATH": ""})
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(dist, ROOT / "dist")


def build(folder: Path, *what: str, umask: int) -> Path:
    """Build the last commit in a clone of its own; return the folder of the archives."""
    run("git", "clone", "-q", str(ROOT), str(folder), umask=umask)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct")}
    run(sys.executable, "-m", "build", "--quiet", "--installer", "uv", *what, str(folder), env=environment, umask=umask)
    return folder / "dist"


def check_same(dist: Path, again: Path) -> None:
    """Assert that two builds gave the same bytes."""
    names = sorted({path.name for path in (*dist.iterdir(), *again.iterdir())})
    _, different, missing = filecmp.cmpfiles(dist, again, names, shallow=False)
    if len(names) != 2 or different or missing:
        raise SystemExit(f"two builds of one commit are not the same: {different + missing or names}")
    print(f"Twice the same bytes: {', '.join(names)}")


def check_contents(dist: Path) -> Path:
    """Assert that both archives have what they should have and nothing else; return the wheel."""
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    committed = set(git("ls-files", PACKAGE, "example_dags").splitlines())
    examples = {name for name in committed if name.startswith("example_dags/")}
    about = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    in_wheel = (
        {f"{PACKAGE}/{name}" for name in examples} | (committed - examples) | {f"{about}/{name}" for name in ABOUT}
    )
    in_sdist = committed | BESIDES
    with tarfile.open(sdist) as archive:
        sdist_names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    wrong = [
        f"{archive.name}: missing {sorted(expected - found)}, not to be there {sorted(found - expected)}"
        for archive, expected, found in (
            (wheel, in_wheel, set(zipfile.ZipFile(wheel).namelist())),
            (sdist, in_sdist | NEVER_MISSING, sdist_names),
        )
        if expected != found
    ]
    if wrong:
        raise SystemExit("\n".join(wrong))
    return wheel


def git(*arguments: str) -> str:
    """What git says about the repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: str, **options: object) -> None:
    """Run a command; end where it fails."""
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
