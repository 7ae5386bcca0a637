/** The usual transport: a WebSocket. A transport of `transport.js`. */

const NDJSON = "realtime.v1.ndjson";
const TOKEN_PROTOCOL = "realtime.token.";

const escaped = (text) => encodeURIComponent(text).replace(/[()]/g, (mark) => (mark === "(" ? "%28" : "%29"));

export const websocket = {
  open({ url, token, subprotocols, signal }, { onFrame, onEnd }) {
    let socket;
    const end = (code, reason) => signal.aborted || onEnd(code, reason);
    // The token goes into a header of the handshake, because proxies log addresses.
    const connect = async () => {
      const address = await url();
      const given = signal.aborted ? null : await token();
      if (signal.aborted) return;
      socket = new WebSocket(address, given ? [...subprotocols, TOKEN_PROTOCOL + escaped(given)] : subprotocols);
      socket.onclose = ({ code, reason }) => end(code, reason);
      socket.onmessage = ({ data }) => signal.aborted || onFrame(String(data)); // a binary frame is no JSON
    };
    connect().catch((error) => end(1006, String(error?.message ?? error)));
    return {
      name: "websocket",
      // A server that knows no NDJSON reads one object a frame.
      send(text) {
        if (socket?.readyState !== 1) return;
        for (const part of socket.protocol === NDJSON ? [text] : text.split("\n")) socket.send(part);
      },
      close: () => socket?.close(),
      get bufferedAmount() {
        return socket?.bufferedAmount ?? 0;
      },
    };
  },
};
