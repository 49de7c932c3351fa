"""The page in a real Chromium: what a person sees, hears and types. Random weights answer here; what the built-in model
answers is in test_web_meaning.py."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import resource
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.assistant import Assistant, MediaFile
from app.config import Config
from streaming.events import ResponseDone
from tests.browser import ANSWER, MAX_SPEECH_SEC, ROOT, RunningServer, ask, kept, visitor

SAMPLES = ROOT / "docs" / "samples"
SHAPES = SAMPLES / "shapes.png"
SEED = 0
MAX_TOKENS = 24
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("web") / "data"
    running = RunningServer(folder, tiny_checkpoint, "--seed", str(SEED), "--max-tokens", str(MAX_TOKENS))
    yield running
    assert running.stop() == 0, running.log.read_text()


def whole_replies(model: Path, *turns: tuple[str, tuple[MediaFile, ...]]) -> list[ResponseDone]:
    """What the engine answers by itself, without server and page."""
    config = Config(model=str(model), seed=SEED, max_tokens=MAX_TOKENS, max_speech_sec=MAX_SPEECH_SEC)
    assistant = Assistant(config, speech=True)
    conversation = assistant.conversation()
    replies = []
    for text, media in turns:
        *_, done = assistant.answer(conversation, assistant.read_turn(text, media))
        assert isinstance(done, ResponseDone)
        replies.append(done)
    return replies


def test_a_picture_is_asked_about_and_the_follow_up_knows_it(page: Page, tiny_checkpoint: Path) -> None:
    ask(page, "What colour is the circle?", SHAPES)
    ask(page, "And the square?")
    turns = kept(page)
    expected = whole_replies(
        tiny_checkpoint, ("What colour is the circle?", (MediaFile("image", SHAPES),)), ("And the square?", ())
    )
    assert [turn["text"] for turn in turns[1::2]] == [done.text for done in expected]
    assert [turn["status"] for turn in turns[1::2]] == [done.status for done in expected]
    assert page.locator("li.user img").evaluate("image => image.naturalWidth") == 224
    expect(page.locator("h1")).to_have_text("What colour is the circle?")
    before = page.locator(".turns").inner_text()
    page.reload()
    expect(page.locator(ANSWER)).to_have_count(2)
    assert page.locator(".turns").inner_text() == before
    assert page.locator("li.user img").evaluate("image => image.naturalWidth") == 224


def test_speech_is_played_sample_for_sample_and_can_be_replayed_and_saved(page: Page) -> None:
    ask(page, "Hello there")
    expect(page.locator("#send")).to_be_visible()  # the stop button goes when the speech is over
    url = kept(page)[1]["speech"]["url"]
    with wave.open(io.BytesIO(page.request.get(url).body())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        made = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    played = np.array(page.evaluate("window.played"))
    assert len(made) > 2400
    # Silence may come before, after, and where the model was slower than the speech; nothing else may differ.
    np.testing.assert_allclose(played[played != 0], made[made != 0], atol=1e-6)
    assert kept(page)[1]["id"] in page.locator(ANSWER).get_attribute("data-id")
    page.evaluate(
        """() => {
            const play = HTMLMediaElement.prototype.play;
            HTMLMediaElement.prototype.play = function () { window.sounding = this; return play.call(this); };
        }"""
    )
    speed = page.get_by_role("combobox", name="Speed")
    speed.select_option("1.5×")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert page.evaluate("window.sounding.playbackRate") == 1.5
    speed.select_option("0.75×")
    assert page.evaluate("window.sounding.playbackRate") == 0.75
    with page.expect_download() as download:
        page.get_by_role("link", name="Download speech").click()
    assert download.value.suggested_filename.endswith(".wav")
    page.reload()
    expect(speed).to_have_value("0.75")
    page.locator("li.assistant").get_by_role("button", name="Copy").click()
    expect(page.locator("button.done")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == kept(page)[1]["text"]
    page.locator(".conversations li.current summary").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as WAV").click()
    with wave.open(str(download.value.path())) as file:
        assert file.getnframes() == len(made)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as SRT").click()
    assert "00:00:00,000 --> 00:00:0" in Path(download.value.path()).read_text()


def test_stop_ends_the_answer_and_keeps_what_was_written(page: Page) -> None:
    # With the queue held by another conversation the reply waits, so that there is time to press Stop.
    page.evaluate(
        """async () => {
            const post = (path, body) => fetch(path, {method: "POST", headers: {"Content-Type": "application/json"},
                                                      body: JSON.stringify(body)}).then((answer) => answer.json());
            for (let i = 0; i < 6; i++) {
                const {id} = await post("/api/conversations", {});
                await post(`/api/conversations/${id}/turns`, {text: "Tell me a long story", parent: null});
            }
        }"""
    )
    page.locator("#message").fill("Tell me a long story")
    # Pressed by the page itself as soon as it is there: from here it could come after the last token.
    page.evaluate(
        """() => {
            const press = () => {
                const stop = document.querySelector("#stop");
                if (stop?.checkVisibility()) stop.click(); else requestAnimationFrame(press);
            };
            press();
        }"""
    )
    page.keyboard.press("Enter")
    expect(page.locator(ANSWER)).to_have_count(1)
    expect(page.locator(".note")).to_have_text("Stopped.")
    expect(page.locator("#send")).to_be_visible()
    turns = kept(page)
    assert turns[1]["status"] == "cancelled"
    ask(page, "Go on")
    assert kept(page)[3]["status"] in ("completed", "length")


def test_an_edited_question_branches_and_both_branches_stay(page: Page) -> None:
    ask(page, "First wording")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Edit").fill("Second wording")
    page.keyboard.press("Enter")
    expect(page.locator("li.user .text")).to_have_text("Second wording")
    expect(page.locator(ANSWER)).to_have_count(1)
    expect(page.locator("li.user .versions")).to_contain_text("2/2")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator("li.user .text")).to_have_text("First wording")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator("li.assistant .versions")).to_contain_text("2/2")
    page.reload()
    expect(page.locator("li.user .text")).to_have_text("First wording")
    expect(page.locator("li.assistant .versions")).to_contain_text("2/2")


def medium(path: Path, kind: str, mime: str, **facts: float) -> tuple[str, dict[str, Any]]:
    data = path.read_bytes()
    entry = {"kind": kind, "mime": mime, "size_bytes": len(data), "data": base64.b64encode(data).decode(), **facts}
    return hashlib.sha256(data).hexdigest(), entry


def bring_in(page: Page, *texts: str, **places: Any) -> None:
    """A conversation with a picture and a clip and these answers, through the page's own import."""
    picture, picture_entry = medium(SHAPES, "image", "image/png", width=224, height=224)
    clip, clip_entry = medium(SAMPLES / "moving.mp4", "video", "video/mp4", duration_sec=4.0)
    parts = [{"medium": picture, "name": "shapes.png"}, {"medium": clip, "name": "moving.mp4"}, {"text": "?"}]
    turns: list[dict[str, Any]] = [{"parent": None, "role": "user", "status": "completed", "parts": parts}]
    for index, text in enumerate(texts):
        reply = {"parent": 2 * index, "role": "assistant", "status": "completed", "parts": [{"text": text}]}
        turns += [{**reply, **({"places_of": picture, **places} if places else {})}]
        turns += [{"parent": 2 * index + 1, "role": "user", "status": "completed", "parts": [{"text": "next"}]}]
    media = {picture: picture_entry, clip: clip_entry}
    head = len(turns) - 2
    document = {"format": "tandem-history", "version": 1, "title": "Brought in", "head": head}
    data = json.dumps({**document, "turns": turns[:-1], "media": media}).encode()
    file = {"name": "talk.json", "mimeType": "application/json", "buffer": data}
    page.locator("#conversations input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator(ANSWER)).to_have_count(len(texts))


HOSTILE = """<img src=x onerror="window.hacked=1"> <script>window.hacked=2</script>
[click](javascript:window.hacked=3) ![pixel](https://evil.example/pixel.png) <svg onload=window.hacked=4>
<iframe src="https://evil.example"></iframe> [style]: https://evil.example "x"
$\\href{javascript:window.hacked=5}{x}$ <style>body{display:none}</style>
```html" onmouseover="window.hacked=6
</code></pre><script>window.hacked=7</script>
```
<a href="data:text/html,<script>window.hacked=8</script>">data</a> <https://evil.example/auto>
<meta http-equiv=refresh content="0;url=https://evil.example"> <base href="https://evil.example/">
0:01"><script>window.hacked=9</script> &lt;script&gt;window.hacked=10&lt;/script&gt;
"""


def test_hostile_model_output_is_only_text(page: Page) -> None:
    bring_in(page, HOSTILE, "again " * 2000 + "<b>x</b>")
    text = page.locator("li.assistant .text")
    assert "<script>window.hacked=2</script>" in text.first.inner_text()
    forbidden = text.first.locator("img, script, iframe, svg, style, meta, base, object, embed, form, link, input")
    expect(forbidden).to_have_count(0)
    links = text.first.locator("a").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    assert links and all(link is None or link.startswith("https://") for link in links)
    attributes = text.evaluate_all(
        "all => all.flatMap((one) => [...one.querySelectorAll('*')]).flatMap((one) => one.getAttributeNames())"
    )
    assert not [name for name in attributes if name.startswith("on") or name == "src"]
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    # Even markup that reached the page could run no script and load nothing: the browser itself forbids it.
    page.evaluate(
        """() => {
            const place = document.createElement("div");
            place.innerHTML = '<img src="https://evil.example/x.png" onerror="window.hacked = 11">';
            document.body.append(place);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    with pytest.raises(Exception, match="Content Security Policy"):
        page.evaluate("fetch('https://evil.example').catch(() => { throw new Error('Content Security Policy'); })")
    page.evaluate("document.body.lastChild.remove()")


def test_answers_show_formulas_code_tables_boxes_and_times(page: Page) -> None:
    rich = "Area $\\pi r^2$\n\n```python\nprint('hi')\n```\n\n|a|b|\n|-|-|\n|1|2|\n\nIt stops at 0:02, not at 9:59."
    box = {"kind": "box", "left": 22, "top": 70, "right": 107, "bottom": 155, "label": "red circle"}
    bring_in(page, rich, places=[box])
    answer = page.locator("li.assistant").first
    assert answer.locator("math msup").count() == 1
    assert answer.locator(".code .nb").inner_text() == "print"
    assert answer.locator("td").all_inner_texts() == ["1", "2"]
    rect = answer.locator(".marked svg rect").first
    expect(rect).to_be_attached()
    shown, drawn = answer.locator(".marked img").bounding_box(), rect.bounding_box()
    assert shown and drawn
    scale = shown["width"] / 224
    centre = (drawn["x"] + drawn["width"] / 2 - shown["x"], drawn["y"] + drawn["height"] / 2 - shown["y"])
    assert centre == pytest.approx((64.5 * scale, 112.5 * scale), abs=2)
    assert answer.locator(".marked svg text").text_content() == "red circle"
    with page.expect_download() as download:
        answer.get_by_role("link", name="Boxes as JSON").click()
    assert json.loads(Path(download.value.path()).read_bytes())["places"] == [box]
    assert answer.locator("button.seek").all_inner_texts() == ["0:02"]
    answer.locator("button.seek").click()
    expect(page.locator("video")).to_have_js_property("seeking", False)
    assert page.locator("video").evaluate("video => video.currentTime") >= 2


def test_the_inspector_shows_how_a_turn_was_made(page: Page) -> None:
    ask(page, "What happens here?", SAMPLES / "moving.mp4")
    expect(page.locator("#send")).to_be_visible()
    opener = page.get_by_role("button", name="How this was made")
    opener.click()
    drawer = page.get_by_role("complementary", name="How this was made")
    expect(drawer.locator(".timeline image").first).to_be_attached()
    expect(drawer).to_be_focused()
    found = page.request.get(f"/api/turns/{kept(page)[1]['id']}/inspection").json()
    (video,) = (block for block in found["layout"]["blocks"] if block["kind"] == "video")
    images = drawer.locator(".timeline image")
    assert images.count() == len(video["frames"]) == len(found["media"][0]["times_sec"])
    assert images.evaluate_all("all => all.every((one) => one.getAttribute('href').startsWith('data:image/jpeg'))")
    left = images.evaluate_all("all => all.map((one) => Number(one.getAttribute('x')))")
    steps, ids = np.diff(left), np.diff(video["frames"])
    np.testing.assert_allclose(steps / steps[0], ids / ids[0], rtol=1e-6)
    assert drawer.locator(".timeline .outline").count() == 1
    assert drawer.locator(".key span").all_inner_texts() == ["pictures", "sound", "words", "reply"]
    marks = found["marks_ms"]
    order = ["asked", "begun", "appended", "read", "first_text", "done"]
    assert [marks[name] for name in order] == sorted(marks[name] for name in order)
    assert drawer.locator(".waterfall .bar").count() >= 4
    expect(drawer.locator(".figures")).to_contain_text(["First text", str(found["usage"]["text_tokens"])])
    drawer.locator(".json summary", has_text="JSON").click()
    expect(drawer.locator(".json pre")).to_contain_text("marks_ms")
    assert json.loads(drawer.locator(".json pre").inner_text())["marks_ms"] == marks
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()
    ask(page, "And now?")
    opener.last.click()
    expect(drawer.locator(".key span")).to_have_text(["words", "reply"])
    assert drawer.locator(".timeline").evaluate("one => one.getBoundingClientRect().height") < 80


def test_spoken_turns_have_an_outline_and_their_words_and_thoughts_are_folded(page: Page) -> None:
    sound, entry = medium(SAMPLES / "question.wav", "audio", "audio/wav", duration_sec=1.8)
    asked = {"parent": None, "role": "user", "status": "completed", "parts": [{"medium": sound, "name": "call.wav"}]}
    reply = {"parent": 0, "role": "assistant", "status": "completed", "parts": [{"text": "It is red."}]}
    thought = {"text": "First I **look**.\n\n<img src=x onerror=window.hacked=1>", "ms": 2345.0}
    turns = [
        {**asked, "transcript": "What colour is the circle?"},
        {**reply, "unheard": " And the square is blue.", "reasoning": thought},
    ]
    document = {
        "format": "tandem-history",
        "version": 1,
        "title": "",
        "head": 1,
        "turns": turns,
        "media": {sound: entry},
    }
    file = {"name": "talk.json", "mimeType": "application/json", "buffer": json.dumps(document).encode()}
    page.locator("#conversations input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator("h1")).to_have_text("What colour is the circle?")
    figure = page.locator("figure.sound")
    expect(figure.locator("figcaption")).to_have_text("“What colour is the circle?”")
    expect(figure.locator(".column").nth(20)).to_be_attached()
    seek = figure.get_by_role("slider")
    seek.focus()
    seek.fill("500")
    expect(seek).to_have_attribute("aria-valuetext", re.compile("0:01 / 0:02"))
    figure.get_by_role("button").click()
    expect(page.locator(".unheard")).to_contain_text("And the square is blue.")
    folded = page.locator("details.reasoning")
    expect(folded.locator("summary")).to_have_text("Thought for 2.3 s")
    expect(folded.locator(".text")).to_be_hidden()
    folded.locator("summary").press("Enter")
    expect(folded.locator("strong")).to_have_text("look")
    assert folded.locator("img").count() == 0 and page.evaluate("window.hacked") is None


def test_bad_files_are_explained_beside_the_composer_and_the_draft_stays(page: Page, tmp_path: Path) -> None:
    notice, message = page.locator(".notice"), page.locator("#message")
    message.fill("my draft")
    page.keyboard.press("End")
    bad = {
        "empty.png": b"",
        "cut.jpg": b"\xff\xd8\xff\xe0" + bytes(50),
        "list.mp4": b"#EXTM3U\nhttp://x/y",
        "x.bin": b"\0\1",
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        page.set_input_files("input[type=file][multiple]", str(tmp_path / name))
        expect(notice).to_contain_text(name)
        assert str(tmp_path) not in notice.inner_text() and "Error" not in notice.inner_text()
        expect(page.locator(".chips li")).to_have_count(0)
    page.keyboard.type("!")
    expect(notice).to_contain_text("x.bin")  # somebody may be typing when it comes
    page.set_input_files("input[type=file][multiple]", [str(SHAPES)] * 9)
    expect(notice).to_contain_text("At most 8")
    expect(page.locator(".chips .facts")).to_have_count(8)
    page.reload()
    expect(message).to_have_value("my draft!")
    expect(page.locator(".chips li")).to_have_count(8)
    for _ in range(8):
        page.locator(".chips button").first.click()
    message.fill("  ")
    page.keyboard.press("Enter")
    expect(notice).to_contain_text("nothing to send")
    assert page.locator("li.user").count() == 0


def test_a_document_becomes_its_pages_as_far_as_a_question_has_room(page: Page, tmp_path: Path) -> None:
    sheets = [Image.new("RGB", (60, 80), (20 * number, 200, 90)) for number in range(9)]
    paper = tmp_path / "paper.pdf"
    sheets[0].save(paper, save_all=True, append_images=sheets[1:], resolution=72)
    page.set_input_files("input[type=file][multiple]", str(SHAPES))
    expect(page.locator(".chips .facts")).to_have_count(1)
    page.set_input_files("input[type=file][multiple]", str(paper))
    names = page.locator(".chips .name")
    expect(names).to_have_text(["shapes.png", *(f"{number} – paper.png" for number in range(1, 8))])
    expect(page.locator(".notice")).to_contain_text("paper.pdf has 9 pages, of which the first 7 were added")
    for number in (7, 6, 5, 4, 3):
        page.get_by_role("button", name=f"Remove: {number} – paper.png").click()
    ask(page, "What is on these pages?")
    expect(page.locator("li.user a.picture img")).to_have_count(3)
    assert [part["name"] for part in kept(page)[0]["parts"] if part["kind"] == "image"] == [
        "shapes.png",
        "1 – paper.png",
        "2 – paper.png",
    ]


def test_a_full_disk_is_said_beside_the_composer_and_the_draft_stays(page: Page, server: RunningServer) -> None:
    notice, message = page.locator(".notice"), page.locator("#message")
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100, before[1]))  # no file may grow beyond that
    try:
        page.set_input_files("input[type=file][multiple]", str(SHAPES))
        expect(notice).to_have_text("the disk is full, nothing was kept: free some space and try again")
        message.fill("Still here?")
        page.keyboard.press("Enter")
        expect(notice).to_contain_text("check the disk")
        expect(message).to_have_value("Still here?")
        assert page.locator("li.user").count() == 0
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    page.keyboard.press("Enter")
    expect(page.locator(ANSWER)).to_have_count(1)
    expect(message).to_have_value("")


def test_a_server_that_is_away_costs_no_draft(page: Page) -> None:
    message = page.locator("#message")
    page.context.set_offline(True)
    message.fill("Anyone?")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("Tandem does not answer")
    expect(message).to_have_value("Anyone?")
    page.context.set_offline(False)
    page.keyboard.press("Enter")
    expect(page.locator(ANSWER)).to_have_count(1)


def test_two_tabs_show_the_same_conversation_and_only_one_speaks(
    page: Page, browser: Browser, server: RunningServer
) -> None:
    ask(page, "From the first tab")
    with visitor(browser, server) as other:
        other.goto(page.url)
        expect(other.locator(ANSWER)).to_have_count(1)
        ask(other, "From the second tab")
        expect(page.locator(ANSWER)).to_have_count(2)
        expect(page.locator("li.user .text").last).to_have_text("From the second tab")
        expect(other.locator("#send")).to_be_visible()
        # The other tab heard its own answer; this one has heard no more than the first.
        heard = [tab.evaluate("window.played.filter((sample) => sample !== 0).length") for tab in (page, other)]
        made = [round(turn["speech"]["duration_sec"] * 24_000) for turn in kept(page)[1::2]]
        for count, samples in zip(heard, made, strict=True):
            assert 0.9 * samples < count <= samples
        assert page.locator(".turns").inner_text() == other.locator(".turns").inner_text()


def test_files_come_by_paste_and_drop_microphone_and_camera(page: Page, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("The password is swordfish.")
    data = base64.b64encode(SHAPES.read_bytes()).decode()
    page.evaluate(
        """([data, kind]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            for (const [type, name] of [["paste", "pasted.png"], ["drop", "dropped.png"]]) {
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], name, {type: kind}));
                const options = {bubbles: true, cancelable: true};
                const event = type === "paste" ? new ClipboardEvent(type, {...options, clipboardData: transfer})
                                               : new DragEvent(type, {...options, dataTransfer: transfer});
                document.querySelector("#message").dispatchEvent(event);
            }
        }""",
        [data, "image/png"],
    )
    expect(page.locator(".chips .facts")).to_have_count(2)
    page.get_by_role("button", name="Record a sound").click()
    expect(page.get_by_role("button", name="Stop recording")).to_be_visible()
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Stop recording").click()
    expect(page.locator(".chips .facts")).to_have_count(3)
    page.get_by_role("button", name="Take a picture").click()
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator(".chips .facts")).to_have_count(4)
    ask_files = [notes, SAMPLES / "moving.mp4"]
    page.set_input_files("input[type=file][multiple]", [str(file) for file in ask_files])
    expect(page.locator(".chips .facts")).to_have_count(6)
    page.locator("#message").fill("What is all this?")
    page.keyboard.press("Enter")
    expect(page.locator(ANSWER)).to_have_count(1, timeout=60_000)
    question, answer = kept(page)
    assert answer["status"] in ("completed", "length"), answer["error"]
    parts = {part["name"]: part for part in question["parts"] if part.get("name")}
    assert set(parts) == {"pasted.png", "dropped.png", "Recording.wav", "Photo.jpg", "notes.txt", "moving.mp4"}
    assert parts["notes.txt"]["text"] == "The password is swordfish."
    assert 0.7 < parts["Recording.wav"]["duration_sec"] < 5
    recording = page.request.get(parts["Recording.wav"]["url"]).body()
    with wave.open(io.BytesIO(recording)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples).max() > 300  # the fake microphone beeps
    assert parts["Photo.jpg"]["width"] >= 320


def test_conversations_are_searched_renamed_and_deleted_with_undo(page: Page) -> None:
    ask(page, "Zebra question")
    item = page.locator(".conversations li.current")
    item.locator("summary").click()
    item.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Rename").fill("Okapi")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Okapi")
    expect(page.locator(".conversations a", has_text="Okapi").first).to_be_visible()
    page.get_by_role("searchbox").fill("zebra")
    expect(page.locator(".conversations > li")).to_have_count(1)
    expect(page.locator(".excerpt mark")).to_have_text("Zebra")
    item.locator("summary").click()
    item.get_by_role("button", name="Delete").click()
    expect(page.locator(".conversations")).to_have_text("Nothing found.")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".conversations > li > a")).to_have_text("OkapiZebra question")
    expect(page.locator("li.user .text")).to_have_text("Zebra question")
    item.locator("summary").click()
    expect(item.get_by_role("link", name=re.compile("SRT|VTT|WAV"))).to_have_count(3)
    with page.expect_download() as download:
        item.get_by_role("link", name="Export as Markdown").click()
    assert Path(download.value.path()).read_text().startswith("# Okapi\n\n## You\n\nZebra question")


def test_settings_are_remembered_and_change_the_language(page: Page) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("radio", name="中文").check()
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    expect(page.locator("#setting-voice")).to_contain_text("声音")
    page.reload()
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    for name, data, said in (
        ("空 {0}.png", b"", "空 {0}.png 是空的：请重新导出或下载。"),
        ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.svg 是 SVG 图形：请导出为 PNG。"),
    ):
        page.locator("input[type=file][multiple]").set_input_files(
            {"name": name, "mimeType": "image/png", "buffer": data}  # type: ignore[arg-type]
        )
        expect(page.locator(".notice")).to_have_text(said)
    ask(page, "你好")
    page.get_by_role("button", name="生成过程").click()
    expect(page.locator(".inspector .route + .soft")).to_have_text("问题不需要长时间推理，因此由聆听的模型回答")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="新对话").click()
    page.get_by_role("button", name="设置").click()
    page.get_by_role("checkbox", name="朗读回答").uncheck()
    page.get_by_role("radio", name="English").check()
    expect(page.get_by_role("button", name="New conversation")).to_be_visible()
    ask(page, "Silently please")
    assert "speech" not in kept(page)[1]
    page.get_by_role("checkbox", name="Speak answers").check()
    voices = page.locator("#setting-voice input")
    assert voices.count() >= 2
    voices.nth(1).check()
    page.reload()
    page.get_by_role("button", name="Settings").click()
    expect(voices.nth(1)).to_be_checked()
    voices.nth(0).check()
    expect(page.locator("#setting-speech input")).to_be_checked()


def test_another_model_is_chosen_and_answers(page: Page, server: RunningServer, tiny_checkpoint: Path) -> None:
    model = tiny_checkpoint
    shutil.copytree(model, server.data_dir / "models" / "second", dirs_exist_ok=True)
    page.reload()
    expect(page.locator(".engine.ready")).to_have_text(model.name)
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="second").click()
    expect(page.locator(".engine.ready")).to_have_text("second")
    ask(page, "Who answers now?")
    assert kept(page)[1]["model"] == "second"
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name=model.name).click()
    expect(page.locator(".engine.ready")).to_have_text(model.name)


def test_everything_works_with_the_keyboard_alone(page: Page) -> None:
    page.keyboard.type("Keys only")
    page.keyboard.press("Enter")
    expect(page.locator(ANSWER)).to_have_count(1)
    reached: list[str] = []
    name = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(name))
        if reached.count("Message"):
            break
    for wanted in (
        "New conversation",
        "Search conversations",
        "Keys only",
        "Edit",
        "Answer again",
        "Message",
        "Settings",
    ):
        assert wanted in reached, (wanted, reached)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    page.get_by_role("button", name="Edit").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("Keys again")
    page.keyboard.press("Enter")
    expect(page.locator("li.user .text")).to_have_text("Keys again")
    expect(page.locator(ANSWER)).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scroll_and_axe_finds_nothing_serious(
    browser: Browser, server: RunningServer, scheme: str
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": scheme}
    with visitor(browser, server, **phone) as page:
        page.goto(server.url)
        expect(page.locator("#message")).to_be_visible()
        bring_in_on_phone = page.get_by_role("button", name="Conversations panel")
        bring_in_on_phone.click()
        bad = {"name": "bad.json", "mimeType": "application/json", "buffer": b"{}"}
        page.locator("#conversations input[type=file]").set_input_files(bad)  # type: ignore[arg-type]
        page.locator(".toast").get_by_role("button", name="Close").click()  # the panel does not cover it
        wide = "| " + " | ".join("column" for _ in range(12)) + " |\n" + "|-" * 12 + "|\n\n```\n" + "x" * 400 + "\n```"
        bring_in(page, wide + "\n\n" + "y" * 500 + "\n\nAt 0:01 [a link](https://example.org) $x^2$")
        for element in ("document.documentElement", "document.querySelector('.scroll')"):
            assert page.evaluate(f"{element}.scrollWidth <= {element}.clientWidth"), element
        found = Axe().run(page)
        ask(page, "Hello", SAMPLES / "moving.mp4", SAMPLES / "question.wav")
        page.get_by_role("button", name="How this was made").click()
        expect(page.locator(".timeline")).to_be_visible()
        page.wait_for_timeout(300)
        drawer = page.locator(".inspector .sections")
        assert drawer.evaluate("one => one.scrollWidth <= one.clientWidth")
        inspected = Axe().run(page)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Settings").click()
        page.wait_for_timeout(400)
        runs = (found, inspected, Axe().run(page))
        both = [one for run in runs for one in run.response["violations"]]
        serious = [
            (one["id"], [node["html"][:150] for node in one["nodes"]])
            for one in both
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
