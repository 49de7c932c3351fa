// The microphone at the device's rate → mono PCM16 at 24 kHz in blocks of 40 ms, with their loudness.
//
// Resampling is a windowed sinc at the exact ratio of the two rates: one row of taps for each of the positions that an
// output sample can have between two input samples.

const TO = 24000;
const BLOCK = 960;
const ZEROS = 16; // zero crossings of the sinc on either side

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

class Resampler {
  constructor(from) {
    const common = gcd(from, TO);
    this.up = TO / common;
    this.down = from / common;
    const cutoff = Math.min(1, TO / from) * 0.95;
    this.half = Math.ceil(ZEROS / cutoff);
    this.rows = Array.from({ length: this.up }, (_, phase) => this.row(phase / this.up, cutoff));
    this.history = new Float32Array(2 * this.half);
    this.at = 0; // of the next output sample, in units of 1/up input samples after the history's middle
  }

  row(offset, cutoff) {
    const taps = new Float32Array(2 * this.half);
    let sum = 0;
    for (let i = 0; i < taps.length; i++) {
      const t = i - this.half + 1 - offset;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * t) / (this.half + 1));
      taps[i] = window * (t === 0 ? cutoff : Math.sin(Math.PI * cutoff * t) / (Math.PI * t));
      sum += taps[i];
    }
    return taps.map((tap) => tap / sum);
  }

  push(input, emit) {
    if (this.up === 1 && this.down === 1) return input.forEach(emit);
    const held = new Float32Array(this.history.length + input.length);
    held.set(this.history);
    held.set(input, this.history.length);
    const end = input.length * this.up;
    while (this.at < end) {
      const whole = Math.floor(this.at / this.up);
      const taps = this.rows[this.at % this.up];
      let sum = 0;
      for (let i = 0; i < taps.length; i++) sum += taps[i] * held[whole + i + 1];
      emit(sum);
      this.at += this.down;
    }
    this.at -= end;
    this.history = held.slice(held.length - this.history.length);
  }
}

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate);
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
    this.power = 0;
    this.stopped = false;
    this.port.onmessage = () => (this.stopped = true);
  }

  process([input]) {
    if (this.stopped) return false;
    if (input.length) this.resampler.push(input[0], (sample) => this.take(sample));
    return true;
  }

  take(sample) {
    const bounded = Math.max(-1, Math.min(1, sample));
    this.power += bounded * bounded;
    this.block[this.filled++] = Math.round(bounded * 32767);
    if (this.filled < BLOCK) return;
    this.port.postMessage({ pcm: this.block, level: Math.sqrt(this.power / BLOCK) }, [this.block.buffer]);
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
    this.power = 0;
  }
}

registerProcessor("capture", Capture);
