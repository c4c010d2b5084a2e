"""The DFT of a SPARC run as a labeler of a campaign, and whether it can label what the run labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.sparc_options import INPUT, NotCarried, Reference

if TYPE_CHECKING:
    from sparc_fw.loading import LoadedCampaign
    from sparc_fw.settings import Settings

INCAR, KPOINTS = "INCAR", "KPOINTS"
GAMMA_ONLY = "The Gamma point, which SPARC took\n0\nGamma\n1 1 1\n0 0 0\n"
"""SPARC gives ASE no k-points, and ASE then writes these."""

Translated = tuple[dict[str, Any], dict[str, str], list[NotCarried]]


def labeler_section(folder: Path, reference: Reference) -> Translated:
    """The campaign's labeler, the text files that it names, and what is lost.

    VASP is run by the user's own INCAR, to which SPARC adds ``prec`` and ``kgamma``.

    Raises
    ------
    InputError
        If there is no INCAR.
    """
    code = reference.name.lower()
    if code != "vasp":
        return {"kind": code}, {}, [*_of_another_code(reference)]
    from pymatgen.io.vasp.inputs import Incar

    path = folder / reference.incar_file
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"{path}: dft_calculator.incar_file cannot be read: {error.strerror}") from error
    stated = Incar.from_str(text)
    wanted: dict[str, str] = {} if reference.prec is None else {"PREC": reference.prec}
    spaced = "KSPACING" in stated
    if spaced:
        # With KSPACING ASE writes no k-points, and VASP lays the grid by this tag.
        wanted["KGAMMA"] = str(reference.kgamma).upper().join("..")
    notes = [
        NotCarried(
            f"{INPUT}: dft_calculator.{tag.lower()}",
            value,
            f"{path.name} says {tag} = {stated[tag]}, which the campaign keeps (SPARC refuses to be told twice)",
        )
        for tag, value in wanted.items()
        if tag in stated and _plain(stated[tag]) != _plain(value)
    ]
    lines = [f"{tag} = {value}" for tag, value in wanted.items() if tag not in stated]
    texts = {INCAR: "\n".join([text.rstrip(), *lines]) + "\n" if lines else text}
    if spaced:
        return {"kind": "vasp", "incar_file": INCAR}, texts, notes
    if "kgamma" in reference.model_fields_set:
        why = f"it decides nothing without KSPACING: SPARC took the Gamma point alone, as {KPOINTS} says"
        notes.append(NotCarried(f"{INPUT}: dft_calculator.kgamma", str(reference.kgamma), why))
    section = {"kind": "vasp", "incar_file": INCAR, "kpoints_file": KPOINTS}
    return section, texts | {KPOINTS: GAMMA_ONLY}, notes


def _of_another_code(reference: Reference) -> list[NotCarried]:
    why = "only VASP's settings are carried over: complete the section 'labeler'"
    stated = sorted(reference.model_fields_set - {"name"})
    return [
        NotCarried(f"{INPUT}: dft_calculator", reference.name, why),
        *(NotCarried(f"{INPUT}: dft_calculator.{key}", str(getattr(reference, key)), why) for key in stated),
    ]


def _plain(value: Any) -> str:
    return str(value).strip(".").lower()


def check_labeler(loaded: LoadedCampaign, labels: str, settings: Settings) -> list[str]:
    """What this machine lacks to label what the run labelled, one sentence each; empty where it can.

    Parameters
    ----------
    labels : str
        The file of the run's labels, as the campaign names it.

    Raises
    ------
    InputError
        If the labeler could label the structure or the run's first frame on no machine.
    """
    from sparc_fw.geometry.build import structure_of
    from sparc_fw.registry import backend_classes

    campaign = loaded.campaign
    labeler: Any = backend_classes("labeler")[campaign.labeler.kind](campaign.labeler, settings)
    missing: list[str] = labeler.missing()
    structures = [structure_of(campaign, loaded.files, system.name) for system in campaign.systems]
    for frame in [*structures, *loaded.files.frames(labels, "0")]:
        try:
            labeler.check(frame)
        except MissingDependency as error:
            missing.append(str(error))
    return list(dict.fromkeys(missing))
