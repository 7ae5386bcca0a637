// Submits the page of an action that is done in parts; without JavaScript there is its button.
"use strict";
document.querySelector("form[data-realtime-continue]")?.requestSubmit();
