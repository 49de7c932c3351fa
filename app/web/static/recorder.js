// A clip from the microphone, as a mono PCM16 WAV.

export class Recorder {
  // Raises what getUserMedia raises where there is no microphone or it is not allowed.
  async start() {
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, channelCount: 1 } });
    this.context = new AudioContext({ sampleRate: 16000 });
    await this.context.audioWorklet.addModule("/api/static/recorder-worklet.js");
    this.blocks = [];
    this.count = 0;
    const node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => {
      this.blocks.push(data);
      this.count += data.length;
    };
    this.context.createMediaStreamSource(this.stream).connect(node);
    await this.context.resume();
  }

  get seconds() {
    return this.count / 16000;
  }

  async stop() {
    for (const track of this.stream.getTracks()) track.stop();
    await this.context.close();
    return new Blob([wavHeader(this.count, 16000), ...this.blocks.map(pcm16)], { type: "audio/wav" });
  }
}

function pcm16(block) {
  return Int16Array.from(block, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
}

function wavHeader(count, rate) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  return view.buffer;
}
