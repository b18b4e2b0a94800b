// A modal dialog: the browser's own, so that focus stays inside and returns to where it was.
import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { dialog } from '../state/ui';
import { IconButton } from './icons';

interface Props {
  title: string;
  children: ComponentChildren;
}

export function closeDialog(): void {
  dialog.value = null;
}

export function Dialog({ title, children }: Props): JSX.Element {
  const root = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const node = root.current;
    const before = document.activeElement;
    node?.showModal();
    return () => {
      node?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      class="dialog"
      ref={root}
      aria-labelledby="dialog-title"
      onClose={closeDialog}
      onClick={(event) => {
        if (event.target === root.current) closeDialog(); // the backdrop
      }}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id="dialog-title">{title}</h2>
          <IconButton icon="close" label="Close" onClick={closeDialog} />
        </div>
        {children}
      </div>
    </dialog>
  );
}
