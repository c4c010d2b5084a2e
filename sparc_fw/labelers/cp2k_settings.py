"""What of CP2K's input decides numbers, whoever wrote it and however: for the hash of the settings."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparc_fw.labelers.contents import file_sha256, with_contents
from sparc_fw.labelers.cp2k_build import read_template, set_keys
from sparc_fw.labelers.cp2k_input import DFT, SUBSYS, apply, keyword, section, set_keyword

if TYPE_CHECKING:
    from sparc_fw.labelers.cp2k import CP2KOptions

LIMITS = frozenset({"MAX_SCF", "WALLTIME"})
"""Keywords that decide whether there is a number, and not which."""
_OF_THE_FRAME = frozenset({"CELL", "COORD", "TOPOLOGY"})
_PLAIN = frozenset({"FORCE_EVAL", "DFT", "SUBSYS", "SCF", "MGRID", "QS", "XC", "POISSON", "GLOBAL", "MIXING"})
"""Sections that, empty, say nothing."""
_UNREAD: dict[str, frozenset[str]] = {
    "GLOBAL": frozenset(
        [
            *("PROJECT", "PROJECT_NAME", "RUN_TYPE", "PRINT_LEVEL", "ECHO_INPUT", "TRACE", "BLACS_GRID"),
            *("PREFERRED_DIAG_LIBRARY", "PREFERRED_FFT_LIBRARY", "FFTW_PLAN_TYPE", "SAVE_MEM"),
        ]
    ),
    "FORCE_EVAL": frozenset({"STRESS_TENSOR"}),
    "DFT": frozenset({"CHARGE", "MULTIPLICITY"}),
    "POISSON": frozenset({"PERIODIC", "POISSON_SOLVER"}),
}
"""Keywords, by section, that the labeler sets itself, or that tell CP2K what to print and how to share the work."""
_BY_ELEMENT = _PLAIN | {
    *("KIND", "BASIS", "BS", "DFT_PLUS_U", "DIAGONALIZATION", "DAVIDSON", "OT", "OUTER_SCF", "SMEAR", "KPOINTS"),
    *("XC_GRID", "VDW_POTENTIAL", "PAIR_POTENTIAL", "NON_LOCAL", "HF", "SCREENING", "INTERACTION_POTENTIAL"),
    *("MEMORY", "AUXILIARY_DENSITY_MATRIX_METHOD", "WAVELET", "MT", "EWALD"),
}
"""Sections that speak of all atoms, or of elements. Others, such as CONSTRAINT, CDFT or QMMM, may number atoms."""
_OF_ATOMS = ("ATOM", "LIST", "INDEX", "RESTART_FILE")
"""Parts of the names of keywords, in those sections, that number atoms, or name a file that has them in an order."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")


def settings_tree(options: CP2KOptions) -> Any:
    """The input that template, keys and overrides make for any frame, as CP2K's tree of sections.

    Raises
    ------
    InputError
        If the template cannot be read.
    """
    root = read_template(options)
    written = [str(part.params).upper() for part in section(root, *SUBSYS).subsections if part.name == "KIND"]
    # DEFAULT stands for the elements that nobody names.
    set_keys(options, root, [*written, *_kinds_of(options.overrides), "DEFAULT"], options.added_orbitals)
    apply(root, copy.deepcopy(options.overrides))
    dft = section(root, *DFT)
    for name, default in (("BASIS_SET_FILE_NAME", "BASIS_SET"), ("POTENTIAL_FILE_NAME", "POTENTIAL")):
        if keyword(dft, name) is None:
            set_keyword(dft, name, default)
    poisson = section(dft, "POISSON")
    set_keyword(poisson, "PSOLVER", keyword(poisson, "PSOLVER") or keyword(poisson, "POISSON_SOLVER") or "PERIODIC")
    return root


def deciding_part(part: Any, data_dir: Path | None) -> list[Any]:
    """A section as plain values: parameter, keywords and subsections in order of their names, without what decides
    no number; files by their content, where they are named by absolute paths or lie in `data_dir`.
    """
    unread = LIMITS | _UNREAD.get(part.name, frozenset())
    lines = [(line.split()[0].upper(), line.split()[1:]) for line in part.keywords]
    # A stable order: a keyword that is repeated keeps its own.
    lines = sorted((line for line in lines if line[0] not in unread), key=lambda line: line[0])
    below = [deciding_part(one, data_dir) for one in part.subsections if _decides(one)]
    below = [one for one in below if one[0] not in _PLAIN or any(one[1:])]
    return [
        part.name,
        _words("", str(part.params or "").split(), None),
        [[name, *_words(name, words, data_dir)] for name, words in lines],
        sorted(below, key=lambda one: one[:2]),
    ]


def limits(part: Any) -> list[list[str]]:
    """The lines that limit how much is tried, in a section and below it."""
    found = [line.split() for line in part.keywords if line.split()[0].upper() in LIMITS]
    return found + [line for one in part.subsections for line in limits(one)]


def names_atoms(root: Any) -> bool:
    """Whether a tree of sections says something of atoms by their numbers, or may: it has sections not known here."""
    for part in root.subsections:
        if not _decides(part) or part.name == "XC_FUNCTIONAL":
            continue
        words = [line.split()[0].upper() for line in part.keywords]
        numbered = any(name in word for word in words for name in _OF_ATOMS)
        if part.name not in _BY_ELEMENT or numbered or names_atoms(part):
            return True
    return False


def _decides(part: Any) -> bool:
    return part.name not in _OF_THE_FRAME and part.name != "PRINT"


def _kinds_of(overrides: Mapping[str, Any]) -> Iterator[str]:
    for key, value in overrides.items():
        name, _, parameter = key.upper().partition(" ")
        if name == "KIND" and parameter:
            yield parameter
        elif isinstance(value, Mapping):
            yield from _kinds_of(value)


def _words(name: str, words: list[str], data_dir: Path | None) -> list[str]:
    """The values of a keyword as CP2K reads them."""
    return [_content(word, data_dir) if "FILE" in name else _value(word) for word in words]


def _value(word: str) -> str:
    if _NUMBER.fullmatch(word):
        return repr(float(word.upper().replace("D", "E")))
    return word.upper() if "/" not in word else str(with_contents(word))


def _content(word: str, data_dir: Path | None) -> str:
    """A file's content, where it can be told which file it is; CP2K's own are those of its version."""
    path = Path(word.strip("\"'"))
    if data_dir is not None and not path.is_absolute() and (data_dir / path).is_file():
        return f"sha256:{file_sha256(data_dir / path)}"
    return str(with_contents(word))
