// The core of the client: all decisions, no effects.
export * from "./actions";
export * from "./machine";
export * from "./feeds";
export * from "./presence";
