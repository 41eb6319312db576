import assert from 'node:assert/strict';
import { test } from 'node:test';
import { possible, questionOf, requestOf, type Action } from '../src/actions';
import { filtered, merge, told } from '../src/events';
import { ago, bytes, ms, short } from '../src/format';
import { parser } from '../src/sse';
import { attention, headline, percent, phases, quorum, titleOf } from '../src/summary';
import type { JournalEvent } from '../src/types';
import { member, status } from './cluster';

const event = (at: string, by: string, text: string, shared = false): JournalEvent => ({ at: `2026-11-28T09:00:${at}Z`, member: by, code: 'c', severity: 'info', text, shared });

test('numbers', () => {
  assert.deepEqual([0, 999, 1000, 1550, 123456, 5e9].map(bytes), ['0 B', '999 B', '1 kB', '1.6 kB', '123 kB', '5 GB']);
  assert.deepEqual([0.123, 9.94, 14.2, 1500].map(ms), ['0.12 ms', '9.9 ms', '14 ms', '1.5 s']);
  assert.equal(bytes(null), 'not known');
  assert.equal(ago('2026-11-28T09:00:00Z', Date.parse('2026-11-28T09:03:00Z')), 'for 3 min');
  assert.equal(ago('', 0), '');
  assert.equal(short('abcdef', 4), 'abc…');
});

test('events: newest first, each once, what all see once', () => {
  const a = event('01', 'n1', 'n2 leads', true);
  const b = event('02', 'n3', 'n2 leads', true);
  const own = event('03', 'n1', 'started');
  assert.deepEqual(merge([own, b], [a, own]), [own, a]);
  const twice = event('20', 'n1', 'n2 leads', true);
  assert.equal(merge([a, twice], []).length, 2, 'what one member saw twice has happened twice');
  assert.deepEqual(filtered([own, { ...a, severity: 'warning' }], 'warnings', ''), [{ ...a, severity: 'warning' }]);
  assert.deepEqual(filtered([own, b], 'all', 'n3'), [b]);
});

test('what happened, and the reason behind it', () => {
  assert.deepEqual(told({ ...event('01', 'n1', 'start as standby: it recovers'), code: 'start' }), { what: 'start as standby', why: 'it recovers' });
  assert.deepEqual(told({ ...event('01', 'n1', 'n2 leads term 3'), code: 'leader_changed' }), { what: 'leader changed', why: 'n2 leads term 3' });
});

test('server-sent events, cut anywhere', () => {
  const text = ': hello\n\nid: 1\nevent: status\ndata: {"a":1}\n\n: alive\n\ndata: x\n\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const read = parser();
    const got = [...read(text.slice(0, cut)), ...read(text.slice(cut))];
    assert.deepEqual(got, [{ name: 'status', data: '{"a":1}' }, { name: 'message', data: 'x' }]);
  }
});

test('the headline says the worst first', () => {
  const none = status({ members: [member('n2')] });
  assert.equal(headline(none).text, 'No primary');
  assert.deepEqual(headline(status()), { severity: 'good', text: 'n1 is primary' });
  assert.equal(headline(status({ paused: true })).severity, 'warning');
  const c = (severity: 'info' | 'warning' | 'error') => ({ code: severity, severity, text: '', since: '' });
  const s = status({ conditions: [c('info'), c('error')] });
  s.members[1]!.conditions = [c('warning')];
  assert.deepEqual(attention(s).map((a) => a.code), ['error', 'warning', 'info']);
  assert.equal(headline(s).severity, 'error');
});

test('who confirms commits', () => {
  assert.equal(quorum(status()), 'A commit is confirmed by the primary and 1 of n2');
  assert.equal(quorum(status({ sync: {} })), 'Commits are confirmed by the primary alone');
});

test('how far an operation has come', () => {
  const op = { id: 'x', kind: 'switchover', phase: 'stopping', from: 'n1', to: 'n2' };
  assert.deepEqual(phases(op).map((p) => p.state), ['past', 'past', 'now', 'next']);
  assert.ok(phases({ ...op, phase: 'done' }).every((p) => p.state === 'past'));
  assert.equal(phases({ ...op, phase: 'aborted' })[1]!.state, 'failed');
  assert.deepEqual(phases({ ...op, phase: 'scheduled' })[0], { name: 'scheduled', state: 'now' });
  assert.equal(titleOf({ ...op, dry_run: true }), 'Check of a switchover from n1 to n2');
  assert.equal(percent('42 % of 3 GB'), 42);
  assert.equal(percent('copying'), null);
});

test('each action asks for one thing, and its question names it', () => {
  const all: Action[] = [
    { kind: 'switchover', to: 'n2' }, { kind: 'restart', member: 'n2' }, { kind: 'reinit', member: 'n2' }, { kind: 'drain', member: 'n2' },
    { kind: 'undrain', member: 'n2' }, { kind: 'pause' }, { kind: 'resume' }, { kind: 'cancel' },
  ];
  assert.deepEqual(all.map((a) => requestOf(a).method + ' ' + requestOf(a).path), [
    'POST /v1/operations', 'POST /v1/operations', 'POST /v1/members/n2/requests', 'PUT /v1/members/n2/drain',
    'DELETE /v1/members/n2/drain', 'POST /v1/pause', 'DELETE /v1/pause', 'DELETE /v1/operations/current',
  ]);
  for (const a of all) {
    const q = questionOf(a, status());
    assert.ok(/n2|main/.test(q.title) && q.text && q.button, q.title);
  }
  assert.equal(questionOf({ kind: 'reinit', member: 'n2' }, status()).typed, 'n2');
  assert.deepEqual(requestOf({ kind: 'switchover', to: '' }, true).body, { kind: 'switchover', to: undefined, dry_run: true });
});

test('what a member can be asked for', () => {
  const kinds = (m: Parameters<typeof possible>[0]) => possible(m).map((a) => a.kind);
  assert.deepEqual(kinds(member('n1', { role: 'primary', state: 'running' })), ['restart', 'drain']);
  assert.deepEqual(kinds(member('n2')), ['switchover', 'restart', 'drain', 'reinit']);
  assert.deepEqual(kinds(member('n2', { drained: true })), ['restart', 'undrain', 'reinit']);
  assert.deepEqual(kinds(member('n5', { role: 'witness' })), []);
});
