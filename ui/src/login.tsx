import { useState } from 'preact/hooks';
import { keepToken, token } from './api';
import { Mark, Refused } from './parts';
import type { Problem } from './types';

export function Login({ refused, enter }: { refused: Problem | null; enter: () => void }) {
  const [text, setText] = useState('');
  const submit = (e: Event) => {
    e.preventDefault();
    if (text.trim()) keepToken(text.trim());
    enter();
  };
  return (
    <main class="alone">
      <form class="card login" onSubmit={submit}>
        <h1><Mark /> pgherd</h1>
        <label for="token">Access token</label>
        <input
          id="token" type="password" autocomplete="off" spellcheck={false} value={text}
          aria-describedby="token-how" autofocus onInput={(e) => setText(e.currentTarget.value)}
        />
        <p id="token-how" class="quiet">
          On a member, as root: <code>pgherd access create NAME --role viewer</code>, or <code>operator</code> to act. The
          token is kept for this tab only.
        </p>
        {refused && <Refused problem={refused} />}
        <button class="primary" type="submit">{!text && (refused?.status === 0 || token()) ? 'Try again' : 'Log in'}</button>
      </form>
    </main>
  );
}
