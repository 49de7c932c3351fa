// The call's place in the conversation: buttons, pickers, captions, meters. The call itself is in call.js.

import { Call } from "./call.js";
import { button, el, icon } from "./dom.js";
import { inLanguage, problem, word } from "./words.js";

const CHOICES = "tandem.call";
const PATIENCE = [200, 300, 500, 800, 1200];

export class CallPanel {
  // kept(): the server has written down more of the call. begun(): resolves to the id of the open conversation. settings(): {voice, model}. ended(): the call is over.
  constructor(place, { begun, settings, kept, ended }) {
    this.kept = kept;
    this.begun = begun;
    this.settings = settings;
    this.ended = ended;
    this.call = null;
    this.chosen = { manual: false, patienceMs: 500, ...JSON.parse(localStorage.getItem(CHOICES) ?? "{}") };
    this.place = el("section", { class: "call", hidden: true, tabindex: "-1", onkeydown: (event) => event.key === "Escape" && this.call?.stopReply() });
    place.append(this.place);
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.call && this.fillDevices());
  }

  get open() {
    return !this.place.hidden;
  }

  async start() {
    if (this.call) return;
    this.draw();
    this.place.hidden = false;
    this.place.focus({ preventScroll: true });
    if (!navigator.mediaDevices?.getUserMedia) return this.explain(word("needs secure", { address: `http://localhost:${location.port || 80}` }), false);
    this.say("connecting");
    try {
      const conversation = await this.begun();
      const call = new Call({ ...this.settings(), conversation, manual: this.chosen.manual, patienceMs: this.chosen.patienceMs, speaker: this.chosen.speaker });
      this.call = call;
      this.listen(call);
      await call.start(this.chosen.microphone).catch((error) => {
        if (!this.chosen.microphone || error.name !== "OverconstrainedError") throw error;
        this.choose({ microphone: undefined }); // it was unplugged since
        return call.start();
      });
      await this.fillDevices();
    } catch (error) {
      this.call?.end();
      this.call = null;
      this.explain(why(error, "microphone"), true);
    }
  }

  end() {
    const call = this.call;
    this.call = null;
    call?.end();
    this.place.hidden = true;
    this.ended();
  }

  choose(changes) {
    Object.assign(this.chosen, changes);
    localStorage.setItem(CHOICES, JSON.stringify(this.chosen));
  }

  listen(call) {
    call.on("state", ({ state }) => this.say(state));
    call.on("level", ({ level, silence }) => this.meter(level, silence));
    call.on("caption", (caption) => this.caption(caption));
    call.on("latency", (latency) => this.latency(latency));
    call.on("route", ({ backend, reason, reasons }) => this.route(backend, inLanguage(reasons, reason)));
    call.on("kept", () => this.kept());
    call.on("pictures", () => this.showPictures());
    call.on("problem", ({ text, final }) => (final ? this.explain(problem(text), true) : this.warn(problem(text))));
  }

  draw() {
    this.state = el("p", { class: "state", role: "status", "aria-live": "polite" });
    this.figure = el("p", { class: "figure" });
    this.problem = el("p", { class: "notice", role: "alert" });
    this.orb = el("div", { class: "orb", "aria-hidden": "true" }, el("i"), icon("mic"));
    this.level = el("meter", { class: "level", min: 0, max: 1, value: 0, "aria-label": word("level") });
    this.turn = el("meter", { class: "turn-end", min: 0, max: 1, value: 0, "aria-label": word("turn end"), title: word("turn end") });
    this.mine = el("p", { class: "caption user", tabindex: "0" });
    this.theirs = el("p", { class: "caption assistant", tabindex: "0" });
    this.pictures = el("div", { class: "pictures", hidden: true });
    this.mute = button("mic", word("mute"), () => this.toggleMute(), { class: "round big", "aria-pressed": "false" });
    this.camera = button("camera", word("share camera"), () => this.share("camera"), { class: "round big", "aria-pressed": "false" });
    this.screen = button("screen", word("share screen"), () => this.share("screen"), { class: "round big", "aria-pressed": "false" });
    this.screen.hidden = !navigator.mediaDevices?.getDisplayMedia;
    const hold = { onpointerdown: (event) => (event.preventDefault(), this.hold(true)), onpointerup: () => this.hold(false), onpointercancel: () => this.hold(false), onpointerleave: () => this.hold(false) };
    const keys = { onkeydown: (event) => pressing(event) && (event.preventDefault(), event.repeat || this.hold(true)), onkeyup: (event) => pressing(event) && (event.preventDefault(), this.hold(false)) };
    this.talk = button("hand", word("hold to talk"), null, { class: "labelled talk", hidden: !this.chosen.manual, ...hold, ...keys }, true);
    this.pickers = this.drawPickers();
    this.controls = el(
      "div",
      { class: "row controls" },
      this.mute,
      this.camera,
      this.screen,
      this.pickers,
      this.talk,
      el("span", { class: "space" }),
      button("hangup", word("hang up"), () => this.end(), { class: "labelled hangup" }, true),
    );
    this.place.setAttribute("aria-label", word("call"));
    this.place.replaceChildren(
      el("div", { class: "now" }, this.orb, el("div", { class: "words" }, el("div", { class: "row line" }, this.state, this.figure), el("div", { class: "meters" }, this.level, this.turn)), this.pictures),
      this.mine,
      this.theirs,
      this.problem,
      this.controls,
    );
  }

  drawPickers() {
    const pick = (name, change) => el("select", { class: "pick", onchange: ({ currentTarget }) => change(currentTarget.value) });
    this.devices = {
      audioinput: pick("microphone", (value) => this.useMicrophone(value)),
      videoinput: pick("camera", (value) => this.useCamera(value)),
      audiooutput: pick("speaker", (value) => this.useSpeaker(value)),
    };
    const turns = pick("turn taking", (value) => this.useTurns(value === "manual"));
    turns.append(el("option", { value: "automatic", selected: !this.chosen.manual }, word("automatic")), el("option", { value: "manual", selected: this.chosen.manual }, word("push to talk")));
    const patience = pick("patience", (value) => this.usePatience(Number(value)));
    patience.append(...PATIENCE.map((ms) => el("option", { value: ms, selected: ms === this.chosen.patienceMs }, word("patience of", { sec: (ms / 1000).toFixed(1) }))));
    const rows = [
      [word("microphone"), this.devices.audioinput],
      [word("camera device"), this.devices.videoinput],
      [word("speaker"), this.devices.audiooutput],
      [word("turn taking"), turns],
      [word("patience"), patience],
    ].map(([name, select]) => el("label", {}, el("span", {}, name), select));
    this.speakerRow = rows[2];
    this.speakerRow.hidden = !("setSinkId" in AudioContext.prototype);
    const menu = el(
      "details",
      { class: "menu devices", onkeydown: (event) => event.key === "Escape" && (event.stopPropagation(), (menu.open = false), menu.querySelector("summary").focus()), onfocusout: ({ relatedTarget }) => relatedTarget && !menu.contains(relatedTarget) && (menu.open = false) },
      el("summary", { class: "round big", "aria-label": word("devices"), title: word("devices") }, icon("sliders")),
      el("div", { class: "choices" }, ...rows),
    );
    return menu;
  }

  async fillDevices() {
    const found = await navigator.mediaDevices.enumerateDevices();
    const used = { audioinput: this.call?.microphone.device, videoinput: this.call?.frames.device ?? this.chosen.camera, audiooutput: this.chosen.speaker ?? "default" };
    for (const [kind, select] of Object.entries(this.devices)) {
      const options = found.filter((one) => one.kind === kind && one.deviceId);
      select.replaceChildren(...options.map((one, index) => el("option", { value: one.deviceId, selected: one.deviceId === used[kind] }, one.label || `${index + 1}`)));
      if (!options.length) select.append(el("option", { value: "" }, word("default device")));
    }
  }

  // --- what the user does ---

  toggleMute() {
    const muted = (this.call.muted = !this.call.muted);
    this.mute.replaceChildren(icon(muted ? "muted" : "mic"));
    this.mute.title = word(muted ? "unmute" : "mute");
    this.mute.setAttribute("aria-label", this.mute.title);
    this.mute.setAttribute("aria-pressed", String(muted));
    this.mute.classList.toggle("off", muted);
    this.say(this.call.state);
  }

  async share(kind) {
    const { frames } = this.call;
    this.warn("");
    if (frames.kind === kind) frames.stop();
    else {
      try {
        await frames.start(kind, kind === "camera" ? this.chosen.camera : undefined);
      } catch (error) {
        this.warn(why(error, kind));
      }
    }
    this.showPictures();
    this.fillDevices();
  }

  showPictures() {
    const { frames } = this.call;
    this.pictures.hidden = !frames.kind;
    if (frames.kind) this.pictures.replaceChildren(frames.video);
    frames.video.setAttribute("aria-label", word(frames.kind === "screen" ? "your screen" : "your camera"));
    frames.video.classList.toggle("mirrored", frames.kind === "camera");
    for (const [kind, control] of [["camera", this.camera], ["screen", this.screen]]) {
      control.setAttribute("aria-pressed", String(frames.kind === kind));
      control.classList.toggle("on", frames.kind === kind);
    }
  }

  async useMicrophone(device) {
    this.choose({ microphone: device });
    await this.call.microphone.start(device).catch((error) => this.warn(why(error, "microphone")));
  }

  async useCamera(device) {
    this.choose({ camera: device });
    if (this.call.frames.kind === "camera") await this.call.frames.start("camera", device).catch((error) => this.warn(why(error, "camera")));
    this.showPictures();
  }

  async useSpeaker(device) {
    this.choose({ speaker: device });
    await this.call.player.setSpeaker(device === "default" ? "" : device).catch((error) => this.warn(why(error, "speaker")));
  }

  useTurns(manual) {
    this.choose({ manual });
    this.talk.hidden = !manual;
    this.call.change({ manual });
    this.say(this.call.state);
  }

  usePatience(patienceMs) {
    this.choose({ patienceMs });
    this.call.change({ patienceMs });
  }

  hold(down) {
    this.talk.classList.toggle("held", down);
    if (down) this.call?.press();
    else this.call?.release();
  }

  // The space bar talks wherever it would not write or press something.
  key(event, down) {
    if (!this.call || !this.chosen.manual || event.code !== "Space") return;
    if (event.target.closest?.("input, textarea, select, button, summary, a, [contenteditable]")) return;
    event.preventDefault();
    if (!event.repeat) this.hold(down);
  }

  // --- what the call tells ---

  say(state) {
    const muted = this.call?.muted && state === "listening";
    const waiting = this.call?.options.manual && state === "listening";
    this.state.title = "";
    this.state.textContent = word(`call ${muted ? "muted" : waiting ? "push" : state}`);
    this.place.dataset.state = state;
  }

  // A backend thinks for a while: whoever waits learns who it is.
  route(backend, reason) {
    if (backend === "thinker" || this.call?.state !== "thinking") return;
    this.state.textContent = word("call reasoning", { backend });
    this.state.title = reason;
  }

  meter(level, silence) {
    // Loudness is heard in decibels: −50 dB is nothing, 0 dB is everything.
    const shown = Math.max(0, Math.min(1, (20 * Math.log10(level + 1e-5) + 50) / 50));
    this.level.value = shown;
    this.turn.value = silence;
    this.orb.style.setProperty("--level", shown.toFixed(3));
    this.orb.style.setProperty("--turn", `${Math.round(silence * 360)}deg`);
  }

  caption({ who, text, heard, cut }) {
    const line = who === "user" ? this.mine : this.theirs;
    const said = el("span", {}, text.slice(0, heard));
    line.replaceChildren(el("strong", {}, `${word(who === "user" ? "you" : "assistant")} `), said);
    if (cut && heard < text.length) line.append(el("span", { class: "unheard", title: word("unheard") }, text.slice(heard)));
    line.scrollTop = line.scrollHeight;
  }

  latency({ turn, firstMs, decidedMs }) {
    this.figure.textContent = word("call latency", { turn, sec: (firstMs / 1000).toFixed(2) });
    this.figure.title = decidedMs === undefined ? "" : word("call decided", { sec: (decidedMs / 1000).toFixed(2) });
  }

  warn(text) {
    this.problem.textContent = text;
  }

  // The call cannot be held: why, and what to do.
  explain(text, again) {
    this.call?.end();
    this.call = null;
    this.place.dataset.state = "ended";
    const actions = [button("close", word("close"), () => this.end(), {}, true)];
    if (again) actions.unshift(button("again", word("try again"), () => this.start(), { class: "labelled primary" }, true));
    this.place.replaceChildren(el("p", { class: "why", role: "alert" }, text), el("div", { class: "row" }, ...actions));
    actions[0].focus();
  }
}

function pressing(event) {
  return event.code === "Space" || event.key === "Enter";
}

// The browser's reasons in the user's words.
function why(error, device) {
  const reasons = { NotAllowedError: "denied", NotFoundError: "missing", NotReadableError: "busy", OverconstrainedError: "missing", AwakeError: "silent" };
  const reason = reasons[error.name];
  if (!reason) return error.message || word("call failed");
  return word(`${device} ${reason}`);
}
