// The playground: what is typed is scored, and the report shown. No library, no build step.
// Whatever a person or the service wrote is set as text, never as markup.

const WORDS = {
  en: {
    skip: "To the draft", claim: "Reads a draft before it is published, and says what a customer will hear.",
    languages: "Language of this page", writing: "Write", examples: "Try an example",
    to: "The message it answers (none for a post)", draft: "Your draft",
    draft_help: "It is scored while you type.", brand: "Brand", about: "What the brand is about",
    channel: "Channel", any_channel: "Any", email: "Email", sms: "Text message", blog: "Blog",
    key: "API key (this service asks for one)", reading: "Read",
    empty: "Write a draft or choose an example: the scores come here.",
    dimensions: "The tone, in parts", marked: "Where it shows",
    note: "Choose an underlined passage to see what it does.",
    unanswered: "Left unanswered", hints: "What to change", no_hints: "Nothing to change.", undo: "Undo",
    apply: "Apply", add: "Add", remove: "Remove", instead: "Write instead", for_example: "For example",
    curl: "The same with curl", json: "Request and answer as JSON", copy: "Copy", copied: "Copied.",
    kept: "Nothing that you write is kept.", docs: "API documentation",
    unreachable: "The service cannot be reached.", busy: "The service is busy; it is asked again in a moment.",
    sure: "confidence", raises: "raises", lowers: "lowers", limit: "limit", here: "Something is missing here",
    applied: "Applied.", from_to: "{name} from {from} to {to}", undone: "Undone.",
    publish: "Publish", revise: "Revise", hold: "Hold",
    unjudged: "Not judged", unjudged_says: "It could not be judged: {reason}.",
    publish_says: "It can go out as it is.", revise_says: "Better not as it is: see the hints.",
    hold_says: "A person should read this before it goes out.",
    tone: "Tone", defensiveness: "Defensiveness", relevance: "Relevance", spam: "Spam",
    "tone.poor": "Sounds harsh or cold", "tone.fair": "Sounds neutral", "tone.good": "Sounds warm and courteous",
    "defensiveness.low": "Does not defend itself", "defensiveness.medium": "Defends itself somewhat",
    "defensiveness.high": "Defends itself instead of answering",
    "relevance.poor": "Beside the point", "relevance.fair": "Touches the point", "relevance.good": "To the point",
    "spam.low": "Not pushy", "spam.medium": "Somewhat pushy", "spam.high": "Reads like spam",
    warmth: "Warmth", politeness: "Politeness", formality: "Formality", hostility: "Hostility", enthusiasm: "Enthusiasm",
    unsupported_language: "this language is not supported", no_encoder_for_language: "the model does not read this language",
    no_context: "there is nothing to hold it against", no_text: "there is no text", deadline: "there was no time",
    low: "low", medium: "medium", high: "high", severity: "Weight",
  },
  ar: {
    skip: "إلى المسودة", claim: "تُقرأ المسودة قبل نشرها، لتعرف ما الذي سيسمعه العميل.",
    languages: "لغة هذه الصفحة", writing: "الكتابة", examples: "جرّب مثالا",
    to: "الرسالة التي ترد عليها (تُترك فارغة للمنشور)", draft: "مسودتك",
    draft_help: "تُقيَّم أثناء الكتابة.", brand: "العلامة", about: "مجال العلامة",
    channel: "القناة", any_channel: "أي قناة", email: "بريد إلكتروني", sms: "رسالة نصية", blog: "مدونة",
    key: "مفتاح الواجهة (هذه الخدمة تطلبه)", reading: "القراءة",
    empty: "اكتب مسودة أو اختر مثالا: تظهر الدرجات هنا.",
    dimensions: "النبرة بالتفصيل", marked: "أين يظهر ذلك",
    note: "اختر مقطعا تحته خط لترى أثره.",
    unanswered: "بقي بلا رد", hints: "ما الذي يُغيَّر", no_hints: "لا شيء يحتاج إلى تغيير.", undo: "تراجع",
    apply: "طبّق", add: "أضف", remove: "احذف", instead: "اكتب بدلا منه", for_example: "مثلا",
    curl: "الطلب نفسه باستخدام curl", json: "الطلب والجواب بصيغة JSON", copy: "انسخ", copied: "نُسخ.",
    kept: "لا يُحفظ شيء مما تكتبه.", docs: "توثيق الواجهة البرمجية",
    unreachable: "تعذر الوصول إلى الخدمة.", busy: "الخدمة مشغولة؛ ستُعاد المحاولة بعد لحظة.",
    sure: "درجة الثقة", raises: "يرفع", lowers: "يخفض", limit: "الحد", here: "ينقص شيء هنا",
    applied: "طُبّق.", from_to: "{name} من {from} إلى {to}", undone: "تم التراجع.",
    publish: "للنشر", revise: "للمراجعة", hold: "للإيقاف",
    unjudged: "لم تُقيَّم", unjudged_says: "تعذر تقييمها: {reason}.",
    publish_says: "يمكن نشرها كما هي.", revise_says: "الأفضل ألا تُنشر كما هي: انظر الملاحظات.",
    hold_says: "يجب أن يقرأها شخص قبل نشرها.",
    tone: "النبرة", defensiveness: "الدفاعية", relevance: "الصلة بالموضوع", spam: "الإزعاج",
    "tone.poor": "تبدو قاسية أو باردة", "tone.fair": "تبدو محايدة", "tone.good": "تبدو ودودة ومهذبة",
    "defensiveness.low": "لا تدافع عن نفسها", "defensiveness.medium": "تدافع عن نفسها قليلا",
    "defensiveness.high": "تدافع عن نفسها بدل أن تجيب",
    "relevance.poor": "خارج الموضوع", "relevance.fair": "تمس الموضوع", "relevance.good": "في صلب الموضوع",
    "spam.low": "لا تلحّ", "spam.medium": "تلحّ قليلا", "spam.high": "تُقرأ كرسالة مزعجة",
    warmth: "الدفء", politeness: "التهذيب", formality: "الرسمية", hostility: "العدائية", enthusiasm: "الحماسة",
    unsupported_language: "هذه اللغة غير مدعومة", no_encoder_for_language: "النموذج لا يقرأ هذه اللغة",
    no_context: "لا يوجد ما تُقارن به", no_text: "لا يوجد نص", deadline: "لم يكفِ الوقت",
    low: "خفيفة", medium: "متوسطة", high: "كبيرة", severity: "الأهمية",
  },
  he: {
    skip: "לטיוטה", claim: "קורא את הטיוטה לפני הפרסום, ואומר מה הלקוח ישמע בה.",
    languages: "שפת העמוד", writing: "כתיבה", examples: "דוגמאות לנסות",
    to: "ההודעה שעליה עונים (ריק לפוסט)", draft: "הטיוטה שלך",
    draft_help: "הציון מתעדכן תוך כדי הקלדה.", brand: "המותג", about: "במה המותג עוסק",
    channel: "ערוץ", any_channel: "כל ערוץ", email: "דואר אלקטרוני", sms: "מסרון", blog: "בלוג",
    key: "מפתח API (השירות הזה מבקש אחד)", reading: "קריאה",
    empty: "אפשר לכתוב טיוטה או לבחור דוגמה: הציונים יופיעו כאן.",
    dimensions: "הטון לפרטיו", marked: "איפה רואים את זה",
    note: "בחירה בקטע מסומן מראה מה הוא עושה.",
    unanswered: "נשאר בלי מענה", hints: "מה לשנות", no_hints: "אין מה לשנות.", undo: "ביטול",
    apply: "החלה", add: "הוספה", remove: "הסרה", instead: "לכתוב במקום", for_example: "לדוגמה",
    curl: "אותה בקשה עם curl", json: "הבקשה והתשובה כ-JSON", copy: "העתקה", copied: "הועתק.",
    kept: "שום דבר שנכתב כאן לא נשמר.", docs: "תיעוד ה-API",
    unreachable: "אי אפשר להגיע לשירות.", busy: "השירות עמוס; עוד רגע ננסה שוב.",
    sure: "ביטחון", raises: "מעלה", lowers: "מוריד", limit: "סף", here: "כאן חסר משהו",
    applied: "הוחל.", from_to: "{name} מ-{from} ל-{to}", undone: "בוטל.",
    publish: "לפרסם", revise: "לתקן", hold: "לעצור",
    unjudged: "לא הוערך", unjudged_says: "לא היה אפשר להעריך: {reason}.",
    publish_says: "אפשר לפרסם כמו שזה.", revise_says: "עדיף לא כמו שזה: ראו את ההצעות.",
    hold_says: "אדם צריך לקרוא את זה לפני הפרסום.",
    tone: "טון", defensiveness: "התגוננות", relevance: "רלוונטיות", spam: "ספאם",
    "tone.poor": "נשמע קשה או קר", "tone.fair": "נשמע ניטרלי", "tone.good": "נשמע חם ואדיב",
    "defensiveness.low": "לא מתגונן", "defensiveness.medium": "מתגונן במידה מסוימת",
    "defensiveness.high": "מתגונן במקום לענות",
    "relevance.poor": "לא לעניין", "relevance.fair": "נוגע בעניין", "relevance.good": "לעניין",
    "spam.low": "לא דוחק", "spam.medium": "דוחק במידה מסוימת", "spam.high": "נקרא כמו ספאם",
    warmth: "חום", politeness: "נימוס", formality: "רשמיות", hostility: "עוינות", enthusiasm: "התלהבות",
    unsupported_language: "השפה הזאת לא נתמכת", no_encoder_for_language: "המודל לא קורא את השפה הזאת",
    no_context: "אין למה להשוות", no_text: "אין טקסט", deadline: "לא היה מספיק זמן",
    low: "נמוך", medium: "בינוני", high: "גבוה", severity: "משקל",
  },
};
const SCORES = ["tone", "defensiveness", "relevance", "spam"];
const GOOD_IS_HIGH = new Set(["tone", "relevance"]);
const PAUSE_MS = 250; // after the last key; a report takes some ten milliseconds
const RETRY_MS = 1000;

const $ = (id) => document.getElementById(id);
const say = (key) => WORDS[language][key];
// The same digits and order in every language, isolated so that the % sign stays on its side.
const isolated = (format) => (value) => `\u2066${format.format(value)}\u2069`;
const percent = isolated(new Intl.NumberFormat("en", { style: "percent" }));
const change = isolated(new Intl.NumberFormat("en", { style: "percent", signDisplay: "exceptZero" }));

let language = "en";
let examples = {};
let asked = null; // the request that the report shown answers
let report = null;
let before = []; // texts that an applied hint replaced
let pending = new AbortController();
let timer = 0;

/** Make an element: its class, its attributes, and what it holds (text or elements). */
function make(tag, { class: name = "", ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// --- what is asked ---------------------------------------------------------------------------

function request() {
  const filled = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
  const context = filled({ in_reply_to: $("to").value.trim(), channel: $("channel").value });
  const brand = filled({ name: $("brand").value.trim(), about: $("about").value.trim() });
  return {
    text: $("draft").value,
    hint_language: language,
    ...(Object.keys(context).length && { context }),
    ...(Object.keys(brand).length && { brand }),
  };
}

/** POST and return the answer; null where it was overtaken by a newer request or refused (and said so). */
async function post(path, body) {
  pending.abort();
  pending = new AbortController();
  const { signal } = pending;
  const key = $("key").value.trim();
  let response, answer;
  try {
    response = await fetch(path, {
      method: "POST", signal, body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) },
    });
    answer = await response.json();
  } catch (error) {
    if (!signal.aborted) complain(say("unreachable"));
    return null;
  }
  if (response.ok) {
    complain("");
    return answer;
  }
  if (response.status === 401 || response.status === 403) $("key-row").hidden = false;
  const isBusy = response.status === 503 || response.status === 429;
  if (isBusy) score(RETRY_MS * (Number(response.headers.get("Retry-After")) || 1));
  complain(isBusy ? say("busy") : [answer.title, ...(answer.errors ?? []).map((e) => `${e.pointer}: ${e.detail}`)].join(" "));
  return null;
}

function complain(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text;
}

/** Score what stands in the form, once nothing was typed for a while. */
function score(wait_ms = PAUSE_MS) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    const body = request();
    if (!body.text.trim()) {
      pending.abort();
      complain("");
      return show(null, null);
    }
    const answer = await post("/v1/score", body);
    if (answer) show(body, answer);
  }, wait_ms);
}

async function apply(hint) {
  if ($("draft").value !== asked.text) return; // typed on since: this hint is about to be replaced
  clearTimeout(timer);
  const body = asked;
  const answer = await post("/v1/rewrite", { ...body, apply: [hint.id] });
  if (!answer || $("draft").value !== body.text) return; // typed on meanwhile: it is kept, and scored
  before.push(body.text);
  $("draft").value = answer.text;
  show({ ...body, text: answer.text }, answer.report, answer.before);
  ($("hints").querySelector("button") ?? $("undo")).focus();
}

function undo() {
  if (!before.length) return;
  $("draft").value = before.pop();
  show(asked, report);
  $("said").textContent = say("undone");
  $("draft").focus();
  score(0);
}

/** The draft is another one: there is nothing to go back to. */
function forget() {
  before = [];
  $("undo").hidden = true;
}

// --- what is shown ---------------------------------------------------------------------------

/** Show a report on what was asked; `old` is the report before a hint was applied. */
function show(body, answer, old = null) {
  asked = body;
  report = answer;
  $("report").hidden = !answer;
  $("empty").hidden = Boolean(answer);
  if (!answer) {
    forget();
    $("said").textContent = "";
    return;
  }
  showVerdict();
  $("scores").replaceChildren(...SCORES.map((name) => scoreOf(name, old)));
  showDimensions();
  showMarked();
  $("unanswered-part").hidden = !report.unanswered.length;
  $("unanswered").replaceChildren(...report.unanswered.map((point) => make("li", { dir: "auto" }, point.quote)));
  $("undo").hidden = !before.length;
  const isUnjudged = verdict().action === "unjudged";
  $("marked-part").hidden = $("hints-title").hidden = isUnjudged;
  $("no-hints").hidden = isUnjudged || Boolean(report.hints.length);
  $("hints").replaceChildren(...report.hints.map(card));
  $("curl-text").textContent = curl(body);
  $("json-text").textContent = `${JSON.stringify(body, null, 2)}\n\n${JSON.stringify(report, null, 2)}`;
  $("said").textContent = summary(old);
}

function summary(old) {
  const moves = old ? SCORES.map((name) => move(name, old)).filter(Boolean) : [];
  const values = SCORES.filter((name) => report.scores[name]).map((name) => `${say(name)} ${percent(report.scores[name].value)}`);
  const { action, means } = verdict();
  const told = action === "unjudged" ? means : say(action);
  return [...(old ? [say("applied")] : []), told, ...(moves.length ? moves : values)].join(". ");
}

/** How a score moved, in words; empty where it did not. */
function move(name, old) {
  const [from, to] = [old, report].map((r) => r.scores[name] && percent(r.scores[name].value));
  if (!from || !to || from === to) return "";
  return say("from_to").replace("{name}", say(name)).replace("{from}", from).replace("{to}", to);
}

/** The verdict and what it means; 'publish' says nothing where no check could be made. */
function verdict() {
  const isUnjudged = report.verdict.action === "publish" && !Object.keys(report.scores).length;
  const action = isUnjudged ? "unjudged" : report.verdict.action;
  return { action, means: say(`${action}_says`).replace("{reason}", say(report.not_evaluated[0]?.reason)) };
}

function showVerdict() {
  const { action, means } = verdict();
  const because = report.verdict.reasons.map((reason) => {
    const parts = [];
    if (reason.cue) parts.push(make("bdi", {}, make("code", {}, reason.cue)));
    if (reason.score) parts.push(make("bdi", {}, nameOf(reason.score), ` ${percent(reason.value)} (${say("limit")} ${percent(reason.limit)})`));
    return make("li", {}, ...parts.flatMap((part, n) => (n ? [" · ", part] : [part])));
  });
  $("verdict").className = `verdict ${action}`;
  $("verdict").replaceChildren(
    make("strong", { id: "action" }, say(action)), " ", make("span", {}, means), make("ul", {}, ...because),
  );
}

/** A score's or a tone dimension's name ('tone.hostility') in the page's language. */
function nameOf(score) {
  return say(score.split(".").pop());
}

function bar(label, value, words) {
  const fill = make("span", { class: "fill" });
  fill.style.inlineSize = `${value * 100}%`;
  return make("span", {
    class: "bar", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 1,
    "aria-valuenow": value.toFixed(2), "aria-valuetext": words,
  }, fill);
}

function scoreOf(name, old) {
  const found = report.scores[name];
  if (!found) {
    const missing = report.not_evaluated.find((entry) => entry.check === name);
    return make("div", { class: "score none", id: `score-${name}` },
      make("h3", {}, say(name)), make("p", { class: "value" }, "–"), make("p", { class: "quiet" }, missing ? say(missing.reason) : ""));
  }
  const words = say(`${name}.${found.band}`);
  const level = { good: "good", low: "good", fair: "middling", medium: "middling", poor: "bad", high: "bad" }[found.band];
  const box = make("div", { class: `score ${level}`, id: `score-${name}` },
    make("h3", {}, say(name)),
    make("p", { class: "value" }, percent(found.value)),
    bar(say(name), found.value, `${percent(found.value)}, ${words}`),
    make("p", {}, words),
    make("p", { class: "quiet" }, `${say("sure")} ${percent(found.confidence)}`));
  const moved = old && move(name, old);
  if (moved) box.append(make("p", { class: "moved" }, moved));
  return box;
}

function showDimensions() {
  const dimensions = report.scores.tone?.dimensions;
  $("tone").hidden = !dimensions;
  $("dimensions").replaceChildren(...Object.entries(dimensions ?? {}).flatMap(([name, value]) => [
    make("dt", {}, say(name)),
    make("dd", {}, bar(say(name), value, percent(value)), make("span", {}, percent(value))),
  ]));
}

// --- the text with its passages --------------------------------------------------------------

/** Everything that points into the text: hints, then evidence of all scores. */
function passages() {
  const evidence = SCORES.flatMap((name) => (report.scores[name]?.evidence ?? []).map((e) => ({ ...e, score: name })));
  const hints = report.hints.map((hint) => ({ ...hint, hint, score: hint.cue.split(".")[0] }));
  return [...hints, ...evidence].filter((passage) => passage.end > passage.start || passage.hint);
}

/** Whether evidence speaks for the draft: warmth is welcome, defence is not. */
function isWelcome(passage) {
  return !passage.hint && passage.weight > 0 === GOOD_IS_HIGH.has(passage.score);
}

// The marks are plain inline spans: a button would be isolated and break the order of mixed directions.
function showMarked() {
  const found = passages();
  const cuts = [...new Set([0, asked.text.length, ...found.flatMap((p) => [p.start, p.end])])].sort((a, b) => a - b);
  const parts = [];
  cuts.forEach((start, n) => {
    const missing = found.filter((p) => p.start === start && p.end === start);
    if (missing.length) parts.push(mark("+", missing));
    const end = cuts[n + 1];
    if (end === undefined) return;
    const covering = found.filter((p) => p.start <= start && end <= p.end);
    const words = asked.text.slice(start, end);
    parts.push(covering.length ? mark(words, covering) : words);
  });
  $("marked").replaceChildren(...parts);
  $("note").textContent = found.length ? say("note") : "";
}

function mark(words, covering) {
  const first = covering[0];
  const tone = covering.every(isWelcome) ? "welcome" : first.score;
  const isMissing = first.start === first.end;
  const hinted = covering.find((p) => p.hint);
  // Only a hint is somewhere to go; evidence is explained, and that is all.
  const role = hinted ? "button" : "mark";
  const element = make("span", { class: `mark ${isMissing ? "missing" : tone}`, role, tabindex: 0 }, words);
  if (isMissing) element.setAttribute("aria-label", say("here"));
  const explain = () => {
    $("note").replaceChildren(...covering.map((p) => make("span", { dir: "auto" }, p.hint ? p.hint.message : meaning(p))));
    light(covering);
  };
  element.addEventListener("mouseenter", explain);
  element.addEventListener("mouseleave", () => light([]));
  // The note is this passage's only while it has the focus.
  element.addEventListener("focus", () => {
    explain();
    element.setAttribute("aria-describedby", "note");
  });
  element.addEventListener("blur", () => {
    light([]);
    element.removeAttribute("aria-describedby");
  });
  element.passages = covering;
  if (!hinted) return element;
  const go = () => $(`hint-${hinted.hint.id}`).focus();
  element.addEventListener("click", go);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    go();
  });
  return element;
}

function meaning(evidence) {
  return `${say(evidence.weight > 0 ? "raises" : "lowers")} ${say(evidence.score)} (\u2068${evidence.cue}\u2069)`;
}

/** Bring forward the cards of these passages. */
function light(covering) {
  const ids = new Set(covering.filter((p) => p.hint).map((p) => `hint-${p.hint.id}`));
  for (const item of $("hints").children) item.classList.toggle("lit", ids.has(item.id));
}

// --- hints -----------------------------------------------------------------------------------

function card(hint) {
  const item = make("li", { id: `hint-${hint.id}`, class: `hint ${hint.severity}`, tabindex: -1 });
  if (hint.quote) item.append(make("blockquote", { dir: "auto" }, hint.quote));
  item.append(make("p", { dir: "auto" }, hint.message));
  if (hint.example) item.append(make("p", { class: "quiet" }, `${say("for_example")}: `, make("bdi", {}, hint.example)));
  item.append(make("p", { class: "quiet" }, `${say("severity")}: ${say(hint.severity)}`));
  const [words] = hint.replacements;
  if (words !== undefined) {
    const verb = words === "" ? "remove" : hint.start === hint.end ? "add" : "instead";
    if (words) item.append(make("p", {}, `${say(verb)}: `, make("q", { dir: "auto" }, words.trim())));
    const button = make("button", { type: "button", class: "apply" }, say(words === "" ? "remove" : "apply"));
    button.addEventListener("click", () => apply(hint));
    item.append(make("div", { class: "row" }, button, gains(hint.gain ?? {})));
  }
  const light = (on) => [...$("marked").children].forEach((m) => m.classList.toggle("lit", on && m.passages.some((p) => p.hint === hint)));
  item.addEventListener("mouseenter", () => light(true));
  item.addEventListener("focusin", () => light(true));
  item.addEventListener("mouseleave", () => light(false));
  item.addEventListener("focusout", () => light(false));
  return item;
}

/** What a hint's edit is worth, score by score. */
function gains(gain) {
  const told = Object.entries(gain).filter(([, by]) => Math.abs(by) >= 0.005);
  return make("ul", { class: "gains" }, ...told.map(([name, by]) =>
    make("li", { class: by > 0 === GOOD_IS_HIGH.has(name) ? "better" : "worse" }, `${say(name)} ${change(by)}`)));
}

// --- curl and copying ------------------------------------------------------------------------

function curl(body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  const key = $("key").value && ' \\\n  -H "Authorization: Bearer $SOFTANSWER_KEY"';
  return `curl -s ${location.origin}/v1/score \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'`;
}

async function copy(source) {
  getSelection().selectAllChildren(source);
  // Only pages over HTTPS or on this machine may write to the clipboard; elsewhere the selection is left to copy.
  await navigator.clipboard?.writeText(source.textContent);
  if (navigator.clipboard) $("said").textContent = say("copied");
}

// --- language and examples -------------------------------------------------------------------

function speak(tag) {
  language = tag;
  document.documentElement.lang = tag;
  document.documentElement.dir = tag === "en" ? "ltr" : "rtl";
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const button of $("languages").children) button.setAttribute("aria-pressed", button.value === tag);
  history.replaceState(null, "", `?lang=${tag}`);
  const offered = Object.entries(examples).filter(([name]) => name.startsWith(`${tag}-`));
  $("examples").replaceChildren(...offered.map(([, example]) => {
    const button = make("button", { type: "button" }, example.title);
    button.addEventListener("click", () => fill(example.request));
    return make("li", {}, button);
  }));
}

function fill({ text, context = {}, brand = {} }) {
  $("draft").value = text;
  $("to").value = context.in_reply_to ?? "";
  $("channel").value = context.channel ?? "";
  $("brand").value = brand.name ?? "";
  $("about").value = brand.about ?? "";
  forget();
  score(0);
}

async function start() {
  const wanted = [new URLSearchParams(location.search).get("lang"), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  speak(wanted.find((tag) => Object.hasOwn(WORDS, tag)) ?? "en");
  $("form").addEventListener("submit", (event) => event.preventDefault());
  $("form").addEventListener("input", () => score());
  $("draft").addEventListener("input", forget);
  $("undo").addEventListener("click", undo);
  for (const button of $("languages").children) {
    button.addEventListener("click", () => {
      speak(button.value);
      score(0);
    });
  }
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy($(button.dataset.copies)));
  examples = await (await fetch("/playground/examples.json")).json();
  speak(language);
}

start();
