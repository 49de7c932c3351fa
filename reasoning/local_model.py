"""A causal language model of the family, with or without eyes, loaded from a folder or a hub id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multimodal.checkpoint import DTYPES, default_device, resolve
from multimodal.errors import CheckpointError, PromptError
from multimodal.kv_cache import KvCache
from multimodal.media import Picture
from multimodal.sampler import Sampling
from reasoning.chat_layout import ChatLayout
from reasoning.json_schema import JsonSchema, SchemaConstraint, SchemaDecoding
from reasoning.profiles import Profile, Profiles, load_profiles


@dataclass(frozen=True, eq=False)
class Prompt:
    """ids: token ids with every picture spread out to its patches' tokens. positions: int64 [3, n].

    pixels: float32 [patches, values] and grid: int64 [pictures, 3], or None without pictures.
    """

    ids: list[int]
    positions: torch.Tensor
    pixels: torch.Tensor | None = None
    grid: torch.Tensor | None = None


class LocalModel:
    """Weights, tokenizer, picture processor and profile. Nothing of a conversation is kept here, so that several
    can use one set of weights."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, images: Any, profile: Profile, template: str | None
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.images = images
        self.profile = profile
        self.layout = ChatLayout(tokenizer, template)
        self.text_config = model.config.get_text_config()
        self.sees = profile.sees and images is not None
        eos = model.generation_config.eos_token_id if model.generation_config else None
        stop = {*(eos if isinstance(eos, list) else [eos]), tokenizer.eos_token_id, self.layout.control("<|im_end|>")}
        self.stop = frozenset(token for token in stop if token is not None)
        self.context = int(getattr(self.text_config, "max_position_embeddings", 0) or profile.context)
        self.top_k = int(getattr(self.text_config, "num_experts_per_tok", 0) or 0)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @cached_property
    def _schema_decoding(self) -> SchemaDecoding:
        return SchemaDecoding(self.tokenizer, self.text_config.vocab_size, self.stop)

    def constrain(self, schema: JsonSchema) -> SchemaConstraint:
        """Keeps one answer to `schema`."""
        return self._schema_decoding.constrain(schema)

    def sampling(self) -> Sampling:
        """The checkpoint's own where it says how it wants to be sampled, otherwise the profile's."""
        own = self.model.generation_config.to_diff_dict() if self.model.generation_config else {}
        keys = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty")
        chosen = {key: own[key] for key in keys if own.get(key) is not None}
        if "do_sample" not in chosen and "temperature" not in chosen:
            return self.profile.sampling
        if not chosen.get("temperature", 1.0) > 0:
            chosen = {"do_sample": False}
        return Sampling(**chosen)

    def new_cache(self) -> KvCache:
        return KvCache(int(self.text_config.num_hidden_layers))

    def text_prompt(self, ids: list[int]) -> Prompt:
        return Prompt(ids, torch.arange(len(ids)).expand(3, -1))

    @torch.inference_mode()
    def prompt(self, ids: list[int], pictures: Sequence[Picture]) -> Prompt:
        """Spread each picture's placeholder out and place every token. Raises PromptError if they do not match."""
        if not pictures:
            return self.text_prompt(ids)
        from PIL import Image

        token = self._image_token()
        if ids.count(token) != len(pictures):
            raise PromptError(f"{self.name}: its chat template has no place for {len(pictures)} pictures here")
        out = self.images(images=[Image.fromarray(one.pixels) for one in pictures], return_tensors="pt")
        grid = out["image_grid_thw"]  # [pictures, 3]
        counts = (grid.prod(1) // self.images.merge_size**2).tolist()
        spread: list[int] = []
        for one in ids:
            spread += [token] * counts.pop(0) if one == token else [one]
        return Prompt(spread, self._positions(spread, token, grid), out["pixel_values"], grid)

    def _image_token(self) -> int:
        config = self.model.config
        token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
        assert token is not None, "a profile that sees belongs to a class with an image token"
        return int(token)

    def _positions(self, ids: list[int], token: int, grid: torch.Tensor) -> torch.Tensor:
        row = torch.tensor([ids])  # [1, n]
        owner = self.model if hasattr(self.model, "get_rope_index") else self.model.model
        if "mm_token_type_ids" in owner.get_rope_index.__code__.co_varnames:
            kinds = (row == token).int()
            positions, _ = owner.get_rope_index(row, mm_token_type_ids=kinds, image_grid_thw=grid)
        else:
            positions, _ = owner.get_rope_index(row, image_grid_thw=grid, attention_mask=torch.ones_like(row))
        return positions[:, 0].long()  # [3, n]

    @torch.inference_mode()
    def forward(
        self, prompt: Prompt, start: int, cache: KvCache, experts: bool = False
    ) -> tuple[torch.Tensor, np.ndarray | None]:
        """Append the prompt's tokens from `start` on to the cache. Returns the logits [vocab] after the last one, and
        of MoE models the routers' logits float32 [n, layers, experts] if asked for."""
        extra: dict[str, Any] = {"output_router_logits": True} if experts and self.top_k else {}
        positions = prompt.positions[:, start:].to(self.device)
        if prompt.pixels is not None and start == 0:
            assert prompt.grid is not None
            extra["pixel_values"] = prompt.pixels.to(self.device, self.model.dtype)
            extra["image_grid_thw"] = prompt.grid.to(self.device)
        output = self.model.model(
            input_ids=torch.tensor([prompt.ids[start:]], device=self.device),
            position_ids=positions[:, None] if self.sees else positions[:1],  # [3, 1, n] or [1, n]
            past_key_values=cache,
            use_cache=True,
            **extra,
        )
        logits = self.model.lm_head(output.last_hidden_state[0, -1])
        if not extra.get("output_router_logits"):
            return logits, None
        return logits, torch.stack([one.float() for one in output.router_logits], 1).cpu().numpy()


def load_local(
    source: str | Path,
    *,
    family: str | None = None,
    profiles: Profiles | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> LocalModel:
    """Load a checkpoint of any open family. family: a row of the table, found by class and name if None.

    device: chosen if None; dtype: float32, bfloat16 or float16 (on a CPU float32, elsewhere the file's own).
    Raises CheckpointError or ProfileError for what cannot be loaded.
    """
    import transformers

    where = resolve(source)
    table = profiles or load_profiles()
    place = torch.device(device or default_device())
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    chosen = DTYPES[dtype] if dtype else (torch.float32 if place.type == "cpu" else "auto")
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(where)
        architecture = (config.architectures or [""])[0]
        profile = table.family(family) if family else table.of_checkpoint(architecture, str(source))
        if architecture not in profile.architectures:
            raise CheckpointError(f"{source} is a {architecture or 'model without a class'}, not {profile.title}")
        model = getattr(transformers, profile.loads or architecture).from_pretrained(where, dtype=chosen)
        tokenizer = transformers.AutoTokenizer.from_pretrained(where)
        images = transformers.AutoImageProcessor.from_pretrained(where) if profile.sees else None
    except (CheckpointError, PromptError):
        raise
    except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"cannot load {source}: {lines[0]}") from error
    template = tokenizer.chat_template or _template_file(where)
    return LocalModel(Path(str(source)).name, model.to(place).eval(), tokenizer, images, profile, template)


def _template_file(where: str) -> str | None:
    """Checkpoints that see may keep their template beside the processor instead of in the tokenizer."""
    for name, key in (("chat_template.jinja", None), ("chat_template.json", "chat_template")):
        file = Path(where) / name
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            return json.loads(text)[key] if key else text
    return None
