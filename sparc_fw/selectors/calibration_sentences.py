"""What an iteration's verdict says of thresholds that set themselves."""

from __future__ import annotations

from collections.abc import Sequence

from sparc_fw.selectors.calibration_records import Calibration
from sparc_fw.selectors.conformal import least_labels


def told_of(calibrations: Sequence[Calibration]) -> str:
    """A clause for each calibration; empty where there is none."""
    return "; ".join(map(_clause, calibrations))


def _clause(found: Calibration) -> str:
    window = f"{found.f_lo:.3g} to {found.f_hi:.3g} eV/Å"
    if not found.calibrated:
        return f"{found.system}: wide thresholds, {window}: {found.labels} labels tell too little to set them"
    shares = [f"{100 * row.found:.0f} % ({row.source})" for row in found.coverage if row.kind == "random"]
    # Of picks bounds may be known alone.
    covered = f", found {' and '.join(shares)}" if shares else ""
    return (
        f"{found.system}: thresholds {window} from {found.labels} labels, errors bounded for "
        f"{100 * found.confidence:g} %{covered}"
    )


def unproven(calibrations: Sequence[Calibration]) -> list[str]:
    """A clause for every system of which labels do not show that accurate frames are accurate.

    As many labels below ``f_lo`` are asked for as a bound of the given confidence needs, and not so few of them within
    the target that chance alone explains it hardly ever (binomial test at the same confidence).
    """
    return [clause for found in calibrations if (clause := _unproven(found))]


def _unproven(found: Calibration) -> str:
    from scipy.stats import binom

    if not found.calibrated:
        return f"the thresholds of {found.system} are not set by labels yet"
    count, least = found.accurate_labels, least_labels(found.confidence)
    if count < least:
        return f"only {count} labels below f_lo of {found.system} were seen, {least} asked for"
    # Where older labels weigh less, as many as tell as much.
    within, worth = found.accurate_within or 0.0, round(found.accurate_effective)
    if binom.sf(round(worth * (1 - within)) - 1, worth, 1 - found.confidence) < 1 - found.confidence:
        return (
            f"of {count} labels below f_lo of {found.system} {100 * within:.0f} % are within {found.target:g} eV/Å, "
            f"{100 * found.confidence:g} % asked for"
        )
    return ""
