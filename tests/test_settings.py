from __future__ import annotations

from pathlib import Path

import pytest

from sparc_fw.errors import InputError
from sparc_fw.settings import load_settings, origins


def test_defaults_where_nothing_is_set() -> None:
    settings = load_settings()
    assert settings.mongo_uri is None
    assert settings.threads == 1
    assert {origin for _, origin in origins(settings).values()} == {"default"}


def test_environment_precedes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sparc_fw.yaml").write_text("threads: 2\ndatabase: mine\n")
    monkeypatch.setenv("SPARC_FW_THREADS", "3")
    settings = load_settings()
    assert (settings.threads, settings.database) == (3, "mine")
    told = origins(settings)
    assert told["threads"] == (3, "environment SPARC_FW_THREADS")
    assert told["database"] == ("mine", str(Path("sparc_fw.yaml").absolute()))


def test_file_in_the_home_folder_counts_last() -> None:
    folder = Path.home() / ".fireworks"
    folder.mkdir()
    (folder / "sparc_fw.yaml").write_text("threads: 4\n")
    assert load_settings().threads == 4
    Path("sparc_fw.yaml").write_text("threads: 2\n")
    assert load_settings().threads == 2


def test_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARC_FW_MONGO_URL", "mongodb://x")
    with pytest.raises(InputError, match=r"SPARC_FW_MONGO_URL: no such setting.*SPARC_FW_MONGO_URI"):
        load_settings()


def test_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARC_FW_THREADS", "many")
    with pytest.raises(InputError, match="SPARC_FW_THREADS: threads: found 'many'"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [("thread: 2", "thread"), ("- 1", "found list"), ("a: [", "not valid YAML"), ("threads: 0", "threads")],
)
def test_wrong_file_is_named(text: str, told: str) -> None:
    Path("sparc_fw.yaml").write_text(text)
    with pytest.raises(InputError, match=r"sparc_fw\.yaml") as caught:
        load_settings()
    assert told in str(caught.value)
