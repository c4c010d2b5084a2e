"""DeePMD-kit's training input: a template from the options, under the user's own keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sparc_fw.potentials.base import PotentialOptions
from sparc_fw.section import Positive

NotNegative = Annotated[float, Field(ge=0)]
Neurons = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
Prefactors = tuple[NotNegative, NotNegative]

OWN_KEYS = (
    "model.type_map",
    "model.descriptor.seed",
    "model.fitting_net.seed",
    "training.seed",
    "training.training_data.systems",
    "training.validation_data.systems",
    "training.disp_file",
    "training.save_ckpt",
)
"""Keys of DeePMD-kit's input that the campaign decides: its data, its seeds and the files that are read back."""

LISTED_SEL = ("se_e2_a", "se_e2_r", "se_e3", "se_a", "se_r", "se_atten", "se_atten_v2", "dpa1")
"""Descriptors whose ``sel`` is one number per element."""


class DeepMDOptions(PotentialOptions):
    """Options of DeePMD-kit potentials (Deep Potential, smooth edition: Zhang et al., NeurIPS 2018)."""

    kind: Literal["deepmd"] = "deepmd"
    backend: Literal["auto", "tensorflow", "pytorch", "jax"] = "auto"
    """Framework that trains and evaluates; auto takes the first of them that works on the machine."""
    rcut: Positive = 6.0
    """Cut-off radius, Å."""
    rcut_smth: Positive = 0.5
    """Where the smooth switching to zero begins, Å."""
    descriptor_neurons: Neurons = [25, 50, 100]
    """Embedding net, layer by layer."""
    axis_neurons: int = Field(8, ge=1)
    """Columns of the embedding matrix that make the descriptor's axis."""
    three_body_neurons: Neurons | None = None
    """Embedding net of an additional three-body descriptor (se_e3), which sees twists about double bonds that the
    two-body one barely does; where unset, there is none."""
    three_body_rcut: Positive = 4.0
    """Cut-off radius of the three-body descriptor, Å."""
    fitting_neurons: Neurons = [100, 100, 100]
    """Fitting net, layer by layer."""
    activation: str = "tanh"
    """Activation function, by DeePMD-kit's name."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point numbers of the nets; energies are summed in float64 either way."""
    steps: int = Field(10000, ge=1)
    """Training steps."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 4
    """Frames per training step; auto takes as many as make 32 atoms."""
    learning_rate: Positive = 2e-3
    """At the first step; decays exponentially."""
    learning_rate_stop: Positive = 1e-5
    """At the last step."""
    pref_energy: Prefactors = (0.1, 20.0)
    """Weight of the energy in the loss, at the first and the last step."""
    pref_force: Prefactors = (1000.0, 1.0)
    """Weight of the forces."""
    pref_virial: Prefactors = (0.02, 1.0)
    """Weight of the virial, where labels have a stress."""
    origin_shares: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Fraction of the training batches by origin of the frames (scan, dynamics, …, pick); the others share the rest by
    their number of labels."""
    compress: bool = False
    """Tabulate the embedding net of the frozen model (Lu et al., J. Chem. Theory Comput. 18, 5559, 2022)."""
    input: dict[str, Any] = {}
    """DeePMD-kit's own input keys, merged deeply over what the options above make; these win."""

    @model_validator(mode="after")
    def _fit_together(self) -> DeepMDOptions:
        if self.rcut_smth >= self.rcut:
            raise ValueError(f"rcut_smth: found {self.rcut_smth} Å, expected less than rcut, {self.rcut} Å")
        if sum(self.origin_shares.values()) >= 1:
            found = sum(self.origin_shares.values())
            raise ValueError(
                f"origin_shares: found {found:g} in all, expected less than 1, so that others are left some"
            )
        if self.learning_rate_stop > self.learning_rate:
            raise ValueError(
                f"learning_rate_stop: found {self.learning_rate_stop:g}, expected at most learning_rate, "
                f"{self.learning_rate:g}, from which it decays"
            )
        return self


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over` merged deeply; lists are replaced.

    A section whose ``type`` changes is replaced as a whole, since the keys of one descriptor or schedule mean nothing
    to another.
    """
    if "type" in over and over["type"] != base.get("type", over["type"]):
        return dict(over)
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def training_input(
    options: DeepMDOptions,
    elements: Sequence[str],
    sel: Sequence[int],
    systems: Mapping[str, float],
    validation: Sequence[str],
    virial: bool,
    seed: int,
) -> dict[str, Any]:
    """DeePMD-kit's whole input.

    Parameters
    ----------
    options : DeepMDOptions
    elements : sequence of str
        The type map.
    sel : sequence of int
        Neighbours per element.
    systems : mapping of str to float
        Data folders, and the probability of each to give the next batch.
    validation : sequence of str
        Data folders.
    virial : bool
        Whether labels have a stress.
    seed : int
        Descriptor, fitting net and order of batches get different ones derived from it.
    """
    result = merged(template(options, elements, sel, systems, virial), options.input)
    # 32 bits, which is all that DeePMD-kit keeps; the stride is odd, so that no two members share one.
    seeds = [(seed * 7919 + part) % 2**32 for part in range(3)]
    descriptor = result["model"]["descriptor"]
    for number, part in enumerate(descriptor["list"] if descriptor["type"] == "hybrid" else [descriptor]):
        if part["type"] in LISTED_SEL:
            part.setdefault("sel", list(sel))
        part["seed"] = (seeds[0] + number) % 2**32
    result["model"]["fitting_net"]["seed"], result["training"]["seed"] = seeds[1:]
    if validation:
        data = {"systems": list(validation), "batch_size": 1, "numb_btch": 8}
        result["training"]["validation_data"] = merged(data, result["training"].get("validation_data", {}))
    return result


def template(
    options: DeepMDOptions, elements: Sequence[str], sel: Sequence[int], systems: Mapping[str, float], virial: bool
) -> dict[str, Any]:
    """DeePMD-kit's input of the options alone, before the user's own keys and seeds; see `training_input`."""
    net = {"precision": options.precision, "activation_function": options.activation}
    loss: dict[str, Any] = {"type": "ener"}
    pref_virial = options.pref_virial if virial else (0.0, 0.0)
    for letter, prefactors in (("e", options.pref_energy), ("f", options.pref_force), ("v", pref_virial)):
        loss[f"start_pref_{letter}"], loss[f"limit_pref_{letter}"] = prefactors
    descriptor: dict[str, Any] = {
        "type": "se_e2_a",
        "sel": list(sel),
        "rcut": options.rcut,
        "rcut_smth": options.rcut_smth,
        "neuron": options.descriptor_neurons,
        "axis_neuron": options.axis_neurons,
        "resnet_dt": False,
        "type_one_side": True,
        **net,
    }
    if options.three_body_neurons is not None:
        three_body = {
            "type": "se_e3",
            "sel": list(sel),
            "rcut": options.three_body_rcut,
            "rcut_smth": options.rcut_smth,
            "neuron": options.three_body_neurons,
            "resnet_dt": False,
            **net,
        }
        descriptor = {"type": "hybrid", "list": [descriptor, three_body]}
    return {
        "model": {
            "type_map": list(elements),
            "descriptor": descriptor,
            "fitting_net": {"neuron": options.fitting_neurons, "resnet_dt": True, **net},
        },
        "learning_rate": {
            "type": "exp",
            "start_lr": options.learning_rate,
            "stop_lr": options.learning_rate_stop,
            "decay_steps": max(1, options.steps // 100),
        },
        "loss": loss,
        "training": {
            "training_data": {
                "systems": list(systems),
                "sys_probs": list(systems.values()),
                "batch_size": options.batch_size,
            },
            "numb_steps": options.steps,
            "disp_file": "lcurve.out",
            "disp_freq": max(1, options.steps // 50),
            "save_freq": options.steps,
            "save_ckpt": "model.ckpt",
            "max_ckpt_keep": 1,
        },
    }
