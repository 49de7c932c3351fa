// The turns of the branch that is read.

import { button, bytes, duration, el, icon } from "./dom.js";
import { markedPicture } from "./picture.js";
import { welcome } from "./welcome.js";
import { stopSounds, waveform } from "./waveform.js";
import { inLanguage, problem, word } from "./words.js";

const SPEEDS = [0.75, 1, 1.25, 1.5, 2];

// actions: {edit(turn, text), again(turn), select(turn id), stopSpeech(), settingSpeed, …} of main.js.
export class Transcript {
  constructor(place, actions) {
    this.actions = actions;
    this.turns = [];
    this.list = el("ol", { class: "turns" });
    this.status = el("p", { class: "spoken-only", role: "status" });
    this.jump = button("below", word("jump down"), () => this.toEnd(), { class: "round jump", hidden: true });
    this.scroll = el("div", { class: "scroll", tabindex: "0", role: "region", onscroll: () => this.scrolled() }, this.list);
    this.atEnd = true;
    this.top = 0;
    this.audio = new Audio();
    this.audio.onended = this.audio.onpause = this.audio.onplay = () => this.markPlaying();
    place.append(el("div", { class: "reading" }, this.scroll, this.jump), this.status);
    const watch = new ResizeObserver(() => this.atEnd && this.toEnd());
    watch.observe(this.list);
    watch.observe(this.scroll); // whatever grows below it takes from its height
  }

  show(turns) {
    this.turns = turns;
    const kept = new Map([...this.list.children].map((item) => [item.dataset.id, item]));
    this.list.replaceChildren(
      ...turns.map((turn) => {
        const old = kept.get(turn.id);
        const same = old?.dataset.state === stateOf(turn);
        return same ? old : this.item(turn);
      }),
    );
    if (!turns.length) this.list.append(this.welcome());
    this.scroll.setAttribute("aria-label", word("conversations"));
  }

  welcome() {
    return el("li", { class: "welcome" }, welcome(this.actions));
  }

  update(turn) {
    const index = this.turns.findIndex((one) => one.id === turn.id);
    if (index < 0) return;
    this.turns[index] = turn;
    const old = this.list.children[index];
    const focused = old.contains(document.activeElement);
    const item = this.item(turn);
    old.replaceWith(item);
    if (focused) item.querySelector("button")?.focus();
    if (turn.role === "assistant" && turn.status !== "answering") {
      const said = turn.error ? problem(turn.error) : (item.querySelector(".text")?.textContent ?? "").trim().slice(0, 300);
      this.status.textContent = word("answer finished", { text: said });
    }
  }

  stream(id, html) {
    const text = this.list.querySelector(`li[data-id="${id}"] .text`);
    if (!text) return;
    text.innerHTML = html;
    text.closest("article").querySelector("details.reasoning[open]")?.removeAttribute("open");
    this.finishCode(text);
  }

  // The thoughts of a reply that is being made.
  think(id, reasoning) {
    const turn = this.turns.find((one) => one.id === id);
    const article = this.list.querySelector(`li[data-id="${id}"] article`);
    if (!turn || !article) return;
    const shown = this.reasoning({ reasoning });
    const old = article.querySelector("details.reasoning");
    article.querySelector(".thinking")?.remove();
    if (old) {
      shown.open = old.open;
      old.replaceWith(shown);
    } else article.querySelector(".text").before(shown);
  }

  wait(id, ahead) {
    const text = this.list.querySelector(`li[data-id="${id}"] .thinking`);
    if (text) text.textContent = word(ahead ? "waiting" : "waiting for model");
  }

  scrolled() {
    // Only a person scrolls up; pictures that load late also leave the end behind, and it is caught up with.
    const top = this.scroll.scrollTop;
    if (this.scroll.scrollHeight - top - this.scroll.clientHeight < 40) this.atEnd = true;
    else if (top < this.top) this.atEnd = false;
    this.top = top;
    this.jump.hidden = this.atEnd;
  }

  // Of an empty conversation the beginning is shown.
  toEnd() {
    this.atEnd = true;
    this.scroll.scrollTop = this.turns.length ? this.scroll.scrollHeight : 0;
    this.jump.hidden = true;
  }

  item(turn) {
    const mine = turn.role === "user";
    const who = mine ? word("you") : (turn.model ?? "Tandem");
    const item = el("li", { class: mine ? "turn user" : "turn assistant", "data-id": turn.id, "data-state": stateOf(turn) });
    item.append(el("article", { "aria-label": who }, el("h2", { class: "spoken-only" }, who), ...(mine ? this.question(turn) : this.reply(turn))));
    return item;
  }

  question(turn) {
    const files = turn.parts.filter((part) => part.kind !== "text" || part.name);
    return [
      files.length ? el("div", { class: "files" }, ...files.map((part) => this.medium(part))) : null,
      turn.text ? el("div", { class: "text" }, turn.text) : null,
      el(
        "div",
        { class: "tools" },
        this.versions(turn),
        button("edit", word("edit"), () => this.edit(turn)),
        turn.text ? this.copyButton(() => turn.text) : null,
      ),
    ].filter(Boolean);
  }

  reply(turn) {
    const text = el("div", { class: "text", html: turn.html });
    this.finishCode(text);
    const made = [text];
    if (turn.places?.length) {
      made.push(markedPicture(turn.places_of, turn.places));
      made.push(el("a", { class: "labelled quiet places", href: `/api/turns/${turn.id}/places.json`, download: "" }, icon("down"), word("boxes")));
      // An answer that is nothing but boxes is read off the picture; its words stand folded below.
      if (/^\s*\[.*\]\s*$/s.test(turn.text)) {
        text.replaceChildren(el("details", { class: "json" }, el("summary", {}, word("answer as written")), el("pre", { tabindex: "0" }, turn.text)));
        made.push(made.shift());
      }
    }
    const reasoning = turn.reasoning ? this.reasoning(turn) : null;
    if (turn.status === "answering") {
      return [turn.html || reasoning ? null : el("p", { class: "thinking" }, word("thinking")), reasoning, text].filter(Boolean);
    }
    if (turn.unheard) text.append(el("p", { class: "unheard", title: word("unheard") }, el("span", { class: "why" }, word("unheard")), turn.unheard));
    const note = turn.status === "cancelled" || turn.status === "length" ? word(turn.status) : null;
    return [
      reasoning,
      ...made,
      turn.error ? el("p", { class: "error" }, icon("alert"), el("span", {}, problem(turn.error))) : null,
      turn.route?.instead_of ? el("p", { class: "note" }, word("instead", { backend: turn.route.instead_of }), " ", inLanguage(turn.route.reasons, turn.route.reason)) : null,
      note ? el("p", { class: "note" }, note) : null,
      el(
        "div",
        { class: "tools" },
        this.versions(turn),
        ...this.speechTools(turn),
        turn.text ? this.copyButton(() => turn.text) : null,
        button("again", word("answer again"), () => this.actions.again(turn)),
        turn.inspected ? button("pulse", word("inspect"), (event) => this.actions.inspect(turn, event.currentTarget)) : null,
      ),
    ].filter(Boolean);
  }

  speechTools(turn) {
    if (!turn.speech) return [];
    const play = button("play", word("play"), () => this.toggle(turn), { class: "round play", "data-url": turn.speech.url });
    const speed = el(
      "select",
      {
        class: "speed",
        "aria-label": word("speed"),
        title: word("speed"),
        onchange: () => {
          this.actions.setSpeed(Number(speed.value));
          for (const other of this.list.querySelectorAll("select.speed")) other.value = speed.value;
        },
      },
      ...SPEEDS.map((value) => el("option", { value, selected: value === this.actions.speed() }, `${value}×`)),
    );
    const save = el("a", { class: "round", href: turn.speech.url, download: "", "aria-label": word("download speech"), title: word("download speech") }, icon("down"));
    return [play, el("span", { class: "length" }, duration(turn.speech.duration_sec)), speed, save];
  }

  toggle(turn) {
    const url = new URL(turn.speech.url, location.href).href;
    if (this.audio.src === url && !this.audio.paused) return this.audio.pause();
    this.actions.stopSpeech();
    if (this.audio.src !== url) this.audio.src = url;
    this.audio.playbackRate = this.actions.speed();
    this.audio.play();
  }

  setSpeed(value) {
    this.audio.playbackRate = value;
  }

  silence() {
    stopSounds();
    this.audio.pause();
  }

  markPlaying() {
    for (const play of this.list.querySelectorAll("button.play")) {
      const playing = !this.audio.paused && this.audio.src === new URL(play.dataset.url, location.href).href;
      play.replaceChildren(icon(playing ? "pause" : "play"));
      play.title = word(playing ? "pause" : "play");
      play.setAttribute("aria-label", play.title);
    }
  }

  versions(turn) {
    const count = turn.siblings.length;
    if (count < 2) return null;
    const index = turn.siblings.indexOf(turn.id);
    const go = (step) => this.actions.select(turn.siblings[index + step]);
    return el(
      "span",
      { class: "versions" },
      button("left", word("previous version"), () => go(-1), { disabled: index === 0 }),
      el("span", { "aria-label": word("version", { index: index + 1, count }), role: "img" }, `${index + 1}/${count}`),
      button("right", word("next version"), () => go(1), { disabled: index === count - 1 }),
    );
  }

  // What a model thought before it answered: open while it thinks, folded behind its duration afterwards.
  reasoning(turn) {
    const { html, ms } = turn.reasoning;
    const done = ms !== null && ms !== undefined;
    const text = el("div", { class: "text", html });
    this.finishCode(text);
    const title = done ? word("thought for", { sec: (ms / 1000).toFixed(1) }) : word("thinking");
    return el("details", { class: "reasoning", open: !done }, el("summary", {}, icon("thought"), el("span", {}, title)), text);
  }

  edit(turn) {
    const item = this.list.querySelector(`li[data-id="${turn.id}"]`);
    const area = el("textarea", { "aria-label": word("edit"), rows: Math.min(10, turn.text.split("\n").length + 1) });
    area.value = turn.text;
    const leave = () => {
      item.replaceWith(this.item(turn));
      this.list.querySelector(`li[data-id="${turn.id}"] .tools button`)?.focus();
    };
    const save = async () => (await this.actions.edit(turn, area.value)) || area.focus();
    const form = el(
      "form",
      { class: "edit", onsubmit: (event) => (event.preventDefault(), save()) },
      area,
      el("div", { class: "row" }, el("button", { type: "button", class: "labelled", onclick: leave }, word("cancel")), el("button", { class: "labelled primary" }, word("save and ask"))),
    );
    area.onkeydown = (event) => {
      if (event.key === "Escape") leave();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        save();
      }
    };
    item.querySelector(".text")?.remove();
    item.querySelector(".tools").replaceWith(form);
    area.focus();
  }

  copyButton(text) {
    const copy = button("copy", word("copy"), async () => {
      await navigator.clipboard.writeText(text());
      this.status.textContent = word("copied");
      copy.classList.add("done");
      setTimeout(() => copy.classList.remove("done"), 1200);
    });
    return copy;
  }

  finishCode(text) {
    for (const copy of text.querySelectorAll("button.copy-code")) {
      copy.textContent = word("copy");
      copy.onclick = () => navigator.clipboard.writeText(copy.closest("figure").querySelector("code").textContent);
    }
    for (const seek of text.querySelectorAll("button.seek")) {
      seek.onclick = () => this.seek(seek.dataset.clip, Number(seek.dataset.sec));
    }
  }

  seek(clip, seconds) {
    const players = this.list.querySelectorAll(`video[data-digest="${CSS.escape(clip)}"]`);
    const player = players[players.length - 1];
    if (!player) return;
    player.currentTime = seconds;
    player.scrollIntoView({ block: "nearest" });
    player.play().catch(() => {});
  }

  medium(part) {
    if (part.kind === "image") {
      const image = el("img", { src: part.url, alt: part.name || "", width: part.width, height: part.height, loading: "lazy" });
      return el("a", { href: part.url, download: "", class: "picture", title: part.name }, image);
    }
    if (part.kind === "text") {
      return el("details", { class: "textfile" }, el("summary", {}, icon("file"), `${word("file")}: ${part.name}`), el("pre", { tabindex: "0" }, part.text));
    }
    if (part.kind === "audio") return waveform(part);
    const player = el(part.kind, { src: part.url, controls: true, preload: "metadata", "data-digest": part.digest, "aria-label": part.name });
    const figure = el("figure", { class: part.kind }, player, el("figcaption", {}, part.name));
    player.onerror = () => player.replaceWith(el("p", { class: "note" }, `${word("cannot show")} (${bytes(part.size_bytes)})`));
    return figure;
  }
}

function stateOf(turn) {
  return `${turn.status}:${turn.siblings.join(",")}:${turn.speech ? 1 : 0}:${turn.transcript ?? ""}:${turn.unheard ?? ""}:${turn.inspected ? 1 : 0}`;
}
