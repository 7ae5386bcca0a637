/** The shapes of what the client takes and gives. This module holds types only. */

import type { AddOnHost, AddOnOption } from "./addon.js";
import type { Answers } from "./answers.js";
import type { Clock } from "./clock.js";
import type { RealtimeError } from "./errors.js";
import type { Stores } from "./stores.js";
import type { Storage, Transport, Wrapper } from "./transport.js";

// The site

/** What `manage.py realtime_schema --typescript` writes as `Site`. */
export interface SiteTypes {
  topics: object;
}

/** The types of one topic class. */
export interface TopicTypes {
  name: string;
  events: object;
  commands: object;
}

/** A topic of which the types are not known. */
export interface AnyTopic {
  name: string;
  events: any;
  commands: any;
}

/** A client without the types of its site. */
export interface AnySite {
  topics: {};
}

/** Whether a path fits a pattern, part by part: a value of a path holds no slash. */
type Fits<Path, Pattern> = Path extends `${infer Part}/${infer Rest}`
  ? Pattern extends `${infer Wanted}/${infer WantedRest}`
    ? Part extends Wanted
      ? Fits<Rest, WantedRest>
      : false
    : false
  : Pattern extends `${string}/${string}`
    ? false
    : Path extends Pattern
      ? true
      : false;

type Fitting<Topics, Path> = {
  [Key in keyof Topics]: Topics[Key] extends { name: infer Pattern }
    ? Fits<Path, Pattern> extends true
      ? Topics[Key]
      : never
    : never;
}[keyof Topics];

type IsUnion<T, All = T> = T extends All ? ([All] extends [T] ? false : true) : never;

/** The types of the topic with this path. A path that is computed, or fits no class or several: any names. */
export type TopicOf<Site extends SiteTypes, Path> =
  Fitting<Site["topics"], Path> extends infer Found
    ? [Found] extends [never]
      ? AnyTopic
      : IsUnion<Found> extends true
        ? AnyTopic
        : Found extends TopicTypes
          ? Found
          : AnyTopic
    : never;

/** The data of one of the events of a topic. */
export type DataOf<T extends TopicTypes> = T["events"][keyof T["events"]];
export type CommandData<T extends TopicTypes, Name extends keyof T["commands"]> = T["commands"][Name] extends { data: infer Data } ? Data : any;
export type CommandReply<T extends TopicTypes, Name extends keyof T["commands"]> = T["commands"][Name] extends { reply: infer Reply } ? Reply : any;
/** The arguments after the name of a command: its data may be left out if no field is required. */
export type CommandArguments<T extends TopicTypes, Name extends keyof T["commands"]> =
  {} extends CommandData<T, Name> ? [data?: CommandData<T, Name>, options?: RequestOptions] : [data: CommandData<T, Name>, options?: RequestOptions];

// Options

/** How long something lasts. */
export interface Lifetime {
  signal?: AbortSignal;
}

export interface Listening extends Lifetime {
  once?: boolean;
}

export interface RequestOptions extends Lifetime {
  /** Seconds until the request fails with `timeout`. */
  timeout?: number;
  /** Seconds to wait for a connection first. */
  wait?: number;
}

export interface Page extends RequestOptions {
  before?: number;
  after?: number;
  limit?: number;
}

export interface Holding extends Lifetime {
  /** How many of the newest messages or events come first. */
  history?: number;
  /** Seconds for which the room or topic is kept after the last holder has gone. */
  linger?: number;
}

export interface Subscribing extends Holding {
  /** How many of the newest events stay in the topic's `entries`. */
  keep?: number;
  /** That of the page: all entries since the begin of its request come first. */
  signature?: string;
}

export interface Sending extends Lifetime {
  data?: Record<string, unknown>;
  nonce?: string;
}

// What is shown

/** `stale`: the connection was lost, and the data is not current. */
export type HandleState = "idle" | "joining" | "live" | "stale" | "refused";
export type ClientState = "idle" | "connecting" | "open" | "waiting" | "suspended" | "closed";

export interface Message {
  readonly id: number;
  readonly seq: number;
  readonly user_id: string;
  readonly username: string;
  readonly content: string;
  readonly data?: Record<string, unknown>;
  readonly created_at: string;
  readonly nonce?: string;
  readonly changed_seq?: number;
  readonly edited_at?: string;
  readonly deleted?: boolean;
}

export interface Member {
  readonly user_id: string;
  readonly username: string;
  readonly connections?: number;
}

/** A message without an ack. */
export interface Pending {
  readonly nonce: string;
  readonly content: string;
  readonly data?: Record<string, unknown>;
  readonly status: "waiting" | "sent" | "failed";
  readonly error: RealtimeError | null;
  /** When it is sent again, in milliseconds of `Date.now()`, or null. */
  readonly retryAt: number | null;
  readonly isStored: boolean;
}

/** What the server says about a room. */
export interface About {
  readonly title?: string;
  readonly role?: string;
  readonly kind?: string;
  readonly rights?: readonly string[];
  readonly slow_seconds?: number;
  readonly read_only?: boolean;
  readonly muted?: string;
  readonly muted_until?: string;
  readonly request?: boolean;
}

/** An event of a topic, or a change of a value. */
export interface Entry<Data = any> {
  readonly name: string;
  /** Missing if the value was deleted. */
  readonly data?: Data;
  /** The position; without it, the event was not stored. */
  readonly seq?: number;
  readonly key?: string;
  readonly id?: string;
  readonly at?: string;
  readonly deleted: boolean;
  /** False if it was missed, or came with the reply. */
  readonly live: boolean;
}

/** An event that has data. */
export type Present<Data = any> = Entry<Data> & { readonly data: Data; readonly deleted: false };

// Snapshots

export interface Holdable {
  readonly state: HandleState;
  readonly error: RealtimeError | null;
  /** When a refused room or topic is tried again, in milliseconds of `Date.now()`, or null. */
  readonly retryAt: number | null;
}

export interface RoomSnapshot extends Holdable {
  readonly messages: readonly Message[];
  readonly pending: readonly Pending[];
  readonly hasMore: boolean;
  readonly members: ReadonlyMap<string, Member>;
  /** How many users are here; `members` lists them unless they are too many. */
  readonly count: number;
  /** The users who were typing in the last seconds, by `user_id`. */
  readonly typing: ReadonlyMap<string, Member>;
  readonly about: About;
}

export interface TopicSnapshot<T extends TopicTypes = AnyTopic> extends Holdable {
  readonly values: ReadonlyMap<string, DataOf<T>>;
  /** The newest stored events, as many as `keep` of `subscribe` says. */
  readonly entries: readonly Entry<DataOf<T>>[];
  /** The latest event or change of a value. */
  readonly last: Entry<DataOf<T>> | null;
  readonly members: ReadonlyMap<string, Member>;
  /** How many users are subscribed, or null if the topic does not show that. */
  readonly count: number | null;
}

/** What the connection is like: the detail of the event `state`. */
export interface Status {
  readonly state: ClientState;
  readonly code: number | string | null;
  readonly reason: string;
  /** Seconds until the next attempt to connect, or null. */
  readonly retryIn: number | null;
  readonly transport: string | null;
}

export interface ClientSnapshot extends Status {
  readonly userId: string | null;
  readonly username: string | null;
}

// Events

type Handler<Detail> = (detail: Detail) => unknown;

export interface MessageDetail {
  readonly room: string;
  readonly message: Message;
  /** False if it was missed, or came with the room. */
  readonly live: boolean;
}

export interface StateDetail {
  readonly state: HandleState;
  readonly error: RealtimeError | null;
  readonly isResumed: boolean;
}

export interface UserDetail {
  readonly room: string;
  readonly user_id: string;
  readonly username: string;
}

export interface SignalDetail {
  readonly room?: string;
  readonly user_id?: string;
  readonly username?: string;
  readonly data: Record<string, any>;
}

export interface PresenceDetail {
  readonly members?: readonly Member[];
  readonly count: number | null;
}

interface SharedEvents {
  message: Handler<MessageDetail>;
  changed: Handler<MessageDetail>;
  /** The newest messages have replaced those of the room. */
  reset: Handler<{ room: string; missed: number | null }>;
  refused: Handler<{ room: string; error: RealtimeError }>;
  joined: Handler<UserDetail>;
  left: Handler<UserDetail>;
  typing: Handler<UserDetail>;
  signal: Handler<SignalDetail>;
  presence: Handler<PresenceDetail & { room: string }>;
  /** What the room is like, or what the user may do there, has changed. */
  room: Handler<About & { room: string }>;
}

/** The handlers of a room. */
export interface RoomEvents extends SharedEvents {
  state: Handler<StateDetail>;
  /** Something has changed: once for all changes of a frame. */
  change: () => unknown;
}

/** The handlers of a client: its own events, and those of all rooms. */
export interface ClientEvents extends SharedEvents {
  state: Handler<Status>;
  /** An error that belongs to no promise. */
  error: Handler<{ error: RealtimeError }>;
  welcome: Handler<{ user_id: string; username: string; [field: string]: any }>;
  authenticated: Handler<{ user_id: string; username: string; [field: string]: any }>;
  invited: Handler<{ room: string; user_id: string; username: string; kind: string; [field: string]: any }>;
  notice: Handler<{ level: string; text: string }>;
  pong: Handler<object>;
  unknown: Handler<{ type: string; [field: string]: any }>;
}

/** The handlers of a topic: the events of its class, and those of the subscription. */
export type TopicEvents<T extends TopicTypes = AnyTopic> = {
  [Name in keyof T["events"]]: (data: T["events"][Name], about: Present<T["events"][Name]>) => unknown;
} & {
  event: Handler<Entry<DataOf<T>>>;
  value: (change: { key: string; value: DataOf<T> | undefined; isDeleted: boolean }, about: Entry<DataOf<T>>) => unknown;
  state: Handler<StateDetail>;
  change: () => unknown;
  reset: () => unknown;
  refused: Handler<{ error: RealtimeError }>;
  presence: Handler<PresenceDetail>;
};

/** The arguments of a handler. */
export type DetailOf<H> = H extends (...detail: infer Detail) => unknown ? Detail : never;

/** The last argument of a handler: what a loop gets. */
export type EventOf<H> = H extends (detail: any, about: infer About) => unknown
  ? unknown extends About
    ? Parameters<H>[0]
    : About
  : never;

// Hooks

export interface HoldOptions<Events> extends Holding {
  /** Handlers by the names of events. */
  on?: Partial<Events>;
}

export interface Selecting<Snapshot, Selected> {
  /** Return this instead, and render only when it changes. */
  select: (snapshot: Snapshot) => Selected;
}

export type RoomOptions = HoldOptions<RoomEvents> & { select?: undefined };
export type TopicOptions<T extends TopicTypes> = HoldOptions<TopicEvents<T>> & Subscribing & { select?: undefined };

export interface Acknowledged {
  readonly room: string;
  readonly seq: number;
  readonly id: number;
  readonly created_at: string;
  readonly nonce?: string;
}

export interface RoomMethods {
  send(content: string, options?: Sending): Promise<Acknowledged>;
  /** Load earlier messages. */
  loadMore(options?: Page): Promise<unknown>;
  sendTyping(): void;
  signal(data: object): void;
  /** Move the read mark of the user. */
  read(seq: number): void;
  /** Send a failed message again. */
  retry(nonce: string): Promise<Acknowledged> | undefined;
  /** Drop a message without an ack. Returns its content. */
  discard(nonce: string): string | undefined;
}

export interface TopicMethods<T extends TopicTypes> {
  call<Name extends keyof T["commands"] & string>(name: Name, ...rest: CommandArguments<T, Name>): Promise<CommandReply<T, Name>>;
  history(options?: Page): Promise<{ entries: Entry<DataOf<T>>[]; has_more: boolean; epoch: string }>;
}

// The client

type Given<Value, Arguments extends any[]> = Value | ((...given: Arguments) => Value | Promise<Value>);

export interface ClientOptions {
  url?: Given<string | URL, []>;
  http?: string;
  token?: Given<string | null | undefined, [{ reason: "connect" | "expiring"; signal: AbortSignal }]> | null;
  /** The `user_id` that the page was made for; `guest:` is any guest. */
  user?: string | null;
  /** What a new guest is called. */
  name?: string | null;
  /** Silent seconds after which the client pings the server. */
  heartbeat?: number;
  /** How many messages may wait for their ack. */
  queue?: number;
  /** How many messages of a room stay in memory. */
  keep?: number;
  catchUp?: "all" | "newest";
  /** Ends the client. */
  signal?: AbortSignal | null;
  transport?: Transport;
  fallback?: Wrapper;
  tabs?: Wrapper;
  offline?: Storage;
  /** Stores, `recent()` and `events()`: the add-on `stores.js`. */
  stores?: AddOnOption<Clock, Stores>;
  /** Answers to questions of the site: the add-on `answers.js`. */
  answers?: AddOnOption<AddOnHost, Answers>;
  /** What measures time. */
  clock?: TimeSource;
}

export interface TimeSource {
  /** Seconds since some moment, which setting the machine's clock does not change. */
  now(): number;
  /** Seconds since 1970. */
  wall(): number;
  /** Call `act` after some seconds. Returns a function that prevents it. */
  after(seconds: number, act: () => void): () => void;
}
