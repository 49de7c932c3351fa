// Requests to this page's own server, and the socket over which it tells what happens.

import { problem } from "./words.js";

// status: of the answer; undefined where none came.
export class ServerError extends Error {
  constructor(message, status) {
    super(problem(message));
    this.status = status;
  }
}

export async function call(method, path, body) {
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ServerError("");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ServerError(answer.error ?? `${response.status}`, response.status);
  return answer;
}

// onprogress: share of the bytes sent, 0…1. Returns {done, abort}.
export function upload(path, blob, name, onprogress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `/api${path}`);
    request.setRequestHeader("X-File-Name", encodeURIComponent(name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.total && onprogress(event.loaded / event.total);
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {}
      if (request.status < 300) resolve(answer);
      else reject(new ServerError(answer.error ?? `${request.status}`));
    };
    request.onerror = () => reject(new ServerError(""));
    request.send(blob);
  });
  return { done, abort: () => request.abort() };
}

// Dispatches one CustomEvent per message, named by its type; binary frames as "pcm". Connects again when it breaks.
export class Live extends EventTarget {
  constructor() {
    super();
    this.tab = null;
    this.watched = null;
    this.pause = 500;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) return this.tell("pcm", new Int16Array(data));
      const message = JSON.parse(data);
      if (message.type === "hello") {
        this.tab = message.tab;
        this.pause = 500;
        this.watch(this.watched);
      }
      this.tell(message.type, message);
    };
    this.socket.onclose = () => {
      this.tab = null;
      this.tell("lost", null);
      setTimeout(() => this.connect(), this.pause);
      this.pause = Math.min(8000, this.pause * 2);
    };
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  on(type, listener) {
    this.addEventListener(type, (event) => listener(event.detail));
  }

  watch(conversation) {
    this.watched = conversation;
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ type: "watch", conversation }));
    }
  }
}
