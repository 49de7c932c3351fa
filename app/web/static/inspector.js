// The drawer that shows how a turn was made: pictures first, the numbers as JSON on demand.

import { button, el } from "./dom.js";
import { experts } from "./experts.js";
import { call } from "./server.js";
import { timeline } from "./timeline.js";
import { marksOf, waterfall } from "./waterfall.js";
import { inLanguage, word } from "./words.js";

export class Inspector {
  constructor(place) {
    this.place = el("aside", { class: "inspector", hidden: true, "aria-label": word("inspector"), tabindex: "-1", onkeydown: (event) => event.key === "Escape" && this.close() });
    this.turn = null;
    place.append(this.place);
  }

  async open(turn, opener) {
    this.turn = turn.id;
    this.opener = opener;
    this.place.hidden = false;
    this.place.setAttribute("aria-label", word("inspector"));
    this.fill(el("p", { class: "thinking" }, word("reading")));
    let found;
    try {
      found = await call("GET", `/turns/${turn.id}/inspection`);
    } catch (error) {
      return this.fill(el("p", { class: "error" }, error.message || word("unreachable")));
    }
    if (this.turn !== turn.id) return;
    this.fill(...this.sections(found, turn));
    this.place.focus({ preventScroll: true });
  }

  close() {
    if (this.place.hidden) return;
    this.place.hidden = true;
    this.turn = null;
    this.opener?.isConnected && this.opener.focus();
  }

  fill(...content) {
    const header = el("header", { class: "row" }, el("h2", {}, word("inspector")), el("span", { class: "space" }), button("close", word("close"), () => this.close()));
    this.place.replaceChildren(header, el("div", { class: "sections" }, ...content));
  }

  sections(found, turn) {
    const parts = [section(word("route"), route(found, turn))];
    if (marksOf(found)) parts.push(section(word("latency"), waterfall(found)));
    if (found.layout) parts.push(section(word("timeline"), timeline(found, turn)));
    if (found.route?.experts?.counts?.length) parts.push(section(word("experts"), experts(found.route.experts)));
    parts.push(section(word("figures"), figures(found)));
    const raw = el("pre", { tabindex: "0" });
    const json = el("details", { class: "json", ontoggle: () => json.open && !raw.textContent && (raw.textContent = JSON.stringify(short(found), null, 2)) }, el("summary", {}, "JSON"), raw);
    return [...parts, json];
  }
}

function section(title, ...content) {
  return el("section", {}, el("h3", {}, title), ...content.filter(Boolean));
}

function route(found, turn) {
  const who = found.route?.backend ?? "thinker";
  const rows = [el("p", { class: "route" }, el("strong", {}, found.model ?? who), el("span", { class: "badge" }, who))];
  if (found.route?.reason) rows.push(el("p", { class: "soft" }, inLanguage(found.route.reasons, found.route.reason)));
  if (turn.reasoning?.ms) rows.push(el("p", { class: "soft" }, word("thought for", { sec: (turn.reasoning.ms / 1000).toFixed(1) })));
  return el("div", {}, ...rows);
}

// What was counted, and the rates that follow from it.
function figures(found) {
  const { usage = {}, marks_ms: marks = {}, memory_mib: memory = {} } = found;
  // What a backend wrote is only read out here: its own tokens count, and no rate of reading is one of writing.
  const byBackend = found.route?.usage;
  const written = byBackend ? byBackend.completion_tokens : usage.text_tokens;
  const span = (first, last) => (marks[last] > marks[first] ? (marks[last] - marks[first]) / 1000 : null);
  const rate = (count, sec, unit) => (count > 1 && sec ? `${((count - 1) / sec).toFixed(1)} ${unit}` : null);
  const made = span("read", "last_audio");
  const reading = span("appended", "read");
  const cells = [
    [word("prompt tokens"), usage.prompt_tokens, word("newly read", { count: usage.prefill_tokens ?? 0 })],
    [word("text tokens"), written, byBackend ? null : rate(written, span("first_text", "last_text"), word("a second"))],
    [word("codec tokens"), usage.codes || null, rate(usage.codes, span("first_code", "last_code"), word("a second"))],
    [word("reading speed"), usage.prefill_tokens && reading ? Math.round(usage.prefill_tokens / reading) : null, word("tokens a second")],
    [word("speech"), found.speech_sec ? `${found.speech_sec.toFixed(1)} s` : null, made && found.speech_sec ? word("real time", { factor: (made / found.speech_sec).toFixed(2) }) : null],
    [word("heard"), found.heard_ms ? `${(found.heard_ms / 1000).toFixed(1)} s` : null, null],
    [word("memory"), memory.process ? `${Math.round(memory.process)} MiB` : null, memory.peak ? word("at most", { mib: Math.round(memory.peak) }) : null],
    [word("caches"), memory.caches !== undefined ? `${memory.caches} MiB` : null, memory.gpu ? `GPU ${Math.round(memory.gpu)} MiB` : null],
  ].filter(([, value]) => value !== null && value !== undefined);
  if (!cells.length) return el("p", { class: "soft" }, word("nothing measured"));
  return el("dl", { class: "figures" }, ...cells.map(([name, value, note]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)), note ? el("dd", { class: "soft" }, note) : null)));
}

// Thumbnails, outlines and tokens are long and can be seen above.
function short(found) {
  const media = (found.media ?? []).map(({ thumbnails, peaks, ...rest }) => ({ ...rest, thumbnails: thumbnails?.length, peaks: peaks?.length }));
  const used = found.route?.experts;
  const route = used ? { ...found.route, experts: { ...used, tokens: used.tokens.length } } : found.route;
  return { ...found, route, media };
}
