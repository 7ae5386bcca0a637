/** A question before what cannot be undone. */

/** Show the `dialog`; whether its first button, named by `act`, was pressed. */
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
