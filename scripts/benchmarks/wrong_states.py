"""How many labels of a wrong electronic state are found, and how many good ones are lost.

Usage: ``python scripts/benchmarks/wrong_states.py DATA [STEPS [MEMBERS]]``: DATA is the folder ``nh3bh3_sparc`` of the
published SPARC run (repository rahulumrao/sparc); its 2,180 configurations are labelled with GFN2-xTB. Three
committees of DeePMD-kit are trained: on the labels as they are, which may hold wrong states of their own; on labels of
which 1.6 % are those of the triplet, a real wrong state some eV too high; and on labels with errors of 0.2, 0.5 and
1 eV, 1 % each, energy and forces mixed from both states. What the committee suspects is computed again and judged, as
in a campaign. Targets: 90 % of the wrong states found, at most 2 % of the good labels lost.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from sparc_fw.campaign import Suspects
from sparc_fw.documents import Dataset, Label
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.potentials.base import Evaluator
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings
from sparc_fw.suspicion import find_suspects, judge

NATURAL_FRACTION = 0.016
PLANTED_FRACTION = 0.01
ERRORS_EV = (0.2, 0.5, 1.0)
WRONG_EV = 1.0
"""A label so far from what other guesses give, or from the DFT energy, is that of another state."""


def configurations(folder: Path) -> tuple[list[Atoms], np.ndarray]:
    """The molecules, their box left out, and their DFT energies (eV)."""
    frames: list[Atoms] = []
    for path in sorted(folder.glob("iter_*/00.dft/AseMD.traj")):
        frames += read(path, ":")
    energies = np.array([frame.get_potential_energy() for frame in frames])
    return [Atoms(f.numbers, f.positions, info={"system": "nh3bh3", "spin": 0}) for f in frames], energies


def wrong_naturally(labels: list[Label], labeler: XTBLabeler, reference: np.ndarray) -> set[int]:
    """Labels that another guess contradicts, or whose energy the DFT energy contradicts."""
    energies = np.array([label.energy for label in labels], dtype=float)
    again = np.array([labeler.recheck(label.frame).energy for label in labels], dtype=float)
    shift = energies - reference
    found = (np.abs(energies - again) > WRONG_EV) | (np.abs(shift - np.median(shift)) > WRONG_EV)
    print(
        f"other guesses: at most {np.nanmax(np.abs(energies - again)):.4f} eV; against DFT, mean offset off: "
        f"{np.abs(shift - np.median(shift)).max():.2f} eV at most"
    )
    return set(np.flatnonzero(found).tolist())


def triplets(labels: list[Label], labeler: XTBLabeler) -> list[Label]:
    """The same molecules in their lowest triplet."""
    found = []
    for label in labels:
        other = label.frame.copy()
        other.info["spin"] = 2
        found.append(labeler.label(other))
    return found


def blend(label: Label, other: Label, error: float) -> Label:
    """A label with an error in its energy (eV), and the forces of the same mixture of both states."""
    first, second = ((x.energy, x.forces) for x in (label, other))
    assert first[0] is not None
    assert second[0] is not None
    assert first[1] is not None
    assert second[1] is not None
    share = error / (second[0] - first[0])
    return replace(label, energy=first[0] + error, forces=(1 - share) * first[1] + share * second[1])


def train(labels: list[Label], steps: int, members: int, folder: Path) -> list[Evaluator]:
    """Train a committee on labels of which many are wrong, all of them in the training set."""
    potential = DeepMDPotential(
        DeepMDOptions(steps=steps, descriptor_neurons=[16, 32], fitting_neurons=[64, 64], axis_neurons=8), Settings()
    )
    evaluators: list[Evaluator] = []
    for member in range(members):
        directory = folder / f"{member}"
        directory.mkdir()
        model = potential.train(Dataset(labels, []), member + 1, directory, lambda done, total: None)
        file = folder / f"{member}{model.suffix}"
        file.write_bytes(model.file)
        evaluators.append(potential.load(file))
    return evaluators


def report(
    name: str, labels: list[Label], wrong: dict[int, str], labeler: XTBLabeler, steps: int, members: int
) -> None:
    """Train, search, compute again, judge, and print."""
    with tempfile.TemporaryDirectory() as temporary:
        evaluators = train(labels, steps, members, Path(temporary))
        options = Suspects()
        suspects = find_suspects(evaluators, labels, options)
    place = {id(label): number for number, label in enumerate(labels)}
    flagged = {place[id(suspect.label)] for suspect in suspects}
    dropped = set()
    for suspect in suspects:
        again = labeler.recheck(suspect.label.frame)
        if judge(suspect.label, again, suspect.predicted_energy, options)[0] == "dropped":
            dropped.add(place[id(suspect.label)])
    good = set(range(len(labels))) - set(wrong)
    print(f"{name}: {len(suspects)} of {len(labels)} labels suspected, {len(dropped)} dropped")
    for kind in dict.fromkeys(wrong.values()):
        mine = {number for number, what in wrong.items() if what == kind}
        found = len(mine & flagged), len(mine & dropped)
        print(f"  {kind}: {found[0]} of {len(mine)} suspected, {found[1]} dropped: recall {found[1] / len(mine):.3f}")
    lost, again_only = len(good & dropped), len(good & flagged)
    print(
        f"  good: {again_only} of {len(good)} computed again in vain, {lost} lost ({lost / len(good):.4f})", flush=True
    )


def main(folder: Path, steps: int, members: int) -> None:
    """Measure and print."""
    labeler = XTBLabeler(XTBOptions(force_cap=None), Settings())
    frames, reference = configurations(folder)
    labels = [labeler.label(frame) for frame in frames]
    failed = [label for label in labels if label.status == "failed"]
    natural = wrong_naturally(labels, labeler, reference)
    print(f"{len(labels)} labels: {len(failed)} failed, {len(natural)} of a wrong state by themselves")
    rng = np.random.default_rng(1)
    report("labels as they are", labels, dict.fromkeys(natural, "natural"), labeler, steps, members)

    chosen = rng.permutation(len(labels))
    count = round(NATURAL_FRACTION * len(labels))
    mixed, wrong = list(labels), dict.fromkeys(natural, "natural")
    high = triplets([labels[i] for i in chosen], labeler)
    usable = [(int(i), other) for i, other in zip(chosen, high, strict=True) if other.status == "ok"]
    for i, other in usable[:count]:
        mixed[i] = replace(labels[i], energy=other.energy, forces=other.forces)
        wrong[i] = "triplet"
    gaps = [(mixed[i].energy or 0.0) - (labels[i].energy or 0.0) for i, _ in usable[:count]]
    print(f"triplets: {min(gaps):.2f} to {max(gaps):.2f} eV too high, median {np.median(gaps):.2f} eV")
    report("triplets", mixed, wrong, labeler, steps, members)

    mixed, wrong = list(labels), dict.fromkeys(natural, "natural")
    each = round(PLANTED_FRACTION * len(labels))
    for number, (i, other) in enumerate(usable[: each * len(ERRORS_EV)]):
        error = ERRORS_EV[number // each]
        mixed[i] = blend(labels[i], other, error)
        wrong[i] = f"planted {error:g} eV"
    report("planted errors", mixed, wrong, labeler, steps, members)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), *(int(argument) for argument in (sys.argv[2:4] + ["10000", "2"][len(sys.argv) - 2 :])))
