"""Find VASP's POTCAR files on this machine; they are licensed, so that nothing can bring them along."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.settings import Settings

PMG_VARIABLE = "PMG_VASP_PSP_DIR"
ASE_VARIABLE = "VASP_PP_PATH"
_ENDINGS = ("", ".gz", ".bz2", ".xz", ".Z")
_VALENCE = re.compile(r"ZVAL\s*=\s*([0-9.]+)")


def potcar_folder(settings: Settings) -> Path | None:
    """The folder of POTCARs: the setting, else pymatgen's ``PMG_VASP_PSP_DIR``, else ASE's ``VASP_PP_PATH``."""
    if settings.vasp_potcar_dir is not None:
        return settings.vasp_potcar_dir
    from pymatgen.core import SETTINGS

    for found in (os.environ.get(PMG_VARIABLE), SETTINGS.get(PMG_VARIABLE), os.environ.get(ASE_VARIABLE)):
        if found:
            return Path(found).expanduser()
    return None


def read_potcars(folder: Path, functional: str, symbols: Sequence[str]) -> list[str]:
    """The text of each POTCAR.

    Parameters
    ----------
    folder : Path
        Laid out as pymatgen does (``POT_GGA_PAW_PBE_54/POTCAR.B.gz``) or as VASP's archives unpack
        (``potpaw_PBE.54/B/POTCAR``).
    functional : str
        pymatgen's name of the family: PBE, PBE_54, LDA, …
    symbols : sequence of str
        POTCAR names (B, H_h, Fe_pv) in the order of the POSCAR.

    Raises
    ------
    MissingDependency
        Names a POTCAR that is not there and all places that were looked at.
    """
    from monty.io import zopen

    texts = []
    for symbol in symbols:
        tried = [
            folder / family / f"{name}{ending}"
            for family in _families(functional)
            for name in (f"POTCAR.{symbol}", f"{symbol}/POTCAR")
            for ending in _ENDINGS
        ]
        found = next((path for path in tried if path.is_file()), None)
        if found is None:
            places = ", ".join(str(path) for path in tried[:: len(_ENDINGS)])
            raise MissingDependency(
                f"labeler vasp: found no POTCAR {symbol!r} of {functional!r}, expected one of {places}: set "
                "'user_potcar_settings' and 'user_potcar_functional', or the setting vasp_potcar_dir"
            )
        with zopen(found, mode="rt", encoding="utf-8") as opened:
            text = str(opened.read())
        texts.append(text if text.endswith("\n") else text + "\n")
    return texts


def _families(functional: str) -> list[str]:
    from pymatgen.io.vasp.inputs import PotcarSingle

    known = PotcarSingle.functional_dir
    if functional not in known:
        raise InputError(f"labeler vasp: user_potcar_functional: found {functional!r}, expected one of {sorted(known)}")
    names = [known[name] for name in (functional, f"{functional}_W_HASH") if name in known]
    return [*names, "potpaw_" + functional.replace("_", ".")]


def valence(potcar: str) -> float:
    """Number of valence electrons that a POTCAR describes (``ZVAL``).

    Raises
    ------
    InputError
        If the text does not say.
    """
    found = _VALENCE.search(potcar)
    if found is None:
        title = potcar.strip().splitlines()[0] if potcar.strip() else "an empty file"
        raise InputError(
            f"labeler vasp: POTCAR: found {title!r} without ZVAL, expected VASP's file as it was delivered"
        )
    return float(found.group(1))
