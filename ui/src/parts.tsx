// Small parts that several places share.

import type { ComponentChildren } from 'preact';
import type { Problem, Severity } from './types';

export function Mark() {
  return <img class="mark" src="./icon.svg" alt="" width="28" height="28" />;
}

export function Panel(p: { id: string; title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="card" id={p.id} aria-labelledby={p.id + '-title'}>
      <header class="card-head">
        <h2 id={p.id + '-title'}>{p.title}</h2>
        {p.aside}
      </header>
      {p.children}
    </section>
  );
}

const SIGNS: Record<Severity | 'good', string> = { good: '✓', info: 'i', warning: '!', error: '✕' };

// Sign says a severity by its form and by its name; its colour comes last.
export function Sign({ severity }: { severity: Severity | 'good' }) {
  return <span class={'sign ' + severity} role="img" aria-label={severity}>{SIGNS[severity]}</span>;
}

// Words shows what stands between backticks as what is typed: the API's texts name commands so.
export function Words({ text }: { text: string }) {
  return <>{text.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;
}

// Refused is an answer of the API that says no, in its own words.
export function Refused({ problem }: { problem: Problem }) {
  return (
    <div class="refused" role="alert" data-code={problem.code}>
      <strong>{problem.status === 0 ? 'No answer' : 'Refused'}</strong>: {problem.detail || problem.title}
      {problem.hint && <div class="quiet"><Words text={problem.hint} /></div>}
    </div>
  );
}
