// A tab of a test: one client that joins a room, sends and notes all that it is told. A function of its options.
async ({ user, room: slug, hasTabs, hasOffline, hasHttp }) => {
  const load = (name) => import(`/static/realtime/${name}.js`);
  const [{ RealtimeClient }, { tabs }, { offline }, { http }] = await Promise.all(["client", "tabs", "offline", "http"].map(load));
  const notes = { told: [], acked: [], failed: [], rejections: [], errors: [], changes: [], resets: 0 };
  addEventListener("unhandledrejection", ({ reason }) => notes.rejections.push(String(reason)));
  const options = {
    user,
    tabs: hasTabs ? tabs() : undefined,
    offline: hasOffline ? offline({ guests: user === "guest:" }) : undefined,
    fallback: hasHttp ? http() : undefined,
  };
  const client = new RealtimeClient(options);
  const room = client.room(slug);
  const note = (state) => notes.changes.push([Math.round(performance.timeOrigin + performance.now()), state]);
  client.on("state", ({ state, transport, code }) => {
    notes.transport = transport;
    notes.code = code;
    note(state);
  });
  client.on("error", ({ error }) => notes.errors.push(error.code));
  room.on("message", ({ message }) => notes.told.push([message.seq, message.content]));
  room.on("reset", () => notes.resets++);
  const send = (content) => room.send(content).then(() => notes.acked.push(content), ({ code }) => notes.failed.push([content, code]));
  let isSending = false;
  window.tab = {
    client,
    room,
    notes,
    send,
    // Send `<name> 0`, `<name> 1` … until `stop`, with so many that wait for their ack: timers of hidden tabs are slow.
    burst(name, waiting) {
      isSending = true;
      let number = 0;
      const next = () => void (isSending && send(`${name} ${number++}`).then(next));
      for (let one = 0; one < waiting; one++) next();
    },
    stop: () => (isSending = false),
    isIdle: () => client.state === "open" && room.state === "live" && !room.pending.some(({ status }) => status !== "failed"),
    waiting: () => room.pending.filter(({ status }) => status !== "failed").length,
    stored: () => room.pending.filter(({ isStored }) => isStored).map(({ content }) => content),
  };
  void room.join({ history: 0 });
}
