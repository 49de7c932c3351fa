"""The page: Gradio lays out the two side panels and the middle and holds the settings; static/*.js fills the rest.

The page's own scripts talk to app.web.routes. Gradio's components that evaluate strings as code (gr.HTML) are not
used, so that the browser can forbid that altogether.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.themes import Base
from gradio.themes.utils import colors

from app.config import BUILT_IN_MODELS, Config
from app.web import settings
from app.web.engine import EngineUnavailable
from app.web.routes import Services

STATIC = Path(__file__).resolve().parent / "static"
LANGUAGES = [("English", "en"), ("中文", "zh")]
HEAD = """
<link rel="stylesheet" href="/api/static/page.css">
<link rel="stylesheet" href="/api/static/inspector.css">
<link rel="stylesheet" href="/api/static/call.css">
<link rel="stylesheet" href="/api/static/code.css">
<script type="module" src="/api/static/main.js"></script>
"""
FONT = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "Noto Sans CJK SC",
    "PingFang SC",
    "sans-serif",
]
FONT_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]


def mount_page(app: FastAPI, services: Services) -> None:
    """Serve the page at /."""
    # Fonts by name, never by address: nothing is fetched from elsewhere.
    theme = Base(primary_hue=colors.teal, neutral_hue=colors.slate, font=FONT, font_mono=FONT_MONO)
    gr.mount_gradio_app(
        app,
        build(services),
        path="/",
        theme=theme,
        head=HEAD,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )


def build(services: Services) -> gr.Blocks:
    """The layout, and what the settings do."""
    kept = settings.load(services.history)
    words = texts(kept.language)
    with gr.Blocks(title="Tandem", analytics_enabled=False, fill_width=True, fill_height=True) as page:
        with gr.Sidebar(label="Conversations", width=300, elem_id="conversations-panel"):
            gr.Column(elem_id="conversations")
        gr.Column(elem_id="conversation")
        with gr.Sidebar(label="Settings", position="right", width=300, open=False, elem_id="settings-panel"):
            language = gr.Radio(LANGUAGES, value=kept.language, label="Language · 语言", elem_id="setting-language")
            speech = gr.Checkbox(value=kept.speech, label=words["speak answers"], elem_id="setting-speech")
            voice = gr.Radio([], label=words["voice"], elem_id="setting-voice", visible=False)
            route = gr.Radio(
                _routes(words, services),
                value=kept.choice(services.config.backend),
                label=words["who answers"],
                elem_id="setting-route",
            )
            model = gr.Dropdown([], label=words["model"], elem_id="setting-model", filterable=False)

        controls = [language, speech, voice, route, model]

        async def show() -> AsyncIterator[list[Any]]:
            """The settings as they are; once more when the model is loaded, which brings its voices."""
            if services.engine.state.phase == "loading":
                yield _shown(services)
            with contextlib.suppress(EngineUnavailable):
                await services.engine.assistant()
            yield _shown(services)

        async def change(**fields: Any) -> None:
            chosen = settings.load(services.history).changed(**fields)
            settings.save(services.history, chosen)
            services.tabs.tell_all({"type": "settings", "settings": chosen.view()})

        async def change_language(value: str) -> list[Any]:
            await change(language=value)
            return _shown(services)[1:]

        async def change_speech(value: bool) -> None:
            await change(speech=value)

        async def change_voice(value: str | None) -> None:
            await change(voice=value)

        async def change_route(value: str) -> None:
            await change(route=value)

        async def change_model(value: str) -> AsyncIterator[list[Any]]:
            await change(model=value, voice=None)
            yield _shown(services)
            await services.engine.switch(value)
            yield _shown(services)

        options: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
        page.load(show, None, controls, **options)
        # Its own value is not sent back to a control: the answer might come after the next click on it.
        language.input(change_language, language, controls[1:], **options)
        speech.input(change_speech, speech, None, **options)
        voice.input(change_voice, voice, None, **options)
        route.input(change_route, route, None, **options)
        model.input(change_model, model, controls, **options)
    return page


def _shown(services: Services) -> list[Any]:
    """Every control with its words, choices and value."""
    chosen = settings.load(services.history)
    words, state = texts(chosen.language), services.engine.state
    voices = list(state.voices)
    spoken_by = chosen.voice if chosen.voice in voices else next(iter(voices), None)
    current = services.engine.config.model
    return [
        gr.update(value=chosen.language),
        gr.update(value=chosen.speech, label=words["speak answers"]),
        gr.update(choices=voices, value=spoken_by, label=words["voice"], visible=bool(voices)),
        gr.update(
            choices=_routes(words, services), value=chosen.choice(services.config.backend), label=words["who answers"]
        ),
        gr.update(choices=_models(services.config, current), value=current, label=words["model"]),
    ]


def _routes(words: dict[str, str], services: Services) -> list[tuple[str, str]]:
    """Who can be asked: once the model is loaded, the configured backends as well."""
    names: list[str] = []
    with contextlib.suppress(EngineUnavailable):
        names = list(services.engine.loaded.answering.backends.entries)
    return [(words["auto"], "auto"), (words["thinker"], "thinker"), *((name, name) for name in names)]


def _models(config: Config, current: str) -> list[tuple[str, str]]:
    """Checkpoints that can be chosen: built in, in the data folder, and the one Tandem was started with."""
    names: dict[str, str] = {}
    for value in (current, config.model):
        names[value] = Path(value).name
    for folder in (BUILT_IN_MODELS, config.data_dir / "models"):
        for found in sorted(folder.glob("*/config.json")) if folder.is_dir() else ():
            if json.loads(found.read_bytes()).get("model_type") == "qwen2_5_omni":
                value = found.parent.name if folder == BUILT_IN_MODELS else str(found.parent)
                if not any(Path(known).resolve() == found.parent.resolve() for known in names):
                    names.setdefault(value, found.parent.name)
    return [(name, value) for value, name in names.items()]


@cache
def texts(language: settings.Language) -> dict[str, str]:
    """The page's words, shared with its scripts."""
    return json.loads((STATIC / "texts.json").read_text(encoding="utf-8"))[language]
