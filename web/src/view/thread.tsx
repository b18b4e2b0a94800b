// The messages of the shown branch. It follows a growing answer while the reader is at its end.
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { shownPath } from '../model/tree';
import { current } from '../state/store';
import { Composer } from './composer';
import { EmptyState } from './empty_state';
import { Icon } from './icons';
import { MessageView } from './message_view';
import { ContextMeter } from './context_meter';

const NEAR_PX = 48;

export function Thread(): JSX.Element {
  const scroller = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const [isAway, setAway] = useState(false);
  const conversation = current.value;
  const path = shownPath(conversation);

  const toEnd = (): void => {
    const node = scroller.current;
    if (node) node.scrollTop = node.scrollHeight;
  };
  useLayoutEffect(() => {
    follows.current = true;
    setAway(false);
  }, [conversation.id]);
  const count = conversation.messages.length;
  useLayoutEffect(() => {
    if (path.at(-1)?.state === 'streaming') follows.current = true; // a message was just sent
  }, [count]);
  useLayoutEffect(() => {
    if (follows.current) toEnd();
  });
  useEffect(() => {
    const node = scroller.current;
    if (!node) return;
    const observer = new ResizeObserver(() => {
      if (follows.current) toEnd();
    });
    observer.observe(node);
    return () => observer.disconnect();
  }, []);

  const onScroll = (): void => {
    const node = scroller.current;
    if (!node) return;
    follows.current = node.scrollHeight - node.scrollTop - node.clientHeight < NEAR_PX;
    setAway(!follows.current);
  };

  return (
    <main class="main">
      <div
        class="scroller"
        ref={scroller}
        onScroll={onScroll}
        tabIndex={0}
        role="region"
        aria-label="Conversation"
      >
        <div class="column">
          {path.length === 0 ? (
            <EmptyState />
          ) : (
            path.map((message) => (
              <MessageView
                key={message.id}
                conversation={conversation}
                message={message}
                isLast={message === path.at(-1)}
              />
            ))
          )}
        </div>
      </div>
      <div class="foot">
        {isAway && (
          <button
            type="button"
            class="to-end"
            onClick={() => {
              follows.current = true;
              toEnd();
            }}
          >
            <Icon name="down" />
            To the end
          </button>
        )}
        <Composer />
        <ContextMeter path={path} />
      </div>
    </main>
  );
}
