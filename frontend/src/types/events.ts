// What comes over the socket: see the wire protocol. Payloads are foreign, so every field is looked at before use.

export type Payload = Readonly<Record<string, unknown>>;

export interface HubEvent {
  readonly event_type: string;
  readonly creation_ts: number;
  readonly payload: Payload;
}

export interface NumberedEvent {
  readonly event_id: number;
  readonly data: HubEvent;
}

export interface EventBatch {
  readonly event_id: "batched_events";
  readonly data: readonly NumberedEvent[];
}
