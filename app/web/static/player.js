// Speech while it is made: PCM16 chunks, played gapless on the audio clock. One reply at a time; a new one flushes the old.

// On plain http browsers have no AudioWorklet: there a reply can be played when it is complete, by its own button.
const WORKS = "audioWorklet" in (globalThis.BaseAudioContext?.prototype ?? {});

// Reading outputLatency while sound plays freezes a Firefox page for ever, now and then: the page waits for the sound
// server, whose callback waits for the page's audio graph, which waits for the page.
const TELLS_LATENCY = !navigator.userAgent.includes("Firefox");

export class SpeechPlayer extends EventTarget {
  constructor() {
    super();
    this.context = null;
    this.node = null;
    this.turn = null;
    this.played = 0;
  }

  // Browsers let sound begin only after a key or a click: called from one.
  unlock() {
    if (!WORKS) return;
    this.context?.resume();
    if (!this.context) this.open(24000);
  }

  open(rate) {
    this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    if (this.speaker) this.context.setSinkId?.(this.speaker).catch(() => {});
    this.loaded = this.context.audioWorklet.addModule("/api/static/player-worklet.js");
    this.loaded.catch(() => {});
  }

  start(turn, rate) {
    if (!WORKS) return;
    this.stop();
    if (!this.context || this.context.sampleRate !== rate) {
      this.context?.close();
      this.open(rate);
    }
    this.context.resume();
    this.turn = turn;
    this.played = 0;
    this.waiting = [];
    const context = this.context;
    this.loaded.then(() => {
      if (this.turn !== turn || this.context !== context) return;
      const node = new AudioWorkletNode(context, "speech", { numberOfInputs: 0, outputChannelCount: [1] });
      node.port.onmessage = ({ data }) => {
        if (this.node !== node) return;
        this.played = data.played;
        if (data.drained) this.finish();
        else this.dispatchEvent(new CustomEvent("progress", { detail: this.position() }));
      };
      node.connect(context.destination);
      this.node = node;
      for (const message of this.waiting) node.port.postMessage(message);
      this.waiting = [];
      this.changed();
    });
    this.changed();
  }

  push(pcm) {
    if (this.turn === null) return;
    const samples = new Float32Array(pcm.length);
    for (let i = 0; i < pcm.length; i++) samples[i] = pcm[i] / 32767;
    this.post({ samples });
  }

  end(turn) {
    if (this.turn === turn) this.post({ end: true });
  }

  post(message) {
    if (this.node) this.node.port.postMessage(message);
    else this.waiting.push(message);
  }

  // Silence at once. Returns {turn, heardMs} of what was playing, or null.
  stop() {
    if (this.turn === null) return null;
    const heard = this.position();
    this.node?.port.postMessage({ flush: true });
    this.node?.disconnect();
    this.leave();
    return heard;
  }

  // What came out of the loudspeaker: the worklet hands samples over a little before they sound.
  position() {
    const aheadSec = (TELLS_LATENCY && this.context.outputLatency) || this.context.baseLatency || 0;
    return { turn: this.turn, heardMs: Math.max(0, Math.round((this.played / this.context.sampleRate - aheadSec) * 1000)) };
  }

  // Where the browser lets a page choose. Raises what setSinkId raises.
  async setSpeaker(device) {
    this.speaker = device;
    await this.context?.setSinkId?.(device);
  }

  close() {
    this.stop();
    this.context?.close();
    this.context = null;
  }

  finish() {
    const heard = { turn: this.turn, heardMs: Math.round((this.played / this.context.sampleRate) * 1000) };
    this.node.disconnect();
    this.leave();
    this.dispatchEvent(new CustomEvent("finished", { detail: heard }));
  }

  leave() {
    this.node = null;
    this.turn = null;
    this.waiting = [];
    this.changed();
  }

  changed() {
    this.dispatchEvent(new CustomEvent("changed", { detail: this.turn }));
  }
}
