// The stream from the member: it comes back by itself, and says when what it gave last is not of now any more.

import { headers, problemOf } from './api';
import { parser, type ServerEvent } from './sse';
import type { Problem } from './types';

// The member sends a status at least once a second.
export const STALE_MS = 3000;
const SILENT_MS = 6000;
const AGAIN_MS = [250, 500, 1000, 2000, 4000];

export interface Listener {
  event(e: ServerEvent): void;
  open(): void;
  ended(): void; // and it is tried again
  refused(p: Problem): void; // and it is not
}

// follow reads until the function that it gives is called, or the member refuses.
export function follow(path: string, to: Listener): () => void {
  let stopped = false;
  let attempt = 0;
  let current = new AbortController();
  const run = async () => {
    while (!stopped) {
      current = new AbortController();
      const refused = await once(path, current, to, () => (attempt = 0));
      if (stopped) return;
      if (refused) return to.refused(refused);
      to.ended();
      await new Promise((done) => setTimeout(done, AGAIN_MS[Math.min(attempt++, AGAIN_MS.length - 1)]));
    }
  };
  void run();
  return () => {
    stopped = true;
    current.abort();
  };
}

// once gives why the member refuses, or nothing when the stream ended in any other way.
async function once(path: string, abort: AbortController, to: Listener, began: () => void): Promise<Problem | undefined> {
  let silence = setTimeout(() => abort.abort(), SILENT_MS);
  try {
    const answer = await fetch(path, { headers: headers(), signal: abort.signal, cache: 'no-store', redirect: 'error' });
    if (answer.status === 401 || answer.status === 403) return await problemOf(answer);
    if (!answer.ok || !answer.body) return undefined;
    to.open();
    began();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return undefined;
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENT_MS);
      for (const e of parse(value)) to.event(e);
    }
  } catch {
    return undefined; // the connection broke, or was ended above
  } finally {
    clearTimeout(silence);
  }
}
