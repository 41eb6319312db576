// Where the cluster's picture puts what: pure, so that it can be tested without a browser.
//
// Rows from the top: poolers, then the primary, then who follows it, then who follows those; members that follow nobody
// (witnesses, or who is out) stand last. A row that is too wide for the page goes on below itself.

import { bytes } from './format';
import type { Endpoint, Member, Status } from './types';

// Two cards stand side by side on the smallest phone.
export const CARD = { width: 150, height: 76 };
const GAP = { x: 16, y: 50, wrap: 40 };

export interface Card {
  key: string;
  x: number;
  y: number;
  member?: Member;
  pooler?: Endpoint;
}

export type EdgeKind = 'confirms' | 'streams' | 'broken' | 'clients';

export interface Edge {
  key: string;
  kind: EdgeKind;
  path: string;
  label: string;
  labelX: number;
  labelY: number;
}

export interface Picture {
  width: number;
  height: number;
  cards: Card[];
  edges: Edge[];
}

export function confirms(s: Status, name: string): boolean {
  return (s.sync.members ?? []).includes(name);
}

export function primaryOf(s: Status): Member | undefined {
  return s.members.find((m) => m.role === 'primary');
}

// sourceOf is whom a member follows, as far as that is known and shown.
export function sourceOf(s: Status, m: Member): Member | undefined {
  if (m.role !== 'standby' || !m.follows || m.follows === m.name) return undefined;
  return s.members.find((other) => other.name === m.follows);
}

// depthOf counts the steps to the top of the line that m follows. A circle, which can be seen for a moment
// after a failover, ends.
export function depthOf(s: Status, m: Member): number {
  let depth = 0;
  for (let at = sourceOf(s, m); at && depth < s.members.length; at = sourceOf(s, at)) depth++;
  return depth;
}

function rowsOf(s: Status): Member[][] {
  const rows: Member[][] = [];
  const apart: Member[] = [];
  for (const m of s.members) {
    const depth = depthOf(s, m);
    if (m.role !== 'primary' && depth === 0) apart.push(m);
    else (rows[depth] ??= []).push(m);
  }
  const lines = rows.filter((row) => row?.length);
  const last = lines.length > 1 ? lines[lines.length - 1] : undefined;
  if (last && apart.length) last.push(...apart);
  else if (apart.length) lines.push(apart);
  return lines;
}

export function picture(s: Status, width: number): Picture {
  const perRow = Math.max(1, Math.floor((width + GAP.x) / (CARD.width + GAP.x)));
  const cards: Card[] = [];
  let y = 0;
  const place = (row: Card[]) => {
    for (let from = 0; from < row.length; from += perRow) {
      const part = row.slice(from, from + perRow);
      let x = (width - part.length * CARD.width - (part.length - 1) * GAP.x) / 2;
      for (const card of part) {
        cards.push({ ...card, x, y });
        x += CARD.width + GAP.x;
      }
      y += CARD.height + (from + perRow < row.length ? GAP.wrap : GAP.y);
    }
  };
  place((s.endpoints ?? []).map((e) => ({ key: 'pooler ' + e.name, x: 0, y: 0, pooler: e })));
  for (const row of rowsOf(s)) place(row.map((m) => ({ key: m.name, x: 0, y: 0, member: m })));
  return { width, height: Math.max(0, y - GAP.y), cards, edges: edgesOf(s, cards) };
}

function edgesOf(s: Status, cards: Card[]): Edge[] {
  const edges: Edge[] = [];
  const find = (name: string | undefined) => cards.find((c) => c.member && c.member.name === name);
  for (const card of cards) {
    if (card.pooler) {
      const to = find(card.pooler.target);
      if (to && !card.pooler.text) edges.push(edge(card.key, 'clients', card, to, '', cards));
    } else if (card.member) {
      const from = find(sourceOf(s, card.member)?.name);
      if (from && from.y < card.y) edges.push(edge(card.key, kindOf(s, card.member), from, card, labelOf(card.member), cards));
    }
  }
  return edges;
}

export function kindOf(s: Status, m: Member): EdgeKind {
  if (m.state !== 'streaming') return 'broken';
  return confirms(s, m.name) ? 'confirms' : 'streams';
}

export function labelOf(m: Member): string {
  if (m.state !== 'streaming') return 'not streaming';
  return m.lag_bytes === null ? 'lag not known' : m.lag_bytes === 0 ? 'no lag' : 'lag ' + bytes(m.lag_bytes);
}

// edge leads from the lower side of one card to the upper side of another, beside the cards between them.
function edge(key: string, kind: EdgeKind, from: Card, to: Card, label: string, cards: Card[]): Edge {
  const x0 = from.x + CARD.width / 2;
  const x1 = to.x + CARD.width / 2;
  const y0 = from.y + CARD.height;
  const y1 = to.y;
  const leave = y0 + (GAP.wrap - 24) / 2;
  const enter = Math.max(leave, y1 - 34); // where it turns to its card: the label stands below that
  const between = cards.filter((c) => c.y >= y0 && c.y + CARD.height <= y1);
  const path = between.length ? `M${x0} ${y0}V${leave}H${lane(x0, x1, between)}V${enter}H${x1}V${y1}` : `M${x0} ${y0}V${enter}H${x1}V${y1}`;
  return { key, kind, path, label, labelX: x1, labelY: y1 - 12 };
}

// lane is where a vertical line passes all of these cards, as near to both ends as can be.
function lane(x0: number, x1: number, between: Card[]): number {
  const sides = between.flatMap((c) => [c.x - GAP.x / 2, c.x + CARD.width + GAP.x / 2]);
  const free = [x0, x1, ...sides].filter((x) => between.every((c) => x < c.x || x > c.x + CARD.width));
  const way = (x: number) => Math.abs(x - x0) + Math.abs(x - x1);
  return free.reduce((best, x) => (way(x) < way(best) ? x : best));
}
