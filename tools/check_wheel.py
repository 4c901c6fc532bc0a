"""Build wheel and sdist, look at what is in them, install the wheel into an empty environment, and use it there.

python tools/check_wheel.py [--airflow-version X]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_queuecalls"
IN_WHEEL = {
    f"{PACKAGE}/py.typed",
    f"{PACKAGE}/get_provider_info.py",
    f"{PACKAGE}/operators/queuecalls.py",
    f"{PACKAGE}/example_dags/queue_calls.py",
    f"{PACKAGE}/sandbox/templates/index.html",
    f"{PACKAGE}/sandbox/static/page.css",
    f"{PACKAGE}/example_dags/data/offices.csv",
}
IN_SDIST = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "example_dags/queue_calls.py"}
USE = """
import importlib.metadata, pathlib
import airflow_provider_queuecalls
from airflow.providers_manager import ProvidersManager
assert "site-packages" in airflow_provider_queuecalls.__file__, airflow_provider_queuecalls.__file__
manager = ProvidersManager()
provider = manager.providers["airflow-provider-queuecalls"]
assert provider.version == importlib.metadata.version("airflow-provider-queuecalls") == airflow_provider_queuecalls.__version__
assert manager.hooks["queuecalls"].hook_name == "queuecalls"
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
print("1 passed, 0 failed: provider", provider.version, "is found, with its connection type and operator")
"""


def main() -> None:
    """Do it all; end with a sentence and status 1 where something is missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--airflow-version", default="3.3.2")
    airflow_version = options.parse_args().airflow_version
    with tempfile.TemporaryDirectory() as folder:
        dist, environment = Path(folder, "dist"), Path(folder, "venv")
        run(sys.executable, "-m", "build", "--quiet", "--outdir", str(dist), "--installer", "uv", str(ROOT))
        wheel = check_contents(dist)
        venv.create(environment)
        python = str(environment / "bin" / "python")
        uv = str(Path(sys.executable).with_name("uv"))
        run(uv, "pip", "install", "-q", "--python", python, f"{wheel}[sandbox]", f"apache-airflow=={airflow_version}")
        run(python, "-c", USE, cwd=folder, env={**os.environ, "AIRFLOW_HOME": folder, "PYTHONPATH": ""})
        run(str(environment / "bin" / "queuecalls"), "demo", cwd=folder, env={**os.environ, "PYTHONPATH": ""})


def check_contents(dist: Path) -> Path:
    """Look into both archives; return the wheel."""
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    missing = (IN_WHEEL - in_wheel) | (IN_SDIST - in_sdist)
    strays = {name for name in in_wheel if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-"))}
    strays |= {
        name for name in in_wheel | in_sdist if name.startswith(("tests", "benchmarks")) or "__pycache__" in name
    }
    if missing or strays:
        raise SystemExit(f"missing from the archives: {sorted(missing)}; not to be there: {sorted(strays)}")
    return wheel


def run(*command: str, **options: object) -> None:
    """Run a command; end where it fails."""
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
