// The page: brings the list, the turns, the composer, the player and the server together.

import { CallPanel } from "./call-panel.js";
import { Composer } from "./composer.js";
import { toBase64 } from "./capture.js";
import { button, el, mounted } from "./dom.js";
import { Inspector } from "./inspector.js";
import { SpeechPlayer } from "./player.js";
import { Live, ServerError, call } from "./server.js";
import { Sidebar } from "./sidebar.js";
import { Transcript } from "./transcript.js";
import { loadWords, problem, setLanguage, word } from "./words.js";

class Page {
  constructor(listPlace, middle, live, hello) {
    this.live = live;
    this.conversation = null;
    this.settings = hello.settings;
    this.engine = hello.engine;
    this.finished = new Map();
    this.player = new SpeechPlayer();
    this.title = el("h1", {}, word("new conversation"));
    this.engineLine = el("p", { class: "engine", role: "status" });
    this.toast = el("div", { class: "toast", role: "status", hidden: true });
    const header = el("header", {}, this.title, this.engineLine);
    this.main = el("div", { class: "chat" }, header);
    middle.append(this.main);
    this.transcript = new Transcript(this.main, {
      edit: (turn, text) => this.edit(turn, text),
      again: (turn) => this.again(turn),
      select: (turn) => this.select(turn),
      stopSpeech: () => this.stopSpeech(),
      inspect: (turn, opener) => this.inspector.open(turn, opener),
      example: (example) => this.composer.example(example),
      startCall: hello.calls ? () => this.startCall() : null,
      speed: () => Number(localStorage.getItem("tandem.speed") ?? 1),
      setSpeed: (value) => {
        localStorage.setItem("tandem.speed", value);
        this.transcript.setSpeed(value);
      },
    });
    this.panel = new CallPanel(this.main, { begun: () => this.begun(), settings: () => this.callSettings(), kept: () => this.readSoon(), ended: () => this.callEnded() });
    this.main.append(this.toast);
    this.composer = new Composer(this.main, {
      call: hello.calls ? () => this.startCall() : null,
      send: (question) => this.ask(question),
      stop: () => this.stop(),
      most: hello.limits.media,
    });
    this.inspector = new Inspector(middle);
    this.sidebar = new Sidebar(listPlace, { open: (id) => this.open(id), say: (...message) => this.say(...message), titled: (title) => this.setTitle(title) });
    this.listen();
    this.nameToggles();
    this.showEngine();
  }

  listen() {
    const { live, player } = this;
    live.on("engine", ({ engine }) => this.setEngine(engine));
    live.on("settings", ({ settings }) => this.setSettings(settings));
    live.on("conversations", () => this.sidebar.refresh());
    live.on("text", ({ turn, html }) => this.showText(turn, html));
    live.on("reasoning", ({ turn, html, ms }) => this.transcript.think(turn, { html, ms }));
    live.on("waiting", ({ turn, ahead }) => this.transcript.wait(turn, ahead));
    live.on("turn", ({ turn }) => this.finish(turn));
    live.on("changed", ({ conversation, by }) => by !== live.tab && conversation === this.conversation && this.read(conversation));
    live.on("speech", ({ turn, rate_hz }) => (this.transcript.silence(), player.start(turn, rate_hz)));
    live.on("pcm", (pcm) => player.push(pcm));
    live.on("speech_end", ({ turn }) => player.end(turn));
    live.on("lost", () => {
      this.lost = true;
      this.showEngine();
    });
    live.on("hello", (hello) => this.comeBack(hello));
    player.addEventListener("finished", ({ detail }) => this.heard(detail));
    player.addEventListener("changed", () => this.showStop());
    addEventListener("hashchange", () => this.open(idInAddress()));
    setInterval(() => this.engine.phase === "loading" && this.showEngine(), 1000);
  }

  async comeBack(hello) {
    this.lost = false;
    this.setSettings(hello.settings);
    this.setEngine(hello.engine);
    this.sidebar.refresh();
    if (this.conversation) await this.read(this.conversation);
  }

  // --- conversations ---

  async open(id) {
    if (id === this.conversation && id !== null) return;
    this.stopSpeech();
    this.inspector.close();
    if (this.panel.open) this.panel.end();
    this.conversation = id;
    this.live.watch(id);
    history.replaceState(null, "", id ? `#c=${id}` : location.pathname);
    this.sidebar.select(id);
    this.composer.show(id);
    this.setTurns([], "");
    if (id) await this.read(id);
    this.transcript.toEnd();
    if (matchMedia("(max-width: 768px)").matches) closePanels();
    if (!touched()) this.composer.area.focus({ preventScroll: true });
  }

  async read(id) {
    try {
      const { conversation, turns } = await call("GET", `/conversations/${id}`);
      if (id === this.conversation) this.setTurns(turns, conversation.title);
    } catch (error) {
      if (error.message === "") return; // lost connection: the header says so
      if (!(error instanceof ServerError)) throw error;
      this.say(error.message);
      if (error.status === 404 && id === this.conversation) this.open(null);
    }
  }

  setTurns(turns, title) {
    this.setTitle(title);
    // The socket may have told the end of a reply before the request that began it was answered.
    this.transcript.show(turns.map((turn) => (turn.status === "answering" && this.finished.get(turn.id)) || turn));
    this.showStop();
  }

  setTitle(title) {
    this.named = title;
    this.title.textContent = title || word(this.conversation ? "untitled" : "new conversation");
    document.title = title ? `${title} – Tandem` : "Tandem";
  }

  running() {
    return this.transcript.turns.find((turn) => turn.status === "answering");
  }

  showStop() {
    // A call's replies are stopped by talking, or with Escape.
    this.composer.setAnswering(!this.panel.call && (Boolean(this.running()) || this.player.turn !== null));
  }

  // --- asking ---

  // The open conversation's id; a new one begins where none is open.
  async begun() {
    if (this.conversation === null) {
      const { id } = await call("POST", "/conversations", {});
      this.live.watch(id);
      this.opened(id);
      this.sidebar.refresh();
    }
    return this.conversation;
  }

  opened(id) {
    this.conversation = id;
    this.composer.conversation = id;
    history.replaceState(null, "", `#c=${id}`);
    this.sidebar.current = id;
  }

  // --- calls ---

  startCall() {
    this.stop();
    this.player.unlock();
    this.panel.start();
  }

  callSettings() {
    const { model, voices } = this.engine;
    return { model: model.split("/").pop(), voice: voices.includes(this.settings.voice) ? this.settings.voice : undefined };
  }

  // The turns of a call are shown as the server keeps them.
  readSoon() {
    clearTimeout(this.reading);
    this.reading = setTimeout(async () => {
      if (this.conversation) await this.read(this.conversation);
      this.sidebar.refresh();
    }, 150);
  }

  callEnded() {
    this.composer.area.focus({ preventScroll: true });
    this.readSoon();
  }

  // Words and pictures that are sent during a call belong to it.
  async sayInCall({ text, files }) {
    const content = text.trim() ? [{ type: "input_text", text }] : [];
    for (const file of files) {
      if (file.text !== undefined) content.push({ type: "input_text", text: `${file.name}:\n${file.text}` });
      else content.push({ type: "input_image", image_url: await pictureUrl(file) });
    }
    this.panel.call.say(content);
  }

  async ask({ text, files }, parent) {
    if (this.panel.call && parent === undefined) return this.sayInCall({ text, files });
    this.player.unlock();
    this.stopSpeech();
    const before = this.transcript.turns;
    const after = parent === undefined ? (before.length ? before[before.length - 1].id : null) : parent;
    let id = this.conversation;
    if (id === null) {
      id = (await call("POST", "/conversations", {})).id;
      this.live.watch(id);
    }
    const answer = await call("POST", `/conversations/${id}/turns`, { text, files, parent: after, tab: this.live.tab });
    if (this.conversation === null) this.opened(id);
    this.asked(answer);
  }

  asked({ conversation, turns }) {
    this.setTurns(turns, conversation.title);
    this.transcript.toEnd();
    this.transcript.status.textContent = word("answering");
  }

  async edit(turn, text) {
    const files = turn.parts
      .filter((part) => part.kind !== "text" || part.name)
      .map((part) => (part.kind === "text" ? { name: part.name, text: part.text } : { name: part.name, digest: part.digest }));
    return this.attempt(async () => {
      if (!text.trim() && !files.length) throw new ServerError(word("empty"));
      await this.ask({ text, files }, turn.parent);
      return true;
    });
  }

  again(turn) {
    this.player.unlock();
    this.stopSpeech();
    return this.attempt(async () => this.asked(await call("POST", `/turns/${turn.id}/again`, { tab: this.live.tab })));
  }

  select(turn) {
    this.stopSpeech();
    return this.attempt(async () => {
      const { conversation, turns } = await call("POST", `/turns/${turn}/select`);
      this.setTurns(turns, conversation.title);
    });
  }

  stop() {
    this.stopSpeech();
    const running = this.running();
    if (running) this.attempt(() => call("POST", `/turns/${running.id}/cancel`));
  }

  stopSpeech() {
    this.transcript.silence();
    const heard = this.player.stop();
    if (heard) this.heard(heard);
  }

  heard({ turn, heardMs }) {
    call("PATCH", `/turns/${turn}`, { heard_ms: heardMs }).catch(() => {});
  }

  // --- what the server tells ---

  showText(turn, html) {
    this.transcript.list.querySelector(`li[data-id="${turn}"] .thinking`)?.remove();
    this.transcript.stream(turn, html);
  }

  finish(turn) {
    this.finished.set(turn.id, turn);
    this.transcript.update(turn);
    this.showStop();
  }

  setEngine(engine) {
    if (engine.phase === "loading" && this.engine.phase !== "loading") this.loadingSince = performance.now();
    this.engine = engine;
    this.showEngine();
  }

  showEngine() {
    const { phase, step, model, problem: cause } = this.engine;
    const sec = Math.round((performance.now() - (this.loadingSince ?? 0)) / 1000);
    let text = model;
    if (phase === "loading") text = word(`loading ${step}`, { model: model.split("/").pop(), sec });
    if (phase === "failed") text = `${word("load failed")} ${problem(cause)}`;
    if (this.lost) text = word("reconnecting");
    this.engineLine.className = `engine ${this.lost ? "failed" : phase}`;
    if (this.engineLine.textContent !== text) this.engineLine.textContent = text;
  }

  setSettings(settings) {
    const language = settings.language !== this.settings.language;
    this.settings = settings;
    if (!language) return;
    setLanguage(settings.language);
    this.inspector.close();
    this.nameToggles();
    this.setTitle(this.named);
    this.sidebar.draw();
    this.composer.draw();
    this.showEngine();
    const turns = this.transcript.turns;
    this.transcript.show([]);
    this.transcript.show(turns);
  }

  // Gradio's panels have buttons without names.
  nameToggles() {
    const names = { "conversations-panel": "open panel", "settings-panel": "settings" };
    for (const [panel, name] of Object.entries(names)) {
      const toggle = document.querySelector(`#${panel} .toggle-button`);
      toggle?.setAttribute("aria-label", word(name));
      toggle?.setAttribute("title", word(name));
      document.querySelector(`#${panel} .sidebar-content`)?.setAttribute("data-title", word(name));
    }
  }

  async attempt(work) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.composer.say(error.message || word("unreachable"));
      return false;
    }
  }

  say(text, action, onaction) {
    clearTimeout(this.toasting);
    const leave = () => (this.toast.hidden = true);
    const act = () => {
      leave();
      onaction();
    };
    this.toast.replaceChildren(el("span", {}, text), action ? el("button", { type: "button", class: "labelled", onclick: act }, action) : "", button("close", word("close"), leave));
    this.toast.hidden = false;
    this.toasting = setTimeout(leave, action ? 15000 : 5000);
  }
}

// A call takes pictures beside words; sounds and clips are asked about outside of it.
async function pictureUrl(file) {
  const blob = await (await fetch(`/api/media/${file.digest}`)).blob();
  if (!blob.type.startsWith("image/")) throw new ServerError(word("call pictures only"));
  return `data:${blob.type};base64,${toBase64(new Uint8Array(await blob.arrayBuffer()))}`;
}

// Where a finger is all there is, focus brings the keyboard up, which hides half of the page.
function touched() {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}

function idInAddress() {
  return /^#c=([0-9a-f]{24})$/.exec(location.hash)?.[1] ?? null;
}

function closePanels() {
  document.querySelector("#conversations-panel.open .toggle-button")?.click();
}

async function start() {
  const live = new Live();
  const hello = new Promise((resolve) => live.addEventListener("hello", ({ detail }) => resolve(detail), { once: true }));
  const [listPlace, middle] = await Promise.all([mounted("conversations"), mounted("conversation"), loadWords()]);
  const first = await hello;
  setLanguage(first.settings.language);
  const page = new Page(listPlace, middle, live, first);
  await page.open(idInAddress());
}

start();
