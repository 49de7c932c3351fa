// What is about to be asked: text, files, a clip from the microphone, a still from the camera. The draft is kept until
// the server has the question.

import { takePicture } from "./camera.js";
import { button, bytes, duration, el, icon } from "./dom.js";
import { Recorder } from "./recorder.js";
import { upload } from "./server.js";
import { word } from "./words.js";

const DRAFT = "tandem.draft";
const GLYPHS = { audio: "mic", video: "film" };

// call(): begins a call, null where none can be held. send({text, files}): resolves to true when the question is kept, or raises an Error whose message is shown.
export class Composer {
  constructor(place, { send, stop, call, most }) {
    this.sendOut = send;
    this.startCall = call;
    this.most = most;
    this.files = [];
    this.conversation = null;
    this.area = el("textarea", { id: "message", rows: 1, oninput: () => this.changed(), onkeydown: (event) => this.key(event), onpaste: (event) => this.paste(event) });
    this.chips = el("ul", { class: "chips" });
    this.notice = el("p", { class: "notice", role: "alert" });
    this.picker = el("input", { type: "file", multiple: true, hidden: true, onchange: () => this.picked() });
    this.buttons = el("div", { class: "row" });
    this.form = el("form", { class: "composer", onsubmit: (event) => (event.preventDefault(), this.send()) }, this.notice, this.chips, this.area, this.picker, this.buttons);
    this.stopReply = stop;
    this.answering = false;
    place.append(this.form);
    for (const type of ["dragenter", "dragover", "dragleave", "drop"]) place.addEventListener(type, (event) => this.drag(event, type));
    this.place = place;
    this.draw();
  }

  draw() {
    this.area.placeholder = word("placeholder");
    this.area.setAttribute("aria-label", word("message"));
    this.place.dataset.drop = word("drop here");
    this.submit = this.answering
      ? button("stop", word("stop"), () => this.stopReply(), { class: "round primary", id: "stop" })
      : button("send", word("send"), null, { class: "round primary", id: "send", type: "submit" });
    const focused = document.activeElement?.id;
    this.clock = el("span", { class: "length" });
    const recording = Boolean(this.recorder);
    const buttons = [
      button("clip", word("add files"), () => this.picker.click()),
      button("camera", word("camera"), () => this.snap()),
      button(recording ? "stop" : "mic", word(recording ? "stop recording" : "record"), () => this.record(), { class: recording ? "round recording" : "round", "aria-pressed": String(recording) }),
      this.clock,
      el("span", { class: "space" }),
      this.startCall && button("phone", word("call"), () => this.startCall(), { class: "labelled start-call", id: "start-call", title: word("start call"), "aria-label": word("start call") }, true),
      this.submit,
    ];
    this.buttons.replaceChildren(...buttons.filter(Boolean));
    if (focused === "send" || focused === "stop") this.submit.focus();
    this.drawChips();
  }

  setAnswering(answering) {
    if (this.answering === answering) return;
    this.answering = answering;
    this.draw();
  }

  // The draft of another conversation (null: of a new one).
  show(conversation) {
    this.conversation = conversation;
    const kept = JSON.parse(localStorage.getItem(`${DRAFT}.${conversation ?? ""}`) ?? "{}");
    this.area.value = kept.text ?? "";
    this.files = (kept.files ?? []).map((file) => ({ state: "ready", file, name: file.name }));
    this.say("");
    this.drawChips();
    this.grow();
  }

  keep() {
    const text = this.area.value;
    const files = this.files.filter((one) => one.state === "ready").map((one) => one.file);
    const name = `${DRAFT}.${this.conversation ?? ""}`;
    try {
      if (text || files.length) localStorage.setItem(name, JSON.stringify({ text, files }));
      else localStorage.removeItem(name);
    } catch {} // a draft too large for the browser's store lives in the page only
  }

  changed() {
    this.grow();
    if (this.notice.textContent === word("empty")) this.say("");
    this.keep();
  }

  grow() {
    this.area.style.height = "auto";
    this.area.style.height = `${Math.min(this.area.scrollHeight, innerHeight * 0.4)}px`;
  }

  // Stays until the next deed: somebody may be typing when it comes.
  say(text) {
    this.notice.textContent = text;
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    }
    if (event.key === "Escape" && this.answering) this.stopReply();
  }

  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  drag(event, type) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const inside = type === "dragleave" && this.place.contains(event.relatedTarget);
    this.place.classList.toggle("dropping", type === "dragenter" || type === "dragover" || inside);
    if (type === "drop") this.add([...event.dataTransfer.files]);
  }

  picked() {
    this.add([...this.picker.files]);
    this.picker.value = "";
  }

  add(files) {
    this.say("");
    for (const file of files) {
      const media = this.files.filter((one) => one.file?.kind !== "text").length;
      if (media >= this.most) return this.say(word("too many", { count: this.most }));
      this.take(file, file.name || "file");
    }
  }

  async take(blob, name) {
    const entry = { state: "reading", name, size: blob.size, share: 0 };
    if (blob.type.startsWith("image/")) entry.preview = URL.createObjectURL(blob);
    this.files.push(entry);
    const sending = upload("/uploads", blob, name, (share) => {
      entry.share = share;
      if (entry.meter) entry.meter.value = share;
    });
    entry.abort = sending.abort;
    this.drawChips();
    try {
      entry.file = await sending.done;
      entry.state = "ready";
      if (entry.file.kind === "document") this.unfold(entry);
    } catch (error) {
      this.files = this.files.filter((one) => one !== entry);
      this.say(error.message || word("unreachable"));
    }
    this.drawChips();
    this.keep();
  }

  // The pages of a document take its place, as pictures, as many as a question has room for.
  unfold(entry) {
    const { name, pages, count } = entry.file;
    const others = this.files.filter((one) => one !== entry && one.file?.kind !== "text").length;
    const taken = pages.slice(0, Math.max(0, this.most - others)).map((file) => ({ state: "ready", file, name: file.name }));
    this.files = this.files.flatMap((one) => (one === entry ? taken : [one]));
    if (taken.length < count) this.say(word("first pages", { name, taken: taken.length, count, most: this.most }));
  }

  drawChips() {
    this.chips.replaceChildren(...this.files.map((entry) => this.chip(entry)));
  }

  chip(entry) {
    const kind = entry.file?.kind;
    const url = kind === "image" ? entry.file.url : entry.preview;
    const facts = [entry.file?.duration_sec ? duration(entry.file.duration_sec) : null, entry.file?.size_bytes ? bytes(entry.file.size_bytes) : null];
    entry.meter = el("progress", { max: 1, value: entry.share, "aria-label": `${word("reading")} ${entry.name}` });
    return el(
      "li",
      {},
      url ? el("img", { src: url, alt: "" }) : el("span", { class: "glyph" }, icon(GLYPHS[kind] ?? "file")),
      el("span", { class: "name", title: entry.name }, entry.name),
      entry.state === "reading" ? entry.meter : el("span", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      button("close", `${word("remove")}: ${entry.name}`, () => this.remove(entry)),
    );
  }

  remove(entry) {
    if (entry.state === "reading") entry.abort();
    this.say("");
    this.files = this.files.filter((one) => one !== entry);
    this.drawChips();
    this.keep();
    this.area.focus();
  }

  async record() {
    if (this.recorder) {
      const recorder = this.recorder;
      this.recorder = null;
      clearInterval(this.ticking);
      const clip = await recorder.stop();
      this.draw();
      return this.take(clip, `${word("recording")}.wav`);
    }
    const recorder = new Recorder();
    try {
      await recorder.start();
    } catch {
      return this.say(word("no microphone"));
    }
    this.recorder = recorder;
    this.draw();
    this.ticking = setInterval(() => (this.clock.textContent = duration(recorder.seconds)), 250);
  }

  async snap() {
    try {
      const picture = await takePicture();
      if (picture) this.take(picture, `${word("photo")}.jpg`);
    } catch {
      this.say(word("no camera"));
    }
  }

  // A question of the welcome, asked at once.
  async example({ text, files }) {
    if (this.sending || this.files.some((one) => one.state === "reading")) return;
    for (const { url, name } of files) await this.take(await (await fetch(url)).blob(), name);
    this.area.value = text;
    await this.send();
  }

  async send() {
    if (this.recorder) await this.record();
    const text = this.area.value;
    if (!text.trim() && !this.files.length) return this.say(word("empty"));
    if (this.files.some((one) => one.state === "reading")) return this.say(word("still reading"));
    if (this.sending) return;
    this.sending = true;
    const draft = `${DRAFT}.${this.conversation ?? ""}`;
    const files = this.files.map(({ file }) => (file.kind === "text" ? { name: file.name, text: file.text } : { name: file.name, digest: file.digest }));
    try {
      await this.sendOut({ text, files });
      localStorage.removeItem(draft);
      this.area.value = "";
      this.files = [];
      this.say("");
      this.drawChips();
      this.grow();
    } catch (error) {
      this.say(error.message || word("unreachable"));
    } finally {
      this.sending = false;
    }
  }
}
