"""The machine: where MongoDB is, which commands and how many threads; never science.

Each value comes from, in this order: an environment variable ``SPARC_FW_<NAME>``; ``sparc_fw.yaml`` found the way
FireWorks finds its files (the working directory, then ``~/.fireworks``); the default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sparc_fw.errors import InputError
from sparc_fw.folders import in_the_way
from sparc_fw.plain_words import first_finding
from sparc_fw.yaml_files import read_section

FILE_NAME = "sparc_fw.yaml"
PREFIX = "SPARC_FW_"


def find_file(name: str) -> Path | None:
    """Find a configuration file as FireWorks does: the working directory, then ``~/.fireworks``."""
    for folder in (Path.cwd(), Path.home() / ".fireworks"):
        if (folder / name).is_file():
            return folder / name
    return None


class _FileSource(PydanticBaseSettingsSource):
    """Values of ``sparc_fw.yaml``."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = find_file(FILE_NAME)
        return {} if path is None else read_section(path, "settings file")


class _EnvironmentSource(EnvSettingsSource):
    """Values of the environment; those of several keys are JSON."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            variable = PREFIX + field_name.upper()
            raise InputError(f"{variable}: found {value!r}, expected JSON ({error})") from error


class Settings(BaseSettings):
    """Settings of this machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )

    launchpad_file: Path | None = None
    """FireWorks' ``my_launchpad.yaml``; where unset, found as FireWorks finds it."""
    mongo_uri: str | None = None
    """URI of a MongoDB, instead of a launchpad file."""
    database: str = "sparc_fw"
    """Database used with ``mongo_uri`` and with the embedded server."""
    data_dir: Path = Path("~/.local/share/sparc_fw")
    """Data, pid and port of the embedded MongoDB."""
    mongod_command: str | None = None
    """A mongod executable for the embedded server; where unset, the one of the extra ``mongod``, then PATH."""
    lmp_command: str = "lmp"
    """LAMMPS executable."""
    cp2k_command: str = "cp2k_shell"
    """CP2K's shell, as words: "cp2k_shell", "mpirun -n 4 cp2k_shell", "cp2k.psmp --shell"."""
    cp2k_data_dir: Path | None = None
    """Folder of CP2K's basis sets and potentials; where unset, the one that CP2K was built with. The content of its
    files that a campaign uses is part of its labels' keys, so that all workers need the same ones."""
    pw_command: str = "pw.x"
    """Quantum ESPRESSO's pw.x, as words: "pw.x", "mpirun -n 4 pw.x -nk 2"."""
    pseudo_dir: Path = Path("/usr/share/espresso/pseudo")
    """Folder of Quantum ESPRESSO's pseudopotentials; the default is where Debian and Ubuntu have them."""
    cores: int | None = Field(None, ge=1)
    """Processor cores of one label by a code whose command starts several processes; where unset, `threads`."""
    vasp_command: str = "vasp_std"
    """VASP with what starts it, such as ``mpirun -np 16 vasp_std``."""
    vasp_gam_command: str | None = None
    """The same for VASP's faster executable for calculations at Gamma alone; where unset, ``vasp_command``."""
    vasp_potcar_dir: Path | None = None
    """Folder of VASP's POTCARs, laid out as by pymatgen or as unpacked; where unset, ``PMG_VASP_PSP_DIR`` of the
    environment or of ``.pmgrc.yaml``, then ``VASP_PP_PATH``."""
    ase_calculators: dict[str, dict[str, Any]] = {}
    """What ASE calculators need on this machine, by the name that campaigns use: ``{mopac: {command: …}}``, or
    ``{orca: {profile: "ase.calculators.orca:OrcaProfile", command: …}}``."""
    packmol_command: str = "packmol"
    """Packmol's executable, with which mixtures are packed."""
    threads: int = Field(1, ge=1)
    """Threads of one label, training or run; 1 repeats to the bit."""
    processes: int = Field(1, ge=1)
    """Runs of cheap start dynamics side by side in one Firework."""
    ping_seconds: int = Field(30, ge=1)
    """How often a running Firework says that it lives (FireWorks' PING_TIME_SECS), s."""
    chapter_nodes: int = Field(1000, ge=1)
    """A Workflow that would pass this many Fireworks is followed by a new one of the same campaign."""
    label_cache_GB: float = Field(20.0, gt=0)
    """Most that labels may take that are kept as arrays in ``cache/labels`` of ``data_dir`` for the next training, GB;
    the least recently used ones are removed. A campaign that needs more is read anew for each training."""
    mongo_patience_seconds: float = Field(120.0, ge=0)
    """How long a running task waits for a MongoDB that went away, s."""

    @field_validator("data_dir", "cp2k_data_dir", "pseudo_dir", "vasp_potcar_dir", mode="after")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Tasks run in their launch folders.
        return None if path is None else path.expanduser().absolute()

    @field_validator("data_dir", mode="after")
    @classmethod
    def _is_folder(cls, path: Path) -> Path:
        blocking = in_the_way(path.expanduser())
        if blocking is not None:
            raise ValueError(f"found {blocking}, which is no folder; expected a folder, or a new name for one")
        return path

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the file behind the environment."""
        return init_settings, _EnvironmentSource(settings_cls), _FileSource(settings_cls)


def load_settings() -> Settings:
    """Read the settings of this machine.

    Raises
    ------
    InputError
        Names the variable or file with a wrong value.
    """
    # The tests' own variable is no setting.
    known = [*(PREFIX + name.upper() for name in Settings.model_fields), "SPARC_FW_TEST_DATA"]
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in known:
            raise InputError(f"{variable}: no such setting; expected one of {', '.join(known)}")
    try:
        return Settings()
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        where = PREFIX + name.upper() if PREFIX + name.upper() in os.environ else str(find_file(FILE_NAME))
        raise InputError(f"{where}: {first_finding(error, Settings.model_fields)}") from error


def origins(settings: Settings) -> dict[str, tuple[Any, str]]:
    """Each setting's value and where it came from."""
    path = find_file(FILE_NAME)
    in_file = read_section(path, "settings file") if path else {}
    result: dict[str, tuple[Any, str]] = {}
    for name in Settings.model_fields:
        if PREFIX + name.upper() in os.environ:
            origin = f"environment {PREFIX}{name.upper()}"
        elif name in in_file:
            origin = str(path)
        else:
            origin = "default"
        result[name] = (getattr(settings, name), origin)
    return result
