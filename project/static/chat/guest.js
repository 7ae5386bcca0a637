/** Guests: the token that the browser stores, and the form for a name. */

const TOKEN_KEY = "realtime.guest";
const NAME_CHARACTERS = 40;

/**
 * Return the stored token. With a value, store it; with null, delete it.
 * @param {string | null} [value]
 */
export function guestToken(value) {
  try {
    if (value === undefined) return localStorage.getItem(TOKEN_KEY);
    if (value) localStorage.setItem(TOKEN_KEY, value);
    else localStorage.removeItem(TOKEN_KEY);
  } catch {
    // Without storage, a guest exists as long as the page.
  }
  return value ?? null;
}

export class NameForm {
  /** `elements`: form, name, error, composer (which it replaces); `chosen(name)` is called with a valid name. */
  constructor(elements, chosen) {
    this.form = elements.form;
    this.name = elements.name;
    this.error = elements.error;
    this.composer = elements.composer;
    this.chosen = chosen;
    this.form.addEventListener("submit", (event) => this.#submit(event));
  }

  ask(problem = "") {
    this.composer.hidden = true;
    this.form.hidden = false;
    this.error.textContent = problem;
    this.error.hidden = !problem;
    this.name.focus();
  }

  hide() {
    this.form.hidden = true;
    this.composer.hidden = false;
  }

  #submit(event) {
    event.preventDefault();
    const name = this.name.value.trim();
    if ([...name].length > NAME_CHARACTERS) this.ask(`A name has at most ${NAME_CHARACTERS} characters.`);
    else if (name) this.chosen(name);
  }
}
