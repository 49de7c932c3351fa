// The page's words in the chosen language.

let tables = null;
let language = "en";

export async function loadWords() {
  tables = await (await fetch("/api/static/texts.json")).json();
}

export function setLanguage(name) {
  language = name in tables ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

export function word(key, values = {}) {
  return tables[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
