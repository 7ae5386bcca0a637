/** Return the options that `{% realtime_config %}` has written into the page: `url`, `http` and `user`. */
export function readConfig(id = "realtime-config") {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no element "${id}". Write {% realtime_config %} into its template.`);
  return JSON.parse(element.textContent);
}
