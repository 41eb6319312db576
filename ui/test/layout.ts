import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CARD, depthOf, kindOf, labelOf, picture } from '../src/layout';
import type { Member } from '../src/types';
import { member, status } from './cluster';

const witness: Partial<Member> = { role: 'witness', state: 'running', follows: '', lag_bytes: null };
const pooler = { name: 'n1', address: '', rw_port: 1, ro_port: 2, target: 'n1', readers: ['n2'], clients: 3 };

test('nothing overlaps and nothing is outside, whatever the width', () => {
  const members = [...status().members, member('n4', { follows: 'n2' }), member('n5', witness), ...['n6', 'n7', 'n8', 'n9'].map((n) => member(n))];
  for (let width = CARD.width; width < 1400; width += 7) {
    const p = picture(status({ members, endpoints: [pooler, { ...pooler, name: 'n2' }] }), width);
    assert.equal(p.cards.length, 11);
    for (const [i, a] of p.cards.entries()) {
      assert.ok(a.x >= 0 && a.x + CARD.width <= width && a.y >= 0 && a.y + CARD.height <= p.height, `${a.key} at ${width}`);
      for (const b of p.cards.slice(i + 1)) {
        assert.ok(Math.abs(a.x - b.x) >= CARD.width || Math.abs(a.y - b.y) >= CARD.height, `${a.key} and ${b.key} at ${width}`);
      }
    }
  }
});

test('two cards stand side by side on a phone of 360 pixels', () => {
  const p = picture(status(), 316);
  assert.equal(p.cards[1]!.y, p.cards[2]!.y);
});

test('an edge for each follower, from whom it follows', () => {
  const s = status({ members: [...status().members, member('n4', { follows: 'n2' }), member('n5', witness)], endpoints: [pooler] });
  const p = picture(s, 900);
  assert.deepEqual(p.edges.map((e) => [e.key, e.kind]), [['pooler n1', 'clients'], ['n2', 'confirms'], ['n3', 'streams'], ['n4', 'streams']]);
  assert.equal(depthOf(s, s.members[3]!), 2);
});

test('poolers above, the primary below them, then its followers', () => {
  const p = picture(status({ endpoints: [pooler] }), 900);
  const y = Object.fromEntries(p.cards.map((c) => [c.key, c.y]));
  assert.ok(y['pooler n1']! < y.n1! && y.n1! < y.n2! && y.n2 === y.n3);
});

test('a circle of followers ends', () => {
  const s = status({ members: [member('n1', { follows: 'n2' }), member('n2', { follows: 'n1' })] });
  assert.equal(picture(s, 600).cards.length, 2);
});

test('no members, no picture, no fault', () => {
  assert.equal(picture(status({ members: [] }), 600).cards.length, 0);
});

test('what stands at an edge', () => {
  const s = status();
  assert.equal(labelOf(member('n2', { lag_bytes: 1_500_000 })), 'lag 1.5 MB');
  assert.equal(labelOf(member('n2', { lag_bytes: null })), 'lag not known');
  assert.equal(labelOf(member('n2', { state: 'stopped' })), 'not streaming');
  assert.equal(kindOf(s, member('n2', { state: 'running' })), 'broken');
});

// lines reads a path of M, V and H into its corners.
function corners(path: string): [number, number][] {
  let [x, y] = [0, 0];
  return [...path.matchAll(/([MVH])([-\d.]+)(?: ([-\d.]+))?/g)].map(([, command, a, b]) => {
    if (command !== 'V') x = Number(a);
    if (command !== 'H') y = Number(command === 'M' ? b : a);
    return [x, y];
  });
}

test('no edge passes behind a card, whatever the width', () => {
  const members = [...status().members, member('n4', { follows: 'n2' }), ...['n6', 'n7', 'n8', 'n9'].map((n) => member(n))];
  const endpoints = [pooler, { ...pooler, name: 'n2', target: 'n3' }, { ...pooler, name: 'n3', target: 'n9' }];
  for (let width = 2 * CARD.width + 16; width < 1400; width += 7) {
    const p = picture(status({ members, endpoints }), width);
    for (const e of p.edges) {
      const at = corners(e.path);
      for (const [i, [x, y]] of at.slice(1).entries()) {
        const [x0, y0] = at[i]!;
        const hit = p.cards.find((c) => Math.max(x, x0) > c.x + 1 && Math.min(x, x0) < c.x + CARD.width - 1 && Math.max(y, y0) > c.y + 1 && Math.min(y, y0) < c.y + CARD.height - 1);
        assert.ok(!hit, `${e.key} passes ${hit?.key} at ${width}: ${e.path}`);
      }
    }
  }
});
