"""A key/value cache that grows in place, crops in constant time and can be forked.

transformers' DynamicCache concatenates, so each decoded token copies the whole conversation; here the buffer
doubles when it is full, and a step writes one row.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, [1, kv_heads, capacity, head_dim], of which the first `length` rows count."""

    _layer_type = None

    def __init__(self, capacity: int = 256) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._widen(key_states.shape[-2])
        self.keys = self._empty(key_states)
        self.values = self._empty(value_states)
        self.is_initialized = True

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_empty(*like.shape[:2], self.capacity, like.shape[3])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        end = self.length + key_states.shape[-2]
        self.reserve(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reserve(self, length: int) -> None:
        """Make room for `length` rows in all."""
        if length <= self.capacity:
            return
        self._widen(length)
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            old_keys, old_values = self.keys, self.values
            self.keys, self.values = self._empty(old_keys), self._empty(old_values)
            self.keys[:, :, : self.length] = old_keys[:, :, : self.length]
            self.values[:, :, : self.length] = old_values[:, :, : self.length]

    def _widen(self, length: int) -> None:
        while self.capacity < length:
            self.capacity *= 2

    def get_seq_length(self) -> int:
        return self.length

    def crop_to(self, length: int) -> None:
        assert length <= self.length
        self.length = length

    def copy(self) -> GrowingLayer:
        twin = GrowingLayer(self.capacity)
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            twin.lazy_initialization(self.keys, self.values)
            assert twin.keys is not None and twin.values is not None
            twin.keys[:, :, : self.length] = self.keys[:, :, : self.length]
            twin.values[:, :, : self.length] = self.values[:, :, : self.length]
            twin.length = self.length
        return twin


class KvCache(Cache):
    """`GrowingLayer` for each decoder layer. `len(cache.layers)` layers, batch 1."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(layers)])

    @property
    def length(self) -> int:
        """Rows held."""
        return self.get_seq_length()

    @property
    def size_bytes(self) -> int:
        """Memory that is allocated for rows, filled or not."""
        layers = [layer for layer in self.layers if isinstance(layer, GrowingLayer)]
        return sum(tensor.nbytes for layer in layers for tensor in (layer.keys, layer.values) if tensor is not None)

    def reserve(self, length: int) -> None:
        """Make room for `length` rows in all, so that they are not moved while they come."""
        for layer in self.layers:
            assert isinstance(layer, GrowingLayer)
            layer.reserve(length)

    def crop_to(self, length: int) -> None:
        """Forget every row from `length` on."""
        for layer in self.layers:
            assert isinstance(layer, GrowingLayer)
            layer.crop_to(length)

    def fork(self) -> KvCache:
        """An independent copy."""
        twin = KvCache(0)
        twin.layers = [layer.copy() for layer in self.layers if isinstance(layer, GrowingLayer)]
        return twin
