// The only way to the member's API. The token is kept for this tab and goes into a header, never into an address: it would
// stay in histories and logs.

import type { Problem } from './types';

const KEY = 'pgherd-token';

export function token(): string {
  return sessionStorage.getItem(KEY) ?? '';
}

export function keepToken(text: string): void {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

// Refusal is an answer that says no, or no answer at all (status 0).
export class Refusal extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
}

export function headers(): Record<string, string> {
  const t = token();
  return t ? { Authorization: 'Bearer ' + t } : {};
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: headers(), cache: 'no-store', credentials: 'same-origin', redirect: 'error' };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...headers(), 'Content-Type': 'application/json' };
  }
  const answer = await fetch(path, init).catch(() => null);
  if (!answer) throw silent(method);
  if (!answer.ok) throw new Refusal(await problemOf(answer));
  return (await answer.json()) as T;
}

// silent: without an answer, whether something was done is not known.
function silent(method: string): Refusal {
  const hint = method === 'GET' ? undefined : 'it may have taken effect: the timeline shows whether it did';
  return new Refusal({ status: 0, title: 'no answer', code: 'no_answer', detail: 'this member does not answer', hint });
}

export async function problemOf(answer: Response): Promise<Problem> {
  const fallback = { status: answer.status, title: answer.statusText, code: 'not_pgherd' };
  return { ...fallback, ...((await answer.json().catch(() => ({}))) as object) };
}

export function asProblem(err: unknown): Problem {
  if (err instanceof Refusal) return err.problem;
  return { status: 0, title: 'a fault of this page', code: 'page', detail: String(err) };
}
