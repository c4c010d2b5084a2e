"""Whether calibrated bounds of the force error hold: for random frames, and for picks, which are chosen by deviation.

Usage: ``python scripts/benchmarks/calibrated_thresholds.py DATA FOLDER [STEPS]``: DATA is the folder ``nh3bh3_sparc``
of the published SPARC run (repository rahulumrao/sparc); its 2,180 configurations are labelled with GFN2-xTB. Three
DeePMD-kit models are trained on 150 of the labels; the one that is best on 20 more is the member whose errors count.
The other configurations play explorations: in each of 40 splits 500 of them are explored and some of these labelled, at
random and by largest deviation in a window, without any care for diversity. The bounds that follow are held against
all others (random frames), and against the 400 of these with the largest deviation in that window (picks). Models and
pairs are kept in FOLDER, so that a second run takes seconds. Target: coverage within 5 points of what was aimed for, of
random frames and of picks, by the weighted fit.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from sparc_fw.documents import Dataset, Label
from sparc_fw.encoding import pack_arrays, unpack_arrays
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.potentials.base import Evaluator
from sparc_fw.potentials.committee import errors, predictions, spread
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.selectors.calibration import calibrate
from sparc_fw.selectors.calibration_records import Pairs
from sparc_fw.selectors.conformal import Bound
from sparc_fw.selectors.reliability import bounds_towards
from sparc_fw.settings import Settings
from wrong_states import configurations, wrong_naturally

TRAINED, VALIDATED, MEMBERS = 150, 20, 3
SPLITS, EXPLORED, TEST_PICKS = 40, 500, 400
WINDOW = (0.5, 0.98)
"""Quantiles of the explored deviations between which frames are candidates."""
BUDGETS = ((200, 100), (60, 30), (40, 20), (40, 10))
"""Labels by largest deviation, and at random."""
AIMED = (0.8, 0.9, 0.95)
ALLOWED = 0.05
TARGETS = (0.1, 0.5, 0.6, 0.7, 1.0)
"""Force errors to set thresholds for, eV/Å."""
CONFIDENCE = 0.9
WIDE = (0.05, 1.0)


def committee(labels: list[Label], steps: int, folder: Path) -> list[Evaluator]:
    """The members, trained unless their files are there."""
    small = DeepMDOptions(steps=steps, descriptor_neurons=[16, 32], axis_neurons=4, fitting_neurons=[64, 64])
    potential = DeepMDPotential(small, Settings())
    files = []
    for number in range(MEMBERS):
        known = sorted(folder.glob(f"member_{steps}_{number}.*"))
        if not known:
            directory = folder / f"training_{steps}_{number}"
            directory.mkdir()
            model = potential.train(Dataset(labels, []), number + 1, directory, lambda done, total: None)
            known = [folder / f"member_{steps}_{number}{model.suffix}"]
            known[0].write_bytes(model.file)
        files.append(known[0])
    return [potential.load(file) for file in files]


def measured(data: Path, folder: Path, steps: int) -> dict[str, np.ndarray]:
    """Deviation, errors and largest forces (eV/Å) of the configurations that were not trained on; kept in a file."""
    kept = folder / f"pairs_{steps}.npz"
    if not kept.exists():
        labeler = XTBLabeler(XTBOptions(force_cap=None), Settings())
        frames, reference = configurations(data)
        labels = [labeler.label(frame) for frame in frames]
        wrong = wrong_naturally(labels, reference)
        order = [int(i) for i in np.random.default_rng(1).permutation(len(labels)) if int(i) not in wrong]
        good = [labels[i] for i in order if labels[i].status == "ok"]
        members = committee(good[:TRAINED], steps, folder)
        validation, rest = good[TRAINED : TRAINED + VALIDATED], good[TRAINED + VALIDATED :]
        best = int(np.argmin([errors(member, validation).force_rmse for member in members]))
        kept.write_bytes(pack_arrays(compared(members, best, rest)))
    return unpack_arrays(kept.read_bytes())


def compared(members: list[Evaluator], best: int, labels: list[Label]) -> dict[str, np.ndarray]:
    """What the committee said and what was true."""
    frames: list[Atoms] = [label.frame for label in labels]
    forces = [np.array([force for _, force in predictions(member, frames)]) for member in members]
    truth = np.array([label.forces for label in labels])

    def largest(vectors: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(vectors, axis=2).max(axis=1))

    return {
        "sigma": spread(iter(forces)),
        "error": largest(forces[best] - truth),
        "mean_error": largest(np.mean(forces, axis=0) - truth),
        "force": largest(truth),
    }


def largest_in_window(sigma: np.ndarray, allowed: np.ndarray, window: np.ndarray, count: int) -> np.ndarray:
    """Indices of the allowed frames with the largest deviation inside the window."""
    candidates = np.flatnonzero(allowed & (sigma >= window[0]) & (sigma <= window[1]))
    return candidates[np.argsort(-sigma[candidates], kind="stable")][:count]


def label_some(explored: Pairs, window: np.ndarray, picks: int, drawn: int, rng: np.random.Generator) -> Pairs:
    """What an iteration labels of explored frames: first some at random, of the others those of largest deviation."""
    random = np.zeros(len(explored), dtype=bool)
    random[rng.choice(len(explored), drawn, replace=False)] = True
    rows = np.concatenate([largest_in_window(explored.sigma, ~random, window, picks), np.flatnonzero(random)])
    return replace(explored, random=random).part(rows)


def bounds_of(labelled: Pairs, towards: np.ndarray) -> dict[str, list[Bound | None]]:
    """Bounds from all labels, weighted, and from either kind as if it were like what is to come."""
    kinds = {"picks alone": ~labelled.random, "random alone": labelled.random}
    plain = {name: labelled.part(rows) for name, rows in kinds.items()}
    return {
        "weighted": bounds_towards(labelled, towards, AIMED),
        **{name: bounds_towards(part, part.sigma, AIMED) for name, part in plain.items()},
    }


def measure(pairs: Pairs, picks: int, drawn: int) -> None:
    """Print coverages over the splits for one budget of labels."""
    found: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    widths: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    for seed in range(SPLITS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(pairs))
        explored, rest = pairs.part(order[:EXPLORED]), pairs.part(order[EXPLORED:])
        window = np.quantile(explored.sigma, WINDOW)
        labelled = label_some(explored, window, picks, drawn, rng)
        chosen = largest_in_window(rest.sigma, np.ones(len(rest), dtype=bool), window, TEST_PICKS)
        for kind, test in (("random", rest), ("picks", rest.part(chosen))):
            # What is to come is known by its deviation, before it has a label.
            for fit, bounds in bounds_of(labelled, explored.sigma if kind == "random" else test.sigma).items():
                for aimed, bound in zip(AIMED, bounds, strict=True):
                    if bound is not None:
                        limits = bound.at(test.sigma)
                        found[fit, kind, aimed].append(float(np.mean(test.error <= limits)))
                        widths[fit, kind, aimed].append(float(np.median(limits)))
    print(f"{picks} picks and {drawn} random labels; held against {len(rest)} random frames, {len(chosen)} picks:")
    print("            fit  frames  aimed  found  ± splits  bound eV/Å    splits  of them ± 5 points")
    for (fit, kind, aimed), values in found.items():
        mean, width = np.mean(values), np.mean(widths[fit, kind, aimed])
        near = np.mean(np.abs(np.array(values) - aimed) <= ALLOWED)
        verdict = "" if abs(mean - aimed) <= ALLOWED else "  more than 5 points off"
        verdict = verdict if 2 * len(values) > SPLITS else "  labels too few in most splits"
        print(
            f"  {fit:>13} {kind:>7} {aimed:>6.0%} {mean:>6.1%} {np.std(values):>9.1%} {width:>11.2f} "
            f"{len(values):>3} of {SPLITS} {near:>19.0%}{verdict}"
        )


def hold_thresholds(pairs: Pairs, picks: int, drawn: int) -> None:
    """Print thresholds over the splits, and how many of the other frames below the lower one have a smaller error."""
    print(f"thresholds by {picks} picks and {drawn} random labels at {CONFIDENCE:.0%}:")
    for target in TARGETS:
        lower, upper, below, inside, sentence = [], [], 0, 0, ""
        for seed in range(SPLITS):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(pairs))
            explored, rest = pairs.part(order[:EXPLORED]), pairs.part(order[EXPLORED:])
            labelled = label_some(explored, np.quantile(explored.sigma, WINDOW), picks, drawn, rng)
            found = calibrate("nh3bh3", labelled, explored.sigma, target, CONFIDENCE, WIDE)
            accurate = rest.part(rest.sigma < found.f_lo)
            lower.append(found.f_lo)
            upper.append(found.f_hi)
            below += len(accurate)
            inside += int((accurate.error <= target).sum())
            sentence = found.sentence
        within = f", {inside / below:.1%} of them with a smaller error" if below else ""
        print(
            f"  target {target:g} eV/Å: f_lo {np.mean(lower):.3f} ± {np.std(lower):.3f}, f_hi {np.mean(upper):.2f} ± "
            f"{np.std(upper):.2f} eV/Å; {below / SPLITS / len(rest):.1%} of the other frames below f_lo{within}"
        )
        print(f"    the last one: {sentence}")


def main(data: Path, folder: Path, steps: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = measured(data, folder, steps)
    count = len(found["sigma"])
    pairs = Pairs(found["sigma"], found["error"], found["force"], np.zeros(count, dtype=bool), np.ones(count))
    print(f"{count} labels that were not trained on, eV/Å at the 5th, 50th and 95th of a hundred:")
    for name, values in found.items():
        print(f"  {name:>10} " + " ".join(f"{value:.3f}" for value in np.quantile(values, (0.05, 0.5, 0.95))))
    for picks, drawn in BUDGETS:
        measure(pairs, picks, drawn)
    hold_thresholds(pairs, *BUDGETS[1])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 4000)
