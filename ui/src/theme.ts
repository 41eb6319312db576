// Dark or light: as the system has it, until somebody chooses.

import { useEffect, useState } from 'preact/hooks';
import { Preference } from './preference';

export type Theme = 'light' | 'dark';

const KEY = 'pgherd-theme';
const dark = new Preference(matchMedia('(prefers-color-scheme: dark)'));

function chosen(): Theme | null {
  const text = localStorage.getItem(KEY);
  return text === 'light' || text === 'dark' ? text : null;
}

const now = (): Theme => chosen() ?? (dark.matches() ? 'dark' : 'light');

export function applyTheme(): void {
  document.documentElement.dataset.theme = now();
}

export function useTheme(): [Theme, () => void] {
  const [theme, set] = useState(now());
  useEffect(() => {
    const follow = () => {
      applyTheme();
      set(now());
    };
    follow(); // it may have changed since the first render
    return dark.follow(follow);
  }, []);
  const toggle = () => {
    localStorage.setItem(KEY, now() === 'dark' ? 'light' : 'dark');
    applyTheme();
    set(now());
  };
  return [theme, toggle];
}
