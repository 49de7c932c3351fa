"""A call on the page in a real Chromium with a recorded microphone: what is sent, what is heard, what is shown."""

from __future__ import annotations

import base64
import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from openai.types.realtime import RealtimeClientEvent
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from pydantic import TypeAdapter

from tests.browser import RunningServer, chromium, visitor
from tests.realtime_script import RATE_HZ, ScriptedRealtime

TONE_HZ = 660.0
REPLY = "The ball rolls from the left to the right, and then it comes back again to where it was."
EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
expect.set_options(timeout=30_000)


def tone(seconds: float, hz: float = 330.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    running = RunningServer(
        tmp_path_factory.mktemp("call") / "data", tiny_checkpoint, "--seed", "0", "--max-tokens", "8"
    )
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """It hears a tone, recorded at 44.1 kHz, and sees a red wall. Its own name for the server's machine is not
    localhost's, so that a page without https can be opened."""
    folder = tmp_path_factory.mktemp("devices")
    soundfile.write(folder / "microphone.wav", tone(20, TONE_HZ, 44_100), 44_100, subtype="PCM_16")
    wall = io.BytesIO()
    Image.new("RGB", (320, 240), (220, 20, 20)).save(wall, "JPEG", quality=95)
    (folder / "camera.mjpeg").write_bytes(wall.getvalue() * 10)
    rules = f"--host-resolver-rules=MAP {socket.gethostname().lower()} 127.0.0.1"
    with chromium(folder / "microphone.wav", folder / "camera.mjpeg", [rules]) as found:
        yield found


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    with visitor(browser, server, permissions=["microphone", "camera"]) as found:
        yield found


def start(page: Page, server: RunningServer) -> ScriptedRealtime:
    script = ScriptedRealtime(page)
    page.goto(server.url)
    expect(page.locator(".engine.ready")).to_be_visible()
    page.get_by_role("button", name="Start a call").click()
    script.wait("session.update")
    script.wait("input_audio_buffer.append", 5)
    return script


def played(page: Page) -> int:
    """Samples of a reply that reached the loudspeaker."""
    return page.evaluate("window.played.reduce((count, sample) => count + (sample !== 0), 0)")


def test_the_microphone_arrives_at_24_khz_and_every_event_is_one_of_the_protocol(
    page: Page, server: RunningServer
) -> None:
    script = start(page, server)
    began = time.monotonic()
    script.wait("input_audio_buffer.append", 75)  # 3 s
    heard = script.heard()
    assert len(heard) / RATE_HZ == pytest.approx(time.monotonic() - began + 0.2, abs=0.8)
    spectrum = np.abs(np.fft.rfft(heard[-2 * RATE_HZ :] * np.hanning(2 * RATE_HZ)))
    assert np.argmax(spectrum) / 2 == pytest.approx(TONE_HZ, abs=1)
    update = script.of("session.update")[-1]["session"]
    assert update["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": RATE_HZ}
    assert update["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    for _, event in script.received:
        EVENTS.validate_python(event)
    assert f"conversation={page.url.rpartition('=')[2]}" in script.urls[0], "the call belongs to the open conversation"


def test_captions_keep_step_with_the_sound_and_barge_in_stops_it_at_once(page: Page, server: RunningServer) -> None:
    script = start(page, server)
    state, caption = page.locator(".call .state"), page.locator(".caption.assistant")
    script.user_speaks("item_1", "What does the ball do?")
    expect(page.locator(".caption.user")).to_have_text("You What does the ball do?")
    expect(state).to_contain_text("Thinking")
    script.send("tandem.response.routed", response_id="r", item_id="i", backend="moe-nano", reason="it asks for sums")
    expect(state).to_have_text("moe-nano is thinking…")
    script.reply("item_2", REPLY, tone(6))
    expect(state).to_contain_text("Speaking")
    expect(page.locator(".call .figure")).to_contain_text("Turn 1: first sound after")
    page.wait_for_timeout(1500)
    shown = caption.inner_text().removeprefix("Tandem ")
    assert REPLY.startswith(shown.strip()) and 10 < len(shown) < 0.6 * len(REPLY), shown
    told_ms = page.evaluate("performance.now()")
    script.send("input_audio_buffer.speech_started", audio_start_ms=3000, item_id="item_3")
    cut = script.wait("conversation.item.truncate")
    page.wait_for_timeout(300)
    silent = played(page)
    assert page.evaluate("window.soundedAt") - told_ms < 200, "sound stops within 200 ms"
    assert (cut["item_id"], cut["content_index"]) == ("item_2", 0)
    assert cut["audio_end_ms"] == pytest.approx(silent / RATE_HZ * 1000, abs=200)
    reports = [event["played_ms"] for event in script.of("tandem.playback.update")]
    assert reports == sorted(reports) and 1000 < reports[-1] <= cut["audio_end_ms"]
    expect(state).to_contain_text("I hear you")
    expect(caption.locator(".unheard")).to_contain_text("where it was.")
    at = {"response_id": "resp_item_2", "item_id": "item_2", "output_index": 0, "content_index": 0}
    late = base64.b64encode(np.round(tone(1) * 32767).astype("<i2").tobytes()).decode()
    script.send("response.output_audio.delta", delta=late, **at)
    page.wait_for_timeout(400)
    assert played(page) == silent, "what was interrupted stays silent"
    script.reply("item_4", "Yes.", tone(0.6))
    expect(caption).to_have_text("Tandem Yes.")
    expect(state).to_have_text("Listening")
    assert played(page) - silent == pytest.approx(0.6 * RATE_HZ, rel=0.01)


def test_the_camera_is_shown_and_sent_and_the_microphone_can_be_muted(page: Page, server: RunningServer) -> None:
    script = start(page, server)
    page.get_by_role("button", name="Show the camera").click()
    frame = script.wait("input_video_buffer.append", 3)
    assert len(frame["image"]) < 200_000 and frame["timestamp_ms"] > 0
    picture = Image.open(io.BytesIO(base64.b64decode(frame["image"])))
    assert picture.format == "JPEG"
    red, green, _ = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))  # type: ignore[misc]
    assert red > 150 and green < 90
    expect(page.locator(".call video")).to_be_visible()
    page.get_by_role("button", name="Show the camera").click()
    expect(page.locator(".call video")).to_be_hidden()
    page.get_by_role("button", name="Mute the microphone").click()
    expect(page.locator(".call .state")).to_have_text("Muted")
    before = len(script.of("input_audio_buffer.append"))
    script.wait("input_audio_buffer.append", before + 10)
    assert not script.heard()[-4 * 960 :].any(), "muted is silent"
    page.get_by_role("button", name="Hang up").click()
    expect(page.locator(".call")).to_be_hidden()
    after = len(script.received)
    page.wait_for_timeout(300)
    assert len(script.received) <= after + 1, "nothing is sent after hanging up"
    expect(page.locator("#message")).to_be_focused()


def test_the_screen_is_shown_and_sent_in_place_of_the_camera(page: Page, server: RunningServer) -> None:
    script = start(page, server)
    page.get_by_role("button", name="Show the camera").click()
    script.wait("input_video_buffer.append")
    page.get_by_role("button", name="Show the screen").click()
    expect(page.get_by_role("button", name="Show the screen")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Show the camera")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".call video")).to_have_attribute("aria-label", "Your screen")
    frames = len(script.of("input_video_buffer.append"))
    picture = Image.open(io.BytesIO(base64.b64decode(script.wait("input_video_buffer.append", frames + 2)["image"])))
    assert max(picture.size) <= 640
    page.get_by_role("button", name="Show the screen").click()
    expect(page.locator(".call video")).to_be_hidden()


def test_push_to_talk_sends_only_while_the_key_is_held(page: Page, server: RunningServer) -> None:
    script = start(page, server)
    page.locator(".devices summary").click()
    page.locator(".devices label", has_text="Turn taking").locator("select").select_option("manual")
    page.keyboard.press("Escape")
    manual = script.wait("session.update", 2)
    assert manual["session"]["audio"]["input"]["turn_detection"] is None
    page.wait_for_timeout(200)
    quiet = len(script.of("input_audio_buffer.append"))
    page.wait_for_timeout(300)
    assert len(script.of("input_audio_buffer.append")) == quiet
    page.locator(".call").focus()
    page.keyboard.down("Space")
    script.wait("input_audio_buffer.append", quiet + 10)
    expect(page.locator(".call .state")).to_contain_text("I hear you")
    page.keyboard.up("Space")
    script.wait("response.create")
    order = [event["type"] for _, event in script.received if event["type"] != "input_audio_buffer.append"]
    assert order[-3:] == ["input_audio_buffer.clear", "input_audio_buffer.commit", "response.create"]
    script.reply("item_2", REPLY, tone(5), whole=False)
    expect(page.locator(".call .state")).to_contain_text("Speaking")
    page.keyboard.down("Space")
    script.wait("response.cancel")
    script.wait("conversation.item.truncate")
    page.keyboard.up("Space")
    page.locator("#message").fill("Typed instead")
    page.keyboard.press("Enter")
    typed = script.wait("conversation.item.create")["item"]
    assert typed["content"] == [{"type": "input_text", "text": "Typed instead"}]


def test_a_call_is_held_with_the_keyboard_alone(page: Page, server: RunningServer) -> None:
    script = ScriptedRealtime(page)
    page.goto(server.url)
    expect(page.locator("#message")).to_be_focused()
    name = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"

    def tab_to(wanted: str) -> None:
        for _ in range(15):
            page.keyboard.press("Tab")
            if page.evaluate(name) == wanted:
                return
        raise AssertionError(f"Tab does not reach {wanted}")

    tab_to("Start a call")
    page.keyboard.press("Enter")
    script.wait("input_audio_buffer.append", 3)
    expect(page.locator(".call")).to_be_focused()
    script.reply("item_1", REPLY, tone(5), whole=False)
    expect(page.locator(".call .state")).to_contain_text("Speaking")
    page.keyboard.press("Escape")
    assert script.wait("conversation.item.truncate")["item_id"] == "item_1"
    script.wait("response.cancel")
    expect(page.locator(".call .state")).to_have_text("Listening")
    tab_to("Mute the microphone")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Unmute the microphone")).to_be_focused()
    tab_to("Hang up")
    page.keyboard.press("Enter")
    expect(page.locator(".call")).to_be_hidden()


def test_a_lost_connection_is_taken_up_again_and_a_server_error_is_told(page: Page, server: RunningServer) -> None:
    script = start(page, server)
    script.send("error", error={"type": "invalid_request_error", "message": "the buffer is full: wait a moment"})
    expect(page.locator(".call .notice")).to_have_text("the buffer is full: wait a moment")
    script.drop()
    expect(page.locator(".call .state")).to_contain_text("Connection lost")
    script.wait("session.update", 2)
    expect(page.locator(".call .state")).to_have_text("Listening")
    assert len(script.urls) == 2


def test_a_page_that_may_not_use_the_microphone_says_what_to_do(browser: Browser, server: RunningServer) -> None:
    denied = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    with visitor(browser, server) as page:
        page.add_init_script(denied)
        ScriptedRealtime(page)
        page.goto(server.url)
        page.get_by_role("button", name="Start a call").click()
        expect(page.locator(".call [role=alert]")).to_contain_text("Allow it with the icon beside the address")
        expect(page.get_by_role("button", name="Try again")).to_be_focused()
        page.get_by_role("button", name="Close").click()
        expect(page.locator(".call")).to_be_hidden()


def test_a_machine_without_sound_output_is_told_of(browser: Browser, server: RunningServer) -> None:
    """Firefox leaves a call waiting for ever there."""
    asleep = "AudioContext.prototype.resume = () => new Promise(() => {});"
    with visitor(browser, server) as page:
        page.add_init_script(asleep)
        ScriptedRealtime(page)
        page.goto(server.url)
        page.get_by_role("button", name="Start a call").click()
        expect(page.locator(".call [role=alert]")).to_contain_text("no sound output")
        expect(page.get_by_role("button", name="Try again")).to_be_focused()


def test_a_page_on_plain_http_says_what_to_do(browser: Browser, server: RunningServer) -> None:
    page = browser.new_page()
    try:
        script = ScriptedRealtime(page)
        page.goto(f"http://{socket.gethostname().lower()}:{server.port}")
        assert page.evaluate("isSecureContext") is False
        page.get_by_role("button", name="Start a call").click()
        expect(page.locator(".call [role=alert]")).to_contain_text(f"Open http://localhost:{server.port}")
        assert script.urls == []
        page.locator("#message").fill("Asking works without a microphone")
        page.keyboard.press("Enter")
        expect(page.locator("li.assistant:not([data-state^=answering])")).to_have_count(1)
    finally:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_call_fits_a_phone_and_axe_finds_nothing_serious(
    browser: Browser, server: RunningServer, scheme: str
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": scheme}
    with visitor(browser, server, **phone) as page:
        script = start(page, server)
        script.user_speaks("item_1", "What does the ball do? " * 8)
        script.reply("item_2", REPLY * 4, tone(8))
        expect(page.locator(".call .state")).to_contain_text("Speaking")
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        box = page.locator(".call").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
        page.locator(".devices summary").click()
        page.wait_for_timeout(300)
        violations = Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:150] for node in one["nodes"]])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
