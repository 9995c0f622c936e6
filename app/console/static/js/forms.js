// What was typed into a form that came too late, because the session had ended: kept in this tab, and put back when the
// same user is on a page with that form again. Nothing is sent by itself. Secrets and hidden fields are not kept.

const KEY = "zenmux-gateway-form";
const LEFT_OUT = ["hidden", "password", "file", "submit", "button"];
const user = document.querySelector("[data-user]")?.dataset.user; // undefined: nobody is signed in; "": the admin key

function typedFields(form) {
  return [...form.elements].filter((field) => field.name && !LEFT_OUT.includes(field.type));
}

function store(kept) {
  sessionStorage.setItem(KEY, JSON.stringify(kept));
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const fields = typedFields(form).map(({ name, type, checked, value }) => [name, type === "checkbox" ? checked : value]);
  if (event.defaultPrevented || form.method !== "post" || !fields.length || user === undefined) return;
  store({ user, action: form.getAttribute("action"), fields, isLost: false });
});

function note(form) {
  const text = document.createElement("p");
  text.textContent = "Your session had ended, so this form was not sent. What you typed is in it again: look it through, then send it.";
  const box = document.createElement("div");
  box.className = "note warn";
  box.setAttribute("role", "alert");
  box.append(text);
  form.prepend(box);
  form.scrollIntoView({ block: "center" });
}

// Where the form is, whatever the page is called: after a refusal, that is another address. False if it is not here.
function putBack({ action, fields }) {
  const forms = [...document.querySelectorAll(`form[method="post"][action="${CSS.escape(action)}"]`)];
  const form = forms.find((each) => fields.every(([name]) => each.elements[name]));
  if (!form) return false;
  for (const [name, value] of fields) {
    if (typeof value === "boolean") form.elements[name].checked = value;
    else form.elements[name].value = value;
  }
  for (const closed of document.querySelectorAll("details:not([open])")) closed.open = closed.contains(form);
  note(form);
  return true;
}

const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
const isSignedOut = document.querySelector("[data-signed-out]") !== null;
if (kept && isSignedOut) {
  store({ ...kept, isLost: true });
  document.querySelector("[data-remembered]").hidden = false;
} else if (kept && user !== undefined) {
  const isBack = kept.isLost && kept.user === user && putBack(kept);
  // It arrived, it is put back, or somebody else is here now.
  if (isBack || !kept.isLost || kept.user !== user) sessionStorage.removeItem(KEY);
}
