// Plays queued samples without a gap; silence while the queue is empty. Reports how many samples were played.

class SpeechProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];
    this.offset = 0;
    this.played = 0;
    this.reported = 0;
    this.ended = false;
    this.port.onmessage = ({ data }) => {
      if (data.samples) this.queue.push(data.samples);
      if (data.end) this.ended = true;
      if (data.flush) {
        this.queue = [];
        this.offset = 0;
        this.ended = true;
      }
    };
  }

  process(_, [[output]]) {
    let filled = 0;
    while (filled < output.length && this.queue.length) {
      const piece = this.queue[0].subarray(this.offset, this.offset + output.length - filled);
      output.set(piece, filled);
      filled += piece.length;
      this.offset += piece.length;
      if (this.offset === this.queue[0].length) {
        this.queue.shift();
        this.offset = 0;
      }
    }
    this.played += filled;
    const drained = this.ended && !this.queue.length;
    if (drained || this.played - this.reported >= sampleRate / 25) {
      this.reported = this.played;
      this.port.postMessage({ played: this.played, drained });
    }
    return !drained;
  }
}

registerProcessor("speech", SpeechProcessor);
