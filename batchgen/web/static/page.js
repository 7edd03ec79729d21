// The live page: news of the batch, the grid with its filters, and the buttons. Texts are set, never parsed as HTML.
"use strict";
const byId = (id) => document.getElementById(id);
const STATES = ["done", "running", "generated", "pending", "failed", "refused", "held", "expired", "cancelled"];
const number = new Intl.NumberFormat("en");

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

function say(text) {
  // Always there and only empty, so that a screen reader hears what is put in.
  const said = byId("said"), line = element("span", "", text);
  // Each line has its own time: what a button was answered is not wiped out by what came of it. Said again, it stays once.
  for (const one of [...said.children]) if (one.textContent === text) one.remove();
  said.append(line);
  setTimeout(() => line.remove(), 5000 + 60 * text.length);
}

// --- orders ---
async function order(button) {
  const data = button.dataset;
  // Not `disabled`: that takes the focus away from whoever pressed it with a key.
  if (button.ariaDisabled || (data.sure && !confirm(data.sure))) return;
  button.ariaDisabled = "true";
  const body = { what: data.order, id: data.id || null, states: data.states ? data.states.split(",") : [] };
  try {
    const token = document.querySelector('meta[name="batchgen-token"]').content;
    const answer = await fetch("/orders", { method: "POST", body: JSON.stringify(body), headers: { "x-batchgen-token": token } });
    say(answer.ok ? (await answer.json()).said : await answer.text());
  } catch {
    say("the server does not answer");
  }
  button.ariaDisabled = null;
}
// A button that has done its work may be gone: the focus goes to the one that undoes it, or to the page's head.
function show(button, wanted, instead) {
  const focused = document.activeElement === button;
  button.hidden = !wanted;
  if (!wanted && focused) (instead && !instead.hidden ? instead : byId("main")).focus();
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-order]");
  if (button) order(button);
});

// --- how the batch stands ---
function stand(news) {
  const jobs = news.jobs;
  stand.last = news;
  byId("badge").textContent = news.paused ? "paused" : news.alive ? "running" : "no run is going on";
  byId("badge").className = "badge" + (news.alive ? " going" : jobs.total && jobs.done === jobs.total ? " good" : "");
  byId("reason").textContent = news.reason ? "stopped early: " + news.reason : news.rehearsal ? "a rehearsal: nothing is paid" : "";
  byId("done").replaceChildren(number.format(jobs.done), element("small", "", "of " + number.format(jobs.total) + " jobs"));
  byId("saved").textContent = number.format(news.outputs.saved);
  byId("rate").textContent = news.alive && news.rate !== null ? number.format(news.rate) : "–";
  byId("cost").textContent = news.cost_text;
  const pause = byId("pause"), resume = byId("resume");
  if (news.paused) { show(resume, true); show(pause, false, resume); } else { show(pause, news.alive); show(resume, false, pause); }
  const again = jobs.failed + jobs.expired + jobs.cancelled;
  byId("retry").dataset.sure = number.format(again) + (again === 1 ? " job is" : " jobs are") + " taken up again (failed, expired, cancelled). What can be had for free is tried first; the rest is sent again and paid for.";
  show(byId("retry"), jobs.failed + jobs.expired);
  show(byId("fetch"), news.outputs.bad + news.outputs.expired + jobs.held || stand.broken);
  byId("fetch-words").hidden = byId("fetch").hidden;
  for (const name of Object.keys(news.providers)) offer(byId("filters").elements.provider, name);
  const there = STATES.filter((state) => jobs[state]);
  byId("filters").hidden = !jobs.total;
  byId("bar").replaceChildren(...there.map((state) => {
    const part = element("span", state);
    part.style.flexGrow = jobs[state];
    return part;
  }));
  byId("legend").replaceChildren(...there.map((state) => {
    const item = element("li");
    item.append(element("span", "key " + state), number.format(jobs[state]) + " " + state);
    return item;
  }));
  byId("links").hidden = !news.links;
  byId("links").textContent = news.links || "";
  // Once no run is going on, what has nothing to say is left out: the pictures are what people come for.
  const told = Object.entries(news.providers).filter(([, one]) => news.alive || one.waits);
  const items = told.map(([name, one]) => {
    const item = element("li", one.waits ? "waits" : "");
    const flight = one.in_flight + (one.limit === null ? "" : " of " + one.limit) + " in flight";
    item.append(element("b", "", name), element("span", "", flight), element("span", "wait", one.waits));
    return item;
  });
  // Where the images go is waited for as a provider is.
  if (news.store) {
    const item = element("li", "waits");
    item.append(element("b", "", "image store"), element("span", "wait", news.store));
    items.push(item);
  }
  byId("providers").hidden = !items.length;
  byId("providers").replaceChildren(...items);
  const ended = news.jobs.total - jobs.pending - jobs.running - jobs.generated;
  if (ended !== stand.ended) grid.changed();
  stand.ended = ended;
}

// A provider that took over in the night was not there when the page was made.
function offer(select, value) {
  if ([...select.options].some((one) => one.value === value)) return;
  const option = element("option", "", value);
  option.value = value;
  select.append(option);
}

// --- the grid ---
// Width over height, so that a row of cards is as high as one picture; what is very tall or wide gets a margin.
function shape(job) {
  const [width, height] = job.pictures.length ? [job.pictures[0].width, job.pictures[0].height] : job.ratio.split(":").map(Number);
  return Math.min(2.4, Math.max(0.62, width / height || 1));
}
function card(job) {
  const made = element("a", "card");
  made.href = job.page;
  made.dataset.id = job.id;
  made.style.setProperty("--shape", shape(job));
  const shot = element("div", "shot " + job.state);
  if (job.pictures.length) {
    const image = element("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = job.prompt.slice(0, 120);
    image.addEventListener("error", () => {
      image.replaceWith(element("span", "why", "the file is gone, or can't be read"));
      stand.broken = true;
      if (stand.last) stand(stand.last);
    }, { once: true });
    image.src = job.pictures[0].small;
    shot.append(image);
    if (job.pictures.length > 1) shot.append(element("span", "many", job.pictures.length));
  } else {
    shot.append(element("span", "state", job.state));
    if (job.why) shot.append(element("span", "why", job.why));
  }
  const what = element("div", "what");
  what.append(element("b", "", job.id), element("span", "line", job.prompt), element("span", "line", [job.model, job.ratio, job.provider].filter(Boolean).join(" · ")));
  if (job.why && job.pictures.length) what.append(element("span", "why " + job.state, job.why));
  made.append(shot, what);
  return made;
}

const grid = {
  more: null, busy: false, turn: 0,
  query() {
    const chosen = new URLSearchParams(new FormData(byId("filters")));
    for (const [key, value] of [...chosen]) if (!value) chosen.delete(key);
    return chosen;
  },
  async load(afresh) {
    if (this.busy && !afresh) return;
    this.busy = true;
    const turn = ++this.turn;
    const query = this.query();
    history.replaceState(null, "", query.size ? "?" + query : location.pathname);
    if (!afresh && this.more) query.set("after", this.more);
    try {
      const found = await (await fetch("/jobs?" + query)).json();
      if (turn !== this.turn) return;
      const cards = found.jobs.map(card);
      const focused = document.activeElement?.closest?.(".card")?.dataset.id;
      if (afresh) byId("cards").replaceChildren(...cards); else byId("cards").append(...cards);
      if (afresh && focused !== undefined) cards.find((one) => one.dataset.id === focused)?.focus({ preventScroll: true });
      this.more = found.more;
      byId("more").hidden = !found.more;
      byId("none").hidden = byId("cards").childElementCount > 0;
      byId("none").textContent = this.query().size ? "No job fits." : "No job yet: they are here once a run has read its manifest.";
      byId("fresh").hidden = true;
    } catch {
      say("the server does not answer");
    }
    this.busy = false;
    // Watched anew: a foot of the page that was in sight before and still is would not be told again.
    this.foot.disconnect();
    this.foot.observe(byId("more"));
  },
  foot: new IntersectionObserver((seen) => { if (seen[0].isIntersecting) grid.load(false); }, { rootMargin: "600px" }),
  // A grid that is looked at from its top follows the run; one that was scrolled stays and offers what is new.
  changed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (scrollY < 400 && byId("cards").childElementCount <= 60) this.load(true); else byId("fresh").hidden = false;
    }, 700);
  },
};

if (byId("cards")) {
  const asked = new URLSearchParams(location.search);
  for (const field of byId("filters").elements) if (asked.has(field.name)) field.value = asked.get(field.name);
  byId("filters").addEventListener("input", () => {
    clearTimeout(grid.typing);
    grid.typing = setTimeout(() => grid.load(true), 200);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("reload").addEventListener("click", () => { scrollTo(0, 0); grid.load(true); });
  byId("more").addEventListener("click", () => grid.load(false));
  // As it was when the page was made: what ended before the first news came is news too.
  stand.ended = Number(byId("cards").dataset.ended);
  grid.load(true);
  const news = new EventSource("/news");
  news.onmessage = (event) => stand(JSON.parse(event.data));
  news.onerror = () => { byId("badge").textContent = "the server does not answer"; };
  news.addEventListener("end", (event) => {
    news.close();
    stand(JSON.parse(event.data));
    for (const button of document.querySelectorAll("button[data-order]")) show(button, false);
    byId("badge").textContent = "this page has ended";
    byId("fetch-words").hidden = true;
    byId("reason").textContent = "It went with the run, or with its server; batchgen serve shows the batch again.";
  });
}

// --- the page of one job: it says what is so now, and keeps the focus and what was unfolded ---
const job = {
  async load() {
    const here = document.activeElement?.dataset?.order;
    const open = [...document.querySelectorAll("details")].map((one) => one.open);
    const was = byId("state").textContent;
    const found = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html").getElementById("main");
    if (!found) return;
    byId("main").replaceChildren(...found.childNodes);
    document.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? one.open; });
    if (here) (document.querySelector(`button[data-order="${here}"]`) || byId("main")).focus();
    if (byId("state").textContent !== was) say("now " + byId("state").textContent);
  },
};

if (byId("state")) {
  const news = new EventSource("/changes/" + encodeURIComponent(byId("state").dataset.id));
  let seen;
  news.onmessage = (event) => {
    if (seen !== undefined && seen !== event.data) job.load().catch(() => say("the server does not answer"));
    seen = event.data;
  };
  news.addEventListener("end", () => {
    news.close();
    for (const button of document.querySelectorAll("button[data-order]")) show(button, false);
    say("this page has ended: it went with the run, or with its server");
  });
}
