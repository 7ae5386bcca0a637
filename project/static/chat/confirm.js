/** A confirmation before an action that cannot be undone. */

/** Show the `dialog`; return whether its first button, with the label `act`, was pressed. */
export function confirmed(dialog, text, act) {
  const [question, yes] = [dialog.querySelector("p"), dialog.querySelector("[value=yes]")];
  question.textContent = text;
  yes.textContent = act;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
