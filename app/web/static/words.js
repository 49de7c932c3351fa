// The page's words in the chosen language.

let tables = null;
let problems = {};
let language = "en";

export async function loadWords() {
  let known;
  [tables, known] = await Promise.all(["texts", "problems"].map(async (name) => (await fetch(`/api/static/${name}.json`)).json()));
  problems = Object.fromEntries(Object.entries(known).map(([name, lines]) => [name, Object.entries(lines).map(([line, said]) => [pattern(line), said])]));
}

// What the server says in English, in the page's language where it is a sentence that the page knows.
export function problem(line) {
  for (const [shape, said] of problems[language] ?? []) {
    const found = shape.exec(line);
    if (found) return said.replace(/\{(\d)\}/g, (_, index) => found[Number(index) + 1]);
  }
  return line;
}

// A sentence with places {0}, {1}, … for names and numbers.
function pattern(line) {
  const literal = line.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${literal.replace(/\{\d\}/g, "(.+?)")}$`, "su");
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
