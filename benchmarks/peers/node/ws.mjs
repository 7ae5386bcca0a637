// ws and Redis Pub/Sub: the path is the room, and everybody in it gets what anybody says.

import { createClient } from "redis";
import { WebSocket, WebSocketServer } from "ws";

const publisher = createClient({ url: process.env.REDIS_URL });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const rooms = new Map();
const asBuffers = true;

await subscriber.pSubscribe(
  "room:*",
  (text, channel) => {
    for (const client of rooms.get(channel.toString()) ?? []) {
      if (client.readyState === WebSocket.OPEN) client.send(text, { binary: false });
    }
  },
  asBuffers,
);

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env.PORT) });

server.on("connection", (client, request) => {
  const channel = `room:${request.url.slice(1)}`;
  if (!rooms.has(channel)) rooms.set(channel, new Set());
  const members = rooms.get(channel).add(client);
  client.on("error", console.error);
  client.on("message", (data) => publisher.publish(channel, data));
  client.on("close", () => members.delete(client));
});
