"""Two heads of the language model are told where to look: at the right cells, at the right time, by the right loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn
from training.blocks import batch_views, block
from training.cells import CELL, Listing, classes
from training.features import LogMel, patch_values
from training.guidance import HEADS, NAMED, NEXT, Text, folded
from training.guidance_losses import guidance_losses, sought, token_labels
from training.nano import NANO
from training.packed_thinker import PackedThinker
from training.packing import Budget, Layout, Packer, Sequence, empty_arrays
from training.thinker import Trainer, TrainOptions, new_model
from training.thinker_progress import Examiner, Task
from training.tokenizer import chat_tokenizer

BUDGET = Budget(
    tokens=512, sequences=12, longest=256, clips=4, seconds=4.0, chunks=6, patches=400, frames=400, largest_image=200,
    images=12, learned=128, guided=64, characters=40,
)  # fmt: skip
SMALL = replace(
    NANO, hidden=64, layers=4, heads=4, kv_heads=2, head_dim=16, intermediate=128, mrope_section=(1,) * 8,
    audio_width=32, audio_layers=1, audio_ffn=32, vision_width=32, vision_depth=2,
    vision_ffn=64, vision_full_layers=(0, 1),
)  # fmt: skip
KINDS = ("picture", "clip")
CAT = {"name": "cat", "color": "black", "box": (0, 0, CELL, CELL)}
DOG = {"name": "dog", "color": "brown", "box": (2 * CELL, CELL, 3 * CELL, 2 * CELL)}
GROUND = {"name": "background", "color": "white", "box": (0, 0, 3 * CELL, 2 * CELL)}


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout(chat_tokenizer(), NANO.config().thinker_config, NANO.system_prompt)


def shown(seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (2 * CELL, 3 * CELL, 3), dtype=np.uint8))


def filmed(pairs: int, seconds: float = 0.0) -> VideoClip:
    pixels = np.random.default_rng(1).integers(0, 256, (2 * pairs, 2 * CELL, 3 * CELL, 3), dtype=np.uint8)
    sound = AudioClip(np.zeros(int(16_000 * seconds), np.float32), 16_000) if seconds else None
    return VideoClip(pixels, np.arange(2 * pairs) / 2, 2.0, float(pairs), sound)


def asked(layout: Layout, medium: Any, question: str, answer: str, listing: Listing, sounds: Any = ()) -> Sequence:
    turns = [Turn("user", (medium, question)), Turn("assistant", (answer,))]
    kind = "picture" if isinstance(medium, Picture) else "clip"
    return layout.sequence(kind, turns, seen={id(medium): listing}, sounds=sounds)


def batch_of(layout: Layout, *sequences: Sequence) -> dict[str, torch.Tensor]:
    packer = Packer(BUDGET, layout.control, KINDS, 0)
    assert all(packer.add(s) for s in sequences)
    return batch_views(block(packer.finish()), empty_arrays(BUDGET, 0))


def looks(layout: Layout, sequence: Sequence) -> list[tuple[str, str, str, list[int]]]:
    """(head, token that looks, next token, which of the conversation's frames' or sound's tokens are looked at)."""
    other = asked(layout, shown(5), "What?", "A pen.", [[GROUND, {**CAT, "name": "pen"}]])  # must never be looked at
    batch = batch_of(layout, other, sequence)
    start, count = len(other.ids), len(sequence.ids)
    labels = token_labels(batch, layout.control.vision_bos, layout.control.audio)
    text = Text(sequence.ids, layout._pieces)
    ids = torch.from_numpy(sequence.ids)
    media = (ids == layout.control.image) | (ids == layout.control.video) | (ids == layout.control.audio)
    found = []
    for row, head, what, first, second in batch["guided"].long().tolist():
        if what < 0 or row < start:
            continue
        two = [torch.tensor([n]) for n in (what, first, second)]
        mine = sought(labels[None, start : start + count], *two)[0]
        row -= start
        begin = [-1] if mine[ids == layout.control.vision_bos].any() else []
        found.append(
            (HEADS[head], _piece(text, row), _piece(text, row + 1), begin + mine[media].nonzero()[:, 0].tolist())
        )
    return found


def _piece(text: Text, row: int) -> str:
    return text.string[int(text.ends[row - 1]) : int(text.ends[row])]


def test_names_look_at_their_cells_and_at_the_beginning_where_there_is_none(layout: Layout) -> None:
    one = asked(layout, shown(), "Is there a dog? A white cat?", "Yes, there is a dog.", [[GROUND, CAT, DOG]])
    assert looks(layout, one) == [
        ("named", " dog", "?", [5]),
        ("named", " cat", "?", [-1]),
        ("named", " dog", ".", [5]),
        ("next", " a", " dog", [5]),
    ]


def test_several_of_a_kind_are_told_apart_by_color_and_all_meant_without(layout: Layout) -> None:
    pair = [GROUND, {**CAT, "name": "circle", "color": "red"}, {**DOG, "name": "circle", "color": "blue"}]
    one = asked(layout, shown(), "Where are circles? The red circle?", "The blue circle.", [pair])
    named = [(after, cells) for head, _, after, cells in looks(layout, one) if head == "named"]
    assert named == [("?", [0, 5]), ("?", [0]), (".", [5])]


def test_boxes_come_from_the_thing_inside_even_among_twins(layout: Layout) -> None:
    twins = [GROUND, CAT, {**DOG, "name": "cat", "color": "black"}]
    answer = '[{"bbox_2d":[0,0,28,28],"label":"cat"},{"bbox_2d":[56,28,84,56],"label":"cat"}]'
    found = looks(layout, asked(layout, shown(), "Find all cats.", answer, [twins]))
    following = [(after, cells) for head, _, after, cells in found if head == "next"]
    second = [cells for _, cells in following].index([5])
    assert [cells for _, cells in following] == [[0]] * second + [[5]] * (len(following) - second)
    assert following[second - 1][0].startswith("c") and second > 6
    assert following[0][0] == "0" and following[-1][0] == "c"
    assert [cells for head, *_, cells in found if head == "named"] == [[0, 5]]


def test_written_words_are_read_where_they_stand(layout: Layout) -> None:
    letters = [{"character": c, "box": (28 * i + 2, 30, 28 * i + 26, 54)} for i, c in enumerate("Cog")]
    one = asked(layout, shown(), "What does it say?", "Cog", [[GROUND, *letters]])
    found = looks(layout, one)
    assert found[0] == ("named", _piece(Text(one.ids, layout._pieces), len(one.ids) - 3), "\n", [4])
    cells = [cells for head, *_, cells in found if head == "next"]
    assert cells[0][0] == 3 and cells[-1][-1] == 5 and all(len(some) <= 2 for some in cells)


def test_things_times_and_sounds_of_a_clip(layout: Layout) -> None:
    listing = [[GROUND], [GROUND, DOG], [GROUND, DOG]]
    one = asked(layout, filmed(3), "When does the dog appear?", "The dog appears at 1 second.", listing)
    assert one.times is not None and sorted({*one.times.tolist()} - {-100}) == [0, 25, 50]
    found = looks(layout, one)
    assert ("named", " dog", " appear", [11, 17]) in found
    assert found[-1] == ("next", _piece(Text(one.ids, layout._pieces), len(one.ids) - 6), "1", list(range(6, 12)))

    sounds = [{"name": "tone", "start_sec": 1.0, "end_sec": 1.5}]
    heard = asked(layout, filmed(2, 2.0), "When is the tone?", "The tone rings.", [[GROUND], [GROUND]], sounds)
    rows = {head + after: cells for head, _, after, cells in looks(layout, heard)}
    audio = np.isin(heard.ids, [layout.control.video, layout.control.audio])
    places = np.flatnonzero(heard.ids[audio] == layout.control.audio)
    assert rows["named?"] == rows["next tone"] and set(rows["named?"]) <= set(places.tolist())
    assert 10 <= len(rows["named?"]) <= 15  # half a second of 40 ms each


def test_arrows_are_one_kind_and_no_name_is_lost(layout: Layout) -> None:
    numbers = classes()
    assert len({int(folded()[n]) for name, n in numbers.items() if name.startswith("arrow ")}) == 1
    for name in ("arrow", "cup of tea", "box of fries"):
        item = {**CAT, "name": "arrow left" if name == "arrow" else name, "color": None}
        if item["name"] in numbers:
            found = looks(layout, asked(layout, shown(), f"Where is the {name}?", "There.", [[GROUND, item]]))
            assert [(head, cells) for head, _, _, cells in found] == [("named", [0])]


@pytest.mark.parametrize("head", [NAMED, NEXT])
def test_loss_is_the_attention_that_transformers_computes(layout: Layout, head: int) -> None:
    model = new_model(3, SMALL).eval()
    packed = PackedThinker(model)
    one = asked(layout, shown(), "Is there a dog?", "A dog.", [[GROUND, CAT, DOG]])
    before = asked(layout, shown(2), "What?", "A cat.", [[GROUND, CAT]])
    before = replace(before, guided=before.guided[:0])
    batch = batch_of(layout, before, one)
    batch["guided"][batch["guided"][:, 1] != head] = torch.tensor([0, 0, -1, 0, 0], dtype=torch.int32)
    control = layout.control
    clips = batch["clips"].long()
    mel = LogMel()(torch.zeros(len(clips), BUDGET.clip_samples), clips[:, 3], batch["chunks"].long())
    values = patch_values(batch["patches"], batch["pairs"].long())
    with torch.no_grad():
        _, _, _, inside = packed(batch, mel, values, BUDGET.longest, BUDGET.largest_image)
        logits = packed.time_head(inside.middle)
        _, tallies = guidance_losses(batch, inside, logits, control.vision_bos, control.audio)
    model.set_attn_implementation("eager")
    model.model.rope_deltas = None
    pixels = values[len(before.pairs) : len(before.pairs) + len(one.pairs)]
    output = model(
        input_ids=torch.from_numpy(one.ids).long()[None],
        attention_mask=torch.ones(1, len(one.ids), dtype=torch.long),
        pixel_values=pixels,
        image_grid_thw=torch.tensor([[1, 4, 6]]),
        output_attentions=True,
        use_cache=False,
    )
    layer, place = packed.guided_heads()[head]
    attention = output.attentions[layer][0, place]  # [n, n]
    dog = int(np.flatnonzero(one.ids == control.image)[5])
    rows = [int(row) for row, which, *_ in one.guided.tolist() if which == head]
    expected = -attention[rows, dog].log().sum()
    torch.testing.assert_close(tallies[HEADS[head]].loss, expected.detach(), atol=1e-4, rtol=1e-4)
    assert int(tallies[HEADS[head]].count) == len(rows)


def test_a_model_learns_to_look(layout: Layout) -> None:
    torch.manual_seed(0)
    sequences = []
    for seed, here in enumerate((CAT, DOG)):
        for name in ("cat", "dog"):
            answer = "Yes." if here["name"] == name else "No."
            sequences.append(asked(layout, shown(seed), f"Is there a {name}?", answer, [[GROUND, here]]))
    packer = Packer(BUDGET, layout.control, KINDS, 0)
    assert all(packer.add(s) for s in sequences)
    whole = block(packer.finish())
    ours = Trainer(TrainOptions(60.0, rate=3e-3), BUDGET, KINDS, torch.device("cpu"), 0, SMALL)
    ours.step(whole, 0.1)
    first = ours.sums.read()["named"]
    for _ in range(60):
        ours.step(whole, 0.1)
    ours.sums.read()
    ours.step(whole, 0.1)
    last = ours.sums.read()["named"]
    assert first[1] < 0.5 and last[1] == 1.0 and last[0] < 0.3 * first[0]


def test_held_out_questions_about_guided_clips_are_asked(layout: Layout) -> None:
    listing = [[GROUND], [GROUND, DOG], [GROUND, DOG]]
    asks = [asked(layout, filmed(3), "When does the dog appear?", "At 1 second.", listing) for _ in range(2)]
    assert all(len(one.guided) and one.times is not None for one in asks)
    examiner = Examiner([Task.split(one) for one in asks], layout, chat_tokenizer(), replace(BUDGET, learned=32), 0)
    result = examiner.ask(PackedThinker(new_model(3, SMALL)), LogMel(), torch.device("cpu"))
    assert set(result["exact"]) == {asks[0].kind}
