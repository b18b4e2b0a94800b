// The field in which a sent message is changed; sending makes a new branch.
import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { fit } from './fields';

interface Props {
  text: string;
  onSend: (text: string) => void;
  onCancel: () => void;
}

export function MessageEditor({ text, onSend, onCancel }: Props): JSX.Element {
  const [value, setValue] = useState(text);
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const node = field.current;
    if (!node) return;
    node.focus();
    node.setSelectionRange(node.value.length, node.value.length);
  }, []);
  useLayoutEffect(() => fit(field.current), [value]);

  const send = (): void => {
    if (value.trim()) onSend(value.trim());
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') onCancel();
    else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="editor">
      <textarea
        ref={field}
        aria-label="Edit message"
        value={value}
        onInput={(event) => setValue(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div class="buttons">
        <span class="hint">The old version stays as a branch.</span>
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="button" class="button is-main" disabled={!value.trim()} onClick={send}>
          Send
        </button>
      </div>
    </div>
  );
}
