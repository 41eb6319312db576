// What the API answers, as far as the page shows it: internal/api/types.go has the whole.

export type Severity = 'info' | 'warning' | 'error';

export interface Condition {
  code: string;
  severity: Severity;
  text: string;
  hint?: string;
  since: string;
}

export interface Member {
  name: string;
  role: 'primary' | 'standby' | 'witness';
  state: string;
  timeline: number;
  lsn: string;
  lag_bytes: number | null;
  address: string;
  port: number;
  api: string;
  progress?: string;
  follows?: string;
  voter?: boolean;
  drained?: boolean;
  sessions?: number;
  sessions_max?: number;
  commit_ms?: number;
  pending?: string[];
  conditions: Condition[];
}

export interface Endpoint {
  name: string;
  address: string;
  rw_port: number;
  ro_port: number;
  target: string;
  readers: string[];
  clients: number;
  text?: string;
}

export interface Check {
  member: string;
  check: string;
  ok: boolean;
  text: string;
}

export interface Certificate {
  shutdown?: string;
  stop_ms?: number;
  promote_ms: number;
  poolers?: { name: string; clients: number; held_ms?: number; errors?: number }[];
  whole?: boolean;
}

export interface Operation {
  id: string;
  kind: string;
  from?: string;
  to?: string;
  queue?: string[];
  phase: string;
  by?: string;
  text?: string;
  at_ms?: number;
  dry_run?: boolean;
  checks?: Check[];
  certificate?: Certificate;
}

export interface Status {
  cluster: string;
  id: string;
  term: number;
  at: string;
  members: Member[];
  conditions: Condition[];
  operation?: Operation;
  last_operation?: Operation;
  endpoints?: Endpoint[];
  sync: { members?: string[]; k?: number };
  paused?: boolean;
}

export interface JournalEvent {
  at: string;
  member: string;
  code: string;
  severity: Severity;
  text: string;
  shared?: boolean;
}

export interface Explanation {
  member: string;
  unreachable?: boolean;
  decision: {
    at: string;
    role: string;
    steps?: { step: string; why: { code: string; text: string } }[];
    reasons?: { code: string; text: string }[];
    failed?: string;
  };
}

export type Role = 'viewer' | 'operator' | 'admin' | 'member';

export interface Self {
  name: string;
  role: Role;
  on: string;
}

export interface Problem {
  status: number;
  title: string;
  code: string;
  detail?: string;
  hint?: string;
}

export interface WhatIfAnswer {
  if: string;
  leader: string;
  was: string;
  text: string;
  stop_min_s: number;
  stop_max_s: number;
  loss_max_bytes: number;
  loss: string;
  kept_on: string[] | null;
  reasons: { member: string; reason: { code: string; text: string } }[] | null;
  bears_then?: string[];
  breaks_then?: string[];
}
