// A call: the microphone and pictures go to /v1/realtime, speech and captions come back. Draws nothing; tells by events:
//   state {state}              connecting, listening, hearing, thinking, speaking, reconnecting, ended
//   level {level, silence}     of the microphone, 0…1; silence: how much of the patience at the end of a turn has passed
//   caption {who, text, heard} who: "user" or "assistant"; heard: characters of it that were heard
//   latency {turn, firstMs, decidedMs}   first sound, and the server's decision that the turn was over, since its last word
//   route {backend, reason, reasons}   who answers: "thinker" or a backend's name
//   kept {}                    the server has written down more of the conversation
//   problem {text}             one line for the user; the call goes on unless it ended

import { Caption, Pace } from "./captions.js";
import { Frames, Microphone, RATE_HZ, fromBase64, toBase64 } from "./capture.js";
import { SpeechPlayer } from "./player.js";
import { word } from "./words.js";

const RESUME_MS = 20000;
const REPORT_MS = 200;
const MOST_UNSENT_BYTES = 256 * 1024;

export class Call extends EventTarget {
  // options: {conversation, model, voice, manual (push to talk), patienceMs, speaker}
  constructor(options) {
    super();
    this.options = options;
    this.state = "connecting";
    this.muted = false;
    this.talking = false;
    this.pace = new Pace();
    this.captions = new Map();
    this.responding = null;
    this.turns = 0;
    this.sentSamples = 0;
    this.dropped = 0;
    this.noise = 0.01;
    this.quietMs = 0;
    this.microphone = new Microphone((pcm, level) => this.heard(pcm, level));
    this.frames = new Frames((image) => this.show(image), () => this.tell("pictures", {}));
    this.player = new SpeechPlayer();
    this.player.addEventListener("progress", ({ detail }) => this.progress(detail));
    this.player.addEventListener("finished", ({ detail }) => this.finished(detail));
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  on(type, listener) {
    this.addEventListener(type, ({ detail }) => listener(detail));
  }

  setState(state) {
    if (this.state === "ended" || this.state === state) return;
    this.state = state;
    this.tell("state", { state });
  }

  // Raises what the browser raises where the microphone cannot be had.
  async start(microphone) {
    this.player.unlock();
    await this.microphone.start(microphone);
    if (this.options.speaker) await this.player.setSpeaker(this.options.speaker);
    this.connect();
  }

  connect() {
    const query = new URLSearchParams({ model: this.options.model });
    if (this.options.conversation) query.set("conversation", this.options.conversation);
    if (this.session) query.set("session", this.session);
    this.socket = new WebSocket(`${location.origin.replace("http", "ws")}/v1/realtime?${query}`);
    this.socket.onmessage = ({ data }) => typeof data === "string" && this.receive(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => this.lost(code, reason);
  }

  lost(code, reason) {
    if (this.state === "ended") return;
    this.greeted = false;
    this.cutOff();
    const refused = code === 1008 || code === 1013 || code === 1000;
    this.lostAt ??= performance.now();
    if (!this.session || refused || performance.now() - this.lostAt > RESUME_MS) {
      this.end();
      return this.tell("problem", { text: reason || word("call lost"), final: true });
    }
    this.setState("reconnecting");
    this.retry = setTimeout(() => this.connect(), 800);
  }

  send(type, fields = {}) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  configure() {
    const { manual, patienceMs, voice } = this.options;
    const detection = manual ? null : { type: "server_vad", silence_duration_ms: patienceMs, create_response: true, interrupt_response: true };
    const format = { type: "audio/pcm", rate: RATE_HZ };
    const input = { format, turn_detection: detection, transcription: { model: this.options.model } };
    const output = voice ? { format, voice } : { format };
    this.send("session.update", { session: { type: "realtime", output_modalities: ["audio"], audio: { input, output } } });
  }

  change(options) {
    Object.assign(this.options, options);
    this.configure();
  }

  // --- what goes out ---

  heard(pcm, level) {
    const silent = this.muted || (this.options.manual && !this.talking);
    const shown = silent ? 0 : level;
    // The floor sinks quickly and rises slowly; a voice stands well above it.
    this.noise += (level - this.noise) * (level < this.noise ? 0.3 : 0.002);
    this.quietMs = shown > Math.max(0.012, this.noise * 3) ? 0 : this.quietMs + (pcm.length / RATE_HZ) * 1000;
    const silence = this.state === "hearing" && !this.options.manual ? Math.min(1, this.quietMs / this.options.patienceMs) : 0;
    this.tell("level", { level: shown, silence });
    if (this.options.manual && !this.talking) return;
    if (!this.greeted) return; // the server's clock of the sound begins with the session
    if (this.muted) pcm.fill(0); // the server's clock goes on
    this.sentSamples += pcm.length;
    this.send("input_audio_buffer.append", { audio: toBase64(new Uint8Array(pcm.buffer)) });
  }

  show(image) {
    if (!this.greeted) return;
    if (this.socket.bufferedAmount > MOST_UNSENT_BYTES) return void this.dropped++;
    this.send("input_video_buffer.append", { image, timestamp_ms: Math.round((this.sentSamples / RATE_HZ) * 1000) });
  }

  // Push to talk.
  press() {
    if (!this.options.manual || this.talking) return;
    this.abandon();
    this.send("input_audio_buffer.clear");
    this.talking = true;
    this.setState("hearing");
  }

  release() {
    if (!this.talking) return;
    this.talking = false;
    this.stoppedAt = performance.now();
    this.send("input_audio_buffer.commit");
    this.send("response.create");
    this.setState("thinking");
  }

  // content: [{type: "input_text", text}, {type: "input_image", image_url}]
  say(content) {
    this.abandon();
    this.stoppedAt = performance.now();
    this.send("conversation.item.create", { item: { type: "message", role: "user", content } });
    this.send("response.create");
    this.setState("thinking");
  }

  // Silence at once; the server learns how much was really played.
  interrupt() {
    const cut = this.player.stop();
    if (!cut) return false;
    const caption = this.captions.get(cut.turn);
    if (caption) {
      caption.playedSec = cut.heardMs / 1000;
      caption.cut = true;
      this.caption(caption);
    }
    this.send("conversation.item.truncate", { item_id: cut.turn, content_index: 0, audio_end_ms: cut.heardMs });
    return true;
  }

  // The user wants to hear no more of it; what is still on its way is dropped.
  abandon() {
    const spoke = this.interrupt();
    if (this.responding) this.send("response.cancel");
    this.abandoned = this.responding ?? this.abandoned;
    return spoke || this.responding !== null;
  }

  stopReply() {
    if (this.abandon()) this.setState("listening");
  }

  end() {
    clearTimeout(this.retry);
    if (this.state !== "ended") this.interrupt();
    this.setState("ended");
    this.socket?.close(1000);
    this.microphone.stop();
    this.frames.stop();
    this.player.close();
  }

  // --- what comes in ---

  receive(event) {
    const handle = HANDLERS[event.type];
    if (handle) handle(this, event);
  }

  speech(response, item, data) {
    const caption = this.captionOf(item);
    if (caption.cut || response === this.abandoned) return;
    caption.silent = false;
    if (this.player.turn !== item) {
      this.player.start(item, RATE_HZ);
      this.audible = false;
    }
    const bytes = fromBase64(data);
    const pcm = new Int16Array(bytes.buffer, 0, bytes.length >> 1);
    caption.sec += pcm.length / RATE_HZ;
    this.player.push(pcm);
  }

  progress({ turn, heardMs }) {
    const caption = this.captions.get(turn);
    if (!caption || caption.cut) return;
    caption.playedSec = heardMs / 1000;
    if (heardMs - (this.reportedMs ?? -1000) >= REPORT_MS || heardMs < this.reportedMs) this.report(turn, heardMs);
    if (!this.audible && heardMs >= 0) {
      this.audible = true;
      this.setState("speaking");
      this.measure();
    }
    this.caption(caption);
  }

  measure() {
    if (this.stoppedAt === undefined) return;
    this.turns += 1;
    const firstMs = performance.now() - this.stoppedAt;
    this.tell("latency", { turn: this.turns, firstMs, decidedMs: this.decidedMs });
    this.stoppedAt = this.decidedMs = undefined;
  }

  // The server learns what was heard while it is being heard, also in case this page goes away.
  report(item, heardMs) {
    this.reportedMs = heardMs;
    this.send("tandem.playback.update", { item_id: item, played_ms: heardMs });
  }

  finished({ turn }) {
    const caption = this.captions.get(turn);
    if (caption) {
      caption.playedSec = caption.sec;
      this.report(turn, Math.ceil(caption.sec * 1000));
      this.caption(caption);
    }
    if (this.state === "speaking") this.setState("listening");
  }

  captionOf(item) {
    if (!this.captions.has(item)) this.captions.set(item, new Caption(item, this.pace));
    return this.captions.get(item);
  }

  caption(caption) {
    this.tell("caption", { who: "assistant", item: caption.item, text: caption.text, heard: caption.heard, cut: Boolean(caption.cut) });
  }

  // The server is gone: what it had sent plays no more, since it cannot be told what was heard.
  cutOff() {
    this.player.stop();
    this.responding = null;
  }
}

const HANDLERS = {
  "session.created": (call, { session }) => {
    call.lostAt = undefined;
    call.session = session.id;
    call.greeted = true;
    call.sentSamples = 0;
    call.configure();
    call.setState("listening");
    call.tell("ready", {});
  },
  "tandem.response.routed": (call, { backend, reason, reasons }) => call.tell("route", { backend, reason, reasons }),
  "tandem.turn.timing": (call, { decided_ms: decidedMs }) => (call.decidedMs = decidedMs),
  "input_audio_buffer.speech_started": (call) => {
    call.interrupt();
    call.setState("hearing");
  },
  "input_audio_buffer.speech_stopped": (call, { audio_end_ms: endMs }) => {
    // How long ago the last word ended, by the samples sent since; before that the server waited to be sure.
    const sinceMs = Math.max(0, (call.sentSamples / RATE_HZ) * 1000 - endMs);
    call.stoppedAt = performance.now() - sinceMs;
    call.decidedMs = sinceMs;
    call.setState("thinking");
  },
  "conversation.item.input_audio_transcription.delta": (call, { item_id: item, delta }) => {
    if (call.spoken?.item !== item) call.spoken = { item, text: "" };
    call.spoken.text += delta;
    call.tell("caption", { who: "user", item, text: call.spoken.text, heard: call.spoken.text.length });
  },
  "conversation.item.done": (call) => call.tell("kept", {}),
  "conversation.item.truncated": (call) => call.tell("kept", {}),
  "conversation.item.input_audio_transcription.completed": (call, { item_id: item, transcript }) => {
    call.tell("kept", {});
    call.tell("caption", { who: "user", item, text: transcript, heard: transcript.length });
  },
  "response.created": (call, { response }) => {
    call.responding = response.id;
    if (call.state !== "hearing") call.setState("thinking");
  },
  "response.output_audio.delta": (call, { response_id: response, item_id: item, delta }) => call.speech(response, item, delta),
  "response.output_audio_transcript.delta": (call, { item_id: item, delta }) => {
    const caption = call.captionOf(item);
    caption.silent = false;
    caption.text += delta;
    if (!caption.cut) call.caption(caption);
  },
  "response.output_text.delta": (call, { item_id: item, delta }) => {
    const caption = call.captionOf(item);
    caption.text += delta;
    call.caption(caption);
  },
  "response.output_audio.done": (call, { item_id: item }) => {
    const caption = call.captionOf(item);
    if (caption.cut) return;
    caption.finish();
    call.player.end(item);
  },
  "response.done": (call, { response }) => {
    call.responding = null;
    call.tell("kept", {});
    if (response.status === "failed") call.tell("problem", { text: response.status_details?.error?.message ?? word("call failed") });
    if (call.player.turn === null && call.state === "thinking") call.setState("listening");
  },
  error: (call, { error }) => call.tell("problem", { text: error.message }),
};
