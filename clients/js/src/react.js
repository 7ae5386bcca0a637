"use client";
/** React hooks (18 and later). Each one shows a store of the client, and holds a room or topic while it is mounted. */

import { createContext, createElement, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";

/** @import { ReactNode } from "react" */
/** @import { RealtimeClient } from "./core.js" */
/** @import { AnyTopic, ClientEvents, HoldOptions, Holding, RoomEvents, RoomMethods, RoomOptions, RoomSnapshot, Selecting, Sending } from "./types.js" */
/** @import { Subscribing, TopicEvents, TopicMethods, TopicOptions, TopicSnapshot, TopicTypes } from "./types.js" */

const LINGER = 1; // seconds: the next screen often shows the same room
const Context = createContext(/** @type {RealtimeClient<any> | null} */ (null));

/**
 * Give a client to the hooks below. The provider neither connects nor closes it.
 * @param {{ client: RealtimeClient<any>, children?: ReactNode }} props
 */
export const RealtimeProvider = ({ client, children }) => createElement(Context.Provider, { value: client }, children);

/**
 * Return the state of the connection, and methods for rooms by their slugs.
 * @param {{ on?: Partial<ClientEvents> }} [options]
 */
export function useRealtime({ on } = {}) {
  const client = useClient();
  const shown = useStore(client.store);
  useHandlers(client, on);
  const methods = useMemo(
    () => ({
      join: (/** @type {string} */ slug, /** @type {Holding} */ options = {}) => client.room(slug).join(options),
      leave: (/** @type {string} */ slug) => client.room(slug).leave(),
      send: (/** @type {string} */ slug, /** @type {string} */ content, /** @type {Sending} */ options = {}) =>
        client.room(slug).send(content, options),
    }),
    [client],
  );
  return { ...shown, ...methods, client, isConnected: shown.state === "open" };
}

/**
 * Join a room while mounted. Returns its snapshot and methods, or what `select` takes from the snapshot.
 * @overload
 * @param {string | null | undefined} slug
 * @param {RoomOptions} [options]
 * @returns {RoomSnapshot & RoomMethods}
 */
/**
 * @template Selected
 * @overload
 * @param {string | null | undefined} slug
 * @param {HoldOptions<RoomEvents> & Selecting<RoomSnapshot, Selected>} options
 * @returns {Selected}
 */
/**
 * @param {string | null | undefined} slug
 * @param {any} [options]
 */
export function useRoom(slug, options) {
  return useHeld("room", "join", slug, options, (room) => ({
    send: (content, options) => room.send(content, options),
    loadMore: (options) => room.history(options),
    sendTyping: () => room.typing(),
    signal: (data) => room.signal(data),
    read: (seq) => room.read(seq),
    retry: (nonce) => room.retry(nonce),
    discard: (nonce) => room.discard(nonce),
  }));
}

/**
 * Subscribe to a topic while mounted. Returns its snapshot and methods, or what `select` takes from the snapshot.
 * @template {TopicTypes} [T=AnyTopic]
 * @overload
 * @param {T["name"] | null | undefined} path
 * @param {TopicOptions<T>} [options]
 * @returns {TopicSnapshot<T> & TopicMethods<T>}
 */
/**
 * @template {TopicTypes} [T=AnyTopic]
 * @template [Selected=unknown]
 * @overload
 * @param {T["name"] | null | undefined} path
 * @param {HoldOptions<TopicEvents<T>> & Subscribing & Selecting<TopicSnapshot<T>, Selected>} options
 * @returns {Selected}
 */
/**
 * @param {string | null | undefined} path
 * @param {any} [options]
 */
export function useTopic(path, options) {
  return useHeld("topic", "subscribe", path, options, (topic) => ({
    call: (name, data, options) => topic.call(name, data, options),
    history: (options) => topic.history(options),
  }));
}

function useClient() {
  const client = useContext(Context);
  if (!client) throw new Error("Put <RealtimeProvider client={client}> around the components that use realtime hooks.");
  return client;
}

/**
 * Without a name, the handle is one that nobody enters: it shows an empty room or topic.
 * @param {"room" | "topic"} kind
 * @param {"join" | "subscribe"} enter
 * @param {string | null | undefined} name
 * @param {any} options
 * @param {(handle: any) => Record<string, (...given: any[]) => any>} makeMethods
 */
function useHeld(kind, enter, name, { on, select, ...options } = {}, makeMethods) {
  const client = useClient();
  /** @type {any} */
  const handle = useMemo(() => client[kind](name ?? ""), [client, kind, name]);
  const methods = useMemo(() => makeMethods(handle), [handle]);
  const latest = useLatest(options);
  useHandlers(handle, on);
  useEffect(() => {
    if (name == null) return;
    const holder = new AbortController();
    handle[enter]({ linger: LINGER, ...latest.current, signal: holder.signal });
    return () => holder.abort();
  }, [handle, name]);
  const shown = useStore(handle.store, select);
  return select ? shown : { ...shown, ...methods };
}

/**
 * Each render has its own memo, so a `select` that makes a new object does not render for ever.
 * @template Snapshot
 * @param {{ initial: Snapshot, get: () => Snapshot, subscribe: (handler: () => void) => () => void }} store
 * @param {(snapshot: Snapshot) => any} [select]
 */
function useStore(store, select = (snapshot) => snapshot) {
  const memo = (/** @type {() => Snapshot} */ get) => {
    /** @type {Snapshot} */
    let seen;
    /** @type {any} */
    let shown;
    return () => {
      const snapshot = get();
      if (snapshot !== seen) [seen, shown] = [snapshot, select(snapshot)];
      return shown;
    };
  };
  return useSyncExternalStore(store.subscribe, memo(store.get), memo(() => store.initial));
}

/**
 * Handlers are those of the latest render. They listen before the room is joined, so they get what the join brings.
 * @param {any} target
 * @param {Record<string, any>} on
 */
function useHandlers(target, on = {}) {
  const latest = useLatest(on);
  const names = Object.keys(on).join("\n");
  useEffect(() => {
    const listening = new AbortController();
    for (const name of names ? names.split("\n") : [])
      target.on(name, (/** @type {any[]} */ ...detail) => latest.current[name]?.(...detail), { signal: listening.signal });
    return () => listening.abort();
  }, [target, names]);
}

/**
 * @template T
 * @param {T} value
 */
function useLatest(value) {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}
