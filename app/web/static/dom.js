// Elements, icons, and nothing that takes markup from elsewhere except `html`, which only the server's renderer fills.

const SHAPES = {
  add: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M20 11.5 12 19.5a5 5 0 0 1-7-7l8.5-8.5a3.4 3.4 0 0 1 4.8 4.8L9.8 17.3a1.7 1.7 0 0 1-2.4-2.4l7.8-7.8",
  mic: "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5 11v1a7 7 0 0 0 14 0v-1M12 19v3",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  again: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  down: "M12 4v12M6 11l6 6 6-6M5 21h14",
  below: "M12 5v14M6 13l6 6 6-6",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  close: "M6 6l12 12M18 6L6 18",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.500h4M4 14.500h4M16 9.500h4M16 14.500h4",
  alert: "M12 8v5M12 16.500h.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  up: "M12 21V9M6 14l6-6 6 6M5 4h14",
  box: "M4 4h6M4 4v6M20 4h-6M20 4v6M4 20h6M4 20v-6M20 20h-6M20 20v-6",
  bars: "M4 7h16M4 12h16M4 17h16",
  pulse: "M3 12h4l2.5-7 4 14 3-9 1.5 2h3",
  wave: "M7 12.500V6a1.500 1.500 0 0 1 3 0v5M10 11V4.500a1.500 1.500 0 0 1 3 0V11M13 11V6a1.500 1.500 0 0 1 3 0v6M16 9.500a1.500 1.500 0 0 1 3 0V15a6 6 0 0 1-6 6h-1a6 6 0 0 1-5-2.700L4.300 14a1.600 1.600 0 0 1 2.700-1.700",
  thought: "M9 18h6M10 21h4M8 14a6 6 0 1 1 8 0c-.8.7-1 1.3-1 2H9c0-.7-.2-1.3-1-2z",
  phone: "M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2z",
  hangup: "M3 14c5-5 13-5 18 0l-2.5 3-4-1.5v-2.6a9 9 0 0 0-5 0v2.6L5.500 17z",
  muted: "M9 5a3 3 0 0 1 6 1v4M15 13a3 3 0 0 1-6-1V9M5 11v1a7 7 0 0 0 11 5.700M19 12v-1M12 19v3M4 3l16 18",
  screen: "M3 5h18v11H3zM9 20h6M12 16v4",
  speaker: "M4 9h4l5-4v14l-5-4H4zM16 9a4 4 0 0 1 0 6M18.500 6.500a8 8 0 0 1 0 11",
  hand: "M12 3v9M8 8v5a4 4 0 0 0 8 0v-3M5 21h14",
  sliders: "M4 7h10M18 7h2M4 17h2M10 17h10M14 4v6M6 14v6",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

// el("button", {class: "x", onclick: f, "aria-label": "…", html: trusted}, child, …)
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "html") element.innerHTML = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// A button that shows an icon and says its name; `shown` puts the name beside the icon.
export function button(shape, name, onclick, properties = {}, shown = false) {
  return el(
    "button",
    { type: "button", class: shown ? "labelled" : "round", title: shown ? null : name, "aria-label": shown ? null : name, onclick, ...properties },
    icon(shape),
    shown ? el("span", {}, name) : null,
  );
}

export function mounted(id) {
  return new Promise((resolve) => {
    const found = document.getElementById(id);
    if (found) return resolve(found);
    const watch = new MutationObserver(() => {
      const now = document.getElementById(id);
      if (now) {
        watch.disconnect();
        resolve(now);
      }
    });
    watch.observe(document.documentElement, { childList: true, subtree: true });
  });
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function bytes(count) {
  return count >= 1 << 20 ? `${(count / (1 << 20)).toFixed(1)} MB` : `${Math.max(1, Math.round(count / 1024))} kB`;
}
