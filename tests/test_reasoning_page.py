"""A routed answer on the page: who answers, thoughts folded with the programs in them, and where each token went."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import RunningServer, ask, visitor
from tests.family_checkpoints import write_checkpoint
from tests.scripted_server import END, Reply, ScriptedServer, chunk, scripted

SAMPLES = Path(__file__).parent.parent / "docs" / "samples"
HEAVY = "Which number is larger, 9.11 or 9.8?"
FOLLOW_UP = "And if it were twice that?"
CALL = {"index": 0, "id": "a", "type": "function"}


def calls(code: str) -> Reply:
    function = {"name": "python", "arguments": f'{{"code": "{code}"}}'}
    return Reply(
        [
            chunk(reasoning_content="I compare them."),
            chunk(tool_calls=[{**CALL, "function": function}]),
            chunk(finish="tool_calls"),
            END,
        ]
    )


def says(*texts: str) -> Reply:
    return Reply([*(chunk(content=text) for text in texts), chunk(finish="stop"), END])


@pytest.fixture(scope="module")
def remote() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, remote: ScriptedServer
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("reasoning")
    mixture = write_checkpoint(folder / "moe-nano", "Qwen3MoeForCausalLM")
    backends = f"qwen3-30b-a3b@{remote.url}, {mixture}, qwen2.5-vl-7b-instruct@{remote.url}"
    running = RunningServer(folder / "data", tiny_checkpoint, "--seed", "5", "--backends", backends)
    yield running
    running.close()


def conversation_id(page: Page) -> str:
    return page.url.rsplit("#c=", 1)[1]


def test_a_program_is_folded_away_with_the_thoughts_and_the_answer_is_shown_and_spoken(
    page: Page, remote: ScriptedServer
) -> None:
    remote.script += [calls("print(max(9.11, 9.8))"), says("9.8 is ", "larger.")]
    ask(page, HEAVY)
    answer = page.locator("li.assistant").last
    expect(answer.locator(".text").last).to_have_text("9.8 is larger.")
    folded = answer.locator("details.reasoning")
    expect(folded.locator(".text")).to_be_hidden()
    folded.locator("summary").press("Enter")
    expect(folded.locator("code").first).to_have_text("print(max(9.11, 9.8))")
    expect(folded.locator("code").last).to_have_text("9.8")
    expect(answer.locator("button.play")).to_be_visible()
    answer.get_by_role("button", name="How this was made").click()
    expect(page.locator(".inspector .badge")).to_have_text("qwen3-30b-a3b")
    expect(page.locator(".inspector .experts")).to_have_count(0)
    page.keyboard.press("Escape")
    remote.script.append(says("Then it is 19.6."))
    ask(page, FOLLOW_UP)
    expect(page.locator("li.assistant").last.locator(".text").last).to_have_text("Then it is 19.6.")
    sent = remote.requests[-1][2]["messages"]
    assert [(one["role"], one["content"]) for one in sent] == [
        ("user", HEAVY),
        ("assistant", "9.8 is larger."),
        ("user", FOLLOW_UP),
    ]


def test_thoughts_without_an_opening_mark_leave_the_answer_when_they_close(page: Page, remote: ScriptedServer) -> None:
    pieces = [chunk(content=text) for text in ("Let me see. ", "</think>", "9.8 is", " larger.")]
    remote.script.append(Reply([*pieces, chunk(finish="stop"), END], pause_sec=0.7))
    page.locator("#message").fill(HEAVY)
    page.keyboard.press("Enter")
    answer = page.locator("li.assistant").last
    expect(answer.locator("article > .text")).to_have_text("Let me see.")
    expect(answer.locator("article > .text")).to_be_empty()
    expect(answer.locator("details.reasoning .text")).to_have_text("Let me see.")
    expect(page.locator("li.assistant:not([data-state^=answering])")).to_have_count(1, timeout=60_000)
    expect(answer.locator("article > .text")).to_have_text("9.8 is larger.")


def test_a_backend_that_is_down_is_replaced_and_the_page_says_so(page: Page, remote: ScriptedServer) -> None:
    remote.script.append(Reply(status=401))
    ask(page, HEAVY)
    note = page.locator("li.assistant").last.locator(".note", has_text="Answered instead of qwen3-30b-a3b")
    expect(note).to_contain_text("refused the key")


def test_the_inspector_shows_which_experts_each_token_went_to(page: Page) -> None:
    page.get_by_role("button", name="Settings").first.click()
    page.get_by_role("radio", name="moe-nano").check()
    expect(page.get_by_role("radio", name="moe-nano")).to_be_checked()
    ask(page, HEAVY)
    answer = page.locator("li.assistant").last
    answer.get_by_role("button", name="How this was made").click()
    drawer = page.get_by_role("complementary", name="How this was made")
    expect(drawer.locator(".badge")).to_have_text("moe-nano")
    turn = answer.get_attribute("data-id")
    used = page.request.get(f"/api/turns/{turn}/inspection").json()["route"]["experts"]
    assert "experts" not in page.request.get(f"/api/conversations/{conversation_id(page)}").json()["turns"][-1]["route"]
    cells, tokens = drawer.locator(".experts .expert"), drawer.locator(".token")
    expect(cells).to_have_count(2 * 6)
    expect(tokens).to_have_count(len(used["tokens"]))
    most = max(map(max, used["counts"]))
    fullest = used["counts"][0].index(max(used["counts"][0]))
    assert float(cells.nth(fullest).get_attribute("fill-opacity") or 0) == pytest.approx(
        0.06 + 0.94 * used["counts"][0][fullest] / most, abs=1e-3
    )
    tokens.nth(1).click()
    way = [6 * layer + expert for layer in range(2) for expert in used["tokens"][1]["experts"][layer]]
    taken = cells.evaluate_all("all => all.flatMap((one, at) => one.classList.contains('taken') ? [at] : [])")
    assert taken == sorted(way)
    drawer.locator(".tokens").press("ArrowRight")
    expect(tokens.nth(2)).to_have_attribute("aria-current", "true")
    hue = round(360 * used["tokens"][2]["experts"][0][0] / 6)
    assert tokens.nth(2).evaluate("one => one.style.getPropertyValue('--expert')") == str(hue)
    drawer.get_by_role("combobox", name="Layer that colours the tokens").select_option("1")
    hue = round(360 * used["tokens"][2]["experts"][1][0] / 6)
    assert tokens.nth(2).evaluate("one => one.style.getPropertyValue('--expert')") == str(hue)
    drawer.locator(".json summary", has_text="JSON").click()
    expect(drawer.locator(".json pre")).to_contain_text('"experts"')


def test_a_backend_that_sees_is_told_the_pictures_of_earlier_questions(page: Page, remote: ScriptedServer) -> None:
    page.get_by_role("button", name="Settings").first.click()
    page.get_by_role("radio", name="qwen2.5-vl-7b-instruct").check()
    page.keyboard.press("Escape")
    remote.script += [says('[{"bbox_2d": [28, 56, 112, 140], "label": "circle"}]'), says("A square.")]
    page.set_input_files("input[type=file][multiple]", str(SAMPLES / "shapes.png"))
    expect(page.locator(".chips .facts")).to_have_count(1)
    ask(page, "Where is the circle?")
    found = page.locator("li.assistant").last
    expect(found.locator(".marked svg text")).to_have_text("circle")
    turn = found.get_attribute("data-id")
    (box,) = page.request.get(f"/api/turns/{turn}/places.json").json()["places"]
    assert (box["left"], box["top"], box["right"], box["bottom"]) == (28, 56, 112, 140), "sent as large as it is"
    ask(page, "And what is beside it?")
    asked = remote.requests[-1][2]["messages"]
    assert [one["role"] for one in asked] == ["system", "user", "assistant", "user"]
    assert [part["type"] for part in asked[1]["content"]] == ["image_url", "text"]
    assert "bbox_2d" in asked[2]["content"] and asked[3]["content"] == "And what is beside it?"


def test_whoever_was_configured_answers_until_the_page_says_otherwise(
    browser: Browser, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    with scripted(says("Hi."), says("9.8.")) as remote:
        flags = ("--seed", "5", "--backends", f"qwen3-30b-a3b@{remote.url}", "--backend", "qwen3-30b-a3b")
        with contextlib.closing(RunningServer(tmp_path / "data", tiny_checkpoint, *flags)) as server:
            with visitor(browser, server) as page:
                page.goto(server.url)
                expect(page.locator(".engine.ready")).to_be_visible()
                ask(page, "Hello")
                answer = page.locator("li.assistant").last.locator(".text").last
                expect(answer).to_have_text("Hi.")
                page.get_by_role("button", name="Settings").first.click()
                expect(page.get_by_role("radio", name="qwen3-30b-a3b")).to_be_checked()
                page.get_by_role("radio", name="Auto").check()
                page.wait_for_timeout(300)
                ask(page, "Hello")
                assert len(remote.requests) == 1, "the router leaves a greeting with the Thinker"
                ask(page, HEAVY)
                expect(answer).to_have_text("9.8.")
                page.reload()
                expect(page.locator(".engine.ready")).to_be_visible()
                page.get_by_role("button", name="Settings").first.click()
                expect(page.get_by_role("radio", name="Auto")).to_be_checked()
