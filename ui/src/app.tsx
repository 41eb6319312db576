import { useEffect, useState } from 'preact/hooks';
import { asProblem, call, keepToken, token } from './api';
import { Dashboard } from './dashboard';
import { Login } from './login';
import { Mark } from './parts';
import type { Problem, Self } from './types';

// App asks who is looking: with a token of this tab, or with the browser's client certificate. Without either it asks for one.
export function App() {
  const [self, setSelf] = useState<Self | null>(null);
  const [refused, setRefused] = useState<Problem | null>(null);
  const [asking, setAsking] = useState(true);

  const enter = async () => {
    setAsking(true);
    try {
      setSelf(await call<Self>('GET', '/v1/access/self'));
      setRefused(null);
    } catch (err) {
      const p = asProblem(err);
      setRefused(p.code === 'forbidden' && !token() ? null : p);
      if (p.status === 401) keepToken('');
    }
    setAsking(false);
  };
  useEffect(() => void enter(), []);

  const leave = (p: Problem | null) => {
    keepToken('');
    setSelf(null);
    setRefused(p);
  };

  if (self) return <Dashboard self={self} leave={leave} />;
  if (asking) return <main class="alone"><Mark /> <p role="status">Connecting to the member…</p></main>;
  return <Login refused={refused} enter={enter} />;
}
