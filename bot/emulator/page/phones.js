"use strict";

const $ = (id) => document.getElementById(id);
const CHIPS = JSON.parse($("chip-texts").textContent);
const COLOURS = ["#5b8ff9", "#f6903d", "#61b37c", "#9270ca", "#e8684a", "#269a99"];
const KF_POOL = 2, KF_HUMAN = 3;
const KF_STATES = ["未处理", "智能接待", "排队中", "人工接待", "已结束"];
const OUTCOMES = { ok: "已收下", odd: "答得怪", failed: "失败", lost: "丢失", unconfigured: "未配置", pending: "在途" };
const REFUSALS = [
  [/unknown_member/, "服务还不认识这位顾客：先买一单，或在群里、客服里说句话"],
  [/bought nothing/, "这位顾客还没有在门店买过，没有可退的"],
  [/too_much|too much/, "退得比买的多"],
  [/does not follow/, "还没有关注公众号"],
  [/not contacts/, "已经不是好友，发不出去"],
  [/is not in /, "已经不在这个群里"],
  [/were replaced/, "这张卡片已经处理过了"],
  [/state 3/, "先接入，才能回复"],
  [/does not answer/, "服务没有回应：它还在运行吗？"],
];
const TABS = {
  customer: [["group", "客户群"], ["private", "和导购私聊"], ["kf", "微信客服"], ["oa", "公众号"]],
  staff: [["app", "应用消息"], ["group", "客户群"], ["private", "客户私聊"], ["kf", "微信客服"]],
};

const chosen = { customer: null, staff: null, customerTab: "group", staffTab: "app", peer: {} };
const seen = {};
const drawn = {};
const sentOff = new Set();
let view = null, etag = "", offset = 0, toastTimer = 0;

/* ---- small pieces ---- */

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

const two = (n) => String(n).padStart(2, "0");

function beijing(seconds) {
  const day = new Date((seconds + 8 * 3600) * 1000);
  return {
    date: `${day.getUTCFullYear()}-${two(day.getUTCMonth() + 1)}-${two(day.getUTCDate())}`,
    time: `${two(day.getUTCHours())}:${two(day.getUTCMinutes())}`,
    second: two(day.getUTCSeconds()),
  };
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 3500);
}

const refusal = (error = "") => (REFUSALS.find(([words]) => words.test(error)) || ["", `没有成功：${error}`])[1];

async function act(name, body) {
  try {
    const answer = await fetch(`/_emulator/${name}`, { method: "POST", body: JSON.stringify(body) });
    const done = await answer.json();
    if (!answer.ok) toast(refusal(done.error));
    await look();
    return answer.ok ? done : null;
  } catch {
    toast("模拟台没有回应");
    return null;
  }
}

function colour(id) {
  const known = [...view.staff.map((one) => one.userid), ...view.customers.map((one) => one.external_userid)];
  const place = known.indexOf(id);
  return place < 0 ? "#2f6fed" : COLOURS[place % COLOURS.length];
}

function face(id, name) {
  return el("div", { class: "face", style: `background:${colour(id)}` }, [...name][0] || "?");
}

const customer = () => view.customers.find((one) => one.external_userid === chosen.customer) || view.customers[0];
const staff = () => view.staff.find((one) => one.userid === chosen.staff) || view.staff[0];
const nameOf = (id) => (view.customers.find((one) => one.external_userid === id)
  || view.staff.find((one) => one.userid === id) || { name: id }).name;

/* ---- which chat a phone shows ---- */

function peers(role, tab) {
  const me = role === "customer" ? customer() : staff();
  if (tab === "group") return me.groups.map((id) => [id, view.groups.find((one) => one.chat_id === id).name]);
  if (tab === "private") return me.contacts.map((id) => [id, nameOf(id)]);
  if (tab === "kf" && role === "staff") return kfCustomers(me.userid);
  if (tab === "kf") return view.kf.map((one) => [one.open_kfid, one.name]);
  return tab === "oa" && view.oa ? [[view.oa.gh_id, view.oa.name]] : [];
}

/* The kf sessions a servicer sees: in their own hands first, then in the queue, then those they had. */
function kfCustomers(userid) {
  const found = [];
  for (const account of view.kf.filter((one) => one.servicers.includes(userid))) {
    for (const [external, session] of Object.entries(account.sessions)) {
      const mine = session.servicer === userid, spoke = (view.chats[`kf:${account.open_kfid}:${external}`] || []).some((line) => line.from === userid);
      if (mine || session.state === KF_POOL || spoke) found.push([mine ? 0 : session.state === KF_POOL ? 1 : 2, `${account.open_kfid}:${external}`, nameOf(external)]);
    }
  }
  return found.sort((a, b) => a[0] - b[0]).map(([, id, name]) => [id, name]);
}

function kfSession(peer) {
  const [open_kfid, external] = peer.split(":");
  const account = view.kf.find((one) => one.open_kfid === open_kfid);
  return { chat: open_kfid, customer: external, session: account && account.sessions[external] };
}

function peerOf(role, tab) {
  const list = peers(role, tab);
  const me = role === "customer" ? customer().external_userid : staff().userid;
  const wanted = chosen.peer[`${role}:${me}:${tab}`];
  return (list.find(([id]) => id === wanted) || list[0] || [""])[0];
}

function chatKey(role, tab) {
  const peer = peerOf(role, tab);
  if (!peer) return "";
  if (tab === "group") return `group:${peer}`;
  if (tab === "kf") return role === "staff" ? `kf:${peer}` : `kf:${peer}:${customer().external_userid}`;
  if (tab === "oa") return customer().openid ? `oa:${customer().openid}` : "";
  return role === "customer" ? `private:${peer}:${customer().external_userid}` : `private:${staff().userid}:${peer}`;
}

function lastNumber(role, tab) {
  const lines = tab === "app" ? staff().app : view.chats[chatKey(role, tab)] || [];
  const changes = tab === "app" ? lines.reduce((sum, line) => sum + (line.updated || 0), 0) : 0;
  return lines.length ? lines[lines.length - 1].number + changes : 0;
}

/* ---- drawing ---- */

function drawTabs(role) {
  const me = role === "customer" ? customer().external_userid : staff().userid;
  const on = chosen[`${role}Tab`];
  seen[`${me}:${on}`] = lastNumber(role, on);
  const buttons = TABS[role].map(([tab, label]) => {
    const fresh = lastNumber(role, tab) > (seen[`${me}:${tab}`] ?? 0);
    const kind = `${tab === on ? "on" : ""} ${fresh ? "dot" : ""}`;
    return el("button", { type: "button", class: kind, onclick: () => { chosen[`${role}Tab`] = tab; draw(); } }, label);
  });
  $(`${role}-tabs`).replaceChildren(...buttons);
}

function drawTitle(role, tab) {
  const me = role === "customer" ? customer().external_userid : staff().userid;
  const box = $(`${role}-title`);
  const list = peers(role, tab);
  if (tab === "app") { box.replaceChildren("回头助手", el("em", {}, "应用")); return; }
  if (!list.length) { box.replaceChildren(tab === "kf" ? "回头客服" : "—"); return; }
  const peer = peerOf(role, tab);
  const parts = [];
  if (list.length > 1) {
    const picker = el("select", { "aria-label": "和谁" }, ...list.map(([id, name]) => el("option", { value: id }, name)));
    picker.value = peer;
    picker.addEventListener("change", () => { chosen.peer[`${role}:${me}:${tab}`] = picker.value; draw(); });
    parts.push(picker);
  } else parts.push(list[0][1]);
  if (tab === "group") parts.push(el("em", {}, `${view.groups.find((one) => one.chat_id === peer).members.length} 人`));
  if (tab === "kf") {
    const session = role === "staff" ? kfSession(peer).session : view.kf.find((one) => one.open_kfid === peer).sessions[me];
    if (session) {
      const who = session.servicer ? ` · ${nameOf(session.servicer)}` : "";
      parts.push(el("em", {}, `${KF_STATES[session.state]}${who}${role === "customer" ? ` · 已回 ${session.sent}/5` : ""}`));
    }
  }
  box.replaceChildren(...parts);
}

function menuOf(line, role) {
  const items = line.items.map((item) => item.type === "click" && role === "customer"
    ? el("button", { type: "button", onclick: () => speak("customer", item.content, item.id) }, item.content)
    : el("span", {}, item.content));
  return [el("div", { class: "menu" }, ...items), line.tail ? el("div", { class: "tail" }, line.tail) : ""];
}

function bubble(line, me, role) {
  if (line.kind === "note") return el("div", { class: "note" }, `${line.name} ${line.text}`);
  const inside = [line.text, ...(line.kind === "menu" ? menuOf(line, role) : [])];
  return el("div", { class: line.from === me ? "row me" : "row" }, face(line.from, line.name),
    el("div", {}, el("div", { class: "who" }, line.name), el("div", { class: "bubble" }, ...inside)));
}

function withTimes(lines, draws) {
  const out = [];
  let before = 0;
  for (const line of lines) {
    if (line.at - before > 300) {
      const at = beijing(line.at);
      out.push(el("div", { class: "at" }, `${at.date} ${at.time}`));
    }
    before = line.at;
    out.push(draws(line));
  }
  return out;
}

function cardChat(card, text) {
  const words = [text.desc, text.sub_title, ...text.horizontal.map((row) => `${row.keyname} ${row.value}`), text.title].join("\n");
  const me = staff();
  const person = view.customers.find((one) => me.contacts.includes(one.external_userid) && words.includes(one.name));
  const forGroup = !words.includes("只可私聊");
  const group = forGroup && view.groups.find((one) => me.groups.includes(one.chat_id) && words.includes(one.name));
  if (group) return { in: "group", chat: group.chat_id, label: group.name };
  if (person) return { in: "private", chat: person.external_userid, label: person.name };
  return null;
}

function drawCard(line) {
  const card = line.card;
  const rows = card.horizontal.flatMap((row) => [el("dt", {}, row.keyname), el("dd", {}, row.value)]);
  const target = card.quote ? cardChat(line, card) : null;
  const oneTap = target && el("button", { type: "button", onclick: async () => {
    const done = await act("sidebar_send", { staff: staff().userid, in: target.in, chat: target.chat, text: card.quote });
    if (!done) return;
    sentOff.add(line.number);
    drawn.staff = "";
    draw();
    toast(`已发到「${target.label}」`);
  } }, `一键发到「${target.label}」`);
  const gone = sentOff.has(line.number) && target ? el("em", {}, `已发到「${target.label}」`) : "";
  const send = gone || (line.replaced ? "" : oneTap || el("em", {}, "和这位顾客不是好友，发不了消息"));
  const tap = (button) => act("tap", { staff: staff().userid, task_id: line.task_id, key: button.key });
  const keys = line.replaced ? [el("span", {}, line.replaced)] : card.buttons.map((button) =>
    el("button", { type: "button", class: `s${button.style}${line.tapped.includes(button.key) ? " tapped" : ""}`, onclick: () => tap(button) }, button.text));
  return el("div", { class: "card" },
    card.source ? el("div", { class: "source" }, card.source) : "",
    el("h3", {}, card.title),
    card.desc ? el("p", {}, card.desc) : "",
    card.sub_title ? el("p", {}, card.sub_title) : "",
    rows.length ? el("dl", {}, ...rows) : "",
    card.quote ? el("div", { class: "quote" }, card.quote_title ? el("b", {}, card.quote_title) : "", card.quote, send || "") : "",
    keys.length ? el("div", { class: "keys" }, ...keys) : "");
}

/* 群发助手: what waits for the rep's confirmation stands below the messages. */
function massCard(task) {
  const send = async () => {
    const done = await act("mass_confirm", { staff: staff().userid, msgid: task.msgid });
    if (done) toast(`群发出去了，${done.sent} 位顾客收到`);
  };
  return el("div", { class: "card" }, el("div", { class: "source" }, "群发助手"), el("h3", {}, `群发给 ${task.people} 位顾客，待确认`),
    el("div", { class: "quote" }, task.text), el("div", { class: "keys" }, el("button", { type: "button", class: "s1", onclick: send }, "确认群发")));
}

function appLine(line) {
  if (line.recalled) return el("div", { class: "note" }, "一条消息被撤回");
  if (line.card) return drawCard(line);
  const mine = line.from !== "app";
  return el("div", { class: mine ? "row me" : "row" }, face(line.from, mine ? nameOf(line.from) : "回"),
    el("div", {}, el("div", { class: "bubble" }, line.text)));
}

function emptyText(role, tab) {
  if (tab === "app") return "还没有应用消息。顾客在群里说一句「快吃完了」试试。";
  if (role === "staff" && tab === "kf") return "没有转给您的客服会话。顾客在微信客服里说一句「转人工」试试。";
  if (!peers(role, tab).length) return tab === "private" ? "还没有互加好友" : "这里没有会话";
  if (tab === "oa" && !customer().openid) return "还没有关注公众号";
  return "还没有消息，说句话吧";
}

function drawScreen(role, tab) {
  const screen = $(`${role}-screen`);
  const me = role === "customer" ? customer().external_userid : staff().userid;
  const lines = tab === "app" ? staff().app : view.chats[chatKey(role, tab)] || [];
  const tasks = tab === "app" ? staff().mass.filter((task) => !task.confirmed) : [];
  const print = JSON.stringify([me, tab, chatKey(role, tab), lines, tasks]);
  if (drawn[role] === print) return;
  const moved = !drawn[role] || JSON.parse(drawn[role])[2] !== chatKey(role, tab) || JSON.parse(drawn[role])[1] !== tab;
  const low = moved || screen.scrollHeight - screen.scrollTop - screen.clientHeight < 120;
  drawn[role] = print;
  const parts = [...withTimes(lines, tab === "app" ? appLine : (line) => bubble(line, me, role)), ...tasks.map(massCard)];
  screen.replaceChildren(...(parts.length ? parts : [el("div", { class: "empty" }, emptyText(role, tab))]));
  if (low) { screen.style.scrollBehavior = moved ? "auto" : "smooth"; screen.scrollTop = screen.scrollHeight; }
}

function drawChips(role, tab) {
  const texts = role === "staff" && tab !== "app" ? ["好的，马上给您安排", "您上次的搭配还要吗？"] : CHIPS[tab] || [];
  $(`${role}-chips`).replaceChildren(...texts.map((text) =>
    el("button", { type: "button", onclick: () => speak(role, text) }, text)));
}

function actButton(label, work) {
  return el("button", { type: "button", onclick: work }, label);
}

function drawActs() {
  const me = customer(), rep = staff(), tab = chosen.customerTab, acts = [];
  if ($("till-customer")) $("till-customer").textContent = me.name;
  const known = rep.contacts.includes(me.external_userid) && me.contacts.includes(rep.userid);
  const pair = { staff: rep.userid, customer: me.external_userid };
  if (tab === "private") {
    acts.push(known ? actButton(`删除${rep.name}`, () => act("contact", { action: "delete_by_customer", ...pair }))
      : actButton(`扫码加${rep.name}`, () => act("contact", { action: "add", state: "shop-031", ...pair })));
    for (const way of known ? [] : view.ways.filter((one) => one.user.includes(rep.userid))) {
      acts.push(actButton(`扫邀请码 ${way.state.slice(0, 6)} 加${rep.name}`, () => act("contact", { action: "add", state: way.state, ...pair })));
    }
  }
  if (tab === "group") {
    for (const group of view.groups) {
      const inside = me.groups.includes(group.chat_id);
      acts.push(actButton(inside ? `退出${group.name}` : `扫码进${group.name}`,
        () => act("group", { action: inside ? "leave" : "join", chat: group.chat_id, customer: me.external_userid })));
    }
  }
  if (["group", "private", "kf"].includes(tab) && peerOf("customer", tab)) {
    acts.push(actButton("发一张照片", () => act("image", { as: me.external_userid, in: tab, chat: peerOf("customer", tab) })));
  }
  if (tab === "kf") acts.push(actButton("从链接进入客服", () => act("kf_enter", { customer: me.external_userid, chat: peerOf("customer", "kf") })));
  if (tab === "oa") acts.push(actButton(me.subscribed ? "取消关注" : "关注公众号", () => act("oa_follow", { customer: me.external_userid, on: !me.subscribed })));
  $("customer-acts").replaceChildren(...acts);
  const chores = [];
  const served = chosen.staffTab === "kf" && peerOf("staff", "kf") ? kfSession(peerOf("staff", "kf")) : null;
  const step = served && served.session && { [KF_POOL]: ["pick", "接入客服排队"], [KF_HUMAN]: ["end", "结束人工接待"] }[served.session.state];
  if (step) chores.push(actButton(step[1], () => act("kf_servicer", { action: step[0], staff: rep.userid, chat: served.chat, customer: served.customer })));
  if (chosen.staffTab === "private" && rep.contacts.includes(me.external_userid)) {
    chores.push(actButton(`删除顾客${me.name}`, () => act("contact", { action: "delete_by_staff", ...pair })));
  }
  $("staff-acts").replaceChildren(...chores);
}

function drawPicker(id, list, value, labels) {
  const picker = $(id);
  const print = JSON.stringify(list.map(labels));
  if (picker.dataset.print !== print) {
    picker.dataset.print = print;
    picker.replaceChildren(...list.map((one) => el("option", { value: one[value] }, labels(one))));
  }
  picker.value = chosen[id] || list[0][value];
}

function draw() {
  if (!view || !view.customers.length || !view.staff.length) return;
  drawPicker("customer", view.customers, "external_userid", (one) => one.name);
  drawPicker("staff", view.staff, "userid", (one) => (one.title ? `${one.name}（${one.title}）` : one.name));
  for (const role of ["customer", "staff"]) {
    const tab = chosen[`${role}Tab`];
    drawTabs(role);
    drawTitle(role, tab);
    drawScreen(role, tab);
    drawChips(role, tab);
  }
  drawActs();
}

function drawClock() {
  const now = beijing(Date.now() / 1000 + offset);
  $("time").textContent = `${now.date} ${now.time}:${now.second}`;
  $("until").min = beijing(Date.now() / 1000 + offset + 86400).date;
  if (!$("until").value || $("until").value < $("until").min) $("until").value = $("until").min;
  $("ahead").hidden = offset < 60;
  const days = Math.floor(offset / 86400), hours = Math.floor((offset % 86400) / 3600), minutes = Math.round((offset % 3600) / 60);
  $("ahead").textContent = `快了 ${days ? `${days} 天 ` : ""}${hours ? `${hours} 小时 ` : ""}${minutes ? `${minutes} 分` : ""}`.trim();
}

/* ---- log ---- */

function logLine(at, arrow, name, outcome, bad, details) {
  const when = beijing(at);
  return el("li", {}, el("details", {}, el("summary", {}, el("i", {}, `${when.time}:${when.second}`), arrow, el("b", {}, name),
    el("span", { class: bad ? "bad" : "" }, outcome)), ...details.filter(Boolean).map((text) => el("pre", {}, text))));
}

/* The service looks into the archive every few seconds; only what it found there is worth a line. */
const isWorthShowing = (call) => call.endpoint !== "archive/pull" || call.errcode || call.fault || !/"chatdata": ?\[\]/.test(call.answer || "");

async function drawLog() {
  if ($("log").hidden || document.querySelector("#log-lines details[open]")) return;
  const log = await (await fetch("/_emulator/log?last=80")).json();
  const rows = [
    ...log.calls.filter(isWorthShowing).map((call) => [call.at, logLine(call.at, "↙", call.endpoint, call.fault || String(call.errcode ?? "…"),
      Boolean(call.fault || call.errcode), [call.body, call.answer])]),
    ...log.callbacks.map((sent) => [sent.at, logLine(sent.at, "↗", sent.kind, sent.attempts.length > 1 ? `${OUTCOMES[sent.outcome]} ×${sent.attempts.length}` : OUTCOMES[sent.outcome],
      !["ok", "pending"].includes(sent.outcome), [sent.inner, sent.attempts.map((one) => `${one.status} ${one.verdict} ${one.took_ms}ms`).join("\n")])]),
  ];
  rows.sort((a, b) => b[0] - a[0]);
  $("log-lines").replaceChildren(...rows.map((row) => row[1]));
}

/* ---- doing ---- */

function speak(role, text, menuId = "") {
  const tab = chosen[`${role}Tab`];
  const me = role === "customer" ? customer().external_userid : staff().userid;
  if (tab !== "app" && !peerOf(role, tab)) { toast(emptyText(role, tab)); return; }
  if (role === "staff" && tab === "kf") {
    const { chat, customer: external } = kfSession(peerOf(role, tab));
    act("kf_servicer", { action: "say", staff: me, chat, customer: external, text });
    return;
  }
  act("say", { as: me, in: tab, chat: peerOf(role, tab), text, menu_id: menuId });
}

async function look() {
  const answer = await fetch("/_emulator/view", { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
  if (answer.status === 304) return;
  etag = answer.headers.get("ETag") || "";
  const first = view === null;
  view = await answer.json();
  offset = view.clock.offset_s;
  if (first) {
    for (const one of view.customers) for (const [tab] of TABS.customer) markSeen("customer", one.external_userid, tab);
    for (const one of view.staff) for (const [tab] of TABS.staff) markSeen("staff", one.userid, tab);
  }
  draw();
  drawClock();
}

function markSeen(role, id, tab) {
  const before = chosen[role];
  chosen[role] = id;
  seen[`${id}:${tab}`] = lastNumber(role, tab);
  chosen[role] = before;
}

for (const role of ["customer", "staff"]) {
  $(role).addEventListener("change", () => { chosen[role] = $(role).value; draw(); });
  $(`${role}-form`).addEventListener("submit", (event) => {
    event.preventDefault();
    const field = event.target.elements.text;
    if (field.value.trim()) speak(role, field.value.trim());
    field.value = "";
  });
}
for (const button of document.querySelectorAll("[data-push]")) {
  button.addEventListener("click", () => act("clock", { push_s: Number(button.dataset.push) }));
}
$("push-until").addEventListener("click", () => {
  const morning = Date.parse(`${$("until").value}T09:05:00+08:00`) / 1000;
  const ahead = morning - Date.now() / 1000 - offset;
  if (ahead > 0) act("clock", { push_s: ahead });
  else toast("选一个以后的日子");
});
for (const button of document.querySelectorAll("[data-till]")) {
  button.addEventListener("click", async () => {
    if (await act("till", { label: button.dataset.till, customer: customer().external_userid })) toast(`${customer().name}：${button.dataset.till}`);
  });
}
$("open-log").addEventListener("click", () => { $("log").hidden = !$("log").hidden; drawLog(); });
$("close-log").addEventListener("click", () => { $("log").hidden = true; });
$("reset").addEventListener("click", () => { if (confirm("清空手机上的会话？服务记得的（积分、订单、打扰过几次）和时钟不变；要全部重来，请停下再 make demo。")) act("reset", {}); });

/* A screen that shrinks keeps its last line in sight. */
const kept = new ResizeObserver((changes) => { for (const { target } of changes) if (target.dataset.low === "1") target.scrollTop = target.scrollHeight; });
for (const screen of document.querySelectorAll(".screen")) {
  kept.observe(screen);
  screen.addEventListener("scroll", () => { screen.dataset.low = screen.scrollHeight - screen.scrollTop - screen.clientHeight < 120 ? "1" : ""; });
}

const wanted = new URLSearchParams(location.hash.slice(1));
for (const key of ["customer", "staff", "customerTab", "staffTab"]) if (wanted.get(key)) chosen[key] = wanted.get(key);
if (wanted.get("log")) $("log").hidden = false;

async function tick() {
  try { await look(); await drawLog(); } catch { toast("模拟台没有回应，稍后再试"); }
  setTimeout(tick, document.hidden ? 5000 : 1000);
}
setInterval(drawClock, 1000);
tick();
