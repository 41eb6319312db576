import { useState } from 'preact/hooks';
import { mayAct, questionOf, requestOf, type Action } from './actions';
import { asProblem, call } from './api';
import { Dialog } from './dialog';
import { Checks } from './operations';
import { Refused } from './parts';
import type { Operation, Problem, Self, Status } from './types';

interface Props {
  action: Action;
  status: Status;
  self: Self;
  close: () => void;
}

// Confirm names what will be done to what, and shows what the API answers. A switchover is checked first: its button
// works once the checks were shown.
export function Confirm({ action, status, self, close }: Props) {
  const [to, setTo] = useState(action.kind === 'switchover' ? action.to : '');
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [done, setDone] = useState('');
  const [checked, setChecked] = useState('');
  const now: Action = action.kind === 'switchover' ? { kind: 'switchover', to } : action;
  const q = questionOf(now, status);
  const check = checkOf(status, checked);
  const ready = (!q.typed || typed === q.typed) && (now.kind !== 'switchover' || (check?.phase === 'done' && !busy));

  const send = async (dryRun: boolean) => {
    setBusy(true);
    setProblem(null);
    try {
      const r = requestOf(now, dryRun);
      const answer = await call<{ id?: string; text?: string }>(r.method, r.path, r.body);
      if (dryRun) setChecked(answer.id ?? '');
      else setDone(answer.text || `${q.title} has begun: Operations shows how it goes.`);
    } catch (err) {
      setProblem(asProblem(err));
    }
    setBusy(false);
  };
  return (
    <Dialog title={q.title} close={close}>
      <p>{q.text}</p>
      {!mayAct(self.role) && <p class="banner">You are {self.name} with the role {self.role}. This needs the role operator.</p>}
      {now.kind === 'switchover' && !done && (
        <Candidates {...{ status, to, busy }} choose={(name) => (setTo(name), setChecked(''))} check={() => void send(true)} />
      )}
      {checked && !check && <p role="status">Checking…</p>}
      {check && <CheckResult op={check} />}
      {q.typed && !done && (
        <label class="typed">Type <b>{q.typed}</b> to confirm
          <input value={typed} autocomplete="off" onInput={(e) => setTyped(e.currentTarget.value)} />
        </label>
      )}
      {problem && <Refused problem={problem} />}
      {done && <p role="status" class="done" id="done">✓ {done}</p>}
      <footer class="row-actions">
        <button onClick={close}>{done ? 'Close' : 'Leave it'}</button>
        {!done && <button class="primary danger" id="confirm" disabled={!ready || busy} onClick={() => void send(false)}>{q.button}</button>}
      </footer>
    </Dialog>
  );
}

// checkOf is the dry run with that id, once it has ended.
function checkOf(s: Status, id: string): Operation | undefined {
  const op = s.last_operation;
  return op && id && op.id === id && (op.phase === 'done' || op.phase === 'aborted') ? op : undefined;
}

interface CandidatesProps {
  status: Status;
  to: string;
  busy: boolean;
  choose: (name: string) => void;
  check: () => void;
}

function Candidates({ status, to, busy, choose, check }: CandidatesProps) {
  const standbys = status.members.filter((m) => m.role === 'standby');
  return (
    <p class="row-actions start">
      <label>To <select value={to} onChange={(e) => choose(e.currentTarget.value)}>
        <option value="">the best standby</option>
        {standbys.map((m) => <option key={m.name} value={m.name}>{m.name}</option>)}
      </select></label>
      <button id="check" disabled={busy} onClick={check}>Check first</button>
    </p>
  );
}

function CheckResult({ op }: { op: Operation }) {
  return (
    <div id="check-result" data-phase={op.phase}>
      {op.checks && <Checks checks={op.checks} />}
      {op.text && <p role="status">{op.phase === 'done' ? '✓' : '✕'} {op.text}</p>}
    </div>
  );
}
