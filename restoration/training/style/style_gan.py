"""Generator against discriminators, one for each style, in turns.

A colour step teaches only the mapping of tone and chroma, on pixels from all over many pictures. A step of the game
also lets the style's discriminator learn to tell styled patches from real ones, and the generator to be taken for real
while keeping the content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from restoration import picture_statistics
from restoration.networks import PatchDiscriminator
from restoration.networks.colour_mapping import PALETTES, split_luma_chroma
from restoration.networks.style_generator import StyleEncoder, StyleNetwork
from restoration.training.checkpoints import State, optimiser_state, restore_optimiser
from restoration.training.losses import adversarial_loss, discriminator_loss
from restoration.training.restoration_gan import require_gradients, to_device
from restoration.training.style.losses import (
    Features,
    FixedFeatures,
    StyleLossWeights,
    colour_loss,
    content_loss,
    content_planes,
    curve_smoothness,
    energy_distance,
    fine_detail,
    gram_loss,
    gram_matrices,
    normalise_contrast,
    outlier_loss,
    radial_spectra,
)
from restoration.training.style.style_data import StyleStep

ENCODED_SIZE = 24  # numbers that the style encoder tells; the statistics' means and spreads come beside them
STYLE_SIZE = ENCODED_SIZE + 2 * len(picture_statistics.STATISTIC_NAMES)

_NEUTRAL = 0.012  # Lab in hundredths: a chroma that only JPEG gives a neutral picture
_PAINTED = 0.06  # chroma beside the toning, beyond what a toned print has
_GRAIN_PX, _STROKE_PX = 2, 4  # what is finer is the look's to change, in a print and in a painting
_LEAST_SPREAD = 0.008  # of a statistic of the style's pictures, so that equal ones don't make it infinitely exact


@dataclass(frozen=True, kw_only=True)
class StyleSetStatistics:
    """What a style's pictures are like as a set: means and spreads of their statistics, (len(NAMES),) each."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, found: Tensor) -> StyleSetStatistics:
        """Of statistics (pictures, len(NAMES))."""
        return cls(mean=found.mean(dim=0), spread=found.std(dim=0))

    @property
    def painted(self) -> bool:
        """Whether the style's pictures have colours of their own, as paintings have."""
        return self.palette == "full"

    @property
    def palette(self) -> str:
        """Which of :data:`restoration.networks.colour_mapping.PALETTES` the style's pictures have."""
        named = dict(zip(picture_statistics.STATISTIC_NAMES, self.mean.tolist(), strict=True))
        if named["chroma_beside_toning"] > _PAINTED:
            return "full"
        chroma = max(abs(named["lab_mean_a"]), abs(named["lab_mean_b"]), named["chroma_beside_toning"])
        return "neutral" if chroma < _NEUTRAL else "toned"

    def to(self, device: torch.device) -> StyleSetStatistics:
        return StyleSetStatistics(mean=self.mean.to(device), spread=self.spread.to(device))


def has_strokes(facts: Sequence[StyleSetStatistics]) -> bool:
    """Whether a network for these styles is given strokes of a brush."""
    return any(style.painted for style in facts)


class StyleGAN:
    """The networks, their optimisers, the running mean of what makes pictures, and the two kinds of step."""

    def __init__(
        self,
        generator: StyleNetwork,
        encoder: StyleEncoder,
        discriminators: Sequence[PatchDiscriminator],
        features: Features | None,
        facts: Sequence[StyleSetStatistics],
        *,
        weights: StyleLossWeights,
        device: torch.device,
        autocast: torch.dtype | None,
        ema_decay: float = 0.999,
        seed: int = 0,
    ) -> None:
        """Places the networks on ``device``.

        Args:
            generator: makes pictures.
            encoder: makes styles' vectors of pictures.
            discriminators: one for each style.
            features: those of a trained network, for content and texture; without, only fixed ones.
            facts: of each style.
            weights: how much each loss counts.
            device: where the work is done.
            autocast: the type that torch casts to, or None.
            ema_decay: how slowly the running mean follows.
            seed: of the fixed features.
        """
        self.makers = to_device(nn.ModuleDict({"generator": generator, "encoder": encoder}), device)
        self.generator, self.encoder = generator, encoder
        self.discriminators = nn.ModuleList(to_device(one, device) for one in discriminators)
        self.features = None if features is None else to_device(features, device)
        self.fixed = to_device(FixedFeatures(seed=seed), device)
        self.facts = [one.to(device) for one in facts]
        self.weights, self.device, self.autocast, self.ema_decay = weights, device, autocast, ema_decay
        self.ema = {name: value.detach().clone() for name, value in self.makers.state_dict().items()}
        self.gram_targets: list[list[Tensor]] = []
        self.spectrum_targets: list[Tensor] = []
        self.generator_optimiser = torch.optim.Adam(self.makers.parameters(), betas=(0.8, 0.99))
        self.discriminator_optimiser = torch.optim.Adam(self.discriminators.parameters(), betas=(0.5, 0.99))

    def set_texture_targets(self, real: Sequence[Tensor]) -> None:
        """Keeps Gram matrices and spectra of each style's patches, (count, 3, h, w) a style, as what to come near."""
        with torch.no_grad(), self._autocast():
            self.gram_targets = [
                gram_matrices(self._texture_features(number, patches.to(self.device)))
                for number, patches in enumerate(real)
            ]
            self.spectrum_targets = [
                radial_spectra(fine_detail(split_luma_chroma(patches.to(self.device))[0])) for patches in real
            ]

    def style(self, number: int, references: Tensor) -> Tensor:
        """The vector (1, STYLE_SIZE) of a style of which ``references`` (N, 3, h, w) are patches."""
        facts, generator = self.facts[number], self.generator
        explicit = [
            (facts.mean - generator.statistics_mean) / generator.statistics_spread,
            facts.spread / generator.statistics_spread,
        ]
        return torch.cat([self.encoder(references).float(), torch.cat(explicit).unsqueeze(0)], dim=1)

    def palette(self, number: int, count: int) -> Tensor:
        """The network's ``palette`` for ``count`` pictures of a style."""
        return torch.tensor([PALETTES[self.facts[number].palette]], device=self.device).expand(count, -1)

    def styled(self, number: int, references: Tensor, pictures: Tensor, found: Tensor, noise: Tensor) -> Tensor:
        """Pictures (N, 3, h, w), of ``found`` statistics, in the style of ``references``, float32 in [0, 1]."""
        count = len(pictures)
        with torch.no_grad(), self._autocast():
            style = self.style(number, references.to(self.device)).expand(count, -1)
            made = self.generator(pictures, noise[:count], found, style, self.palette(number, count))
        return cast(Tensor, made.float().clamp(0, 1))

    @contextmanager
    def with_running_mean(self) -> Iterator[None]:
        """In it, the networks have the running mean of their weights."""
        own = {name: value.clone() for name, value in self.makers.state_dict().items()}
        self.makers.load_state_dict(self.ema)
        try:
            yield
        finally:
            self.makers.load_state_dict(own)

    def state(self) -> State:
        """All that changes in training."""
        return {
            "makers": self.makers.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "ema": self.ema,
            "generator_optimiser": optimiser_state(self.generator_optimiser),
            "discriminator_optimiser": optimiser_state(self.discriminator_optimiser),
        }

    def restore(self, state: State) -> None:
        """Goes back to what :meth:`state` told.

        Raises:
            RuntimeError: it is of other networks.
        """
        self.makers.load_state_dict(state["makers"])
        self.discriminators.load_state_dict(state["discriminators"])
        for name, value in state["ema"].items():
            self.ema[name].copy_(value)
        restore_optimiser(self.generator_optimiser, state.get("generator_optimiser", {}))
        restore_optimiser(self.discriminator_optimiser, state.get("discriminator_optimiser", {}))

    def colour_step(self, turn: StyleStep) -> dict[str, float]:
        """One step on the colour mapping alone. Returns the losses by name."""
        with self._autocast():
            style = self.style(turn.style, turn.real)
        losses = self._colour_losses(turn, style)
        self._step_generator(self._weighed(losses, turn.style))
        return {name: loss.item() for name, loss in losses.items()}

    def game_step(self, turn: StyleStep) -> dict[str, float]:
        """One turn of the style's discriminator, then one of the generator. Returns the losses by name."""
        with self._autocast():
            style = self.style(turn.style, turn.real)
            same_count = max(1, len(turn.real) // 3)
            pictures = torch.cat([turn.given, turn.real[:same_count]])
            found = torch.cat([turn.given_statistics, turn.real_statistics[:same_count]])
            count = len(pictures)
            made = self.generator(
                pictures, turn.noise[:count], found, style.expand(count, -1), self.palette(turn.style, count)
            )
        styled, same = made[: len(turn.given)], made[len(turn.given) :]
        discriminator_value = self._train_discriminator(turn.style, styled.detach(), turn.real)
        losses = self._colour_losses(turn, style)
        losses["same"] = nn.functional.mse_loss(same, turn.real[:same_count])
        with self._autocast():
            losses |= self._texture_losses(turn, style, styled)
        self._step_generator(self._weighed(losses, turn.style))
        return {"discriminator": discriminator_value, **{name: loss.item() for name, loss in losses.items()}}

    def _colour_losses(self, turn: StyleStep, style: Tensor) -> dict[str, Tensor]:
        generator, facts = self.generator, self.facts[turn.style]
        count = len(turn.given_pixels)
        pixels = torch.cat([turn.given_pixels, turn.real_pixels])
        found = torch.cat([turn.given_pixel_statistics, turn.real_pixel_statistics])
        made = generator.coloured(pixels, found, style.expand(len(pixels), -1), self.palette(turn.style, len(pixels)))
        styled, same = made[:count], made[count:]
        mapping = generator.mapping(found[:count], style.expand(count, -1), self.palette(turn.style, count))
        colours = len(picture_statistics.COLOUR_STATISTIC_NAMES)
        spread = facts.spread[:colours].clamp(min=_LEAST_SPREAD)
        return {
            "colour": colour_loss(styled, turn.real_pixels, facts.mean[:colours], spread),
            "identity": nn.functional.mse_loss(same, turn.real_pixels),
            "outlying": outlier_loss(styled, facts.mean[:colours], spread),
            "smooth": curve_smoothness(mapping.curve) + curve_smoothness(mapping.toning),
        }

    def _texture_losses(self, turn: StyleStep, style: Tensor, styled: Tensor) -> dict[str, Tensor]:
        count = len(turn.given)
        mapping = self.generator.mapping(
            turn.given_statistics, style.expand(count, -1), self.palette(turn.style, count)
        )
        toned = mapping.toned(split_luma_chroma(turn.given)[0]).detach()
        factor = _STROKE_PX if self.facts[turn.style].painted else _GRAIN_PX
        kept = content_planes(split_luma_chroma(styled)[0], factor), content_planes(toned, factor)
        extract = self.fixed if self.features is None else self.features
        with torch.no_grad():
            wanted = extract(kept[1])
        return {
            "content": content_loss(extract(kept[0]), wanted),
            "spectrum": energy_distance(
                radial_spectra(fine_detail(split_luma_chroma(styled)[0])), self.spectrum_targets[turn.style]
            ),
            "gram": gram_loss(gram_matrices(self._texture_features(turn.style, styled)), self.gram_targets[turn.style]),
            "adversarial": adversarial_loss(self.discriminators[turn.style](styled)),
        }

    def _texture_features(self, style: int, pictures: Tensor) -> list[Tensor]:
        """Of colours as they are, of luma at even contrast, of strokes where there are any, and what a network sees."""
        even = normalise_contrast(fine_detail(split_luma_chroma(pictures)[0])).expand(-1, 3, -1, -1)
        found = [*self.fixed(fine_detail(pictures)), *self.fixed(even)]
        if self.facts[style].painted:
            strokes = nn.functional.avg_pool2d(fine_detail(pictures, most_px=33), 2)
            found += [*self.fixed(strokes), *self.fixed(nn.functional.avg_pool2d(strokes, 2))]
        return found + ([] if self.features is None else self.features(pictures))

    def _weighed(self, losses: Mapping[str, Tensor], style: int) -> Tensor:
        weights = self.weights
        kind = "painting" if self.facts[style].painted else "print"
        common = {"colour", "smooth", "spectrum"}
        by_name = {name: getattr(weights, name if name in common else f"{kind}_{name}") for name in losses}
        return torch.stack([by_name[name] * loss.float() for name, loss in losses.items()]).sum()

    def _train_discriminator(self, style: int, styled: Tensor, real: Tensor) -> float:
        discriminator = cast(PatchDiscriminator, self.discriminators[style])
        require_gradients(self.discriminators, required=True)
        with self._autocast():
            loss = discriminator_loss(discriminator(real), discriminator(styled))
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimiser.step()
        require_gradients(self.discriminators, required=False)
        return loss.item()

    def _step_generator(self, loss: Tensor) -> None:
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.makers.parameters(), 1.0)
        self.generator_optimiser.step()
        with torch.no_grad():
            for name, value in self.makers.state_dict().items():
                self.ema[name].lerp_(value, 1 - self.ema_decay)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None)
