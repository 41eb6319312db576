import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

// Dialog is the browser's own: it keeps the focus, and Escape closes it. The title gets the focus first: a reader begins there, and an
// Enter that is held too long presses no button.
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const at = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = at.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog ref={at} aria-labelledby="dialog-title" onClose={close} onClick={(e) => e.target === at.current && close()}>
      <div class="dialog-body">
        <header class="card-head">
          <h2 id="dialog-title" tabIndex={-1} autofocus>{title}</h2>
          <button onClick={close} aria-label="Close">✕</button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
