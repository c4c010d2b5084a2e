"""A fake VASP and POTCARs that hold no potential, for tests of the labeler ``vasp``."""

from __future__ import annotations

import sys
from pathlib import Path

import fake_vasp
from sparc_fw.settings import Settings

VALENCE = {"H": 1, "B": 3, "N": 5, "O": 6, "Na": 1, "Cl": 7}
FAMILIES = ("POT_GGA_PAW_PBE", "POT_GGA_PAW_PBE_54", "POT_PAW_PBE_64")


def write_potcars(folder: Path) -> Path:
    """POTCARs of which only the head is there, laid out as pymatgen does."""
    for family in FAMILIES:
        (folder / family).mkdir(parents=True)
        for element, valence in VALENCE.items():
            for name in (element, f"{element}_pv"):
                head = f"  PAW_PBE {name} 01Jan2000\n {valence:.8f}\n parameters from PSCTR are:\n"
                head += f"   VRHFIN ={element}: none\n   LEXCH  = PE\n   TITEL  = PAW_PBE {name} 01Jan2000\n"
                head += f"   POMASS =    1.000; ZVAL   =    {valence:.3f}    mass and valenz\n   LULTRA =        F\n"
                tail = "END of PSCTR-controll parameters\n local part\n 0.0\n End of Dataset\n"
                (folder / family / f"POTCAR.{name}").write_text(head + tail)
    return folder


def write_vasp(folder: Path, name: str = "vasp_std") -> Path:
    """An executable that starts the fake VASP with whatever arguments it gets."""
    executable = folder / name
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {fake_vasp.__file__} "$@"\n')
    executable.chmod(0o755)
    return executable


def vasp_settings(folder: Path, arguments: str = "", potcars: bool = True) -> Settings:
    """Settings with the fake VASP and the POTCARs in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return Settings(
        vasp_command=f"{write_vasp(folder)} {arguments}",
        vasp_potcar_dir=write_potcars(folder / "potcars") if potcars else None,
    )
