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


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SPARC_FW_THREADS", "many", r"^SPARC_FW_THREADS: threads: found 'many', expected a whole number$"),
        ("SPARC_FW_ASE_CALCULATORS", "{bad", r"^SPARC_FW_ASE_CALCULATORS: found '\{bad', expected JSON"),
        ("SPARC_FW_DATA_DIR", "a_file", r"^SPARC_FW_DATA_DIR: data_dir: found .*a_file, which is no folder"),
        ("SPARC_FW_DATA_DIR", "a_file/below", r"^SPARC_FW_DATA_DIR: data_dir: found .*a_file, which is no folder"),
    ],
)
def test_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str) -> None:
    Path("a_file").touch()
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=told):
        load_settings()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"thread: 2", "thread: no such key; did you mean 'threads'"),
        (b"- 1", "found list"),
        (b"a: [", "not valid YAML"),
        (b"threads: 0", "threads: found 0, expected greater than or equal to 1"),
        (b"\xff\xfe\0", "found bytes that are not UTF-8 text"),
        (b"5: a", "found the key 5, expected a name"),
    ],
)
def test_wrong_file_is_named(content: bytes, told: str) -> None:
    Path("sparc_fw.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"sparc_fw\.yaml") as caught:
        load_settings()
    assert told in str(caught.value)
