"""The style GAN: a generator, one discriminator per style, optimisers and the two kinds of training step.

A colour step trains only the mapping of tone and chroma, on random pixels of many pictures. An adversarial step also
trains the style's discriminator to distinguish styled from real patches, and the generator on content, texture and
adversarial losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from restoration import picture_statistics
from restoration.execution import autocast
from restoration.networks import PatchDiscriminator
from restoration.networks.style_colour_mapping import PALETTES, split_luma_chroma
from restoration.networks.style_generator import StyleEncoder, StyleNetwork
from restoration.training.checkpoints import State, load_optimiser_state, optimiser_state
from restoration.training.ema import Ema
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

ENCODED_SIZE = 24  # outputs of the style encoder; the style vector also has means and spreads of the statistics
STYLE_SIZE = ENCODED_SIZE + 2 * len(picture_statistics.STATISTIC_NAMES)

_MAX_NEUTRAL_CHROMA = 0.012  # Lab / 100; JPEG artefacts of a neutral picture stay below it
_MAX_TONED_CHROMA = 0.06  # chroma beside the toning; a toned print stays below it
_GRAIN_PX, _STROKE_PX = 2, 4  # the style may change structure finer than this, in a print and in a painting
_MIN_SPREAD = 0.008  # of a style statistic; a spread of 0 would allow no deviation


@dataclass(frozen=True, kw_only=True)
class StyleSetStatistics:
    """Mean and standard deviation of a style's picture statistics, (len(STATISTIC_NAMES),) each."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, statistics: Tensor) -> StyleSetStatistics:
        """Computes them from statistics (pictures, len(STATISTIC_NAMES))."""
        return cls(mean=statistics.mean(dim=0), spread=statistics.std(dim=0))

    @property
    def is_painting(self) -> bool:
        """Whether the pictures have more colours than a toned print, as paintings have."""
        return self.palette == "full"

    @property
    def palette(self) -> str:
        """The style's key in :data:`restoration.networks.style_colour_mapping.PALETTES`."""
        by_name = dict(zip(picture_statistics.STATISTIC_NAMES, self.mean.tolist(), strict=True))
        if by_name["chroma_beside_toning"] > _MAX_TONED_CHROMA:
            return "full"
        chroma = max(abs(by_name["lab_mean_a"]), abs(by_name["lab_mean_b"]), by_name["chroma_beside_toning"])
        return "neutral" if chroma < _MAX_NEUTRAL_CHROMA else "toned"

    def to(self, device: torch.device) -> StyleSetStatistics:
        return StyleSetStatistics(mean=self.mean.to(device), spread=self.spread.to(device))


def has_strokes(style_statistics: Sequence[StyleSetStatistics]) -> bool:
    """Whether a network for these styles gets brush strokes as an input."""
    return any(one.is_painting for one in style_statistics)


class StyleGAN:
    """The networks, their optimisers, the EMA of generator and encoder, and the two kinds of training step."""

    def __init__(
        self,
        generator: StyleNetwork,
        encoder: StyleEncoder,
        discriminators: Sequence[PatchDiscriminator],
        features: Features | None,
        style_statistics: Sequence[StyleSetStatistics],
        *,
        weights: StyleLossWeights,
        device: torch.device,
        autocast: torch.dtype | None,
        ema_decay: float = 0.999,
        seed: int = 0,
    ) -> None:
        """Moves the networks to ``device``.

        Args:
            generator: the style network.
            encoder: computes style vectors from pictures.
            discriminators: one per style.
            features: of a trained network, for content and texture losses; None uses only fixed random features.
            style_statistics: of each style.
            weights: the loss weights.
            device: the device of all networks.
            autocast: torch's autocast type, or None.
            ema_decay: decay of the EMA per step, after its warm-up.
            seed: the seed of the fixed random features.
        """
        self.trained_networks = to_device(nn.ModuleDict({"generator": generator, "encoder": encoder}), device)
        self.generator, self.encoder = generator, encoder
        self.discriminators = nn.ModuleList(to_device(one, device) for one in discriminators)
        self.features = None if features is None else to_device(features, device)
        self.fixed = to_device(FixedFeatures(seed=seed), device)
        self.style_statistics = [one.to(device) for one in style_statistics]
        self.weights, self.device, self.autocast = weights, device, autocast
        self.ema = Ema(self.trained_networks, decay=ema_decay)
        self.gram_targets: list[list[Tensor]] = []
        self.spectrum_targets: list[Tensor] = []
        self.generator_optimiser = torch.optim.Adam(self.trained_networks.parameters(), betas=(0.8, 0.99))
        self.discriminator_optimiser = torch.optim.Adam(self.discriminators.parameters(), betas=(0.5, 0.99))

    def set_texture_targets(self, real: Sequence[Tensor]) -> None:
        """Stores Gram matrices and spectra of each style's patches, (count, 3, h, w), as loss targets."""
        with torch.no_grad(), self._autocast():
            self.gram_targets = [
                gram_matrices(self._texture_features(number, patches.to(self.device)))
                for number, patches in enumerate(real)
            ]
            self.spectrum_targets = [
                radial_spectra(fine_detail(split_luma_chroma(patches.to(self.device))[0])) for patches in real
            ]

    def style(self, number: int, references: Tensor) -> Tensor:
        """Computes the style vector (1, STYLE_SIZE) from patches ``references`` (N, 3, h, w)."""
        own, generator = self.style_statistics[number], self.generator
        explicit = [
            (own.mean - generator.statistics_mean) / generator.statistics_spread,
            own.spread / generator.statistics_spread,
        ]
        return torch.cat([self.encoder(references).float(), torch.cat(explicit).unsqueeze(0)], dim=1)

    def palette(self, number: int, count: int) -> Tensor:
        """The palette input of the network for ``count`` pictures of a style."""
        return torch.tensor([PALETTES[self.style_statistics[number].palette]], device=self.device).expand(count, -1)

    def styled(self, number: int, references: Tensor, pictures: Tensor, statistics: Tensor, noise: Tensor) -> Tensor:
        """Applies the style of ``references`` to pictures (N, 3, h, w) with ``statistics``; float32 in [0, 1]."""
        count = len(pictures)
        with torch.no_grad(), self._autocast():
            style = self.style(number, references.to(self.device)).expand(count, -1)
            styled = self.generator(pictures, noise[:count], statistics, style, self.palette(number, count))
        return cast(Tensor, styled.float().clamp(0, 1))

    def state(self) -> State:
        """The training state, by component."""
        return {
            "makers": self.trained_networks.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            **self.ema.state(),
            "generator_optimiser": optimiser_state(self.generator_optimiser),
            "discriminator_optimiser": optimiser_state(self.discriminator_optimiser),
        }

    def load_state(self, state: State) -> None:
        """Loads a state that :meth:`state` returned.

        Raises:
            RuntimeError: it belongs to other networks.
        """
        self.trained_networks.load_state_dict(state["makers"])
        self.discriminators.load_state_dict(state["discriminators"])
        self.ema.load_state(state)
        load_optimiser_state(self.generator_optimiser, state.get("generator_optimiser", {}))
        load_optimiser_state(self.discriminator_optimiser, state.get("discriminator_optimiser", {}))

    def colour_step(self, step: StyleStep) -> dict[str, float]:
        """Trains the colour mapping only. Returns the losses by name."""
        with self._autocast():
            style = self.style(step.style, step.real)
        losses = self._colour_losses(step, style)
        self._step_generator(self._weighted_sum(losses, step.style))
        return {name: loss.item() for name, loss in losses.items()}

    def adversarial_step(self, step: StyleStep) -> dict[str, float]:
        """Trains the style's discriminator, then the generator. Returns the losses by name."""
        with self._autocast():
            style = self.style(step.style, step.real)
            same_count = max(1, len(step.real) // 3)
            pictures = torch.cat([step.content, step.real[:same_count]])
            statistics = torch.cat([step.content_statistics, step.real_statistics[:same_count]])
            count = len(pictures)
            output = self.generator(
                pictures, step.noise[:count], statistics, style.expand(count, -1), self.palette(step.style, count)
            )
        styled, same = output[: len(step.content)], output[len(step.content) :]
        discriminator_loss_value = self._train_discriminator(step.style, styled.detach(), step.real)
        losses = self._colour_losses(step, style)
        losses["same"] = nn.functional.mse_loss(same, step.real[:same_count])
        with self._autocast():
            losses |= self._texture_losses(step, style, styled)
        self._step_generator(self._weighted_sum(losses, step.style))
        return {"discriminator": discriminator_loss_value, **{name: loss.item() for name, loss in losses.items()}}

    def _colour_losses(self, step: StyleStep, style: Tensor) -> dict[str, Tensor]:
        generator, own = self.generator, self.style_statistics[step.style]
        count = len(step.content_pixels)
        pixels = torch.cat([step.content_pixels, step.real_pixels])
        statistics = torch.cat([step.content_pixel_statistics, step.real_pixel_statistics])
        output = generator.coloured(
            pixels, statistics, style.expand(len(pixels), -1), self.palette(step.style, len(pixels))
        )
        styled, same = output[:count], output[count:]
        mapping = generator.mapping(statistics[:count], style.expand(count, -1), self.palette(step.style, count))
        colours = len(picture_statistics.COLOUR_STATISTIC_NAMES)
        spread = own.spread[:colours].clamp(min=_MIN_SPREAD)
        return {
            "colour": colour_loss(styled, step.real_pixels, own.mean[:colours], spread),
            "identity": nn.functional.mse_loss(same, step.real_pixels),
            "outlying": outlier_loss(styled, own.mean[:colours], spread),
            "smooth": curve_smoothness(mapping.curve) + curve_smoothness(mapping.toning),
        }

    def _texture_losses(self, step: StyleStep, style: Tensor, styled: Tensor) -> dict[str, Tensor]:
        count = len(step.content)
        mapping = self.generator.mapping(
            step.content_statistics, style.expand(count, -1), self.palette(step.style, count)
        )
        toned = mapping.toned(split_luma_chroma(step.content)[0]).detach()
        factor = _STROKE_PX if self.style_statistics[step.style].is_painting else _GRAIN_PX
        styled_planes = content_planes(split_luma_chroma(styled)[0], factor)
        extract = self.fixed if self.features is None else self.features
        with torch.no_grad():
            content_features = extract(content_planes(toned, factor))
        return {
            "content": content_loss(extract(styled_planes), content_features),
            "spectrum": energy_distance(
                radial_spectra(fine_detail(split_luma_chroma(styled)[0])), self.spectrum_targets[step.style]
            ),
            "gram": gram_loss(gram_matrices(self._texture_features(step.style, styled)), self.gram_targets[step.style]),
            "adversarial": adversarial_loss(self.discriminators[step.style](styled)),
        }

    def _texture_features(self, style: int, pictures: Tensor) -> list[Tensor]:
        """Features of colours, of contrast-normalised luma, of strokes in paintings, and of a trained network."""
        normalised = normalise_contrast(fine_detail(split_luma_chroma(pictures)[0])).expand(-1, 3, -1, -1)
        features = [*self.fixed(fine_detail(pictures)), *self.fixed(normalised)]
        if self.style_statistics[style].is_painting:
            strokes = nn.functional.avg_pool2d(fine_detail(pictures, max_px=33), 2)
            features += [*self.fixed(strokes), *self.fixed(nn.functional.avg_pool2d(strokes, 2))]
        return features + ([] if self.features is None else self.features(pictures))

    def _weighted_sum(self, losses: Mapping[str, Tensor], style: int) -> Tensor:
        weights = self.weights
        prefix = "painting" if self.style_statistics[style].is_painting else "print"
        common = {"colour", "smooth", "spectrum"}
        by_name = {name: getattr(weights, name if name in common else f"{prefix}_{name}") for name in losses}
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
        nn.utils.clip_grad_norm_(self.trained_networks.parameters(), 1.0)
        self.generator_optimiser.step()
        self.ema.update(self.trained_networks)

    def _autocast(self) -> torch.autocast:
        return autocast(self.device, self.autocast)
