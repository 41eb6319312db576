// Dark or light: as the system has it, until somebody chooses.

import { useEffect, useState } from 'preact/hooks';

export type Theme = 'light' | 'dark';

const KEY = 'pgherd-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

function chosen(): Theme | null {
  const text = localStorage.getItem(KEY);
  return text === 'light' || text === 'dark' ? text : null;
}

const now = (): Theme => chosen() ?? (system.matches ? 'dark' : 'light');

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
    system.addEventListener('change', follow);
    return () => system.removeEventListener('change', follow);
  }, []);
  const toggle = () => {
    localStorage.setItem(KEY, now() === 'dark' ? 'light' : 'dark');
    applyTheme();
    set(now());
  };
  return [theme, toggle];
}
