"""Fixtures: a real MongoDB for the session, a database of its own and a clean environment for each test."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparc_fw.child_process import thread_variables

TEST_DATA = "SPARC_FW_TEST_DATA"

# Before anything is imported: FireWorks reads its configuration and the numerical libraries their threads once, then.
_HOME = tempfile.TemporaryDirectory(prefix="sparc_fw_home_")
os.environ.update({"HOME": _HOME.name, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"} | thread_variables(1))
os.environ.pop("FW_CONFIG_FILE", None)
# A shell starts what it runs in the background with Ctrl-C ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if TEST_DATA in os.environ:
    os.environ[TEST_DATA] = str(Path(os.environ[TEST_DATA]).resolve())

from fireworks import LaunchPad  # noqa: E402
from pymongo import MongoClient  # noqa: E402

from sparc_fw.embedded import EmbeddedMongo  # noqa: E402
from sparc_fw.launchpad import launchpad_at, prepare  # noqa: E402

pytest_plugins = ["trained_models", "cheap_campaigns"]


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker of FireWorks' own tests: it imports those when it looks for a Firetask by its name."""
    config.addinivalue_line("markers", "mongodb: FireWorks' own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what is fast first, and whole campaigns that take minutes only where they are asked for."""
    if "soak" not in config.option.markexpr:
        takes_minutes = pytest.mark.skip(reason="runs a whole campaign, which takes minutes: bash scripts/soak.sh")
        for item in items:
            if item.get_closest_marker("soak") is not None:
                item.add_marker(takes_minutes)
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not tested here, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"not tested here: {len(skipped)}")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test from seeing this user's files and settings, and from leaving anything in the checkout."""
    for name in [name for name in os.environ if name.startswith("SPARC_FW_") and name != TEST_DATA]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    folder = os.environ.get(TEST_DATA)
    if folder is None:
        pytest.skip(f"{TEST_DATA} names no folder with real data")
    return Path(folder)


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real MongoDB that lives as long as the session."""
    mongo = EmbeddedMongo(tmp_path_factory.mktemp("mongo"))
    server = mongo.start()
    try:
        yield server.uri
    finally:
        mongo.stop()


@pytest.fixture
def database(mongo_uri: str) -> Iterator[str]:
    """Name of a fresh database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def launchpad(mongo_uri: str, database: str) -> Iterator[LaunchPad]:
    """An empty LaunchPad with its indexes."""
    launchpad = launchpad_at(mongo_uri, database)
    prepare(launchpad)
    yield launchpad
    launchpad.connection.close()
