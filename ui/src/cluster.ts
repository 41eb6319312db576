// What the page knows, kept in one place: the newest status, the events and the samples, and whether they are of now.

import { useEffect, useRef, useState } from 'preact/hooks';
import { call } from './api';
import { merge } from './events';
import { follow, STALE_MS } from './live';
import { add, sampleOf, type Sample } from './samples';
import type { JournalEvent, Problem, Status } from './types';

const EVENTS_EVERY_MS = 10_000; // they come by the stream; what it missed is found so

export interface Cluster {
  status?: Status;
  heardAt: number; // when the newest status came, by this machine's clock
  connected: boolean;
  events: JournalEvent[];
  missing: string[]; // members whose events are not among them
  samples: Sample[];
}

const NOTHING: Cluster = { heardAt: 0, connected: false, events: [], missing: [], samples: [] };

// useCluster follows the member until it refuses; then it says why.
export function useCluster(refused: (p: Problem) => void): Cluster {
  const [cluster, set] = useState<Cluster>(NOTHING);
  const ask = useRef<() => void>(() => {});
  useEffect(() => {
    const change = (f: (c: Cluster) => Partial<Cluster>) => set((c) => ({ ...c, ...f(c) }));
    ask.current = () =>
      void call<{ events: JournalEvent[]; missing?: string[] }>('GET', '/v1/events?limit=200')
        .then((answer) => change((c) => ({ events: merge(c.events, answer.events), missing: answer.missing ?? [] })))
        .catch(() => {}); // the stream is what says that the member is gone
    const stop = follow('/v1/watch/status', {
      open: () => ask.current(),
      ended: () => change(() => ({ connected: false })),
      refused,
      event: (e) => {
        if (e.name === 'event') return change((c) => ({ events: merge(c.events, [JSON.parse(e.data)]) }));
        if (e.name !== 'status') return;
        const status = JSON.parse(e.data) as Status;
        change((c) => ({ status, heardAt: Date.now(), connected: true, samples: add(c.samples, sampleOf(status)) }));
      },
    });
    const timer = setInterval(() => document.visibilityState === 'visible' && ask.current(), EVENTS_EVERY_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, []);
  return cluster;
}

// useNow gives the time, twice a second.
export function useNow(): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export function isStale(c: Cluster, now: number): boolean {
  return c.heardAt > 0 && now - c.heardAt > STALE_MS;
}
