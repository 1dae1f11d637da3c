// The cleaner's page: draws what the desk (cleaner_desk.py) answers. Whoever starts it says how questions get there: by HTTP (the page),
// or by a notebook's messages (the widget). Texts are set as text only, never as HTML.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((c) => c !== null));
  return element;
}

const percent = (share) => (share === null || share === undefined ? "" : `${Math.round(share * 100)}\u00a0%`);
const KEYS = [
  ["arrows", "move, from the first picture on"], ["k", "keep"], ["d", "delete"], ["1 to 9", "give that label"], ["a", "accept the suggestion"], ["c", "choose among all labels"],
  ["Backspace", "take this choice back"], ["u", "undo the last choice"], ["n, p", "next, previous page"],
];

class Cleaner {
  constructor(root, transport) {
    Object.assign(this, { root, transport, rows: [], offset: 0, total: 0, at: 0, last: Promise.resolve() });
    root.classList.add("burnish-cleaner");
  }

  async ask(op, args = {}) {
    const mine = this.last.then(() => this.transport.ask(op, args)); // one after another
    this.last = mine.catch(() => null);
    let answer;
    try {
      answer = await mine;
    } catch (error) {
      answer = { error: `No answer: the program that showed this has stopped, or is busy (${error.message}). What was chosen is kept.` };
    }
    if (answer.error) this.say(answer.error, true);
    else if (answer.notes) this.say(answer.notes.join("\n"));
    return answer;
  }

  say(text, bad = false) {
    this.message.textContent = text;
    this.message.className = bad ? "message bad" : "message";
  }

  async start() {
    this.message = make("p", { class: "message", role: "status", "aria-live": "polite" });
    this.root.replaceChildren(this.message);
    const about = await this.ask("start");
    if (about.error) return;
    this.about = about;
    this.sort = this.select("order", Object.entries(about.sorts));
    this.label = this.select("class", [["", "all classes"], ...about.labels.map((name, i) => [i, name])]);
    this.split = this.select("split", [["", "all splits"], ...about.splits.map((name) => [name, name])]);
    this.shown = this.select("show", Object.entries(about.shown));
    this.counts = make("div", { class: "counts", "aria-live": "polite" });
    this.applies = make("button", { class: "main", type: "button", onclick: () => this.plan() }, "Apply …");
    const revert = make("button", { type: "button", onclick: () => this.revert() }, "Undo last apply");
    const undo = make("button", { type: "button", onclick: () => this.undo() }, "Undo choice");
    const filters = [["Order", this.sort], ["Class", this.label], ["Split", this.split], ["Show", this.shown]].filter(([, s]) => s.options.length > 1);
    this.grid = make("div", { class: "grid", role: "group", "aria-label": "pictures", onkeydown: (event) => this.key(event) });
    this.grid.style.setProperty("--cell", `${Math.max(about.width * 0.8, 170)}px`);
    this.grid.style.setProperty("--tall", `${about.height}px`);
    this.asks = make("div");
    this.before = make("button", { type: "button", onclick: () => this.page(-1) }, "Previous");
    this.after = make("button", { type: "button", onclick: () => this.page(1) }, "Next");
    this.where = make("span", { class: "soft", role: "status" });
    const keys = make("details", {}, make("summary", {}, "Keys"));
    for (const [key, does] of KEYS) keys.append(make("div", {}, make("kbd", {}, key), ` ${does}`));
    const numbered = about.labels.slice(0, 9).map((name, i) => `${i + 1} ${name}`).join("   ");
    if (numbered) keys.append(make("div", { class: "soft" }, numbered));
    keys.append(make("div", { class: "soft" }, `Choices are kept in ${about.folder}. Nothing changes on disk before you apply.`));
    const top = make("div", { class: "bar top" }, ...filters.map(([name, s]) => make("label", {}, name, s)), this.counts, undo, revert, this.applies);
    this.root.replaceChildren(top, this.message, this.asks, this.grid, make("div", { class: "bar end" }, this.before, this.after, this.where), keys);
    await this.load(0);
  }

  select(name, options) {
    const made = make("select", { name, onchange: () => this.load(0) });
    for (const [value, text] of options) made.append(make("option", { value }, text));
    return made;
  }

  async load(offset, focus = null) {
    const label = this.label.value === "" ? null : Number(this.label.value);
    const args = { sort: this.sort.value, label, split: this.split.value || null, shown: this.shown.value, offset };
    const number = (this.number = (this.number || 0) + 1);
    const found = await this.ask("list", args);
    if (found.error || number !== this.number) return; // a later question is on its way
    Object.assign(this, { rows: found.rows, total: found.total, offset: found.offset, at: 0 });
    this.count(found);
    this.grid.replaceChildren(...this.rows.map((row, place) => this.card(row, place)));
    if (!this.rows.length) this.grid.append(make("p", { class: "soft" }, "No pictures here."));
    const last = this.offset + this.rows.length;
    this.where.textContent = this.total ? `${this.offset + 1} to ${last} of ${this.total}` : "";
    this.before.disabled = this.offset === 0;
    this.after.disabled = last >= this.total;
    if (focus !== null && this.rows.length) this.focus(focus < 0 ? this.rows.length - 1 : focus);
  }

  count(found) {
    const chosen = [`${found.deleted} to delete`, `${found.relabelled} to relabel`, `${found.kept} kept`];
    this.counts.textContent = `Of all ${found.n} pictures: ${chosen.join(", ")}`;
    this.applies.disabled = found.deleted + found.relabelled === 0;
    this.applies.textContent = this.applies.disabled ? "Apply …" : `Apply ${found.deleted + found.relabelled} …`;
  }

  card(row, place) {
    const shown = row.do === "relabel" ? `→ ${row.to}` : { delete: "delete", keep: "keep" }[row.do];
    const image = make("img", { alt: `${row.file}, labelled ${row.label}`, loading: "lazy" });
    const picture = make("div", { class: "picture" }, image, shown ? make("span", { class: "badge" }, shown) : null);
    image.addEventListener("error", () => image.replaceWith(make("span", { class: "soft" }, "can't be shown")));
    this.transport.thumb(row.id).then((url) => (url ? (image.src = url) : image.dispatchEvent(new Event("error"))), () => image.dispatchEvent(new Event("error")));
    const caption = make("figcaption", {}, make("strong", {}, row.label ?? "no label"));
    if (row.prediction !== null) {
      const right = row.prediction === row.label;
      caption.append(make("div", { class: right ? "" : "wrong" }, `predicted ${row.prediction} ${percent(row.probability)}`));
    }
    const facts = [row.split, row.loss === null ? null : `loss ${row.loss.toFixed(2)}`].filter(Boolean).join(", ");
    if (facts) caption.append(make("div", { class: "soft" }, facts));
    if (row.about) caption.append(make("div", { class: "about" }, row.about));
    caption.append(make("div", { class: "soft" }, row.file));
    const pick = (do_, to = null) => () => this.choose(place, do_, to);
    const labels = make("select", { "aria-label": "label", tabindex: -1, onchange: (e) => (e.target.value === "" ? null : this.choose(place, "relabel", Number(e.target.value))) });
    labels.append(make("option", { value: "" }, "label …"));
    this.about.labels.forEach((name, i) => labels.append(make("option", { value: i, selected: row.do === "relabel" && name === row.to }, name)));
    const does = make("div", { class: "does" });
    if (row.suggested_number !== null) does.append(make("button", { type: "button", tabindex: -1, class: "accept", onclick: pick("relabel", row.suggested_number) }, `→ ${row.suggested}`));
    does.append(
      make("button", { type: "button", tabindex: -1, "aria-pressed": row.do === "keep" ? "true" : "false", onclick: pick(row.do === "keep" ? null : "keep") }, "Keep"),
      make("button", { type: "button", tabindex: -1, "aria-pressed": row.do === "delete" ? "true" : "false", onclick: pick(row.do === "delete" ? null : "delete") }, "Delete"),
      labels,
    );
    const said = `${row.file}: ${row.label}${row.prediction === null ? "" : `, predicted ${row.prediction} ${percent(row.probability)}`}${shown ? `, chosen: ${shown}` : ""}`;
    return make("figure", { class: row.do || "", tabindex: place === this.at ? 0 : -1, "data-id": row.id, "aria-label": said, onfocusin: () => this.here(place) }, picture, caption, does);
  }

  here(place) {
    if (place === this.at) return;
    this.grid.children[this.at]?.setAttribute("tabindex", -1);
    this.grid.children[place]?.setAttribute("tabindex", 0);
    this.at = place;
  }

  focus(place) {
    this.here(place);
    this.grid.children[place]?.focus();
  }

  // What is chosen goes out in the order of the keys, and the next picture has the focus at once: who types fast never chooses twice for one.
  async choose(place, do_, to = null, move = false) {
    const row = this.rows[place];
    if (!row) return;
    if (move && place + 1 < this.rows.length) this.focus(place + 1);
    const answer = await this.ask("choose", { row: row.id, do: do_, to });
    if (!answer.error) this.replace(answer);
  }

  replace(answer) {
    this.count(answer);
    const place = answer.row ? this.rows.findIndex((row) => row.id === answer.row.id) : -1;
    if (place < 0) return -1;
    const old = this.grid.children[place];
    const inside = old.contains(document.activeElement) || old.contains(old.getRootNode().activeElement);
    this.rows[place] = answer.row;
    old.replaceWith(this.card(answer.row, place));
    if (inside) this.focus(place);
    return place;
  }

  async undo() {
    const answer = await this.ask("undo");
    if (answer.error) return;
    if (!answer.row) return this.say("There is no choice of this session to undo.");
    const place = this.replace(answer);
    if (place >= 0) return this.focus(place);
    this.say(`Undone: ${answer.row.file}, on another page.`);
  }

  page(step) {
    const to = this.offset + step * this.about.max_n;
    if (to >= 0 && to < this.total) this.load(to, step > 0 ? 0 : -1);
  }

  columns() {
    return getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") {
      if (event.key === "Escape") this.focus(this.at);
      return;
    }
    const { rows, at } = this;
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - this.columns(), ArrowDown: at + this.columns(), Home: 0, End: rows.length - 1 };
    const row = rows[at];
    const does = {
      k: () => this.choose(at, "keep", null, true), d: () => this.choose(at, "delete", null, true),
      a: () => row?.suggested_number !== null && this.choose(at, "relabel", row.suggested_number, true),
      c: () => this.grid.children[at]?.querySelector("select").focus(), u: () => this.undo(), n: () => this.page(1), p: () => this.page(-1),
      Backspace: () => this.choose(at, null),
    };
    if (event.key in moves) {
      const to = moves[event.key];
      if (to >= 0 && to < rows.length) this.focus(to);
    } else if (event.key in does) does[event.key]();
    else if (/^[1-9]$/.test(event.key)) {
      if (Number(event.key) <= this.about.labels.length) this.choose(at, "relabel", Number(event.key) - 1, true);
    } else return;
    event.preventDefault();
    event.stopPropagation(); // a notebook has keys of its own
  }

  // Keys that come while nothing is focused, on a page of its own: they mean the picture that is next.
  listen() {
    document.addEventListener("keydown", (event) => {
      if (event.target !== document.body || !this.grid || this.asks.hasChildNodes()) return;
      if (event.key.startsWith("Arrow")) this.focus(this.at);
      this.key(event);
      if (event.key.startsWith("Arrow")) event.preventDefault();
    });
  }

  async plan() {
    const plan = await this.ask("plan");
    if (plan.error) return;
    const close = () => this.asks.replaceChildren();
    const yes = make("button", { class: "main", type: "button", onclick: () => (close(), this.apply()) }, `Yes, change ${plan.total} file(s)`);
    const files = make("ul", { class: "files", tabindex: 0, "aria-label": "files" });
    for (const one of plan.files) files.append(make("li", {}, one.do === "delete" ? `delete ${one.file}` : one.to === one.file ? one.file : `${one.file} → ${one.to}`));
    if (plan.total > plan.files.length) files.append(make("li", {}, `and ${plan.total - plan.files.length} more`));
    const says = make("ul", {}, ...plan.says.map((text) => make("li", {}, text)));
    const box = make("div", { class: "ask", role: "alertdialog", "aria-label": "Apply?" }, make("strong", {}, "Apply?"), says, files,
      make("p", { class: "soft" }, "It is written to a list of changes, and can be undone."), make("div", { class: "does" }, yes, make("button", { type: "button", onclick: close }, "Not yet")));
    this.asks.replaceChildren(box);
    yes.focus();
  }

  async apply() {
    const answer = await this.ask("apply");
    if (answer.error) return;
    if (!answer.notes) this.say(`${answer.done} change(s) made. "Undo last apply" takes them back.`);
    await this.load(this.offset);
  }

  async revert() {
    const answer = await this.ask("revert");
    if (answer.error) return;
    this.say(`${answer.done} change(s) taken back.`);
    await this.load(this.offset);
  }
}

function byHttp(token) {
  return {
    async ask(op, args) {
      const headers = { "Content-Type": "application/json", "X-Burnish-Token": token };
      const answer = await fetch("ask", { method: "POST", headers, body: JSON.stringify({ op, args }) });
      if (!answer.ok) throw new Error(await answer.text());
      return answer.json();
    },
    thumb: async (row) => `thumb/${row}?t=${encodeURIComponent(token)}`,
  };
}

function byMessages(model) {
  const waiting = new Map();
  let number = 0;
  const base = `${Date.now()}-${Math.random()}`; // two views of one widget don't take each other's answers
  const listen = (message) => {
    waiting.get(message.number)?.(message.answer);
    waiting.delete(message.number);
  };
  model.on("msg:custom", listen);
  const ask = (op, args) => new Promise((done) => {
    const mine = `${base}-${++number}`;
    waiting.set(mine, done);
    model.send({ number: mine, op, args });
  });
  return { ask, thumb: async (row) => (await ask("thumb", { row })).url, close: () => model.off("msg:custom", listen) };
}

function render({ model, el }) {
  const transport = byMessages(model);
  const root = document.createElement("div");
  el.append(root);
  // A notebook's own keys (x cuts the cell) don't reach it from in here.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => event.ctrlKey || event.metaKey || event.stopPropagation());
  new Cleaner(root, transport).start();
  return () => transport.close();
}

const page = document.getElementById("cleaner");
if (page?.dataset.token) {
  const cleaner = new Cleaner(page, byHttp(page.dataset.token));
  cleaner.start();
  cleaner.listen();
}

export default { render };
