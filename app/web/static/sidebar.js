// The list of conversations: new, search, rename, delete with undo, export, import.

import { button, el, icon } from "./dom.js";
import { ServerError, call, upload } from "./server.js";
import { word } from "./words.js";

const FORMATS = { md: "Markdown", json: "JSON" };
const SPOKEN_FORMATS = { srt: "SRT", vtt: "VTT", wav: "WAV" };

// open(id or null): show that conversation, or an empty new one. say(text, action): a passing message. titled(title): what
// the shown conversation is called now.
export class Sidebar {
  constructor(place, { open, say, titled }) {
    this.open = open;
    this.titled = titled;
    this.say = say;
    this.current = null;
    this.place = place;
    this.query = "";
    this.draw();
  }

  draw() {
    this.list = el("ul", { class: "conversations" });
    this.search = el("input", {
      type: "search",
      placeholder: word("search"),
      "aria-label": word("search"),
      oninput: () => {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.refresh(), 200);
      },
    });
    this.search.value = this.query;
    const file = el("input", { type: "file", accept: "application/json,.json", hidden: true, onchange: () => this.take(file) });
    this.place.replaceChildren(
      el(
        "nav",
        { "aria-label": word("conversations") },
        el("p", { class: "brand" }, el("img", { src: "/api/static/logo.svg", alt: "", width: 36, height: 24 }), "Tandem"),
        button("add", word("new conversation"), () => this.open(null), { class: "labelled primary", id: "new-conversation" }, true),
        this.search,
        this.list,
        el("div", { class: "row" }, file, button("up", word("import"), () => file.click(), { class: "labelled quiet" }, true)),
      ),
    );
    return this.refresh();
  }

  select(conversation) {
    this.current = conversation;
    for (const item of this.list.children) {
      const chosen = item.dataset.id === conversation;
      item.classList.toggle("current", chosen);
      item.querySelector("a")?.[chosen ? "setAttribute" : "removeAttribute"]("aria-current", "page");
    }
  }

  async refresh() {
    this.query = this.search.value.trim();
    let found;
    try {
      found = await call("GET", `/conversations?search=${encodeURIComponent(this.query)}`);
    } catch {
      return; // the connection's own message says so
    }
    if (this.list.querySelector("form")) return; // a name is being edited
    const hadFocus = this.list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.id : null;
    this.list.replaceChildren(...found.map((one) => this.item(one)));
    if (!found.length) {
      this.list.append(el("li", { class: "none" }, word(this.query ? "nothing found" : "no conversations")));
    }
    this.select(this.current);
    const shown = found.find((one) => one.id === this.current);
    if (shown) this.titled(shown.title);
    if (hadFocus) this.list.querySelector(`li[data-id="${hadFocus}"] a`)?.focus();
  }

  item(conversation) {
    const title = conversation.title || word("untitled");
    const link = el(
      "a",
      {
        href: `#c=${conversation.id}`,
        title,
        onclick: (event) => {
          event.preventDefault();
          this.open(conversation.id);
        },
      },
      title,
      conversation.excerpt ? el("span", { class: "excerpt" }, ...this.marked(conversation.excerpt)) : null,
    );
    const formats = { ...FORMATS, ...(conversation.spoken ? SPOKEN_FORMATS : {}) };
    const actions = el(
      "details",
      {
        class: "menu",
        onkeydown: (event) => {
          if (event.key !== "Escape") return;
          actions.open = false;
          actions.querySelector("summary").focus();
        },
        onfocusout: (event) => actions.contains(event.relatedTarget) || (actions.open = false),
      },
      el("summary", { "aria-label": `${word("more")}: ${title}`, title: word("more") }, icon("more")),
      el(
        "div",
        { class: "choices" },
        button("edit", word("rename"), () => this.rename(conversation, item), { class: "labelled quiet" }, true),
        ...Object.entries(formats).map(([kind, name]) =>
          el(
            "a",
            { class: "labelled quiet", href: `/api/conversations/${conversation.id}/export.${kind}`, download: "" },
            icon("down"),
            `${word("export as")} ${name}`,
          ),
        ),
        button("trash", word("delete"), () => this.remove(conversation), { class: "labelled quiet danger" }, true),
      ),
    );
    const item = el("li", { "data-id": conversation.id }, link, actions);
    return item;
  }

  // What was searched for stands out.
  marked(text) {
    const words = this.query.split(/\s+/).filter(Boolean).map((one) => one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return words.length ? text.split(new RegExp(`(${words.join("|")})`, "iu")).map((piece, index) => (index % 2 ? el("mark", {}, piece) : piece)) : [text];
  }

  rename(conversation, item) {
    const input = el("input", { "aria-label": word("rename"), maxlength: 120 });
    input.value = conversation.title;
    let done = false;
    const leave = async (save) => {
      if (done) return;
      done = true;
      const title = input.value.trim();
      item.replaceWith(this.item(conversation));
      if (save && title && title !== conversation.title) {
        await this.attempt(() => call("PATCH", `/conversations/${conversation.id}`, { title }));
      }
      await this.refresh();
      this.list.querySelector(`li[data-id="${conversation.id}"] a`)?.focus();
    };
    const form = el("form", { onsubmit: (event) => (event.preventDefault(), leave(true)) }, input);
    input.addEventListener("blur", () => leave(true));
    input.addEventListener("keydown", (event) => event.key === "Escape" && leave(false));
    item.replaceChildren(form);
    input.select();
    input.focus();
  }

  async remove(conversation) {
    if (!(await this.attempt(() => call("DELETE", `/conversations/${conversation.id}`)))) return;
    if (this.current === conversation.id) this.open(null);
    await this.refresh();
    this.say(word("deleted"), word("undo"), async () => {
      await this.attempt(() => call("POST", `/conversations/${conversation.id}/restore`));
      await this.refresh();
      this.open(conversation.id);
    });
  }

  async take(file) {
    const chosen = file.files[0];
    file.value = "";
    if (!chosen) return;
    const found = await this.attempt(() => upload("/import", chosen, chosen.name, () => {}).done);
    if (!found) return;
    await this.refresh();
    this.open(found.id);
    this.say(word("imported"));
  }

  async attempt(work) {
    try {
      return (await work()) ?? true;
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.say(error.message || word("unreachable"));
      return null;
    }
  }
}
