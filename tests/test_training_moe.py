"""moe-nano's training: problems that are right and held apart, a layout that the running code reads, a forward that
equals transformers', and a run whose loss falls and whose checkpoint loads."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

import multimodal  # noqa: F401
from reasoning.chat_layout import ChatLayout
from reasoning.messages import Message, ToolCall, ToolSpec, checked
from reasoning.thinking import ThinkingParser
from reasoning.tool_calls import ToolCallParser
from reasoning.tools.python_tool import PYTHON_TOOL
from training import moe
from training.moe_batches import IGNORED, LONGEST, Batches, pack
from training.moe_chat import Encoder, Shape, chat_tokenizer, control_ids, drawn, prompt_text, reply_parts
from training.moe_export import export, load
from training.moe_grammar import NoWording, Split
from training.moe_model import MoeSizes, PackedMoe, experts_dense, experts_grouped, grouped_works, new_model
from training.moe_problems import KINDS, MAKERS, draw, is_right, result
from training.moe_progress import answers, examined, program
from training.moe_python import run
from training.moe_wording import dressed, held_out, number_words

SPLITS: tuple[Split, ...] = ("train", "unseen", "paraphrase", "first")
TINY = MoeSizes(hidden=32, layers=2, heads=2, kv_heads=1, head_dim=16, experts=4, expert_width=16)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_every_problem_s_own_answer_is_right_and_a_wrong_one_is_not(make) -> None:
    rng = random.Random(5)
    for split in SPLITS:
        for _ in range(25):
            try:
                problem = draw(rng, split, make)
            except NoWording:
                assert split == "first"  # a kind that the first run did not have
                break
            assert problem.kind in KINDS
            assert is_right(problem, problem.final(result(problem))), problem
            assert not is_right(problem, "It is 123456789.")
            assert held_out(problem.key) == (split != "train")


def test_the_same_seed_draws_the_same_problems() -> None:
    one, other = ([draw(random.Random(3), "train").question for _ in range(20)] for _ in range(2))
    assert one == other


def test_a_number_inside_a_longer_one_is_no_right_answer() -> None:
    problem = draw(random.Random(0), "train", next(iter(MAKERS)))
    gold = problem.gold
    assert not is_right(problem, f"It is 9{gold}.") and not is_right(problem, f"It is {gold}7.")


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (21, "twenty-one"), (305, "three hundred and five"), (12_007, "twelve thousand seven")],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert number_words(number) == words


def test_dressing_keeps_numbers() -> None:
    rng = random.Random(2)
    assert all("12 times 34" in dressed("What is 12 times 34?", rng) for _ in range(300))


@pytest.mark.parametrize(
    "code",
    [
        "import os; print(os.getcwd())",
        "print(open('/etc/passwd').read())",
        "print(().__class__)",
        "while True:\n    pass",
        "print(9**9**9)",
        "print(",
    ],
)
def test_a_model_s_slip_is_an_error_and_not_run(code: str) -> None:
    assert "Error" in run(code)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def test_the_layout_is_what_the_chat_template_gives_to_the_running_code(encoder: Encoder) -> None:
    layout, rng = ChatLayout(chat_tokenizer()), random.Random(8)
    for _ in range(120):
        problem, shape = drawn(rng, "train")
        messages = [Message("system", (shape.system,))] if shape.system else []
        for question, answer in (*shape.history, *problem.history):
            messages += [Message("user", (question,)), Message("assistant", (answer,))]
        messages.append(Message("user", (problem.question,)))
        tools: tuple[ToolSpec, ...] = (PYTHON_TOOL,) if shape.tool else ()
        ids = layout.chat(messages, tools, enable_thinking=shape.think)
        assert encoder.decode(ids) == prompt_text(problem, shape)
        assert ids == encoder.encode(prompt_text(problem, shape))


def test_a_tool_round_is_read_back_as_it_was_written(encoder: Encoder) -> None:
    """So that the cache of the reply is kept, and the model reads what it was trained on."""
    layout, rng = ChatLayout(chat_tokenizer()), random.Random(12)
    for _ in range(40):
        problem = draw(rng, "train")
        if not problem.code or problem.history:
            continue
        call = ToolCall("x", "python", json.dumps({"code": problem.code}))
        turns = [
            Message("user", (problem.question,)),
            Message("assistant", ("",), f"{problem.plan}\n", (call,)),
            Message("tool", (result(problem),), tool_call_id="x"),
        ]
        parts = reply_parts(problem, Shape())
        wanted = prompt_text(problem, Shape()) + parts[0][0] + parts[1][0]
        kept = checked(turns, sees=False)
        assert encoder.decode(layout.chat(kept, (PYTHON_TOOL,))) == wanted
        pieces = (prompt_text(problem, Shape()), parts[0][0], parts[1][0])
        assert layout.chat(kept, (PYTHON_TOOL,)) == [i for part in pieces for i in encoder.encode(part)]


def test_the_running_parsers_read_a_reply(encoder: Encoder) -> None:
    rng = random.Random(4)
    for _ in range(60):
        problem = draw(rng, "train")
        parts = reply_parts(problem, Shape())
        text = parts[0][0].removesuffix("<|im_end|>")
        thinking, calls = ThinkingParser(), ToolCallParser()
        pieces = [*thinking.push(text), *thinking.finish()]
        reasoning = "".join(piece.text for piece in pieces if piece.kind == "reasoning")
        told = [part for piece in pieces if piece.kind == "answer" for part in calls.push(piece.text)] + calls.finish()
        assert reasoning.strip() == problem.plan
        if problem.code:
            assert len(told) == 1 and not isinstance(told[0], str) and told[0].name == "python"
            assert program(text) == problem.code
        else:
            assert "".join(map(str, told)) == problem.final("")


def test_digits_stand_alone_and_text_survives(encoder: Encoder) -> None:
    tokens = chat_tokenizer().tokenize("9.11 or 12345?")
    assert all(sum(char.isdigit() for char in token) <= 1 for token in tokens)
    text = "Größe 日本 “x²” \t 1,234 <think>"
    assert encoder.decode(encoder.encode(text)) == text


def test_only_what_the_model_says_is_learned(encoder: Encoder) -> None:
    rng = random.Random(6)
    examples = [encoder.example(*drawn(rng, "train")) for _ in range(12)]
    batch = pack(examples, 4096)
    ids, targets, positions, borders = batch
    wanted = [i for example in examples for i in example.ids[example.learned].tolist()]
    assert targets[targets != IGNORED].tolist() == wanted
    text = encoder.decode(targets[targets != IGNORED].tolist())
    assert "<tool_response>" not in text and "<|im_start|>" not in text and "<tool_call>" in text
    ends = borders[borders.diff(prepend=torch.tensor([-1])) > 0].tolist()
    assert ends[0] == 0 and ends[-1] == 4096 and max(b - a for a, b in zip(ends, ends[1:])) <= LONGEST
    assert all(positions[at] == 0 for at in ends[:-1])
    assert len(ids) == 4096


def test_the_packed_forward_equals_transformers(encoder: Encoder) -> None:
    control = control_ids()
    model = new_model(TINY, control, 3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)  # so that experts and attention matter
    rng = random.Random(9)
    examples = [encoder.example(*drawn(rng, "train")) for _ in range(5)]
    batch = pack(examples, 2048)
    offsets = batch[3, : int((batch[3].diff() > 0).sum()) + 1].contiguous()
    counted = batch[0] != control["<|endoftext|>"]
    with torch.no_grad():
        hidden, _, use = PackedMoe(model)(batch[0], batch[2], offsets, LONGEST, counted)
        ours = hidden @ model.lm_head.weight.T
        at, counts = 0, torch.zeros(TINY.layers, TINY.experts)
        for example in examples:
            n = len(example.ids)
            out = model(torch.tensor(example.ids[None], dtype=torch.long), output_router_logits=True)
            torch.testing.assert_close(ours[at : at + n], out.logits[0], atol=2e-4, rtol=2e-4)
            for layer, logits in enumerate(out.router_logits):
                counts[layer] += torch.bincount(logits.topk(TINY.top_k, -1).indices.flatten(), minlength=TINY.experts)
            at += n
    torch.testing.assert_close(use, counts / counts.sum(1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_grouped_experts_equal_dense_ones() -> None:
    assert grouped_works(torch.device("cpu"), TINY)
    experts = new_model(TINY, control_ids(), 0).model.layers[0].mlp.experts
    x = torch.randn(40, 32)
    weights, chosen = torch.rand(40, 4).topk(2, -1)
    dense, grouped = experts_dense(x, chosen, weights, experts), experts_grouped(x, chosen, weights, experts)
    torch.testing.assert_close(grouped, dense, atol=3e-4, rtol=0.05)
    torch.testing.assert_close(dense, experts(x, chosen, weights), atol=1e-6, rtol=1e-4)


def test_workers_make_the_same_batches_from_the_same_seed() -> None:
    one, other, third = (next(iter(Batches(1024, seed))) for seed in (1, 1, 2))
    assert torch.equal(one, other) and not torch.equal(one, third)


def test_a_run_learns_saves_resumes_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(moe, "SMALL", TINY)
    out = tmp_path / "run"
    flags = ["--out", str(out), "--small", "--device", "cpu", "--workers", "0", "--tokens", "1024", "--examine", "0"]
    trainer = moe.train(moe.parser().parse_args([*flags, "--seconds", "6", "--rate", "1e-2", "--print-every", "1"]))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[0] > losses[-1] + 0.3, losses
    assert lines[-1]["skipped"] == 0
    again = moe.train(
        moe.parser().parse_args([*flags, "--seconds", "0.2", "--resume", str(tmp_path / "run-state.pt"), "--seed", "1"])
    )
    assert again.steps > trainer.steps
    folder = tmp_path / "moe-nano"
    export(out, folder)
    model = load(folder)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, again.model.state_dict()[name].to(torch.bfloat16).float(), msg=name)
    assert {"README.md", "config.json", "generation_config.json", "tokenizer.json"} <= {
        f.name for f in folder.iterdir()
    }
    control = control_ids()
    given = list(answers(model, examined("unseen", 4, 1), Encoder(), control["<|im_end|>"], control["<|endoftext|>"]))
    assert len(given) == 4


def test_a_gradient_that_is_not_finite_changes_nothing(encoder: Encoder) -> None:
    trainer = moe.Trainer(moe.TrainOptions(1.0), TINY, torch.device("cpu"))
    batch = next(iter(Batches(1024, 0)))
    trainer.step(batch, 0.5)
    with torch.no_grad():
        trainer.model.model.norm.weight[0] = float("inf")
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.step(batch, 0.5)
    assert trainer.read(2)["skipped"] == 1
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters()))
