"""Model versions on disk: a folder with ``card.json`` and ``weights.safetensors``, checked before use.

Torch-free until :meth:`ModelFolder.load_weights` is called.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from restoration.errors import CardError, ModelError, RecipeError, WeightsError
from restoration.recipe import ParameterValue, RecipeStage, StageTask

if TYPE_CHECKING:
    from torch import Tensor

CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
STYLE_PREFIX = "simulated-"  # marks every style as a simulation, not a statement about the object's process
SHIPPED = Path(__file__).parent / "weights"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]*")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter that a model version takes, as its card declares it.

    A ``number`` lies in the closed interval ``minimum`` to ``maximum``; a ``choices`` parameter is an ordered subset of
    ``choices``.
    """

    name: str
    kind: Literal["number", "choices"]
    default: ParameterValue
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    description: str = ""

    def checked(self, value: Any) -> ParameterValue:
        """Validates ``value`` and returns it in the recipe's form.

        Raises:
            RecipeError: the value has the wrong type or is out of range.
        """
        if self.kind == "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RecipeError(f"{self.name} must be a number, not {value!r}")
            low, high = cast(float, self.minimum), cast(float, self.maximum)
            if not low <= value <= high:
                raise RecipeError(f"{self.name} must lie between {low:g} and {high:g}, not {value!r}")
            return float(value)
        if not (wanted := set(value)):
            raise RecipeError(f"{self.name} needs at least one of {', '.join(self.choices)}")
        if unknown := sorted(wanted - set(self.choices)):
            raise RecipeError(f"{self.name} knows {', '.join(self.choices)}, not {', '.join(map(str, unknown))}")
        return tuple(choice for choice in self.choices if choice in wanted)


@dataclass(frozen=True, kw_only=True)
class Suitability:
    """The pictures that a model version is suited to. An unknown polarity or process is always suitable."""

    polarity: tuple[str, ...]
    unsuited_processes: tuple[str, ...]
    minimum_size_px: int

    def objection(self, *, polarity: str | None, process: str | None, width: int, height: int) -> str | None:
        """Returns the reason why a master is unsuitable, or None if it is suitable."""
        if polarity is not None and polarity not in self.polarity:
            return f"{polarity} polarity"
        words = (process or "").casefold()
        for unsuited in self.unsuited_processes:
            if unsuited.casefold() in words:
                return f"process {unsuited}"
        if min(width, height) < self.minimum_size_px:
            return f"smaller than {self.minimum_size_px} px"
        return None


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The typed part of ``card.json``; ``content`` holds the whole card."""

    name: str
    version: str
    task: StageTask
    architecture: str
    network: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    suited_to: Suitability
    weights_sha256: str
    content: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def palette(self) -> str:
        """A style's palette: ``neutral`` (no colour), ``toned`` (one colour per lightness) or ``full``."""
        return str(self.content["style"]["palette"])

    def stage(self, given: Mapping[str, Any]) -> RecipeStage:
        """Builds a recipe stage from the given parameters (validated) and the defaults of the others.

        Raises:
            RecipeError: a parameter is unknown to this version or out of range.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        if unknown := sorted(set(given) - set(known)):
            raise RecipeError(
                f"{self.reference} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        return RecipeStage(
            task=self.task,
            model=self.name,
            version=self.version,
            weights_sha256=self.weights_sha256,
            parameters={name: known[name].checked(given.get(name, known[name].default)) for name in known},
        )

    def gives_colour(self, parameters: Mapping[str, ParameterValue]) -> bool:
        """Whether a stage with these parameters adds colour to a grey picture."""
        if self.task != "style" or not (parameters.get("strength", 1.0) and parameters.get("weight", 1.0)):
            return False
        return self.palette != "neutral" or any(parameters.get(name) for name in ("temperature", "tint"))


def parse_card(content: Mapping[str, Any]) -> ModelCard:
    """Parses and validates the content of ``card.json``.

    Raises:
        CardError: a required entry is missing or has the wrong type.
    """
    try:
        architecture = content["architecture"]
        card = ModelCard(
            name=str(content["name"]),
            version=str(content["version"]),
            task=content["task"],
            architecture=str(architecture["name"]),
            network={key: value for key, value in architecture.items() if key != "name"},
            parameters=tuple(_parse_parameter(name, entry) for name, entry in content["parameters"].items()),
            suited_to=Suitability(
                polarity=tuple(content["suited_to"]["polarity"]),
                unsuited_processes=tuple(content["suited_to"]["unsuited_processes"]),
                minimum_size_px=int(content["suited_to"]["minimum_size_px"]),
            ),
            weights_sha256=str(content["weights_sha256"]),
            content=dict(content),
        )
    except KeyError as error:
        raise CardError(f"the card has no {error.args[0]!r}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CardError(f"the card has an entry of the wrong type: {error}") from error
    _check_task(card)
    if not _NAME.fullmatch(card.name):
        raise CardError(f"the model name {card.name!r} must be lower-case words joined by '-'")
    if not _VERSION.fullmatch(card.version):
        raise CardError(f"the version {card.version!r} must start with a digit")
    if not re.fullmatch("[0-9a-f]{64}", card.weights_sha256):
        raise CardError("weights_sha256 must be 64 hex digits")
    for entry in ("training", "evaluation"):
        if entry not in content:
            raise CardError(f"the card has no {entry!r}")
    try:
        card.stage({})
    except RecipeError as error:
        raise CardError(f"a default is outside its own range: {error}") from error
    return card


def _check_task(card: ModelCard) -> None:
    if card.task not in ("restoration", "style"):
        raise CardError(f"the card's task is {card.task!r}: it must be restoration or style")
    if card.task == "restoration":
        return
    style = card.content.get("style")
    style = style if isinstance(style, Mapping) else {}
    palette = style.get("palette")
    if palette not in ("neutral", "toned", "full"):
        raise CardError(f"the card's style.palette is {palette!r}: it must be neutral, toned or full")
    if not all(isinstance(style.get(entry, {}), Mapping) for entry in ("statistics", "spreads")):
        raise CardError("the card's style.statistics and style.spreads must be numbers by name")


def _parse_parameter(name: str, entry: Mapping[str, Any]) -> Parameter:
    description = str(entry.get("description", ""))
    if "choices" in entry:
        return Parameter(
            name=name,
            kind="choices",
            default=tuple(entry["default"]),
            choices=tuple(entry["choices"]),
            description=description,
        )
    low, high = entry["range"]
    return Parameter(
        name=name,
        kind="number",
        default=float(entry["default"]),
        minimum=float(low),
        maximum=float(high),
        description=description,
    )


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model version's files."""

    path: Path
    card: ModelCard

    @classmethod
    def open(cls, path: Path) -> ModelFolder:
        """Opens the model version in the folder ``path``; doesn't read its weights yet.

        Raises:
            CardError: the card is missing or invalid.
        """
        try:
            content = json.loads((path / CARD_NAME).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CardError(f"{path} has no {CARD_NAME}: give the folder of a model version") from error
        except (OSError, ValueError) as error:
            raise CardError(f"{path / CARD_NAME} can't be read: {error}") from error
        if not isinstance(content, dict):
            raise CardError(f"{path / CARD_NAME} does not contain a JSON object")
        try:
            return cls(path=path, card=parse_card(content))
        except CardError as error:
            raise CardError(f"{path / CARD_NAME}: {error}") from error

    @property
    def weights_path(self) -> Path:
        return self.path / WEIGHTS_NAME

    def check_weights(self) -> None:
        """Reads the weights file and compares its SHA-256 with the card's.

        Raises:
            WeightsError: the file is missing, unreadable or not the card's.
        """
        self._read_checked()

    def load_weights(self) -> dict[str, Tensor]:
        """Loads the weights on the CPU. It parses the same bytes whose digest it checked.

        Raises:
            WeightsError: the file is missing, not the card's, or not in safetensors format.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return load(self._read_checked())
        except SafetensorError as error:
            raise WeightsError(f"{self.weights_path} is not a safetensors file: {error}") from error

    def _read_checked(self) -> bytes:
        try:
            data = self.weights_path.read_bytes()
        except OSError as error:
            raise WeightsError(f"the weights {self.weights_path} can't be read: {error.strerror}") from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.card.weights_sha256:
            raise WeightsError(
                f"the weights {self.weights_path} are not those of {self.card.reference}: "
                f"SHA-256 {digest}, the card says {self.card.weights_sha256}"
            )
        return data


def shipped_versions() -> Iterator[ModelFolder]:
    """Yields the model versions that come with this software, sorted by name and then from the oldest to the newest.

    Raises:
        CardError: a shipped card is not valid.
    """
    folders = [ModelFolder.open(path.parent) for path in SHIPPED.glob(f"*/{CARD_NAME}")]
    yield from sorted(folders, key=lambda folder: (folder.card.name, _version_numbers(folder.card.version)))


def shipped(reference: str) -> ModelFolder:
    """Returns a shipped version by ``name`` (the newest one) or ``name@version``.

    Raises:
        ModelError: no such version is shipped.
        CardError: a shipped card is not valid.
    """
    name, _, version = reference.partition("@")
    versions = list(shipped_versions())
    found = [each for each in versions if each.card.name == name and version in ("", each.card.version)]
    if not found:
        names = ", ".join(each.card.reference for each in versions) or "none"
        raise ModelError(f"{reference} isn't among the shipped versions: {names}")
    return found[-1]


def _version_numbers(version: str) -> list[int]:
    """The numbers of a version, so that 10.0 comes after 2.1."""
    return [int(number) for number in re.findall(r"\d+", version)]
