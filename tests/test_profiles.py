"""Every family of the table: a tiny checkpoint of its class, or a server that speaks for it, holds a conversation
through the real loading and prompting code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from multimodal.media import Picture
from reasoning.backend import (
    Done,
    Experts,
    Options,
    ReasoningDelta,
    Usage,
)
from reasoning.errors import ProfileError
from reasoning.local_backend import LocalBackend
from reasoning.messages import Message
from reasoning.openai_backend import OpenAiBackend, Remote
from reasoning.profiles import load_profiles
from tests.conversation_parts import joined, only, picture, user
from tests.family_checkpoints import write_checkpoint
from tests.scripted_server import END, Reply, answer, chunk, scripted

PROFILES = load_profiles()
LOCAL = [
    ("qwen2.5", "Qwen2ForCausalLM"),
    ("qwen2.5-vl", "Qwen2_5_VLForConditionalGeneration"),
    ("qwen2.5-coder", "Qwen2ForCausalLM"),
    ("qwen2.5-math", "Qwen2ForCausalLM"),
    ("qvq-72b-preview", "Qwen2VLForConditionalGeneration"),
    ("qwq", "Qwen2ForCausalLM"),
    ("qwen3-moe", "Qwen3MoeForCausalLM"),
    ("qwen3-moe", "Qwen2MoeForCausalLM"),
    ("qwen3-omni-moe", "Qwen3OmniMoeForConditionalGeneration"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint a class, and one whose template opens the reasoning, under names that tell the family."""
    root = tmp_path_factory.mktemp("family")
    made = {name: write_checkpoint(root / name, name) for name in dict.fromkeys(name for _, name in LOCAL)}
    made["qwq"] = write_checkpoint(root / "tiny-qwq", "Qwen2ForCausalLM", opens_reasoning=True)
    return made


# --- the table ---


def test_the_table_has_every_family_and_says_all_about_it() -> None:
    wanted = {
        *("qwen2.5", "qwen2.5-omni", "qwen2.5-vl", "qwen2.5-coder", "qwen2.5-math", "qwen2.5-max", "qvq-72b-preview"),
        *("qvq-max", "qwq", "qwen3-omni-moe", "qwen3-moe", "moe-nano"),
    }
    assert set(PROFILES.families) == wanted
    import transformers

    for one in PROFILES.families.values():
        assert one.licence and one.title
        assert one.name == "moe-nano" or (one.remote and one.context >= 4096)
        for name in (*one.architectures, *([one.loads] if one.loads else ())):
            assert hasattr(transformers, name) or name == "Qwen2_5OmniModel", name
        assert one.is_open or one.stand_in
    assert PROFILES.family("qwq").reasoning.opened_by_prompt and PROFILES.family("qwq").never_greedy
    assert PROFILES.family("qwen2.5-vl").coordinates == "resized"
    assert PROFILES.family("qvq-72b-preview").single_turn


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('title = "Qwen2.5-Max"', "title"),
        ("context = 32768", "context"),
    ],
)
def test_a_row_without_something_needed_is_refused(change: str, says: str, tmp_path: Path) -> None:
    table = (Path(__file__).parent.parent / "reasoning" / "profiles.toml").read_text()
    (tmp_path / "t.toml").write_text(table.replace(change, "", 1))
    with pytest.raises(ProfileError, match=says):
        load_profiles(tmp_path / "t.toml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('roles = ["code"]', 'roles = ["cooking"]', "cooking"),
        ("never_greedy = true", 'never_greedy = "yes"', "wants bool"),
        ("runs_python = true", "runs_pyhton = true", "runs_pyhton"),
        ('coordinates = "resized"', 'coordinates = "metres"', "metres"),
        ('servers = ["dashscope", "dashscope-cn"]', 'servers = ["nowhere"]', "nowhere"),
        ("temperature = 0.6", "temperature = -1", "temperature"),
        ("temperature = 0.6, ", "", "never_greedy"),
        ('base_url = "http://127.0.0.1:8000/v1"', 'base_url = "ftp://x"', "ftp"),
        ('stand_in = "qwen3-moe"', 'stand_in = "qvq-max"', "stand_in"),
        ('[family."qwq"]', '[familie."qwq"]', "familie"),
        ('[family."qwq"]', '[family."qwq', "cannot be read"),
    ],
)
def test_a_mistake_in_the_table_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    table = (Path(__file__).parent.parent / "reasoning" / "profiles.toml").read_text()
    assert old in table
    (tmp_path / "t.toml").write_text(table.replace(old, new, 1))
    with pytest.raises(ProfileError, match=says):
        load_profiles(tmp_path / "t.toml")


def test_checkpoints_and_remote_names_find_their_family() -> None:
    def local(architecture: str, name: str) -> str:
        return PROFILES.of_checkpoint(architecture, name).name

    assert local("Qwen2ForCausalLM", "Qwen/Qwen2.5-7B-Instruct") == "qwen2.5"
    assert local("Qwen2ForCausalLM", "/models/Qwen2.5-Coder-7B") == "qwen2.5-coder"
    assert local("Qwen2ForCausalLM", "Qwen/QwQ-32B") == "qwq"
    assert local("Qwen3MoeForCausalLM", "models/moe-nano") == "moe-nano"
    assert local("Qwen3MoeForCausalLM", "Qwen/Qwen3-30B-A3B") == "qwen3-moe"
    with pytest.raises(ProfileError, match="LlamaForCausalLM"):
        local("LlamaForCausalLM", "llama")
    remote = {
        "qwen-max": "qwen2.5-max", "qwen-max-latest": "qwen2.5-max", "qwq-plus": "qwq", "qvq-max": "qvq-max",
        "Qwen/Qwen2.5-Math-7B-Instruct": "qwen2.5-math", "qwen2.5-coder-14b-instruct": "qwen2.5-coder",
        "qwen2.5-vl-3b-instruct": "qwen2.5-vl", "qwen3-omni-flash": "qwen3-omni-moe", "something-else": "qwen2.5",
    }  # fmt: skip
    assert {name: PROFILES.of_remote(name).name for name in remote} == remote


# --- local rows ---


@pytest.mark.parametrize(("family", "architecture"), LOCAL, ids=lambda value: value)
def test_every_open_family_holds_a_conversation(family: str, architecture: str, folders: dict[str, Path]) -> None:
    backend = LocalBackend.load(folders["qwq" if family == "qwq" else architecture], family=family)
    profile = backend.model.profile
    assert profile.name == family and backend.sees == profile.sees
    first = user(picture(), "What is it?") if backend.sees else user("What is 2 + 2?")
    messages = [first]
    for turn in range(2):
        events = list(backend.stream(messages, Options(max_tokens=10, seed=turn, experts=True)))
        done, usage = only(events, Done), only(events, Usage)
        assert events[-1] is done and done.finish_reason in ("stop", "length") and usage.completion_tokens <= 10
        assert done.truncated == (done.finish_reason == "length")
        routed = [event for event in events if isinstance(event, Experts)]
        assert bool(routed) == profile.experts
        for event in routed:
            assert event.logits.shape == (2, 6) and event.chosen().shape == (2, 2)
        reply = Message("assistant", (joined(events),), reasoning=joined(events, ReasoningDelta))
        messages += [reply, user("And now?")]


def test_the_omni_family_answers_as_a_text_and_picture_backend(tiny_checkpoint: Path) -> None:
    backend = LocalBackend.load(tiny_checkpoint)
    assert backend.model.profile.name == "qwen2.5-omni" and backend.sees
    events = list(backend.stream([user(picture(), "What is it?")], Options(max_tokens=6)))
    assert only(events, Done).finish_reason in ("stop", "length")


@pytest.mark.parametrize("architecture", sorted({name for _, name in LOCAL}))
def test_streaming_equals_generate(architecture: str, folders: dict[str, Path]) -> None:
    """Own prompt, own positions, own cache and own loop against transformers' `generate`, greedily."""
    import transformers

    backend = LocalBackend.load(folders[architecture])
    model = backend.model
    message = user("Look: ", picture(), "and at", picture(60, 60, 1), "?") if backend.sees else user("What is 17 * 24?")
    ids = model.layout.chat([message])
    prompt = model.prompt(ids, message.pictures)
    logits, _ = model.forward(prompt, 0, cache := model.new_cache())
    ours, position = [], int(prompt.positions.max()) + 1
    for _ in range(12):
        ours.append(int(logits.argmax()))
        if ours[-1] in model.stop:
            break
        place = torch.full((3, 1), position)
        logits, _ = model.forward(type(prompt)([ours[-1]], place), 0, cache)
        position += 1
    extra: dict[str, Any] = {}
    row = torch.tensor([prompt.ids])
    if prompt.pixels is not None:
        extra = {"pixel_values": prompt.pixels, "image_grid_thw": prompt.grid}
        if "Omni" not in architecture:
            extra["mm_token_type_ids"] = (row == model._image_token()).int()
    config = transformers.GenerationConfig(max_new_tokens=12, do_sample=False, eos_token_id=sorted(model.stop))
    with torch.inference_mode():
        whole = model.model.generate(
            input_ids=row, attention_mask=torch.ones_like(row), generation_config=config, pad_token_id=0, **extra
        )
    assert whole[0, row.shape[1] :].tolist() == ours


# --- rows that only a server has ---


@pytest.mark.parametrize("name", ["qwen-max", "qvq-max", "qwq-plus", "qwen2.5-vl-7b-instruct", "qwen-omni-turbo"])
def test_every_remote_family_holds_a_conversation(name: str) -> None:
    profile = PROFILES.of_remote(name)
    content: tuple[str | Picture, ...] = (picture(), "What is it?") if profile.sees else ("What is it?",)
    thinks = Reply([chunk(reasoning_content="hm"), chunk(content="A cat."), chunk(finish="stop"), END])
    with scripted(thinks, answer("Black.")) as server:
        backend = OpenAiBackend(Remote(name, server.url, splits_reasoning=True), profile)
        first = list(backend.stream([Message("user", content)], Options()))
        assert (joined(first, ReasoningDelta), joined(first)) == ("hm", "A cat.")
        history = [Message("user", content), Message("assistant", ("A cat.",), reasoning="hm"), user("Its colour?")]
        assert joined(list(backend.stream(history, Options()))) == "Black."
        backend.close()
    sent = server.requests[1][2]
    assert sent["stream"] is True and sent["model"] == name
    assert [one["role"] for one in sent["messages"]][-3:] == ["user", "assistant", "user"]
    if profile.system_prompt:
        assert sent["messages"][0] == {"role": "system", "content": profile.system_prompt}
    assert ("temperature" in sent) == profile.sampling.do_sample
