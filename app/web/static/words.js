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

// Sentences that the server has in every language; plain: one of them where it kept no others.
export function inLanguage(sentences, plain) {
  return sentences?.[language] ?? plain;
}

export function word(key, values = {}) {
  return tables[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
