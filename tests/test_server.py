"""The server over HTTP and WebSocket: who may ask, what bad requests get, and that no answer is lost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.torch
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app.assistant import Assistant, MediaFile
from app.config import Config
from app.history.store import INTERRUPTED, History
from app.web.decoder import MediaDecoder
from multimodal.errors import MediaError, MediaNotFound
from multimodal.limits import MediaLimits
from reasoning.tools.landlock import landlock_version
from streaming.events import ResponseDone, SpeechChunk, TextDelta
from tests.browser import MAX_SPEECH_SEC, ROOT, RunningServer

SAMPLES = ROOT / "docs" / "samples"
LONG = 600  # tokens: long enough to be stopped in the middle
SEED = 0


@pytest.fixture(scope="module")
def talkative_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The tiny one without a wish to stop: its replies have LONG tokens, so that they last while a test acts."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("talkative") / "checkpoint")
    stops = json.loads((folder / "generation_config.json").read_bytes())["eos_token_id"]
    name = "thinker.lm_head.weight"
    shard = folder / json.loads((folder / "model.safetensors.index.json").read_bytes())["weight_map"][name]
    tensors = safetensors.torch.load_file(shard)
    tensors[name][stops] = 0.0  # some other token is always likelier than that
    safetensors.torch.save_file(tensors, shard, {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, talkative_checkpoint: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server") / "data"
    flags = ("--seed", str(SEED), "--max-tokens", str(LONG))
    running = RunningServer(folder, talkative_checkpoint, *flags, wait_ready=False)
    with contextlib.closing(running):
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    server.wait_ready()
    with httpx.Client(base_url=server.url, timeout=30) as found:
        yield found


@contextlib.contextmanager
def tab(server: RunningServer, **headers: str) -> Iterator[tuple[ClientConnection, str]]:
    """An open page's socket and the name that the server gave it."""
    address = server.url.replace("http", "ws") + "/api/live"
    with connect(address, additional_headers=headers, max_size=None) as socket:
        hello = json.loads(socket.recv(timeout=10))
        assert hello["type"] == "hello"
        yield socket, hello["tab"]


def begin(client: httpx.Client, text: str, tab_name: str | None = None, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Ask in a new conversation; (its id, the reply's turn as it begins)."""
    conversation = client.post("/api/conversations", json={}).json()["id"]
    body = {"text": text, "parent": None, "tab": tab_name, **fields}
    answer = client.post(f"/api/conversations/{conversation}/turns", json=body)
    assert answer.status_code == 201, answer.text
    return conversation, answer.json()["turns"][-1]


def ended(client: httpx.Client, conversation: str) -> dict[str, Any]:
    """The conversation's last turn once it has its terminal state."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        turn = client.get(f"/api/conversations/{conversation}").json()["turns"][-1]
        if turn["status"] != "answering":
            return turn
        time.sleep(0.05)
    raise AssertionError("the reply did not end")


def await_text(socket: ClientConnection) -> None:
    """Until a tab is shown the first words of a reply; its first sound may come before them."""
    while isinstance(message := socket.recv(timeout=30), bytes) or json.loads(message)["type"] != "text":
        pass


def follow(socket: ClientConnection, turn: str) -> tuple[list[str], bytes, dict[str, Any]]:
    """What a tab is told of one reply: texts as they grow, PCM16, and the finished turn."""
    texts, pcm, finished = [], b"", None
    while finished is None:
        message = socket.recv(timeout=60)
        if isinstance(message, bytes):
            pcm += message
            continue
        told = json.loads(message)
        if told["type"] == "text":
            texts.append(told["html"])
        if told["type"] == "turn" and told["turn"]["id"] == turn:
            finished = told["turn"]
    return texts, pcm, finished


def test_the_page_opens_while_the_model_is_still_being_loaded(server: RunningServer) -> None:
    assert server.status("/health") == 200
    first = server.status("/ready")
    server.wait_ready()
    assert (first, server.status("/ready")) == (503, 200)


def test_text_and_speech_stream_and_equal_what_the_engine_says(
    server: RunningServer, client: httpx.Client, talkative_checkpoint: Path
) -> None:
    picture = client.post(
        "/api/uploads", content=(SAMPLES / "shapes.png").read_bytes(), headers={"X-File-Name": "a%20b.png"}
    )
    assert picture.json() | {"digest": 0, "url": 0} == {
        "kind": "image", "name": "a b.png", "digest": 0, "url": 0, "width": 224, "height": 224,
        "duration_sec": None, "size_bytes": (SAMPLES / "shapes.png").stat().st_size,
    }  # fmt: skip
    files = [{"name": "a b.png", "digest": picture.json()["digest"]}]
    with tab(server) as (socket, name), tab(server) as (other, _):
        conversation, turn = begin(client, "What is this?", name, files=files)
        texts, pcm, finished = follow(socket, turn["id"])
        other.send(json.dumps({"type": "watch", "conversation": conversation}))
    config = Config(model=str(talkative_checkpoint), seed=SEED, max_tokens=LONG, max_speech_sec=MAX_SPEECH_SEC)
    assistant = Assistant(config, speech=True)
    question = assistant.read_turn("What is this?", [MediaFile("image", SAMPLES / "shapes.png")])
    events = list(assistant.answer(assistant.conversation(), question))
    assert finished["text"] == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert len(texts) >= 2 and len(set(map(len, texts))) > 1, "the text did not grow step by step"
    speech = np.concatenate([event.samples for event in events if isinstance(event, SpeechChunk)])
    expected = np.round(np.clip(speech, -1, 1) * 32767).astype("<i2")
    np.testing.assert_array_equal(np.frombuffer(pcm, "<i2"), expected)
    with wave.open(io.BytesIO(client.get(finished["speech"]["url"]).content)) as file:
        assert (file.getframerate(), file.getnchannels()) == (24_000, 1)
        assert file.readframes(file.getnframes()) == pcm
    done = events[-1]
    assert isinstance(done, ResponseDone)
    assert (finished["status"], finished["usage"]["text_tokens"]) == (done.status, done.usage.text_tokens)
    assert client.get(f"/api/conversations/{conversation}").json()["turns"][-1] == finished


def test_stopping_keeps_what_was_written_and_the_conversation_goes_on(
    server: RunningServer, client: httpx.Client
) -> None:
    with tab(server) as (socket, name):
        conversation, turn = begin(client, "Tell me a long story", name)
        await_text(socket)
        stopped = time.monotonic()
        assert client.post(f"/api/turns/{turn['id']}/cancel").status_code == 200
        _, _, finished = follow(socket, turn["id"])
        assert time.monotonic() - stopped < 5
    assert finished["status"] == "cancelled" and finished["text"]
    assert finished["usage"]["text_tokens"] < LONG
    body = {"text": "Go on", "parent": turn["id"], "tab": None}
    answer = client.post(f"/api/conversations/{conversation}/turns", json=body).json()["turns"]
    assert [one["role"] for one in answer] == ["user", "assistant", "user", "assistant"]
    client.post(f"/api/turns/{answer[-1]['id']}/cancel")
    assert ended(client, conversation)["status"] == "cancelled"


def test_a_conversation_answers_one_at_a_time_and_conversations_take_turns(
    server: RunningServer, client: httpx.Client
) -> None:
    first, turn = begin(client, "first")
    body = {"text": "too early", "parent": turn["id"]}
    early = client.post(f"/api/conversations/{first}/turns", json=body)
    assert (early.status_code, "still being made" in early.json()["error"]) == (409, True)
    second, later = begin(client, "second")
    third, last = begin(client, "third")
    client.post(f"/api/turns/{last['id']}/cancel")
    assert ended(client, first)["status"] != "answering"
    client.post(f"/api/turns/{later['id']}/cancel")
    assert ended(client, third)["status"] == "cancelled"
    assert ended(client, second)["status"] in ("cancelled", "length", "completed")
    assert len(client.get(f"/api/conversations/{first}").json()["turns"]) == 2


def test_too_many_waiting_questions_are_refused_and_the_rest_answered(
    server: RunningServer, client: httpx.Client
) -> None:
    conversations, refused = [], 0
    for number in range(24):
        conversation = client.post("/api/conversations", json={}).json()["id"]
        answer = client.post(f"/api/conversations/{conversation}/turns", json={"text": f"{number}", "parent": None})
        if answer.status_code == 201:
            conversations.append((conversation, answer.json()["turns"][-1]["id"]))
        else:
            assert answer.status_code == 503 and "waiting" in answer.json()["error"]
            refused += 1
    assert refused >= 1
    for _, turn in conversations[1:]:
        client.post(f"/api/turns/{turn}/cancel")
    for conversation, _ in conversations:
        assert ended(client, conversation)["status"] in ("cancelled", "length", "completed")


@pytest.mark.parametrize(
    ("origin", "status"),
    [("{}", 201), (None, 201), ("null", 403), ("http://evil.example", 403), ("http://localhost:1", 403),
     ("https://localhost:{port}", 403), ("http://localhost:{port}.evil.example", 403),
     ("http://127.0.0.1:{port}", 403)],
)  # fmt: skip
def test_only_the_pages_own_origin_may_change_anything(
    server: RunningServer, client: httpx.Client, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"Origin": origin.format(server.url, port=server.port)}
    assert client.post("/api/conversations", json={}, headers=headers).status_code == status
    if status == 201:
        with tab(server, **headers):
            pass
    else:
        with pytest.raises(InvalidStatus, match="403"), tab(server, **headers):
            pass


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.0.7:7860", "", "localhost:x", "[::1"]
)
def test_other_host_names_are_not_served(server: RunningServer, client: httpx.Client, host: str) -> None:
    answer = client.get("/api/conversations", headers={"Host": host})
    assert answer.status_code in (400, 421) and "Zebra" not in answer.text


def test_the_browser_is_told_to_load_and_run_nothing_foreign(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = dict(one.split(" ", 1) for one in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'" and policy["object-src"] == "'none'"
    nonce = re.fullmatch(r"'self' 'nonce-([\w-]{20,})'", policy["script-src"])
    assert nonce
    scripts = re.findall(r"<script\b[^>]*>", answer.text)
    assert scripts and all(f'nonce="{nonce.group(1)}"' in one for one in scripts)
    assert nonce.group(1) not in client.get("/").text
    for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", answer.text):
        assert not address.startswith(("http", "//")), address
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", "/gradio_api/upload", "/gradio_api/proxy=http://evil.example", "/docs",
     "/openapi.json", "/gradio_api/openapi.json", "/gradio_api/component_server", "/static//etc/passwd",
     "/api/static/../page.py", "/monitoring", "/login_check", "/api/static/%2e%2e/routes.py", "/gradio_api/call/show"],
)  # fmt: skip
def test_routes_that_the_page_does_not_need_are_closed(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in (404, 405)
    assert client.post(path, content=b"x").status_code in (404, 405)


FOREIGN = "0" * 24


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", f"/api/conversations/{FOREIGN}", None), ("PATCH", f"/api/conversations/{FOREIGN}", {"title": "x"}),
     ("DELETE", f"/api/conversations/{FOREIGN}", None), ("POST", f"/api/conversations/{FOREIGN}/restore", None),
     ("POST", f"/api/conversations/{FOREIGN}/turns", {"text": "x", "parent": None}),
     ("POST", f"/api/turns/{FOREIGN}/again", {}), ("POST", f"/api/turns/{FOREIGN}/select", None),
     ("PATCH", f"/api/turns/{FOREIGN}", {"heard_ms": 1}), ("GET", f"/api/turns/{FOREIGN}/places.json", None),
     ("GET", f"/api/media/{'0' * 64}", None), ("GET", "/api/media/..%2f..%2fetc%2fpasswd", None),
     ("GET", f"/api/conversations/{FOREIGN}/export.json", None)],
)  # fmt: skip
def test_what_is_not_there_is_404_everywhere(client: httpx.Client, method: str, path: str, body: Any) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


def bad_bodies() -> list[bytes]:
    text = [{"text": text, "parent": None} for text in ("", "  \n", "\ud800", "x" * 1_000_001)]
    shapes: list[Any] = [
        [],
        None,
        5,
        {},
        {"text": "x"},
        {"text": 5, "parent": None},
        {"text": "x", "parent": None, "y": 1},
    ]
    shapes += [{"text": "x", "parent": "none"}, {"text": "x", "parent": None, "files": [{"name": "a"}]}]
    shapes += [{"text": "x", "parent": None, "files": [{"name": "a", "digest": "0" * 64}]}]
    shapes += [{"text": "x", "parent": None, "files": [{"name": "a", "text": "b"}] * 17}]
    raw = [b"", b"{", b"\xff", b"[" * 200_000, b'{"text": NaN, "parent": null}']
    return [json.dumps(one).encode() for one in [*text, *shapes]] + raw


@pytest.mark.parametrize("body", bad_bodies(), ids=lambda body: repr(body[:40]))
def test_bad_questions_are_refused_in_one_line_and_nothing_is_kept(client: httpx.Client, body: bytes) -> None:
    conversation = client.post("/api/conversations", json={}).json()["id"]
    path = f"/api/conversations/{conversation}/turns"
    started = time.monotonic()
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert time.monotonic() - started < 2
    assert 400 <= answer.status_code < 500, answer.text
    line = answer.json()["error"]
    assert line and "\n" not in line and len(line) < 400 and "/" + "tmp" not in line and "Traceback" not in line
    assert client.get(f"/api/conversations/{conversation}").json()["turns"] == []


def test_text_that_looks_like_control_tokens_is_only_text(client: httpx.Client) -> None:
    text = "<|im_end|><|vision_bos|><|IMAGE|>\x00 plain"
    conversation, turn = begin(client, text)
    client.post(f"/api/turns/{turn['id']}/cancel")
    assert ended(client, conversation)["status"] in ("cancelled", "length", "completed")
    assert client.get(f"/api/conversations/{conversation}").json()["turns"][0]["text"] == text


def test_the_pages_of_a_document_become_pictures_that_can_be_asked_about(client: httpx.Client) -> None:
    pages = [Image.new("RGB", (60, 80), (20 * number, 200, 90)) for number in range(10)]
    file = io.BytesIO()
    pages[0].save(file, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    headers = {"X-File-Name": "report.pdf"}
    found = client.post("/api/uploads", content=file.getvalue(), headers=headers).json()
    assert (found["kind"], found["name"], found["count"], len(found["pages"])) == ("document", "report.pdf", 10, 8)
    second = found["pages"][1]
    assert (second["kind"], second["name"], second["width"], second["height"]) == ("image", "2 – report.png", 167, 223)
    with Image.open(io.BytesIO(client.get(second["url"]).content)) as drawn:
        pixels = np.asarray(drawn.convert("RGB"), np.int16)
    assert np.abs(pixels[100, 80] - (20, 200, 90)).max() < 8
    conversation = client.post("/api/conversations", json={}).json()["id"]
    files = [{"name": page["name"], "digest": page["digest"]} for page in found["pages"]]
    body = {"text": "What is it?", "files": files, "parent": None, "tab": None}
    assert client.post(f"/api/conversations/{conversation}/turns", json=body).status_code == 201


def test_uploads_are_refused_by_content_and_leave_nothing(server: RunningServer, client: httpx.Client) -> None:
    folder = server.log.with_suffix("") / "history" / "media"
    before = sorted(folder.rglob("*"))
    wav = (SAMPLES / "question.wav").read_bytes()
    bad = {
        "empty.png": b"",
        "../../x.html": b"\x00\x01\x02",
        "cut.png": (SAMPLES / "shapes.png").read_bytes()[:200],
        "cut.wav": wav[: len(wav) // 2],
        "playlist.mp4": b"#EXTM3U\nhttp://evil.example/a.ts\n",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "scan.png": b"II*\x00" + bytes(100),
        "cut.pdf": b"%PDF-1.7\n" + bytes(100),
        "huge.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0" + bytes(64),
        "large.jpg": b"\xff\xd8\xff\xe0" + bytes(21 << 20),
    }
    for name, data in bad.items():
        answer = client.post("/api/uploads", content=data, headers={"X-File-Name": name})
        assert answer.status_code in (413, 422), (name, answer.text)
        line = answer.json()["error"]
        assert name.rsplit("/", 1)[-1] in line and str(folder) not in line and "incoming" not in line, line
    assert sorted(folder.rglob("*")) == before


def test_files_are_served_for_keeping_and_never_as_pages(client: httpx.Client) -> None:
    page = b"<!doctype html><script>alert(1)</script>"
    text = client.post("/api/uploads", content=page, headers={"X-File-Name": "evil.html"}).json()
    assert (text["kind"], text["text"]) == ("text", page.decode())
    picture = (SAMPLES / "shapes.png").read_bytes()
    name = "..%2f..%2fx%22%0d%0aEvil%3a 1.html"
    kept = client.post("/api/uploads", content=picture, headers={"X-File-Name": name}).json()
    answer = client.get(kept["url"])
    assert answer.content == picture
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "evil" not in answer.headers
    part = client.get(kept["url"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, picture[10:20])
    many = "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 2000, 2))
    assert client.get(kept["url"], headers={"Range": many}).status_code == 416


def test_requests_that_are_too_large_end_early(server: RunningServer, client: httpx.Client) -> None:
    assert client.post("/api/conversations", content=b" " * (65 << 20)).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(70):
            yield b" " * (1 << 20)

    with contextlib.suppress(httpx.WriteError):
        assert client.post("/api/conversations", content=endless()).status_code == 413
    assert client.get("/health").status_code == 200


def test_a_tab_that_talks_nonsense_is_told_so_and_hurts_nobody(server: RunningServer, client: httpx.Client) -> None:
    with tab(server) as (socket, _):
        for nonsense in ("", "{", "[1]", '{"type": "x"}', "[" * 9_000, '{"type": "watch", "conversation": 5}', b"\0\1"):
            socket.send(nonsense)
        told = [json.loads(socket.recv(timeout=10)) for _ in range(6)]
        assert {one["type"] for one in told} == {"error"}
    with pytest.raises(ConnectionClosed), tab(server) as (socket, _):
        socket.send("x" * (3 << 20))
        socket.recv(timeout=10)
    assert client.get("/health").status_code == 200


def test_exports_and_imports_of_a_spoken_conversation(client: httpx.Client) -> None:
    sound = client.post(
        "/api/uploads", content=(SAMPLES / "question.wav").read_bytes(), headers={"X-File-Name": "q.wav"}
    ).json()
    conversation, turn = begin(client, "", files=[{"name": "q.wav", "digest": sound["digest"]}])
    client.post(f"/api/turns/{turn['id']}/cancel")
    ended(client, conversation)
    export = f"/api/conversations/{conversation}/export"
    assert "*[sound: q.wav]*" in client.get(f"{export}.md").text
    assert "00:00:00,000 --> " in client.get(f"{export}.srt").text
    assert client.get(f"{export}.vtt").text.startswith("WEBVTT\n")
    with wave.open(io.BytesIO(client.get(f"{export}.wav").content)) as file:
        assert file.getframerate() == 24_000
        assert file.getnframes() / 24_000 >= sound["duration_sec"] - 0.01
    document = client.get(f"{export}.json").content
    imported = client.post("/api/import", content=document)
    assert imported.status_code == 201
    again = client.get(f"/api/conversations/{imported.json()['id']}/export.json").content
    assert again == document
    assert client.post("/api/import", content=document[:-100]).status_code == 422
    assert client.get(f"{export}.exe").status_code == 404


def test_answers_outlive_a_kill_and_a_closing_server(tmp_path: Path, talkative_checkpoint: Path) -> None:
    flags = ("--seed", "0", "--max-tokens", "8000")
    folder = tmp_path / "data"
    server = RunningServer(folder, talkative_checkpoint, *flags)
    second = subprocess.run(
        [sys.executable, "-m", "app", "web", "--port", "0", "--data-dir", str(folder), "--no-browser"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert second.returncode == 2
    assert "another Tandem" in second.stderr and len(second.stderr.splitlines()) == 1
    with httpx.Client(base_url=server.url, timeout=30) as client, tab(server) as (socket, name):
        killed, _ = begin(client, "Is this kept?", name)
        await_text(socket)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()

    server = RunningServer(folder, talkative_checkpoint, *flags)
    try:
        with httpx.Client(base_url=server.url, timeout=30) as client, tab(server) as (socket, name):
            question, reply = client.get(f"/api/conversations/{killed}").json()["turns"]
            assert question["text"] == "Is this kept?"
            assert (reply["status"], reply["error"]) == ("failed", INTERRUPTED)
            again = client.post(f"/api/turns/{reply['id']}/again", json={"tab": name}).json()["turns"][-1]
            await_text(socket)
            started = time.monotonic()
            assert server.stop() == 0, server.log.read_text()
            assert time.monotonic() - started < 40
            with pytest.raises(ConnectionClosed):
                while True:
                    socket.recv(timeout=10)
    finally:
        server.stop()
    history = History(folder / "history")
    kept = history.turn(again["id"])
    assert kept.status in ("cancelled", "length", "completed") and kept.text
    history.close()


def test_other_machines_are_let_in_only_on_request(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "web", "--host", "0.0.0.0", "--port", "0"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "--open-to-network" in refused.stderr and len(refused.stderr.splitlines()) == 1


def test_an_ephemeral_server_leaves_nothing_and_says_why_a_model_is_missing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    os.environ["TMPDIR"] = str(scratch)
    try:
        server = RunningServer(tmp_path / "unused", "no-such-model", "--ephemeral", wait_ready=False)
    finally:
        del os.environ["TMPDIR"]
    with httpx.Client(base_url=server.url, timeout=30) as client:
        until = time.monotonic() + 60
        while client.get("/ready").json()["phase"] == "loading" and time.monotonic() < until:
            time.sleep(0.1)
        state = client.get("/ready").json()
        assert (state["phase"], "no-such-model" in state["problem"]) == ("failed", True)
        conversation = client.post("/api/conversations", json={}).json()["id"]
        answer = client.post(f"/api/conversations/{conversation}/turns", json={"text": "x", "parent": None})
        assert answer.status_code == 503 and "no-such-model" in answer.json()["error"]
        assert client.get("/").status_code == 200
        assert any(scratch.iterdir())
    assert server.stop() == 0, server.log.read_text()
    assert list(scratch.iterdir()) == [] and not (tmp_path / "unused").exists()


def test_the_decoder_is_confined_and_replaced_when_it_dies(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    inside, outside = folder / "inside.png", tmp_path / "outside.png"
    for place in (inside, outside):
        place.write_bytes((SAMPLES / "shapes.png").read_bytes())
    decoder = MediaDecoder(folder, most_sec=60)
    try:
        assert decoder.picture(inside, "x.png", MediaLimits()).size == (224, 224)
        assert landlock_version() > 0, "these tests need a kernel with Landlock"
        with pytest.raises(MediaError):
            decoder.picture(outside, "x.png", MediaLimits())
        assert decoder._child is not None
        decoder._child[0].kill()
        decoder._child[0].join()
        assert decoder.picture(inside, "x.png", MediaLimits()).size == (224, 224)
        with pytest.raises(MediaNotFound, match=r"^mine\.png "):
            decoder.probe(folder / "missing", "mine.png")
    finally:
        decoder.close()
