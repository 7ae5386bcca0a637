/** What the package gives to TypeScript: the client, and the types of what it takes and gives. */

export * from "./client.js";
export type * from "./types.js";
