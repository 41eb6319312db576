import { useState } from 'preact/hooks';
import { asProblem, call } from './api';
import { bytes, clock } from './format';
import { Panel, Refused, Sign } from './parts';
import type { Problem, Status, WhatIfAnswer } from './types';

// WhatIf asks the member what would happen now: the decisions are the autopilot's own, and nothing is changed.
export function WhatIf({ status }: { status: Status }) {
  const [fault, setFault] = useState('each');
  const [answers, setAnswers] = useState<WhatIfAnswer[]>([]);
  const [at, setAt] = useState(0);
  const [problem, setProblem] = useState<Problem | null>(null);
  const ask = async () => {
    setProblem(null);
    try {
      setAnswers(await call<WhatIfAnswer[]>('GET', '/v1/whatif?fault=' + encodeURIComponent(fault)));
      setAt(Date.now());
    } catch (err) {
      setProblem(asProblem(err));
    }
  };
  return (
    <Panel id="whatif" title="What if" aside={at > 0 && <span class="quiet">as of {clock(at)}</span>}>
      <p class="row-actions start">
        <label>What if <select value={fault} onChange={(e) => setFault(e.currentTarget.value)}>
          <option value="each">anything fails, one at a time</option>
          {status.members.map((m) => <option key={m.name} value={m.name + '=down'}>{m.name} goes down</option>)}
          {status.members.map((m) => <option key={m.name} value={m.name + '=cut'}>{m.name} is cut off</option>)}
          <option value="store=down">the store goes down</option>
        </select></label>
        <button id="ask" onClick={() => void ask()}>Ask</button>
      </p>
      {problem && <Refused problem={problem} />}
      <ul class="answers" aria-live="polite">
        {answers.map((a) => <Answer key={a.if} a={a} />)}
      </ul>
    </Panel>
  );
}

function Answer({ a }: { a: WhatIfAnswer }) {
  const severity = !a.leader || a.stop_max_s < 0 ? 'error' : a.loss_max_bytes !== 0 ? 'warning' : 'good';
  return (
    <li data-if={a.if} data-leader={a.leader}>
      <Sign severity={severity} />
      <details>
        <summary><b>{a.if}</b>: {a.text}</summary>
        <dl class="facts">
          <dt>Writes stop for</dt><dd>{stopped(a)}</dd>
          <dt>Loss</dt><dd>{a.loss}{a.loss_max_bytes > 0 && `, at most ${bytes(a.loss_max_bytes)}`}</dd>
          <dt>Commits are on</dt><dd>{a.kept_on?.join(', ') || 'the primary alone'}</dd>
          {a.bears_then?.length ? <><dt>Then it bears the loss of</dt><dd>one of {a.bears_then.join(', ')}</dd></> : null}
          {a.breaks_then?.length ? <><dt>And not of</dt><dd>{a.breaks_then.join(', ')}</dd></> : null}
        </dl>
        <ul class="reasons">
          {(a.reasons ?? []).map((r) => <li key={r.member + r.reason.code}><b>{r.member}</b>: {r.reason.text} <span class="quiet">{r.reason.code}</span></li>)}
        </ul>
      </details>
    </li>
  );
}

export function stopped(a: { stop_min_s: number; stop_max_s: number }): string {
  if (a.stop_max_s < 0) return 'until somebody does something';
  const s = (n: number) => `${Number(n.toPrecision(2))} s`;
  if (a.stop_max_s === 0) return 'no time';
  return a.stop_min_s === a.stop_max_s ? s(a.stop_max_s) : `${s(a.stop_min_s)} to ${s(a.stop_max_s)}`;
}
